"""A question to history.db, answered. Runs in a thread of its own, with a connection of its own."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from arqonmesh.core.kernel import HistoryQuery
from arqonmesh.store.history.backend import Found
from arqonmesh.store.history.chunks import decode, within

_STRETCH: Final = "SELECT id, first, frames FROM chunks WHERE channel = ? AND epoch = ? AND last >= ? AND first <= ?"
_OF_STREAM: Final = {True: _STRETCH + " ORDER BY first ASC", False: _STRETCH + " ORDER BY first DESC"}


def read(connection: sqlite3.Connection, query: HistoryQuery) -> Found:
    """Raises sqlite3.Error, msgspec.DecodeError."""
    row = connection.execute("SELECT id FROM channels WHERE name = ?", (query.channel,)).fetchone()
    if row is None:
        return Found([], False)
    connection.execute("BEGIN")  # one read transaction: all stretches as of one commit
    try:
        if query.ranges is None:
            frames, more = _by_time(connection, row[0], query)
        else:
            frames, more = _by_stream(connection, row[0], query)
    finally:
        connection.execute("COMMIT")
    return _bounded(frames, query, more)


def _by_time(connection: sqlite3.Connection, channel: int, query: HistoryQuery) -> tuple[list[bytes], bool]:
    """In the direction of the query, a little more than its limit."""
    asked = ["channel = ?"]
    values: list[Any] = [channel]
    if query.after_ms is not None:
        asked.append("high_ms >= ?")
        values.append(query.after_ms)
    if query.before_ms is not None:
        asked.append("low_ms < ?")
        values.append(query.before_ms)
    order = "ASC" if query.oldest else "DESC"
    found: list[bytes] = []
    size = 0
    for low_ms, high_ms, stored in connection.execute(
        f"SELECT low_ms, high_ms, frames FROM chunks WHERE {' AND '.join(asked)} ORDER BY id {order}",  # noqa: S608
        values,
    ):
        frames = decode(stored)
        whole = query.after_ms is None or low_ms >= query.after_ms
        if not whole or not (query.before_ms is None or high_ms < query.before_ms):
            frames = [frame for frame in frames if within(frame, query.after_ms, query.before_ms)]
        found += frames if query.oldest else reversed(frames)
        size += sum(map(len, frames))
        if len(found) > query.limit or size > query.bytes_max:
            return found, True
    return found, False


def _by_stream(connection: sqlite3.Connection, channel: int, query: HistoryQuery) -> tuple[list[bytes], bool]:
    """As `_by_time`: each stretch by its own index, then together in the order of arrival."""
    timed = query.after_ms is not None or query.before_ms is not None
    placed: list[tuple[int, int, bytes]] = []
    more = False
    for epoch, low, high in query.ranges or ():
        count = size = 0
        for row, first, stored in connection.execute(
            _OF_STREAM[query.oldest],
            (channel, epoch, low, high),
        ):
            for index, frame in enumerate(decode(stored)):
                if not low <= first + index <= high:
                    continue
                if timed and not within(frame, query.after_ms, query.before_ms):
                    continue
                placed.append((row, index, frame))
                count += 1
                size += len(frame)
            if count > query.limit or size > query.bytes_max:
                more = True
                break
    placed.sort(key=lambda entry: entry[:2], reverse=not query.oldest)
    return [frame for _, _, frame in placed], more


def _bounded(frames: list[bytes], query: HistoryQuery, more: bool) -> Found:
    """At most `limit` and `bytes_max`, and in the order of arrival."""
    size = 0
    for index, frame in enumerate(frames):
        size += len(frame)
        if index >= query.limit or size > query.bytes_max:
            frames = frames[:index]
            more = True
            break
    return Found(frames if query.oldest else frames[::-1], more)
