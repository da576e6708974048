"""What a receiver saw, and whether the ledger would notice a fault."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh_testbed.ledger import Ledger, percentile
from arqonmesh_testbed.scenario import Limit
from arqonmesh_testbed.story import figures


def _ledger(numbers: list[int]) -> Ledger:
    ledger = Ledger()
    for number in numbers:
        ledger.saw(number, 1_000)
    return ledger


@pytest.mark.parametrize(
    ("numbers", "lost", "doubled", "out_of_order"),
    [
        ([0, 1, 2], 0, 0, 0),
        ([0, 2], 1, 0, 0),
        ([0, 1, 1, 2], 0, 1, 0),
        ([0, 2, 1], 0, 0, 1),
        ([], 3, 0, 0),
        ([0, 1], 1, 0, 0),
    ],
)
def test_each_fault_is_counted_as_what_it_is(numbers: list[int], lost: int, doubled: int, out_of_order: int) -> None:
    """Of three published messages."""
    ledger = _ledger(numbers)
    assert (ledger.lost(3), ledger.doubled, ledger.out_of_order) == (lost, doubled, out_of_order)
    assert ledger.perfect(3) is (numbers == [0, 1, 2])


@given(st.lists(st.integers(0, 20), max_size=40))
def test_only_the_exact_sequence_is_perfect(numbers: list[int]) -> None:
    """Once and in order: nothing else passes."""
    ledger = _ledger(numbers)
    assert ledger.received == len(set(numbers))
    assert ledger.perfect(21) is (numbers == list(range(21)))
    assert ledger.doubled == len(numbers) - len(set(numbers))


def test_a_measure_above_its_limit_is_not_ok() -> None:
    """p99 of 20 values is the largest."""
    measures = {"down": [100.0] * 19 + [501.0]}
    assert [row["ok"] for row in figures(measures, {"down": Limit(p99=500)})] == [False]
    assert [row["ok"] for row in figures(measures, {"down": Limit(p50=500, p99=501)})] == [True]
    assert [row["ok"] for row in figures(measures, {})] == [True]
    assert percentile([], 0.5) == 0.0
