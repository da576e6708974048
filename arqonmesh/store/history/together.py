"""Two answers of which one was cut short: nothing may be passed over that lies before where the other one goes on.

Each history answers in the order in which things came to it, and stops at the limit. What it has not come to may lie,
in a stream, below what the other one told; who reads on from the highest offset would never hear of it. So whoever was
cut short is asked again, for just these stretches; where that is cut short as well, the answer ends there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from arqonmesh.core.bus.streams import OFFSET_MAX
from arqonmesh.core.kernel import HistoryQuery, Range
from arqonmesh.store.history.backend import Found
from arqonmesh.store.history.chunks import place_of
from arqonmesh.store.history.union import fitting, union

Ask = Callable[[HistoryQuery], Awaitable[Found]]
Offsets = dict[str, list[int]]
"""Of each stream, ascending."""


async def together(own: Found, theirs: Found, query: HistoryQuery, ask_own: Ask, ask_theirs: Ask) -> Found:
    """As `union`. `theirs` tells each stream in its order, `own` may have got an earlier event later. Raises what the
    two raise."""
    if not own.frames or not theirs.frames or not (own.more or theirs.more):
        return union(own, theirs, query)
    told = dict.fromkeys((*own.frames, *theirs.frames))
    for found, ask, in_order in ((own, ask_own, False), (theirs, ask_theirs, True)):
        lacking = _left_out(offsets_of(told), offsets_of(found.frames), query, in_order) if found.more else []
        if not lacking:
            continue
        filled = await ask(msgspec.structs.replace(query, ranges=tuple(lacking)))
        told |= dict.fromkeys(filled.frames)
        if filled.more:
            told = _as_far(told, lacking, offsets_of(filled.frames), query.oldest) or told
    return fitting(told, query, more=True)


def offsets_of(frames: Iterable[bytes]) -> Offsets:
    """Raises msgspec.DecodeError."""
    found: dict[str, set[int]] = {}
    for frame in frames:
        epoch, offset = place_of(frame)
        if epoch:
            found.setdefault(epoch, set()).add(offset)
    return {epoch: sorted(offsets) for epoch, offsets in found.items()}


def _left_out(told: Offsets, mine: Offsets, query: HistoryQuery, in_order: bool) -> list[Range]:
    """What whoever told `mine` may have before (`oldest`) or behind the end of what was told of each stream."""
    lacking: list[Range] = []
    for epoch, offsets in told.items():
        own = mine.get(epoch)
        # of a stream that it tells of, nothing is before its first; in_order: nor between the first and the last
        if query.oldest:
            low, high = (own[-1] + 1 if in_order else own[0]) if own else 1, offsets[-1]
        else:
            low, high = offsets[0], (own[0] - 1 if in_order else own[-1]) if own else OFFSET_MAX
        if query.ranges is None:
            lacking += _without(epoch, low, high, offsets)
            continue
        for asked, first, last in query.ranges:
            if asked != epoch:
                continue
            if in_order:
                first, last = max(first, low), min(last, high)
            elif query.oldest:
                last = min(last, high)
            else:
                first = max(first, low)
            lacking += _without(epoch, first, last, offsets)
    return lacking


def _without(epoch: str, first: int, last: int, offsets: list[int]) -> Iterable[Range]:
    """The stretches from `first` to `last` between these."""
    for index in range(bisect_right(offsets, first - 1), len(offsets)):
        offset = offsets[index]
        if offset > last:
            break
        if first < offset:
            yield epoch, first, offset - 1
        first = offset + 1
    if first <= last:
        yield epoch, first, last


def _as_far(told: dict[bytes, None], lacking: list[Range], filled: Offsets, oldest: bool) -> dict[bytes, None]:
    """Of each stream that lacks something, what is sure: up to where it was filled, or to the first that is lacking."""
    ends: dict[str, int] = {}
    for epoch, first, last in lacking:
        got = filled.get(epoch)
        if oldest:
            ends[epoch] = max(ends.get(epoch, 0), got[-1]) if got else min(ends.get(epoch, OFFSET_MAX), first - 1)
        else:
            ends[epoch] = min(ends.get(epoch, OFFSET_MAX), got[0]) if got else max(ends.get(epoch, 0), last + 1)
    sure: dict[bytes, None] = {}
    for frame in told:
        epoch, offset = place_of(frame)
        end = ends.get(epoch)
        if end is None or (offset <= end if oldest else offset >= end):
            sure[frame] = None
    return sure
