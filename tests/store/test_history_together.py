"""Who pages through two histories by position is given everything that either has, whatever the orders and limits."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.core.kernel import HistoryQuery
from arqonmesh.store.history.backend import Found
from arqonmesh.store.history.together import together
from tests.store.test_history import CHANNEL
from tests.store.test_history_union import EVENTS, ONE, TWO, places

LAST = 12
Source = list[tuple[str, int]]
BY_PLACE = {places([event])[0]: event for event in EVENTS}


@st.composite
def sources(draw: st.DrawFn, *, late: bool) -> Source:
    """What somebody has, in the order in which it came: each stream in its order, the two interleaved anyhow."""
    order = [epoch for epoch in (ONE, TWO) for _ in range(LAST)]
    mixed = draw(st.permutations(order))
    has = draw(st.sets(st.sampled_from(sorted(BY_PLACE))))
    at = {ONE: 0, TWO: 0}
    source: Source = []
    for epoch in mixed:
        at[epoch] += 1
        if (epoch, at[epoch]) in has:
            source.append((epoch, at[epoch]))
    if late and source and draw(st.booleans()):  # a hole that was filled afterwards
        source.append(source.pop(draw(st.integers(0, len(source) - 1))))
    return source


def answer(source: Source, query: HistoryQuery) -> Found:
    fits = [
        place
        for place in source
        if any(epoch == place[0] and first <= place[1] <= last for epoch, first, last in query.ranges or ())
    ]
    picked = fits[: query.limit] if query.oldest else fits[-query.limit :]
    return Found([BY_PLACE[place] for place in picked], len(picked) < len(fits))


@pytest.mark.parametrize("oldest", [True, False])
@given(own=sources(late=False), theirs=sources(late=False), limit=st.integers(1, 8))
def test_nothing_is_passed_over_on_the_way(own: Source, theirs: Source, limit: int, oldest: bool) -> None:
    """From either end; and every page brings something on."""
    seen: set[tuple[str, int]] = set()
    bounds = {ONE: (1, LAST), TWO: (1, LAST)}
    for _ in range(len(BY_PLACE) + 1):
        ranges = tuple((epoch, first, last) for epoch, (first, last) in bounds.items() if first <= last)
        query = HistoryQuery(CHANNEL, limit, 1 << 20, oldest, ranges=ranges)
        found = asyncio.run(_both(own, theirs, query))
        told = places(found.frames)
        assert len(told) <= limit
        for epoch, offset in told:
            first, last = bounds[epoch]
            bounds[epoch] = (max(first, offset + 1), last) if oldest else (first, min(last, offset - 1))
        seen |= set(told)
        if not found.more:
            break
    assert seen == {*own, *theirs}


@given(own=sources(late=True), theirs=sources(late=False), limit=st.integers(1, 8))
def test_no_page_has_a_hole_that_either_could_fill(own: Source, theirs: Source, limit: int) -> None:
    """Also of an event that came to one of them late."""
    query = HistoryQuery(CHANNEL, limit, 1 << 20, True, ranges=((ONE, 1, LAST), (TWO, 1, LAST)))
    one, two = answer(own, query), answer(theirs, query)
    told = places(asyncio.run(_both(own, theirs, query)).frames)
    if not one.frames or not two.frames:
        return
    ends = {epoch: max((offset for at, offset in told if at == epoch), default=0) for epoch in (ONE, TWO)}
    assert {place for place in theirs if place[1] <= ends[place[0]]} <= set(told)


async def _both(own: Source, theirs: Source, query: HistoryQuery) -> Found:
    async def ask_own(lacking: HistoryQuery) -> Found:
        return answer(own, lacking)

    async def ask_theirs(lacking: HistoryQuery) -> Found:
        return answer(theirs, lacking)

    return await together(answer(own, query), answer(theirs, query), query, ask_own, ask_theirs)
