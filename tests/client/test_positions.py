"""Positions against a model that remembers everything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from arqonmesh.client import Gap, Message, positions
from arqonmesh.client.positions import Positions
from arqonmesh.client.streams import EPOCHS_MAX, HOLES_MAX

CHANNEL = "a:b"
NODE = "n" * 32
OURS, THEIRS = "nnnnnnnnnn-1", "ffffffffff-1"


def event(epoch: str, offset: int) -> Message:
    return Message("event", room="a", channel_="b", payload_=Raw(b"1"), epoch=epoch, offset=offset)


def joined(position: dict[str, int]) -> Positions:
    """After the answer to a first join, at node n."""
    found = Positions()
    found.connected(NODE)
    found.told(CHANNEL, position)
    return found


def take(found: Positions, epoch: str, *offsets: int) -> list[bool]:
    return [found.advance(CHANNEL, event(epoch, offset)) for offset in offsets]


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.integers(1, 12))))
def test_an_event_is_new_exactly_the_first_time(arrivals: list[tuple[str, int]]) -> None:
    """In whatever order the streams and their offsets come; the position goes to before the first that is missing."""
    found, seen = joined({}), set[tuple[str, int]]()
    for epoch, offset in arrivals:
        assert found.advance(CHANNEL, event(epoch, offset)) is ((epoch, offset) not in seen)
        seen.add((epoch, offset))
    heads = {epoch: max(n for e, n in seen if e == epoch) for epoch, _ in seen}
    lacking = {(epoch, n) for epoch, head in heads.items() for n in range(1, head)} - seen
    lowest = {epoch: min([n for e, n in lacking if e == epoch], default=head + 1) for epoch, head in heads.items()}
    assert found.of(CHANNEL) == {epoch: lowest[epoch] - 1 for epoch in heads}
    gaps = found.close(CHANNEL, {})
    assert {(gap.epoch, n) for gap in gaps for n in range(gap.first, (gap.last or 0) + 1)} == lacking
    assert found.of(CHANNEL) == heads


@given(
    st.dictionaries(st.sampled_from("xyz"), st.integers(0, 9)),
    st.dictionaries(st.sampled_from("xyz"), st.integers(0, 9)),
)
def test_what_the_bus_says_is_never_a_step_back(one: dict[str, int], other: dict[str, int]) -> None:
    """The higher of both, stream by stream; what lies below is not new any more."""
    found = joined(one)
    found.told(CHANNEL, other)
    both = {epoch: max(one.get(epoch, 0), other.get(epoch, 0)) for epoch in {**one, **other}}
    assert found.of(CHANNEL) == both
    assert not any(found.advance(CHANNEL, event(epoch, n)) for epoch, top in both.items() for n in range(1, top + 1))


@pytest.mark.requirement("R-SD-2")
def test_a_position_goes_back_to_before_a_hole_and_what_was_seen_comes_once() -> None:
    """What is sent again from there is known, but for what was missing."""
    found = joined({THEIRS: 4})
    take(found, THEIRS, 5, 8, 9)
    assert found.of(CHANNEL) == {THEIRS: 5}
    assert take(found, THEIRS, 6, 7, 8, 9, 10) == [True, True, False, False, True]
    assert found.of(CHANNEL) == {THEIRS: 10}


def test_what_a_client_published_itself_is_no_hole() -> None:
    """It goes into the stream of the node that it is connected to; jumps of other nodes' streams are holes."""
    found = joined({OURS: 0, THEIRS: 0})
    take(found, OURS, 3)
    take(found, THEIRS, 3)
    assert found.of(CHANNEL) == {OURS: 3, THEIRS: 0}


def test_what_is_missing_of_what_comes_after_a_reconnect_is_a_hole_in_every_stream() -> None:
    """The client's own messages come with it; what does not come is gone."""
    found = joined({OURS: 1})
    found.connected(NODE)
    take(found, OURS, 9, 10)
    assert found.of(CHANNEL) == {OURS: 1}
    assert found.answered(CHANNEL, {OURS: 10}, [Gap(OURS, 2, 8)]) == (Gap(OURS, 2, 8),)
    take(found, OURS, 12)
    assert found.of(CHANNEL) == {OURS: 12}


def test_of_the_gaps_that_a_bus_names_those_are_told_that_the_client_has_not_seen() -> None:
    """It was asked from before a hole; what came after the hole was seen."""
    found = joined({THEIRS: 0})
    take(found, THEIRS, 1, 4)
    named = [Gap(THEIRS, 2, 6), Gap(OURS, 5, None)]
    assert found.answered(CHANNEL, {THEIRS: 9, OURS: 7}, named) == (Gap(THEIRS, 2, 3), Gap(THEIRS, 5, 6), named[1])
    assert found.of(CHANNEL) == {THEIRS: 9, OURS: 7}


def test_a_stream_that_a_bus_has_forgotten_is_named_no_more_and_still_known() -> None:
    """Nothing of it is asked for again, and nothing of it is handed on twice."""
    found = joined({THEIRS: 3, OURS: 1})
    found.answered(CHANNEL, {OURS: 1}, [Gap(THEIRS, 4, None)])
    assert found.of(CHANNEL) == {OURS: 1}
    assert take(found, THEIRS, 3, 4) == [False, True]


def test_a_node_that_was_not_named_is_named_before_all_its_lives() -> None:
    """A life of it that was over by then, and came after the join, is owed."""
    found = joined({OURS: 1})
    take(found, "ffffffffff-7", 1)
    take(found, "ffffffffff-8", 1)
    assert found.of(CHANNEL) == {OURS: 1, "ffffffffff-0": 0, "ffffffffff-7": 1, "ffffffffff-8": 1}


def test_a_channel_that_a_pattern_brought_begins_where_it_was_first_heard() -> None:
    """What came before is taken if it comes, and not asked for."""
    found = Positions()
    take(found, THEIRS, 57)
    assert found.of(CHANNEL) == {THEIRS: 57}
    assert take(found, THEIRS, 56, 60) == [True, True]
    assert found.of(CHANNEL) == {THEIRS: 57}


def test_what_is_remembered_is_bounded_and_what_is_forgotten_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels, streams and holes; a past life goes before a stream that goes on."""
    monkeypatch.setattr(positions, "CHANNELS_MAX", 3)
    found = Positions()
    for n in range(5):
        found.advance(f"a:{n}", Message("event", room="a", channel_=str(n), epoch="x", offset=1))
    assert [found.known(f"a:{n}") for n in range(5)] == [False, False, True, True, True]
    found = joined({OURS: 1})
    for life in range(1, EPOCHS_MAX + 1):
        take(found, f"ffffffffff-{life}", 1)
    assert len(found.of(CHANNEL)) == EPOCHS_MAX
    assert OURS in found.of(CHANNEL)
    assert found.answered(CHANNEL, found.of(CHANNEL), []) == (Gap("ffffffffff-1", 2, None),)
    found = joined({THEIRS: 0})
    for n in range(1, HOLES_MAX + 2):
        take(found, THEIRS, 2 * n)
    assert found.of(CHANNEL) == {THEIRS: 2}
    assert found.answered(CHANNEL, {THEIRS: 99}, [])[-1] == Gap(THEIRS, 1, 1)
