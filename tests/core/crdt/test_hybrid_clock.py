"""The hybrid clock: close to wall time, never against causality, and not to be dragged ahead."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.core.crdt.hybrid_clock import DRIFT_MAX_MS, STAMP_MAX, HybridClock, wall_ms_of
from arqonmesh.core.events import Fault
from arqonmesh.core.peers.causes import CAUSES
from arqonmesh.ids import NodeId
from tests.core.crdt.values import NODES

A, B, C = NODES[:3]
NOW_MS = 1_800_000_000_000


@given(
    st.lists(
        st.tuples(st.sampled_from((A, B, C)), st.sampled_from((A, B, C)), st.integers(-29_000, 29_000)),
        min_size=1,
        max_size=40,
    )
)
def test_what_happened_after_has_a_higher_stamp(messages: list[tuple[NodeId, NodeId, int]]) -> None:
    """Three nodes send to each other while their wall clocks jump to and fro: every receipt is after its sending, every
    step after the one before on the same node, and no clock runs away from the highest wall clock there was."""
    clocks = {node: HybridClock() for node in (A, B, C)}
    latest = dict.fromkeys(clocks, 0)
    highest_wall = 0
    for sender, receiver, offset in messages:
        wall = NOW_MS + offset
        highest_wall = max(highest_wall, wall)
        sent = clocks[sender].tick(wall)
        assert sent > latest[sender]
        latest[sender] = sent
        assert clocks[receiver].witness(sent, sender, wall) is None
        received = clocks[receiver].tick(NOW_MS - offset)
        highest_wall = max(highest_wall, NOW_MS - offset)
        assert received > sent
        assert received > latest[receiver]
        latest[receiver] = received
        assert wall_ms_of(received) <= highest_wall


def test_a_stamp_a_minute_ahead_is_taken_and_one_further_is_its_authors_fault() -> None:
    """At 60 s it still counts; one millisecond more is refused, leaves the clock alone, and is counted."""
    clock = HybridClock()
    before = clock.tick(NOW_MS)

    assert clock.witness((NOW_MS + DRIFT_MAX_MS + 1) << 16, B, NOW_MS) == Fault(B, "clock-ahead")
    assert (clock.last, clock.refused) == (before, 1)
    assert clock.witness(((NOW_MS + DRIFT_MAX_MS) << 16) | 0xFFFF, B, NOW_MS) is None
    assert wall_ms_of(clock.tick(NOW_MS)) == NOW_MS + DRIFT_MAX_MS + 1
    assert "clock-ahead" in CAUSES


def test_a_clock_that_was_set_back_goes_on_counting() -> None:
    """Stamps grow although the wall clock lost an hour; and with a new start from the last one known."""
    clock = HybridClock()
    first = clock.tick(NOW_MS)
    second = clock.tick(NOW_MS - 3_600_000)

    assert second == first + 1
    assert HybridClock(second).tick(NOW_MS - 3_600_000) == second + 1


def test_stamps_end_where_their_wire_format_ends() -> None:
    """A wall clock gone mad does not make a stamp that nobody could decode."""
    assert HybridClock().tick(1 << 60) == STAMP_MAX
