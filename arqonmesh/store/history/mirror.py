"""history.db as a queue: what somebody else (Redis) has not got yet, in the order of its commits."""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from arqonmesh.store.history.chunks import decode

MIRROR: Final = "mirror"
"""The name in `numbers` of the number that this file drew, under which others note how far they have it."""


class Batch(NamedTuple):
    """Consecutive events of one stream, or of none (epoch "", first 0)."""

    channel: str
    epoch: str
    first: int
    frames: list[bytes]
    row: int
    low_ms: int
    high_ms: int
    """The earliest and the latest of their times; 0: none."""

    @property
    def size(self) -> int:
        return sum(map(len, self.frames))

    @property
    def last(self) -> int:
        """Offset of the last frame; 0 without a stream."""
        return self.first + len(self.frames) - 1 if self.first else 0


class Mirrored(NamedTuple):
    """What comes after a row: the batches that are ours to send, and the last row that was looked at."""

    batches: list[Batch]
    last: int
    skipped: int
    """Rows that were pruned before they could be sent."""


class Span(NamedTuple):
    mirror: int
    """What the file drew; 0: nothing yet."""
    oldest: int
    """The oldest row that is left, or the one that comes next."""
    newest: int
    """The newest row that there was."""


def read_span(connection: sqlite3.Connection) -> Span:
    numbers = dict(connection.execute("SELECT name, value FROM numbers").fetchall())
    newest = int(numbers.get("row", 0))
    oldest = connection.execute("SELECT min(id) FROM chunks").fetchone()[0]
    return Span(int(numbers.get(MIRROR, 0)), newest + 1 if oldest is None else int(oldest), newest)


def read_rows(connection: sqlite3.Connection, cursor: int, limit: int) -> Mirrored:
    """What comes after `cursor`. Where none of it is left (pruned, forgotten), `last` is the newest row there was."""
    newest = read_span(connection).newest  # before the rows: what is committed in between is not stepped over
    rows = connection.execute(
        "SELECT chunks.id, name, epoch, first, ours, low_ms, high_ms, frames"
        " FROM chunks JOIN channels ON channels.id = chunks.channel WHERE chunks.id > ? ORDER BY chunks.id LIMIT ?",
        (cursor, limit),
    ).fetchall()
    if not rows:
        return Mirrored([], max(cursor, newest), max(0, newest - cursor))
    batches = [
        Batch(channel, epoch, first, decode(frames), row, low_ms, high_ms)
        for row, channel, epoch, first, ours, low_ms, high_ms, frames in rows
        if ours
    ]
    return Mirrored(batches, rows[-1][0], rows[0][0] - cursor - 1)
