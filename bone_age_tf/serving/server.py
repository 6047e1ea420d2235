"""The verb: an exported model -> TensorFlow Serving's contract on this machine, and a page.

REST, gRPC and page share the model, its places and its meters. SIGINT and SIGTERM stop it gracefully:
not ready any more, what has begun is answered, then it ends.
"""

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from bone_age_tf.config import LOOPBACK, ServeConfig
from bone_age_tf.errors import EnvironmentFaultError, ModelRefusedError
from bone_age_tf.serving.admission import Desk
from bone_age_tf.serving.engines import require_engine
from bone_age_tf.serving.grpc_service import Answers, start_grpc
from bone_age_tf.serving.guards import Bodies, Guard
from bone_age_tf.serving.metrics import Meters
from bone_age_tf.serving.model_folder import ModelFolder
from bone_age_tf.serving.page_app import PageApp
from bone_age_tf.serving.rest import Rest
from bone_age_tf.serving.served_model import ServedModel

log = logging.getLogger(__name__)

GRACE_SECONDS = 20.0
"""For what has begun when the server is told to stop."""
HEAD_SECONDS = 10.0
"""For the first line and the headers of a request."""
BACKLOG = 128
MOST_CONNECTIONS = 512
"""Of each of REST and page; more get 503."""


@dataclasses.dataclass(frozen=True)
class Addresses:
    """Where the server listens; ports that were given as 0 are chosen."""

    host: str
    rest_port: int
    grpc_port: int
    web_port: int


def serve(
    config: ServeConfig,
    *,
    on_ready: Callable[[Addresses], None] | None = None,
    stop: threading.Event | None = None,
) -> int:
    """Serve until a signal or `stop`; returns 0, or 128 + the signal's number.

    Raises `EnvironmentFaultError` where a port is taken, before it loads a model, and `ModelRefusedError`
    where no version can be served, `UsageError` where the engine is not installed. Without `stop`, it must be called by the main thread.
    """
    require_engine(config.engine)
    with contextlib.ExitStack() as stack:
        ports = (config.rest_port, config.web_port)
        sockets = [stack.enter_context(_listen(config.host, port)) for port in ports]
        _listen(
            config.host, config.grpc_port
        ).close()  # gRPC takes it itself, when there is a model
        pool = stack.enter_context(ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="prepare"))
        models = ModelFolder(
            Path(config.model),
            lambda folder, version: ServedModel(folder, version, pool, config.engine),
            labels=config.version_labels,
        )
        stack.callback(models.close)
        models.refresh()
        _require_one(models)
        return asyncio.run(_Server(config, models).run(sockets, on_ready, stop))


class _Server:
    """The parts that live as long as the event loop."""

    def __init__(self, config: ServeConfig, models: ModelFolder) -> None:
        self._config = config
        self._models = models
        self._meters = Meters(lambda: self._desk.taken)
        self._desk = Desk(config.places, self._meters.count)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="server")
        """Of its own, so that nothing that is asked of the server keeps it from stopping."""
        self._bodies = Bodies()
        self._rest = Rest(models, self._desk, self._bodies, self._meters)
        self._stop = asyncio.Event()
        self._signal = 0

    async def run(
        self,
        sockets: Sequence[socket.socket],
        on_ready: Callable[[Addresses], None] | None,
        stop: threading.Event | None,
    ) -> int:
        """`sockets` listen for REST and for the page."""
        answers = Answers(self._models, self._desk, self._meters)
        grpc_server, grpc_port = _start_grpc(answers, self._config)
        servers = [_Quiet(_settings(app)) for app in self._apps()]
        running = [
            asyncio.create_task(server.serve(sockets=[one]))
            for server, one in zip(servers, sockets, strict=True)
        ]
        watching = asyncio.create_task(self._watch())
        self._listen_to(stop)
        while not all(server.started for server in servers):
            await asyncio.sleep(0.01)
        ports = [one.getsockname()[1] for one in sockets]
        if on_ready is not None:
            on_ready(Addresses(self._config.host, ports[0], grpc_port, ports[1]))
        await self._stop.wait()
        self._rest.is_stopping = True
        log.info("Stopping: what has begun is answered first.")
        if not await self._in_thread(self._desk.close, GRACE_SECONDS):
            log.warning(f"Some requests were not done within {GRACE_SECONDS:.0f} seconds.")
        for server in servers:
            server.should_exit = True
        watching.cancel()
        await asyncio.gather(*running, watching, return_exceptions=True)
        await self._in_thread(grpc_server.stop(1).wait)
        self._threads.shutdown()
        return 128 + self._signal if self._signal else 0

    def _apps(self) -> list[ASGIApp]:
        """REST and the page."""
        page = PageApp(self._models, self._desk, self._bodies, self._meters)
        static = (
            "/",
            *page.static_paths,
        )  # they hold nothing; what is asked of them needs the token
        return [self._guarded(self._rest.app(), ()), self._guarded(page.app(), static)]

    def _guarded(self, app: ASGIApp, open_paths: Iterable[str]) -> ASGIApp:
        host = self._config.host
        names = (*LOOPBACK, host, *self._config.host_names)
        hosts = {f"[{name}]" if ":" in name else name.lower() for name in names}
        return Guard(
            app,
            hosts=hosts,
            token=self._config.token,
            observe=self._meters.observe,
            open_paths=open_paths,
        )

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, function, *arguments)

    async def _watch(self) -> None:
        """Look for new versions."""
        while True:
            await asyncio.sleep(self._config.poll_seconds)
            try:
                await self._in_thread(self._models.refresh)
            except Exception:
                log.exception(
                    "Looking for new versions failed; the server goes on with what it has."
                )

    def _listen_to(self, stop: threading.Event | None) -> None:
        loop = asyncio.get_running_loop()
        if stop is not None:

            def wait() -> None:
                stop.wait()
                loop.call_soon_threadsafe(self._stop.set)

            threading.Thread(target=wait, daemon=True).start()
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signalled, number)

    def _signalled(self, number: int) -> None:
        self._signal = number
        self._stop.set()


class _Quiet(uvicorn.Server):
    """Leaves signals to us, for two of them run beside each other."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _PromptHeads(H11Protocol):
    """Closes connections whose request does not get as far as its body within `HEAD_SECONDS`."""

    _clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def handle_events(self) -> None:
        super().handle_events()
        if self.conn.their_state is h11.IDLE:
            self._wait()
        else:
            self._wait_no_more()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._clock is None:
            self._clock = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _wait_no_more(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None


def _settings(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        http=_PromptHeads,
        ws="none",
        server_header=False,
        backlog=BACKLOG,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=2,
    )


def _require_one(models: ModelFolder) -> None:
    try:
        models.get()
    except Exception as error:
        reasons = [
            f"version {state['version']}: {state['status']['error_message']}"
            for state in _states(models)
        ]
        raise ModelRefusedError(
            f"{models.base}: no version can be served. "
            + ("; ".join(reasons) or "There is no folder with a number as its name.")
            + " Expected what `bone-age-tf export --output` made."
        ) from error


def _states(models: ModelFolder) -> list[dict[str, Any]]:
    try:
        return models.status()["model_version_status"]
    except Exception:
        return []


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise _taken(host, port, error.strerror or str(error)) from error
    # Its connections inherit it; asyncio does not set it for them. Without it every answer waits 40 ms
    # for the client's acknowledgement of its head.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _start_grpc(answers: Answers, config: ServeConfig) -> tuple[Any, int]:
    host = f"[{config.host}]" if ":" in config.host else config.host
    try:
        return start_grpc(answers, f"{host}:{config.grpc_port}", token=config.token)
    except RuntimeError as error:
        raise _taken(config.host, config.grpc_port, "it may be taken") from error


def _taken(host: str, port: int, why: str) -> EnvironmentFaultError:
    return EnvironmentFaultError(
        f"Cannot listen at {host}, port {port}: {why}. Choose another with --rest-port, --grpc-port or "
        "--web-port; 0 takes a free one."
    )
