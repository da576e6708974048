"""Two histories answer one question: the union of what they have, each stream in its order, within the limits."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.core.kernel import HistoryQuery
from arqonmesh.store.history.backend import Found
from arqonmesh.store.history.union import is_whole, union
from tests.store.test_history import CHANNEL, START_MS, frame

ONE, TWO = "nnnnnnnnnn-1", "mmmmmmmmmm-1"
EVENTS = [
    frame(offset, epoch, START_MS + offset * 1_000 - (5_000 if offset == 7 else 0))  # a clock that was set back
    for offset in range(1, 13)
    for epoch in (ONE, TWO)
]


def places(frames: list[bytes]) -> list[tuple[str, int]]:
    return [(told["epoch"], told["offset"]) for told in map(json.loads, frames)]


def of(epoch: str, *offsets: int) -> list[bytes]:
    return [each for each in EVENTS if places([each])[0] in [(epoch, offset) for offset in offsets]]


@given(
    mine=st.sets(st.integers(0, len(EVENTS) - 1)),
    theirs=st.sets(st.integers(0, len(EVENTS) - 1)),
    limit=st.integers(1, 30),
    bytes_max=st.integers(100, 4_000),
    oldest=st.booleans(),
)
def test_whatever_each_has_is_in_the_union_once_and_in_order(
    mine: set[int], theirs: set[int], limit: int, bytes_max: int, oldest: bool
) -> None:
    """As one history would answer that has both: the first or last that there is room for, and `more` if not all."""
    query = HistoryQuery(CHANNEL, limit, bytes_max, oldest)
    whole = union(Found(_in_order(mine), False), Found(_in_order(theirs), False), HistoryQuery(CHANNEL, 99, 1 << 20))
    assert sorted(places(whole.frames)) == sorted(places([EVENTS[index] for index in mine | theirs]))
    for epoch in (ONE, TWO):
        offsets = [offset for at, offset in places(whole.frames) if at == epoch]
        assert offsets == sorted(offsets)
    found = union(Found(_in_order(mine), False), Found(_in_order(theirs), False), query)
    if mine and theirs and mine != theirs:
        count = len(found.frames)
        assert found.frames == (whole.frames[:count] if oldest else whole.frames[len(whole.frames) - count :])
        assert count <= limit
        assert sum(map(len, found.frames)) <= bytes_max
        assert found.more is (count < len(whole.frames))


def _in_order(indexes: set[int]) -> list[bytes]:
    """As they came at one of the two: here by stream and offset."""
    return [EVENTS[index] for index in sorted(indexes)]


def test_events_of_no_stream_are_told_apart_by_their_bytes() -> None:
    """An older node's events bear no offset."""
    loose = [json.dumps({"timestamp": "2026-01-01T00:00:00.000Z", "id": number}).encode() for number in range(3)]
    found = union(Found(loose[:2], False), Found(loose[1:], True), HistoryQuery(CHANNEL, 10, 1 << 20))
    assert (found.frames, found.more) == (loose, True)


def test_the_same_answer_from_both_keeps_the_order_in_which_things_came() -> None:
    """Nothing is to be put together then."""
    frames = [*of(TWO, 1, 2), *of(ONE, 1)]
    assert union(Found(frames, False), Found(frames, False), HistoryQuery(CHANNEL, 10, 1 << 20)).frames == frames


@pytest.mark.parametrize(
    ("frames", "more", "oldest", "whole"),
    [
        (of(ONE, 1, 2, 3, 4), False, True, True),
        (of(ONE, 1, 2, 4), False, True, False),
        (of(ONE, 1, 2), True, True, True),
        (of(ONE, 3, 4), True, False, True),
        (of(ONE, 3, 4), True, True, False),
        (of(ONE, 1, 3), True, True, False),
        ([], False, True, False),
        ([], True, True, False),
    ],
)
def test_who_has_all_that_is_asked_for_asks_nobody_else(
    frames: list[bytes], more: bool, oldest: bool, whole: bool
) -> None:
    """Or as much of it, from the right end and without a hole, as there was room for."""
    query = HistoryQuery(CHANNEL, 10, 1 << 20, oldest, ranges=((ONE, 1, 4),))
    assert is_whole(Found(frames, more), query) is whole
    assert not is_whole(Found(frames, more), HistoryQuery(CHANNEL, 10, 1 << 20, oldest)), "all that there is: unknown"
