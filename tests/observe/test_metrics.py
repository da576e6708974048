"""Metric names as `promtool check metrics` wants them, and their text as Prometheus reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from arqonmesh.observe.collectors import OTHER, SERIES_MAX, Exposition
from arqonmesh.observe.metrics import METRICS, Metric
from arqonmesh.observe.samples import Distribution, Sample

_UNIT_ABBREVIATIONS = frozenset({"s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"})
_NOT_BASE_UNITS = re.compile(
    "(milli|micro|nano)seconds|minutes|hours|days|weeks|(kilo|mega|giga)bytes|bits|percent|kelvin|fahrenheit|"
    "(kilo|centi)meters|miles|(kilo)?grams|watts|kilojoules"
)


@pytest.mark.requirement("R-OB-2")
@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_name_passes_the_rules_of_promtool(metric: Metric) -> None:
    """Rules of promlint: help, counters and only counters in _total, base units, no type in the name, snake case."""
    assert re.fullmatch(r"arqon(_[a-z]+)+", metric.name)
    assert metric.help.endswith(".")
    assert metric.name.endswith("_total") == (metric.type == "counter")
    words = metric.name.split("_")
    assert not _UNIT_ABBREVIATIONS & set(words)
    assert not any(_NOT_BASE_UNITS.fullmatch(word) for word in words)
    assert not {"gauge", "counter", "histogram", "summary", "metric"} & set(words)
    assert words[-1] not in {"bucket", "count", "sum"}
    for label in metric.labels:
        assert re.fullmatch(r"[a-z]+", label)
        assert label not in {"le", "quantile", "type"}


def every_metric() -> Iterator[Sample | Distribution]:
    """One sample of each, with labels that need escaping."""
    for number, metric in enumerate(METRICS):
        labels = tuple(f'{label} "1"\n' for label in metric.labels)
        if metric.type == "histogram":
            yield Distribution(metric.name, (("0.5", 1), ("+Inf", 3)), number, labels)
        else:
            yield Sample(metric.name, number, labels)


def test_every_metric_can_be_read_back_with_its_type_help_and_labels() -> None:
    """The exposition format, escapes included; nothing is in the text that is not in the catalogue or the process's."""
    text = Exposition(every_metric).render().decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for number, metric in enumerate(METRICS):
        family = families.pop(metric.name.removesuffix("_total"))
        assert (family.type, family.documentation) == (metric.type, metric.help)
        if metric.type == "histogram":
            told = {(sample.name, sample.labels.get("le")): sample.value for sample in family.samples}
            assert told == {
                (f"{metric.name}_bucket", "0.5"): 1,
                (f"{metric.name}_bucket", "+Inf"): 3,
                (f"{metric.name}_count", None): 3,
                (f"{metric.name}_sum", None): number,
            }
            continue
        (sample,) = family.samples
        assert sample.name == metric.name
        assert sample.value == number
        assert sample.labels == {label: f'{label} "1"\n' for label in metric.labels}
    assert all(name.startswith("process_") for name in families)


def test_a_scrape_reads_the_numbers_of_that_moment() -> None:
    """The snapshot is taken at scrape time, not before."""
    clients = 1
    exposition = Exposition(lambda: [Sample("arqon_bus_clients", clients)])
    assert b"arqon_bus_clients 1.0\n" in exposition.render()
    clients = 7
    assert b"arqon_bus_clients 7.0\n" in exposition.render()


def test_too_many_series_are_joined_and_their_sum_stays_true() -> None:
    """Labels that grow without bound cannot fill the memory of whoever scrapes."""
    exposition = Exposition(
        lambda: [Sample("arqon_dropped_total", 1, ("bus", f"reason-{n}")) for n in range(SERIES_MAX + 50)]
    )
    families = text_string_to_metric_families(exposition.render().decode())
    dropped = next(family for family in families if family.name == "arqon_dropped")
    assert len(dropped.samples) == SERIES_MAX + 1
    assert sum(sample.value for sample in dropped.samples) == SERIES_MAX + 50
    assert [sample.value for sample in dropped.samples if sample.labels["reason"] == OTHER] == [50]


def test_a_name_or_label_that_is_not_in_the_catalogue_cannot_be_exposed() -> None:
    """A slip shows in the first scrape of a test, not on a dashboard."""
    with pytest.raises(KeyError):
        Exposition(lambda: [Sample("arqon_bus_clienst", 1)]).render()
    with pytest.raises(AssertionError, match="has labels"):
        Exposition(lambda: [Sample("arqon_link_up", 1, ("peer",))]).render()
