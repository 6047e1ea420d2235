"""Prometheus metrics of the node, and whether it lives and is ready, by HTTP on this machine.

| path | |
|---|---|
| `/metrics` | for Prometheus |
| `/livez` | 200 while all threads of the node run |
| `/readyz` | 200 while it lives and accepts associations; 503 while it starts and stops |
"""

import contextlib
import threading
import wsgiref.simple_server
from collections.abc import Callable, Iterable, Iterator
from socketserver import ThreadingMixIn
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from bone_age_tf.dicom_output.node.spool import Spool
from bone_age_tf.dicom_output.node.status import status_of
from bone_age_tf.errors import EnvironmentFaultError

SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
LOOPBACK_HOST = "127.0.0.1"
_TIMED = ("received", "predicted", "delivered")
_UP = {"delivered": 1, "committed": 1, "delivery_failed": 0, "given_up": 0}


class Metrics:
    """Counts the events of the audit, and asks the spool for what waits."""

    def __init__(self, spool: Spool) -> None:
        """`spool` is asked at each scrape."""
        self.registry = CollectorRegistry()
        self._events = Counter(
            "bone_age_node_events", "Events of the audit.", ["event"], registry=self.registry
        )
        self._seconds = Histogram(
            "bone_age_node_seconds",
            "Seconds to receive, to predict, to deliver.",
            ["event"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._up = Gauge(
            "bone_age_node_destination_up",
            "1: the last attempt to deliver succeeded; 0: it failed.",
            ["destination"],
            registry=self.registry,
        )
        self.registry.register(_Counts(spool))

    def __call__(self, event: str, **fields: Any) -> None:
        """Count an event."""
        self._events.labels(event).inc()
        if event in _TIMED and "seconds" in fields:
            self._seconds.labels(event).observe(fields["seconds"])
        if event in _UP:
            self._up.labels(fields["destination"]).set(_UP[event])


class _Counts(Collector):
    """What the spool holds at the time of a scrape."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def describe(self) -> Iterable[Any]:
        """Nothing: so that the registry does not ask the spool before there is a scrape."""
        return ()

    def collect(self) -> Iterator[Any]:
        """A gauge for each of what the spool counts."""
        counts = status_of(self._spool)
        radiographs = _gauge("radiographs", "Radiographs in the spool.", "state")
        for state, number in counts["radiographs"].items():
            radiographs.add_metric([state], number)
        deliveries = _gauge("deliveries", "Objects in the spool.", "destination", "state")
        for destination, states in counts["deliveries"].items():
            for state, number in states.items():
                deliveries.add_metric([destination, state], number)
        text = "Since the oldest was received of what waits: itself, or with an object to deliver."
        oldest = _gauge("oldest_waiting_seconds", text, "what")
        for what, seconds in counts["oldest_waiting_seconds"].items():
            oldest.add_metric([what], seconds)
        yield from (radiographs, deliveries, oldest)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"bone_age_node_{name}", text, labels=labels)


@contextlib.contextmanager
def served(
    metrics: Metrics,
    port: int,
    *,
    is_alive: Callable[[], bool],
    is_ready: Callable[[], bool],
) -> Iterator[int]:
    """Serve them on a port of this machine, which is yielded. Raises `EnvironmentFaultError` where it is taken."""
    app = _app(metrics, is_alive, is_ready)
    try:
        server = wsgiref.simple_server.make_server(
            LOOPBACK_HOST, port, app, server_class=_Server, handler_class=_Handler
        )
    except OSError as error:
        raise EnvironmentFaultError(
            f"Cannot listen at {LOOPBACK_HOST}, port {port}: {error.strerror}. Choose another metrics_port; 0 takes a "
            "free one."
        ) from error
    with server:
        thread = threading.Thread(
            target=server.serve_forever, args=(0.05,), name="metrics", daemon=True
        )
        thread.start()
        yield server.server_port
        server.shutdown()


def _app(metrics: Metrics, is_alive: Callable[[], bool], is_ready: Callable[[], bool]) -> Any:
    of_prometheus = make_wsgi_app(metrics.registry)
    checks = {"/livez": is_alive, "/readyz": lambda: is_alive() and is_ready()}

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            return of_prometheus(environ, start_response)
        status = "404 Not Found"
        if path in checks:
            status = "200 OK" if checks[path]() else "503 Service Unavailable"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{status[4:]}\n".encode()]

    return app


class _Server(ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


class _Handler(wsgiref.simple_server.WSGIRequestHandler):
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""
