"""A question to a stream in Redis, answered.

An entry's id begins with the time at which Redis got it, milliseconds since 1970: within SLACK_MS of the event's own
time, but for what came late (Redis was away) or early (the publisher's clock is ahead). The script notes beside the
stream when such an entry came last, so a question for a time looks at the entries of that time, and at others only
where there may be any.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from itertools import islice
from typing import Final, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from arqonmesh.core.kernel import HistoryQuery
from arqonmesh.store.history.backend import Found
from arqonmesh.store.history.chunks import place_of, within
from arqonmesh.store.history.redis.keys import SLACK_MS, stray_key, stream_key

PAGE: Final = 256
"""Entries per step when a stream is read."""
SCAN_MAX: Final = 20_000
"""Entries that one question looks at, at most."""

_Entries = list[tuple[bytes, dict[bytes, bytes]]]


async def scan(redis: Redis, query: HistoryQuery, deadline_s: float | None = None) -> Found:
    """The first or the last entries that are wanted and fit, as Redis has them in order.

    Without all of them, `more`: there was no room, SCAN_MAX entries were looked at, or it was `deadline_s` (of the
    loop's clock). Raises RedisError, OSError, TimeoutError when there was no answer at all until then.
    """
    picked: deque[bytes] = deque()
    size = 0
    wanted = _Wanted(query)
    forward = query.oldest and query.ranges is None  # of stretches, the end is nearer as a rule
    pages = _Pages(redis, query, forward, deadline_s)
    full = False
    while not full and not wanted.all_seen and (entries := await pages.next()):
        for _, fields in entries:
            frame = wanted.take(fields)
            if frame is None:
                continue
            picked.append(frame)
            size += len(frame)
            while query.oldest and not forward and _is_over(len(picked) - 1, size - len(picked[0]), query):
                size -= len(picked.popleft())  # newer than what there will be room for
        full = not (query.oldest and not forward) and _is_over(len(picked), size, query)
    more = len(picked) > query.limit or not (pages.ended or wanted.all_seen)
    size, fits = 0, []
    for frame in islice(picked if forward or not query.oldest else reversed(picked), query.limit):
        size += len(frame)
        if size > query.bytes_max:
            more = True
            break
        fits.append(frame)
    return Found(fits if query.oldest else fits[::-1], more)


def _is_over(count: int, size: int, query: HistoryQuery) -> bool:
    return count > query.limit or size > query.bytes_max


class _Wanted:
    """Which entries are, and whether everything was seen of the stretches, read backwards."""

    def __init__(self, query: HistoryQuery) -> None:
        self._query = query
        self._timed = query.after_ms is not None or query.before_ms is not None
        self._stretches: dict[bytes, list[tuple[int, int]]] = {}
        for epoch, first, last in query.ranges or ():
            self._stretches.setdefault(epoch.encode(), []).append((first, last))
        for stretches in self._stretches.values():
            stretches.sort()
        self._unseen = dict.fromkeys(self._stretches)

    @property
    def all_seen(self) -> bool:
        return self._query.ranges is not None and not self._unseen

    def take(self, fields: dict[bytes, bytes]) -> bytes | None:
        """The frame, if this entry is wanted. Others may write there, too: what is none of ours is passed over."""
        frame, epoch, number = fields.get(b"frame", b""), fields.get(b"epoch"), fields.get(b"offset", b"")
        if epoch is None or not number.isdigit() or len(number) > 16:
            return None
        offset = int(number)
        if self._query.ranges is not None:
            stretches = self._stretches.get(epoch)
            if stretches is None:
                return None
            if offset <= stretches[0][0]:
                self._unseen.pop(epoch, None)
            at = bisect_right(stretches, offset, key=lambda stretch: stretch[0]) - 1
            if at < 0 or offset > stretches[at][1]:
                return None
        try:
            if place_of(frame) != (epoch.decode("utf-8", "replace"), offset):
                return None
            if self._timed and not within(frame, self._query.after_ms, self._query.before_ms):
                return None
        except msgspec.DecodeError:
            return None
        return frame


class _Pages:
    """The entries of a stream, PAGE per round trip; `ended`: there are no others."""

    def __init__(self, redis: Redis, query: HistoryQuery, forward: bool, deadline_s: float | None) -> None:
        self.ended = False
        self._redis = redis
        self._query = query
        self._forward = forward
        self._deadline_s = deadline_s
        self._seen = 0
        self._low, self._high = "-", "+"

    async def next(self) -> _Entries:
        """Empty: no others, or not in time. Raises TimeoutError when not even the first came in time."""
        if self.ended or self._seen >= SCAN_MAX:
            return []
        try:
            async with asyncio.timeout_at(self._deadline_s):
                if not self._seen:
                    self._low, self._high = await self._bounds()
                entries = await self._page(self._low, self._high)
        except TimeoutError:
            if self._seen:
                return []
            raise
        self._seen += len(entries)
        self.ended = len(entries) < PAGE
        if entries:
            beyond = f"({entries[-1][0].decode()}"
            self._low, self._high = (beyond, self._high) if self._forward else (self._low, beyond)
        return entries

    async def _page(self, low: str, high: str) -> _Entries:
        key = stream_key(self._query.channel)
        if self._forward:
            return cast(_Entries, await self._redis.xrange(key, min=low, max=high, count=PAGE))
        return cast(_Entries, await self._redis.xrevrange(key, max=high, min=low, count=PAGE))

    async def _bounds(self) -> tuple[str, str]:
        """Ids, both included."""
        after_ms, before_ms = self._query.after_ms, self._query.before_ms
        if after_ms is None and before_ms is None:
            return "-", "+"
        try:
            late, early = await self._redis.hmget(stray_key(self._query.channel), ["late", "early"])
        except ResponseError:  # of a wrong type: so any may have strayed
            return "-", "+"
        low, high = "-", "+"
        if after_ms is not None and early is None:
            low = str(max(0, after_ms - SLACK_MS))
        if before_ms is not None:
            last_late_ms = 0 if late is None else int(late)
            high = str(max(0, before_ms + SLACK_MS, last_late_ms))
        return low, high
