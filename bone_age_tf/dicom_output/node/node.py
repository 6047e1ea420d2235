"""The node: spool, receiver, worker, deliveries, audit and metrics, from start to stop, in one process."""

import contextlib
import dataclasses
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from bone_age_tf import __version__
from bone_age_tf.config import LOOPBACK, NodeConfig
from bone_age_tf.dicom_output.node import commitment
from bone_age_tf.dicom_output.node.audit import SCHEMA, open_audit
from bone_age_tf.dicom_output.node.delivery import Deliveries
from bone_age_tf.dicom_output.node.metrics import Metrics, served
from bone_age_tf.dicom_output.node.predictor import Predictor
from bone_age_tf.dicom_output.node.receiver import Receiver
from bone_age_tf.dicom_output.node.spool import Spool
from bone_age_tf.dicom_output.node.tls import server_context
from bone_age_tf.dicom_output.node.worker import Worker
from bone_age_tf.export.shipped_model import SHIPPED, shipped_model

log = logging.getLogger(__name__)

WORK_SECONDS, DELIVERY_SECONDS = 60.0, 10.0
"""For the radiograph and the objects in work when the node is stopped."""
WATCH_SECONDS = 0.5
CLEANING_SECONDS = 3600.0
"""Between two removals of what is older than `retention_days`."""


@dataclasses.dataclass(frozen=True)
class Addresses:
    """Where the node listens; ports that were given as 0 are chosen."""

    ae_title: str
    host: str
    port: int
    metrics_port: int | None


class Node:
    """A node of these settings."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._threads: list[Any] = []
        self._is_ready = False

    def run(
        self,
        *,
        stop: threading.Event | None = None,
        on_ready: Callable[[Addresses], None] | None = None,
    ) -> int:
        """Run until SIGINT, SIGTERM or `stop`; returns 0. Without `stop`, it must be called by the main thread.

        Nothing is accepted before the model has answered its golden hand as at export. Raises `UsageError` for tokens
        that are not there, `EnvironmentFaultError` for a port that is taken, a certificate that cannot be used, a spool
        that another node uses, and `ModelRefusedError`.
        """
        with contextlib.ExitStack() as stack:
            stopped = stop or stack.enter_context(_signalled())
            spool = stack.enter_context(Spool(self._config.node.spool))
            audit = stack.enter_context(contextlib.closing(open_audit(self._config)))
            metrics = Metrics(spool)

            def on_event(event: str, **fields: Any) -> None:
                audit(event, **fields)
                metrics(event, **fields)

            self._run(
                spool, on_event, stack.enter_context(self._served(metrics)), stopped, on_ready
            )
        return 0

    def _run(
        self,
        spool: Spool,
        on_event: Any,
        metrics_port: int | None,
        stopped: threading.Event,
        on_ready: Callable[[Addresses], None] | None,
    ) -> None:
        settings, tls = self._config.node, self._config.tls
        receiver = Receiver(spool, settings, on_event, server_context(tls))
        deliveries = Deliveries(
            spool, self._config.destinations, on_event, ae_title=settings.ae_title, tls=tls
        )
        commitment.add_context(receiver.entity)
        model = str(shipped_model()) if settings.model == SHIPPED else settings.model
        predictor = Predictor(model, settings.accept_dicom)
        worker = Worker(spool, self._config, predictor, on_event)
        _warn(self._config)
        _warn_of_orphans(self._config, spool)
        receiver.start(deliveries.commitments.handlers())
        start = time.monotonic()
        reason = "failed"
        try:
            worker.start()
            deliveries.start()
            self._threads, self._is_ready = [worker, deliveries], True
            on_event("started", **_started(predictor, spool))
            if on_ready is not None:
                ports = (receiver.port, metrics_port)
                on_ready(Addresses(settings.ae_title, settings.host, *ports))
            self._watch(spool, on_event, stopped)
            reason = "stop"
        finally:
            self._is_ready = False
            log.info("Stopping after the radiograph in work. What waits stays in the spool.")
            self._stop(receiver, worker, deliveries)
            on_event("stopped", seconds=time.monotonic() - start, reason=reason)

    def _watch(self, spool: Spool, on_event: Any, stopped: threading.Event) -> None:
        """Until the stop; removes what is old. Raises `RuntimeError` where a thread has ended."""
        next_cleaning = 0.0
        while not stopped.wait(WATCH_SECONDS):
            if not self._is_alive():
                raise RuntimeError("a thread of the node has ended; restart it, nothing is lost")
            if time.monotonic() >= next_cleaning:
                next_cleaning = time.monotonic() + CLEANING_SECONDS
                self._clean(spool, on_event)

    def _clean(self, spool: Spool, on_event: Any) -> None:
        try:
            count = spool.remove_older_than(self._config.node.retention_days)
        except OSError as error:
            log.error(f"Old files cannot be removed: {error.strerror or error}. Trying again.")
            return
        if count:
            on_event("removed", count=count)

    def _stop(self, receiver: Receiver, worker: Worker, deliveries: Deliveries) -> None:
        worker.stop()
        for sender in deliveries.senders:
            sender.stop()
        receiver.stop()
        worker.join(WORK_SECONDS)
        if not deliveries.stop(DELIVERY_SECONDS) or worker.is_alive():
            log.warning("Work in progress did not end in time; the next start does it again.")

    def _is_alive(self) -> bool:
        return all(one.is_alive() for one in self._threads)

    @contextlib.contextmanager
    def _served(self, metrics: Metrics) -> Iterator[int | None]:
        port = self._config.node.metrics_port
        if port is None:
            yield None
            return
        checks = {"is_alive": self._is_alive, "is_ready": lambda: self._is_ready}
        with served(metrics, port, **checks) as chosen:
            yield chosen


@contextlib.contextmanager
def _signalled() -> Iterator[threading.Event]:
    """Set by the first SIGINT or SIGTERM; a second one ends the process at once."""
    stopped = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def on_signal(number: int, frame: object) -> None:
        stopped.set()
        for one in numbers:
            signal.signal(one, before[one])

    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _warn(config: NodeConfig) -> None:
    """Of what others in the network can do."""
    if config.node.host in LOOPBACK or (config.tls is not None and config.tls.listen):
        return
    who = "under any AE title" if config.node.accept_any else "under an allowed AE title"
    log.warning(
        f"The node listens on {config.node.host} without TLS: whoever reaches its port can send to it {who}, or read what is "
        "sent. Let a firewall admit the senders alone, or use [tls]."
    )


def _warn_of_orphans(config: NodeConfig, spool: Spool) -> None:
    """What waits for a destination that the settings do not name any more would wait for ever in silence."""
    known = {one.name for one in config.destinations}
    for name, states in spool.by_destination().items():
        count = states.get("waiting", 0)
        if name not in known and count:
            log.warning(
                f"{count} objects wait for {name}, which no [[destination]] is called. Name it again and they are delivered; "
                "until then they stay in the spool."
            )


def _started(predictor: Predictor, spool: Spool) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "version": __version__,
        "model": predictor.identity.name,
        "model_version": predictor.identity.version,
        "waiting": spool.by_state().get("waiting", 0),
    }
