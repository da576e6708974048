"""history.db as a queue: what somebody else (Redis) has not got yet, in the order of its commits."""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from arqonmesh.store.history.chunks import decode

CURSOR: Final = "redis"
"""The name in `numbers` under which the last row that Redis has is kept."""


class Batch(NamedTuple):
    """Consecutive events of one stream, or of none (epoch "", first 0)."""

    channel: str
    epoch: str
    first: int
    frames: list[bytes]
    row: int

    @property
    def size(self) -> int:
        return sum(map(len, self.frames))


class Mirrored(NamedTuple):
    """What comes after a row: the batches that are ours to send, and the last row that was looked at."""

    batches: list[Batch]
    last: int
    skipped: int
    """Rows that were pruned before they could be sent."""


def read_cursor(connection: sqlite3.Connection) -> tuple[int, int]:
    """(last row that was sent, newest row); a file that never had a mirror is sent from its beginning."""
    numbers = dict(connection.execute("SELECT name, value FROM numbers").fetchall())
    newest = int(numbers.get("row", 0))
    return int(numbers.get(CURSOR, 0)), newest


def read_rows(connection: sqlite3.Connection, cursor: int, limit: int) -> Mirrored:
    """What comes after `cursor`. Where none of it is left (pruned, forgotten), `last` is the newest row there was."""
    _, newest = read_cursor(connection)  # before the rows: what is committed in between is not stepped over
    rows = connection.execute(
        "SELECT chunks.id, name, epoch, first, ours, frames FROM chunks JOIN channels ON channels.id = chunks.channel"
        " WHERE chunks.id > ? ORDER BY chunks.id LIMIT ?",
        (cursor, limit),
    ).fetchall()
    if not rows:
        return Mirrored([], max(cursor, newest), max(0, newest - cursor))
    batches = [
        Batch(channel, epoch, first, decode(frames), row) for row, channel, epoch, first, ours, frames in rows if ours
    ]
    return Mirrored(batches, rows[-1][0], rows[0][0] - cursor - 1)
