"""Counts for Prometheus."""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
_MEANING: Final = {
    "posts": "Posts in the store.",
    "groups": "Groups in the store.",
    "pairs": "Pairs in the store.",
    "decisions": "Decisions of people in the store.",
    "events": "Events in the log of the store.",
    "fresh": "Posts that are not in the sealed index yet.",
    "running": "Requests that are worked on.",
    "waiting": "Requests that wait for it.",
}


class Metrics:
    """What a service counts, apart from any other in this process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        asked = ("method", "route")
        self._requests = Counter(
            "kembar_requests", "Requests by route and status.", (*asked, "status"), registry=self._registry
        )
        self._errors = Counter(
            "kembar_errors", "Answers from status 400 on; 0: the client hung up.", ("status",), registry=self._registry
        )
        self._seconds = Histogram(
            "kembar_request_seconds", "Seconds a request took.", asked, buckets=_SECONDS, registry=self._registry
        )

    def saw(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer; status 0: the client hung up before there was one."""
        method = method if method in _METHODS else "other"
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(method, route).observe(seconds)
        if status >= 400 or not status:
            self._errors.labels(status).inc()

    def text(self, numbers: dict[str, int]) -> bytes:
        """Write all metrics as Prometheus reads them.

        Args:
            numbers: of the store and the queue as they are now, by name.
        """
        now = CollectorRegistry()
        now.register(_Gauges(numbers))
        return generate_latest(self._registry) + generate_latest(now)


class _Gauges(Collector):
    """Numbers as they are now."""

    def __init__(self, numbers: dict[str, int]) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give each as a gauge."""
        for name, value in self._numbers.items():
            yield GaugeMetricFamily(f"kembar_{name}", _MEANING[name], value=float(value))
