"""Serve an exported model on this machine by TensorFlow Serving's API, and as a web page.

REST, gRPC and page share the model, the admission and the metrics. Every request goes the same way, on
one event loop: admission -> preparation (threads) -> micro-batching -> network (a thread) -> answer.
SIGINT and SIGTERM stop the server gracefully: it is no longer ready, what is in flight is answered, then
it ends.
"""

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from bone_age_tf.config import LOOPBACK, ServeConfig
from bone_age_tf.dicom import admission
from bone_age_tf.errors import EnvironmentFaultError, ModelRefusedError
from bone_age_tf.serving.admission import Admission
from bone_age_tf.serving.bodies import Bodies
from bone_age_tf.serving.contract import ServingError
from bone_age_tf.serving.engines import require_engine
from bone_age_tf.serving.grpc_service import Answers, start_grpc
from bone_age_tf.serving.guards import Guard
from bone_age_tf.serving.http_server import HttpServer, listen
from bone_age_tf.serving.metrics import Metrics
from bone_age_tf.serving.model_folder import ModelFolder
from bone_age_tf.serving.page_app import PageApp
from bone_age_tf.serving.rest import Rest
from bone_age_tf.serving.served_model import ServedModel

log = logging.getLogger(__name__)

GRACE_SECONDS = 20.0
"""For requests in flight when the server is stopped."""


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

    Raises `EnvironmentFaultError` where a port is taken, before it loads a model, `ModelRefusedError` where
    no version can be served, `UsageError` where the engine is not installed. Without `stop`, it must be
    called by the main thread.
    """
    require_engine(config.engine)
    admission.accept(*config.accept_dicom)
    with contextlib.ExitStack() as stack:
        ports = (config.rest_port, config.web_port)
        sockets = [stack.enter_context(_listen(config.host, port)) for port in ports]
        _listen(config.host, config.grpc_port).close()  # gRPC takes it itself, with a model
        pool = stack.enter_context(ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="prepare"))
        models = ModelFolder(
            Path(config.model),
            lambda folder, version: ServedModel(folder, version, pool, config.engine),
            labels=config.version_labels,
        )
        models.refresh()
        _require_one(models)
        return asyncio.run(_Server(config, models).run(sockets, on_ready, stop))


class _Server:
    """The parts that live as long as the event loop."""

    def __init__(self, config: ServeConfig, models: ModelFolder) -> None:
        self._config = config
        self._models = models
        self._metrics = Metrics(lambda: self._admission.in_flight, models.states)
        self._admission = Admission(config.max_in_flight, self._metrics.count)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="server")
        """Of its own, so that no request keeps the server from stopping."""
        self._bodies = Bodies()
        self._rest = Rest(models, self._admission, self._bodies, self._metrics)
        self._stop = asyncio.Event()
        self._signal = 0

    async def run(
        self,
        sockets: Sequence[socket.socket],
        on_ready: Callable[[Addresses], None] | None,
        stop: threading.Event | None,
    ) -> int:
        """`sockets` listen for REST and for the page."""
        loop = asyncio.get_running_loop()
        answers = Answers(self._models, self._admission, self._metrics, loop)
        grpc_server, grpc_port = _start_grpc(answers, self._config)
        servers = [HttpServer(app) for app in self._apps()]
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
        await self._drain()
        for server in servers:
            server.should_exit = True
        watching.cancel()
        await asyncio.gather(*running, watching, return_exceptions=True)
        await self._in_thread(grpc_server.stop(1).wait)
        self._threads.shutdown()
        return 128 + self._signal if self._signal else 0

    async def _drain(self) -> None:
        """Report not ready, and finish the requests in flight."""
        self._rest.is_stopping = True
        log.info("Stopping: requests in flight are answered first.")
        if not await self._admission.close(GRACE_SECONDS):
            log.warning(f"Some requests were not answered within {GRACE_SECONDS:.0f} seconds.")

    def _apps(self) -> list[ASGIApp]:
        """REST and the page."""
        page = PageApp(self._models, self._admission, self._bodies, self._metrics)
        return [
            self._guarded(self._rest.app(), ()),
            self._guarded(page.app(), page.static_paths),  # static files are public: no token
        ]

    def _guarded(self, app: ASGIApp, open_paths: Iterable[str]) -> ASGIApp:
        names = (*LOOPBACK, self._config.host, *self._config.allowed_hosts)
        return Guard(
            app,
            allowed_hosts=[f"[{name}]" if ":" in name else name for name in names],
            token=self._config.token,
            observe=self._metrics.observe,
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
                log.exception("Looking for new versions failed; those that are loaded stay.")

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


def _require_one(models: ModelFolder) -> None:
    try:
        models.get()
    except ServingError as error:
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
    except ServingError:
        return []


def _listen(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        raise _taken(host, port, error.strerror or str(error)) from error


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
