"""A question to a stream in Redis, answered."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Final, cast

import msgspec
from redis.asyncio import Redis

from arqonmesh.core.kernel import HistoryQuery
from arqonmesh.store.history.backend import Found
from arqonmesh.store.history.chunks import place_of, within
from arqonmesh.store.history.redis.keys import stream_key

PAGE: Final = 256
"""Entries per step when a stream is read."""
SCAN_MAX: Final = 20_000
"""Entries that one question looks at, at most."""

_Entries = list[tuple[bytes, dict[bytes, bytes]]]


async def scan(redis: Redis, query: HistoryQuery) -> Found:
    """Backwards from the newest entry until everything that is wanted was seen, or the stream's beginning. Raises
    RedisError, OSError."""
    wanted = {epoch: (first, last) for epoch, first, last in query.ranges or ()}
    below = dict.fromkeys(wanted)
    picked: deque[bytes] = deque()
    at, seen, size, ended = b"+", 0, 0, False
    while not ended and seen < SCAN_MAX and (query.ranges is None or below):
        entries = cast(_Entries, await redis.xrevrange(stream_key(query.channel), max=at, count=PAGE))
        ended = len(entries) < PAGE
        for name, fields in entries:
            at = b"(" + name
            seen += 1
            frame = fields.get(b"frame", b"")
            try:
                epoch, offset = place_of(frame)
            except msgspec.DecodeError:  # no entry of ours: others may write there
                continue
            if query.ranges is not None:
                first, last = wanted.get(epoch, (1, 0))
                if offset <= first:
                    below.pop(epoch, None)
                if not first <= offset <= last:
                    continue
            if (query.after_ms is None and query.before_ms is None) or within(frame, query.after_ms, query.before_ms):
                picked.append(frame)
                size += len(frame)
                while query.oldest and (len(picked) > query.limit + 1 or size - len(picked[0]) > query.bytes_max):
                    size -= len(picked.popleft())  # newer than what there will be room for
        if not query.oldest and (len(picked) > query.limit or size > query.bytes_max):
            break
    more = len(picked) > query.limit or (not ended and not (query.ranges is not None and not below))
    size, fits = 0, []
    for frame in islice(reversed(picked) if query.oldest else picked, query.limit):
        size += len(frame)
        if size > query.bytes_max:
            more = True
            break
        fits.append(frame)
    return Found(fits if query.oldest else fits[::-1], more)
