import threading
from pathlib import Path
from typing import Any

from bone_age_tf.config import ServeConfig
from bone_age_tf.serving.server import Addresses, serve


class Running:
    """A server in a thread of this process."""

    def __init__(self, model: Path, **settings: Any) -> None:
        self._stop = threading.Event()
        self._ready = threading.Event()
        self.code: int | None = None
        self.error: BaseException | None = None
        ports = {"rest_port": 0, "grpc_port": 0, "web_port": 0, "poll_seconds": 0.2}
        self.config = ServeConfig(model=str(model), **(ports | settings))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(300)
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            self.code = serve(self.config, on_ready=self._listen, stop=self._stop)
        except BaseException as error:
            self.error = error
        finally:
            self._ready.set()

    def _listen(self, where: Addresses) -> None:
        self.where = where
        self._ready.set()

    @property
    def model(self) -> str:
        """Address of the model."""
        return f"{self.rest}/v1/models/{Path(self.config.model).name}"

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self.where.rest_port}"

    @property
    def page(self) -> str:
        return f"http://127.0.0.1:{self.where.web_port}"

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.where.grpc_port}"

    def close(self) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
