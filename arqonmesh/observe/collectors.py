"""At scrape time: reads a snapshot of plain numbers and writes it as Prometheus text.

    exposition = Exposition(lambda: [Sample("arqon_bus_clients", 3), ...])
    body = exposition.render()         # for /metrics, with exposition.CONTENT_TYPE

The snapshot callable runs once per scrape; between scrapes nothing here costs anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar, Final, TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from arqonmesh.observe.metrics import BY_NAME, METRICS
from arqonmesh.observe.samples import Distribution, Sample

SERIES_MAX: Final = 2_000
"""Label combinations per metric; the counters of those beyond are joined under "other", so that sums stay true."""
OTHER: Final = "other"
Snapshot: TypeAlias = "Callable[[], Iterable[Sample | Distribution]]"


class Exposition:
    """The node's registry: our catalogue, and this process's memory, CPU and file descriptors."""

    CONTENT_TYPE: ClassVar[str] = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, snapshot: Snapshot) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Catalogue(snapshot))
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        return generate_latest(self._registry)


class _Catalogue(Collector):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def describe(self) -> Iterator[Family]:
        for metric in METRICS:
            yield _family(metric.name)

    def collect(self) -> Iterator[Family]:
        series: dict[str, dict[tuple[str, ...], float]] = {metric.name: {} for metric in METRICS}
        histograms: dict[str, HistogramMetricFamily] = {}
        for sample in self._snapshot():
            if isinstance(sample, Distribution):
                family = histograms.get(sample.name)
                if family is None:
                    metric = BY_NAME[sample.name]
                    family = histograms[sample.name] = HistogramMetricFamily(
                        sample.name, metric.help, labels=metric.labels
                    )
                family.add_metric(sample.labels, list(sample.buckets), sample.sum)
                continue
            name, value, labels = sample
            metric = BY_NAME[name]
            assert len(labels) == len(metric.labels), f"{name} has labels {metric.labels}, not {labels}"
            rows = series[name]
            if labels not in rows and len(rows) >= SERIES_MAX:
                labels = (OTHER,) * len(labels)
            rows[labels] = rows.get(labels, 0.0) + value if metric.type == "counter" else value
        yield from histograms.values()
        for name, rows in series.items():
            if rows:
                plain = _family(name)
                assert not isinstance(plain, HistogramMetricFamily), f"{name} is a histogram; give a Distribution"
                for labels, value in rows.items():
                    plain.add_metric(labels, value)
                yield plain


def _family(name: str) -> CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily:
    metric = BY_NAME[name]
    if metric.type == "histogram":
        return HistogramMetricFamily(name, metric.help, labels=metric.labels)
    if metric.type == "counter":
        return CounterMetricFamily(name.removesuffix("_total"), metric.help, labels=metric.labels)
    return GaugeMetricFamily(name, metric.help, labels=metric.labels)
