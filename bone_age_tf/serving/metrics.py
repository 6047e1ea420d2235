"""Prometheus metrics."""

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Metrics of one server."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, in_flight: Callable[[], int]) -> None:
        """`in_flight` gives the number of radiographs in flight."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "bone_age_requests", "Requests.", ["kind", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "bone_age_request_seconds",
            "Time of a request.",
            ["kind"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._radiographs = Counter(
            "bone_age_radiographs", "Radiographs by status.", ["status"], registry=self._registry
        )
        gauge = Gauge(
            "bone_age_radiographs_in_progress", "Radiographs in flight.", registry=self._registry
        )
        gauge.set_function(in_flight)

    def observe(self, kind: str, status: int | str, seconds: float) -> None:
        """Record a finished request."""
        self._requests.labels(kind, str(status)).inc()
        self._seconds.labels(kind).observe(seconds)

    def count(self, statuses: Sequence[bytes]) -> None:
        """Record the radiographs of an answer."""
        for status in statuses:
            self._radiographs.labels(status.decode()).inc()

    def text(self) -> bytes:
        """The metrics in Prometheus text format."""
        return generate_latest(self._registry)
