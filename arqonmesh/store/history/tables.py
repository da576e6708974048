"""What is in history.db, as the writer's thread changes it: chunks, the streams they belong to, and the sums.

Every method is one transaction or a few, raises sqlite3.Error, and leaves what it remembers as the file has it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Final

from arqonmesh.core.bus.shelf import read_holes, write_holes
from arqonmesh.core.bus.streams import add_hole, fill_hole, life_of
from arqonmesh.store.history.chunks import OVERHEAD_BYTES, Chunk, encode
from arqonmesh.store.history.schema import put_out_of_use

ENDED: Final = "ended"
"""In `numbers`: the newest life of the node that ended in good order, also one in which nothing was published."""
SYNC_EVERY_S: Final = 1.0
PRUNED_MAX: Final = 500
"""Rows per pruning step; a step is one transaction."""
PRUNE_STEPS_MAX: Final = 20
KNOWN_MAX: Final = 65_536
"""Channels and streams of which the row is remembered between two commits."""
ROWS_PER_STATEMENT: Final = (32, 8, 1)

_CHUNK: Final = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_CHUNKS: Final = (
    "INSERT INTO chunks (id, channel, epoch, first, last, low_ms, high_ms, kept_ms, ours, bytes, frames) VALUES "
)
_STREAM: Final = "(?, ?, ?, ?, 0, ?)"
_STREAMS: Final = "INSERT INTO streams (channel, epoch, head, holes, ended, touched_ms) VALUES "
_UPSERT: Final = (
    " ON CONFLICT (channel, epoch) DO UPDATE SET head = excluded.head, holes = excluded.holes,"
    " touched_ms = excluded.touched_ms"
)


class HistoryTables:
    """Of one connection; whose thread that is, is the writer's matter."""

    def __init__(self, connection: sqlite3.Connection, wall_ms: Callable[[], int]) -> None:
        self.notes: dict[str, int] = {}
        """Numbers to be stored with the next commit."""
        self.held_bytes = 0
        self.newest_row = 0
        self.pruned = 0
        """Rows that went because of age or size."""
        self._connection = connection
        self._wall_ms = wall_ms
        self._channels: dict[str, int] = {}
        self._streams: dict[tuple[int, str], tuple[int, list[tuple[int, int]]]] = {}
        self._synced_at = 0.0

    def begin(self) -> None:
        numbers = dict(self._connection.execute("SELECT name, value FROM numbers").fetchall())
        self.held_bytes = numbers.get("bytes", 0)
        self.newest_row = numbers.get("row", 0)

    def end(self, epoch: str) -> None:
        """The streams of this life end here; empty: they do not."""
        self._store_notes()
        put_out_of_use(self._connection)
        if epoch:
            self._connection.execute(
                "UPDATE streams SET ended = 1 WHERE epoch = ? OR epoch LIKE ?", (epoch, epoch + ".%")
            )
            life = life_of(epoch)
            boot = 0 if life is None else life.boot
            self._connection.execute("INSERT OR REPLACE INTO numbers VALUES (?, ?)", (ENDED, boot))

    def store(self, chunks: list[Chunk]) -> None:
        connection = self._connection
        now = time.monotonic()
        full = now - self._synced_at > SYNC_EVERY_S
        held, newest = self.held_bytes, self.newest_row
        try:
            connection.execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            self._write(chunks)
            connection.execute("COMMIT")
        except sqlite3.Error:
            self.held_bytes, self.newest_row = held, newest
            self._channels.clear()
            self._streams.clear()
            raise
        if full:
            self._synced_at = now
        if len(self._channels) > KNOWN_MAX:
            self._channels.clear()
        if len(self._streams) > KNOWN_MAX:
            self._streams.clear()

    def _write(self, chunks: list[Chunk]) -> None:
        kept_ms = self._wall_ms()
        rows: list[tuple[object, ...]] = []
        touched: dict[tuple[int, str], None] = {}
        for chunk in chunks:
            channel = self._channel(chunk.channel)
            if chunk.epoch:
                self._note(channel, chunk)
                touched[channel, chunk.epoch] = None
            text = encode(chunk.frames).decode()
            self.newest_row += 1
            place = (self.newest_row, channel, chunk.epoch, chunk.first, chunk.last)
            rows.append((*place, chunk.low_ms, chunk.high_ms, kept_ms, int(chunk.ours), len(text), text))
            self.held_bytes += len(text) + OVERHEAD_BYTES
        self._insert(_CHUNKS, _CHUNK, "", rows)
        streams = [
            (channel, epoch, self._streams[channel, epoch][0], write_holes(self._streams[channel, epoch][1]), kept_ms)
            for channel, epoch in touched
        ]
        self._insert(_STREAMS, _STREAM, _UPSERT, streams)
        self._store_notes()
        self._connection.execute(
            "INSERT OR REPLACE INTO numbers VALUES ('bytes', ?), ('row', ?)", (self.held_bytes, self.newest_row)
        )

    def _store_notes(self) -> None:
        for name in list(self.notes):
            self._connection.execute("INSERT OR REPLACE INTO numbers VALUES (?, ?)", (name, self.notes.pop(name)))

    def _insert(self, head: str, one: str, tail: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Few statements: each costs a hand-over of the interpreter's lock."""
        at = 0
        for size in ROWS_PER_STATEMENT:
            while len(rows) - at >= size:
                values = [value for row in rows[at : at + size] for value in row]
                self._connection.execute(head + ", ".join([one] * size) + tail, values)
                at += size

    def _channel(self, name: str) -> int:
        known = self._channels.get(name)
        if known is None:
            self._connection.execute("INSERT OR IGNORE INTO channels (name) VALUES (?)", (name,))
            row = self._connection.execute("SELECT id FROM channels WHERE name = ?", (name,)).fetchone()
            known = self._channels[name] = int(row[0])
        return known

    def _note(self, channel: int, chunk: Chunk) -> None:
        """How far the file has this stream, and what it lacks below."""
        key = (channel, chunk.epoch)
        known = self._streams.get(key)
        if known is None:
            row = self._connection.execute("SELECT head, holes FROM streams WHERE channel = ? AND epoch = ?", key)
            stored = row.fetchone()
            known = (0, []) if stored is None else (int(stored[0]), read_holes(stored[1]))
        head, holes = known
        if chunk.first > head:
            if chunk.first > head + 1:
                add_hole(holes, head + 1, chunk.first - 1)
            head = chunk.last
        else:
            fill_hole(holes, chunk.first, chunk.last)
        self._streams[key] = (head, holes)

    def forget(self, name: str) -> None:
        """The rows of a channel; its streams stay, so that what they counted is not counted again."""
        connection = self._connection
        row = connection.execute("SELECT id FROM channels WHERE name = ?", (name,)).fetchone()
        if row is None:
            return
        held = connection.execute(
            "SELECT coalesce(sum(bytes + ?), 0) FROM chunks WHERE channel = ?", (OVERHEAD_BYTES, row[0])
        ).fetchone()[0]
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM chunks WHERE channel = ?", row)
        connection.execute("INSERT OR REPLACE INTO numbers VALUES ('bytes', ?)", (self.held_bytes - held,))
        connection.execute("COMMIT")
        self.held_bytes -= held

    def prune(self, max_age_ms: int, max_bytes: int, waits: Callable[[], bool]) -> None:
        """What is too old or too much goes, oldest first, a few hundred rows at a time; `waits`: whether
        something else would like its turn."""
        connection = self._connection
        cutoff_ms = self._wall_ms() - max_age_ms
        for _ in range(PRUNE_STEPS_MAX):
            over = self.held_bytes - max_bytes
            gone, size = 0, 0
            for row, kept_ms, held in connection.execute(
                "SELECT id, kept_ms, bytes FROM chunks ORDER BY id LIMIT ?", (PRUNED_MAX,)
            ).fetchall():
                if kept_ms >= cutoff_ms and size >= over:
                    break
                gone = row
                size += held + OVERHEAD_BYTES
            if not gone:
                break
            connection.execute("BEGIN IMMEDIATE")
            deleted = connection.execute("DELETE FROM chunks WHERE id <= ?", (gone,)).rowcount
            connection.execute("INSERT OR REPLACE INTO numbers VALUES ('bytes', ?)", (self.held_bytes - size,))
            connection.execute("COMMIT")
            self.held_bytes -= size
            self.pruned += deleted
            if waits():
                break  # what waits goes first
        forgotten = connection.execute(
            "DELETE FROM streams WHERE touched_ms < ? AND NOT EXISTS"
            " (SELECT 1 FROM chunks WHERE chunks.channel = streams.channel AND chunks.epoch = streams.epoch)",
            (cutoff_ms,),
        ).rowcount
        if forgotten:  # a channel of which nothing is known goes with its last stream
            connection.execute(
                "DELETE FROM channels WHERE NOT EXISTS (SELECT 1 FROM streams WHERE streams.channel = channels.id)"
                " AND NOT EXISTS (SELECT 1 FROM chunks WHERE chunks.channel = channels.id)"
            )
            self._channels.clear()
            self._streams.clear()
