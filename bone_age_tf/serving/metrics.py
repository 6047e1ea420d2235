"""Prometheus metrics."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Metrics of one server."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(
        self, in_flight: Callable[[], int], versions: Callable[[], Mapping[int, str]]
    ) -> None:
        """`in_flight` gives the number of radiographs in flight, `versions` the state of each version of the model."""
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
        self._registry.register(_Versions(versions))

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


class _Versions(Collector):
    """The versions of the model at the time of a scrape."""

    def __init__(self, versions: Callable[[], Mapping[int, str]]) -> None:
        self._versions = versions

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """A gauge that is 1 for the state that a version is in."""
        gauge = GaugeMetricFamily(
            "bone_age_model_version",
            "1: the version is in this state.",
            labels=["version", "state"],
        )
        for version, state in self._versions().items():
            gauge.add_metric([str(version), state], 1)
        yield gauge
