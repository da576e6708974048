"""At scrape time: reads a snapshot of plain numbers and writes it as Prometheus text.

    exposition = Exposition(lambda: [Sample("arqon_bus_clients", 3), ...])
    body = exposition.render()         # for /metrics, with exposition.CONTENT_TYPE

The snapshot callable runs once per scrape; between scrapes nothing here costs anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar, Final, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from arqonmesh.observe.metrics import BY_NAME, METRICS

SERIES_MAX: Final = 2_000
"""Label combinations per metric; the counters of those beyond are joined under "other", so that sums stay true."""
OTHER: Final = "other"


class Sample(NamedTuple):
    """One number. `labels` in the order of the catalogue."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


class Exposition:
    """The node's registry: our catalogue, and this process's memory, CPU and file descriptors."""

    CONTENT_TYPE: ClassVar[str] = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, snapshot: Callable[[], Iterable[Sample]]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Catalogue(snapshot))
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        return generate_latest(self._registry)


class _Catalogue(Collector):
    def __init__(self, snapshot: Callable[[], Iterable[Sample]]) -> None:
        self._snapshot = snapshot

    def describe(self) -> Iterator[Family]:
        for metric in METRICS:
            yield _family(metric.name)

    def collect(self) -> Iterator[Family]:
        series: dict[str, dict[tuple[str, ...], float]] = {metric.name: {} for metric in METRICS}
        for name, value, labels in self._snapshot():
            metric = BY_NAME[name]
            assert len(labels) == len(metric.labels), f"{name} has labels {metric.labels}, not {labels}"
            rows = series[name]
            if labels not in rows and len(rows) >= SERIES_MAX:
                labels = (OTHER,) * len(labels)
            rows[labels] = rows.get(labels, 0.0) + value if metric.type == "counter" else value
        for name, rows in series.items():
            if rows:
                family = _family(name)
                for labels, value in rows.items():
                    family.add_metric(labels, value)
                yield family


def _family(name: str) -> CounterMetricFamily | GaugeMetricFamily:
    metric = BY_NAME[name]
    if metric.type == "counter":
        return CounterMetricFamily(name.removesuffix("_total"), metric.help, labels=metric.labels)
    return GaugeMetricFamily(name, metric.help, labels=metric.labels)
