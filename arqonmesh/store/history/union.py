"""Two answers to one question become one: every event once, each stream in its own order, within the question's limits.

Two histories saw the same events come in two orders, so the union has one of its own: by the time of publishing (which
within a stream never goes back, whatever the publisher's clock did), then by stream and offset.
"""

from __future__ import annotations

from typing import NamedTuple

from arqonmesh.core.kernel import HistoryQuery
from arqonmesh.store.history.backend import Found
from arqonmesh.store.history.chunks import placed


class _Place(NamedTuple):
    at_ms: int
    epoch: str
    offset: int
    frame: bytes


def is_whole(found: Found, query: HistoryQuery) -> bool:
    """Whether nobody else can add anything: of each stretch all is there, or as much as there was room for."""
    if query.ranges is None or query.after_ms is not None or query.before_ms is not None:
        return False
    due = sum(last - first + 1 for _, first, last in query.ranges)
    if len(found.frames) == due:
        return True
    if not found.more:
        return False
    offsets: dict[str, list[int]] = {}
    for frame in found.frames:
        place = placed(frame)
        offsets.setdefault(place.epoch, []).append(place.offset)
    for epoch, first, last in query.ranges:
        got = sorted(offset for offset in offsets.get(epoch, ()) if first <= offset <= last)
        begins = bool(got) and (got[0] == first if query.oldest else got[-1] == last)
        if not begins or got[-1] - got[0] != len(got) - 1:
            return False
    return True


def union(one: Found, other: Found, query: HistoryQuery) -> Found:
    """Of both, the first (`oldest`) or the last that fit. What a cut answer left out is not in it: see together.py."""
    if not other.frames or one.frames == other.frames:
        return Found(one.frames, one.more or other.more)
    if not one.frames:
        return Found(other.frames, one.more or other.more)
    return fitting(dict.fromkeys((*one.frames, *other.frames)), query, one.more or other.more)


def fitting(frames: dict[bytes, None], query: HistoryQuery, more: bool) -> Found:
    """The first or the last of these that the question has room for, in the order of a union."""
    ordered = _ordered(frames)
    picked: list[bytes] = []
    size = 0
    for frame in ordered if query.oldest else reversed(ordered):
        size += len(frame)
        if len(picked) == query.limit or size > query.bytes_max:
            more = True
            break
        picked.append(frame)
    return Found(picked if query.oldest else picked[::-1], more)


def _ordered(frames: dict[bytes, None]) -> list[bytes]:
    streams: dict[str, dict[int, _Place]] = {}
    loose: list[_Place] = []
    for index, frame in enumerate(frames):
        place = placed(frame)
        if place.epoch:
            streams.setdefault(place.epoch, {}).setdefault(
                place.offset, _Place(place.at_ms, place.epoch, place.offset, frame)
            )
        else:  # of no stream: by its own time, in the order in which it came
            loose.append(_Place(place.at_ms, "", index, frame))
    together = loose
    for stream in streams.values():
        at_ms = 0
        for offset in sorted(stream):
            event = stream[offset]
            at_ms = max(at_ms, event.at_ms)
            together.append(event._replace(at_ms=at_ms))
    together.sort(key=lambda place: place[:3])
    return [place.frame for place in together]
