"""Counters: what replicas count apart adds up together, over restarts and after compaction."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.core.crdt import g_counter
from arqonmesh.core.crdt.g_counter import GCounter, Share
from arqonmesh.core.crdt.pn_counter import PNCounter
from arqonmesh.ids import NodeId
from tests.core.crdt.values import NODES

A, B = NODES[:2]


@given(st.lists(st.tuples(st.sampled_from((A, B)), st.integers(0, 2), st.integers(-5, 5)), max_size=20), st.data())
def test_the_value_is_the_sum_of_what_everybody_counted(acts: list[tuple[NodeId, int, int]], data: Any) -> None:
    """Each identity counts on its own replica; deltas arrive in any order, some twice: the sum is exact."""
    replicas = {A: PNCounter(), B: PNCounter()}
    deltas = []
    for who, epoch, amount in acts:
        delta = replicas[who].add(who, epoch, amount)
        changed = replicas[who].join(delta)
        assert changed.value == replicas[who].value + amount, "x join delta is the changed x"
        replicas[who] = changed
        deltas.append(delta)
    merged = PNCounter()
    for delta in data.draw(st.permutations(deltas + deltas[::2])):
        merged = merged.join(delta)

    assert merged == replicas[A].join(replicas[B])
    assert merged.value == sum(amount for _, _, amount in acts)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=12), st.integers(0, 5))
def test_compaction_forgets_epochs_and_keeps_the_value(acts: list[tuple[int, int]], floor: int) -> None:
    """Once everybody has them, folding epochs changes no sum; and whoever comes back with the old ones changes none."""
    full = GCounter()
    for epoch, amount in acts:
        full = full.join(full.add(A, epoch, amount))
    compacted = full.join(full.compact(A, floor))

    assert compacted.value == full.value
    assert all(epoch >= floor for epoch, _ in compacted.share(A).counts)
    assert compacted.join(full) == compacted


def test_an_epoch_below_the_floor_counts_no_more() -> None:
    """What was folded is over: counting on in it would be lost, so it is refused."""
    counter = GCounter(((A, Share(3, 7)),))

    with pytest.raises(ValueError, match="epochs >= 3"):
        counter.add(A, 2)
    with pytest.raises(ValueError, match="amounts are >= 0"):
        counter.add(A, 3, -1)


def test_counts_saturate_instead_of_leaving_the_wire_format() -> None:
    """The highest count is 2^63 - 1, and it still travels."""
    counter = GCounter(((A, Share(0, 0, ((0, g_counter.COUNT_MAX - 1),))),))
    more = counter.join(counter.add(A, 0, 10))

    assert more.value == g_counter.COUNT_MAX
    assert GCounter.decode(more.encode()) == more


def test_an_identity_keeps_its_newest_epochs_only() -> None:
    """A liar with a thousand epochs takes the room of eight."""
    counter = GCounter()
    for epoch in range(100):
        counter = counter.join(GCounter(((A, Share(0, 0, ((epoch, 1),))),)))

    assert [epoch for epoch, _ in counter.share(A).counts] == list(range(92, 100))


def test_what_was_folded_before_is_folded_on() -> None:
    """Compaction in two steps keeps the sum."""
    counter = GCounter(((A, Share(1, 7, ((1, 2), (2, 3)))),))
    compacted = counter.join(counter.compact(A, 2))

    assert compacted.share(A) == Share(2, 9, ((2, 3),))
