"""Durations in fixed buckets, against the sorted list of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.core.histogram import BOUNDS_US, HIGHEST, Histogram, _bucket, _upper

DURATIONS = st.lists(st.integers(0, 1 << 24) | st.integers(0, 300), min_size=1, max_size=200)


def filled(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(st.integers(0, HIGHEST))
def test_every_value_has_one_bucket_at_most_an_eighth_wide(value: int) -> None:
    """Its bucket ends at or above it, and the one before ends below."""
    bucket = _bucket(value)
    assert value <= _upper(bucket) <= value + value // 8 + 1
    assert bucket == 0 or _upper(bucket - 1) < value


@pytest.mark.requirement("R-OB-6")
@given(DURATIONS, st.sampled_from((1, 500, 900, 990, 999, 1_000)))
def test_a_percentile_is_at_most_an_eighth_above_the_true_one(values: list[int], share: int) -> None:
    """The value that so many are at or below."""
    true = sorted(values)[max(0, -(-len(values) * share // 1_000) - 1)]
    assert true <= filled(values).per_mille(share) <= true + true // 8 + 1


@given(DURATIONS)
def test_counts_below_a_power_of_two_are_exact(values: list[int]) -> None:
    """As Prometheus needs them; sums and counts too."""
    histogram = filled(values)
    for bound in BOUNDS_US:
        assert histogram.below(bound) == sum(value < bound for value in values)
    assert (histogram.count, histogram.total, histogram.highest) == (len(values), sum(values), max(values))


@given(DURATIONS, DURATIONS)
def test_what_came_since_a_copy_is_told_apart(first: list[int], second: list[int]) -> None:
    """Counts and sums of the later ones alone."""
    histogram = filled(first)
    before = histogram.copy()
    for value in second:
        histogram.record(value)
    since, alone = histogram.since(before), filled(second)
    assert (since.count, since.total) == (alone.count, alone.total)
    assert since._counts == alone._counts


def test_what_does_not_fit_counts_at_the_ends() -> None:
    """Below 0 as 0; beyond the highest as the highest; an empty one tells zeros."""
    histogram = Histogram()
    assert set(histogram.figures().values()) == {0}
    histogram.record(-5)
    histogram.record(HIGHEST * 9, times=2)
    assert (histogram.count, histogram.highest, histogram.per_mille(10)) == (3, HIGHEST, 0)
