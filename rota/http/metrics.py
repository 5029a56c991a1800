"""Metrics in Prometheus's text format, read from the tallies that the routes keep.

The tallies are plain numbers on the hot path; the library that knows the format is loaded at the first scrape.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from rota.http.route import Route, Tally

if TYPE_CHECKING:
    from prometheus_client.core import Metric


class Count(Struct, frozen=True):
    """A counter that is kept elsewhere, as it stands: a number for each combination of its labels' values."""

    name: str
    help: str
    labels: tuple[str, ...]
    numbers: dict[tuple[str, ...], float]


class Spread(Struct, frozen=True):
    """A histogram that is kept elsewhere, as it stands: a number for each bound, and one for what is above them all."""

    name: str
    help: str
    bounds: Sequence[float]
    buckets: Sequence[int]
    total: float


def render(routes: Sequence[Route], counts: "Iterable[Count | Spread]" = ()) -> bytes:
    """The metrics of ``routes``, of this process, and ``counts``."""
    # Loaded here: 40 ms and 6 MB that a server which nobody scrapes need not pay.
    from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    class Routes:
        """The collector that the library asks."""

        def collect(self) -> "Iterator[Metric]":
            requests = CounterMetricFamily(
                "rota_http_requests", "Requests by route and status.", labels=["route", "status"]
            )
            seconds = HistogramMetricFamily("rota_http_request_seconds", "Time to answer, by route.", labels=["route"])
            limited = CounterMetricFamily(
                "rota_http_rate_limited", "Requests that the request limiter refused, by route.", labels=["route"]
            )
            for route in routes:
                if route.tally.limited:
                    limited.add_metric([route.name], route.tally.limited)
                for status, count in sorted(route.tally.statuses.items()):
                    requests.add_metric([route.name, str(status)], count)
                if route.tally.statuses:
                    tally = route.tally
                    seconds.add_metric([route.name], _buckets(Tally.BOUNDS, tally.buckets), tally.seconds)
            yield requests
            yield seconds
            yield limited
            for count in counts:
                if isinstance(count, Spread):
                    histogram = HistogramMetricFamily(count.name, count.help)
                    histogram.add_metric([], _buckets(count.bounds, count.buckets), count.total)
                    yield histogram
                    continue
                family = CounterMetricFamily(count.name, count.help, labels=count.labels)
                for values, number in count.numbers.items():
                    family.add_metric(values, number)
                yield family

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    collector: Any = Routes()
    registry.register(collector)
    return generate_latest(registry)


def _buckets(bounds: Iterable[float], numbers: Iterable[int]) -> list[Any]:
    total, found = 0, list[tuple[str, float]]()
    for bound, count in zip([*map(str, bounds), "+Inf"], numbers, strict=True):
        total += count
        found.append((bound, total))
    return found
