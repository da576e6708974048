"""The writer thread of history.db: group commit and pruning.

What is kept waits up to COMMIT_EVERY_S for company and is then committed together. A commit writes the log without
waiting for the disk, so it survives the death of the process; every SYNC_EVERY_S one of them waits for the disk. So a
crash of the process loses at most the last COMMIT_EVERY_S (and the commit that was being written), a power cut at most
SYNC_EVERY_S more. Who asks for what was just kept (`hurry`) is not made to wait.

A full or locked disk is tried again with the same rows, and pruning waits for better times; anything else ends the
thread, and what is on disk stays.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from arqonmesh.core.bus.shelf import read_holes, write_holes
from arqonmesh.core.bus.streams import add_hole, fill_hole
from arqonmesh.core.kernel import KeepFrames
from arqonmesh.store.history.chunks import OVERHEAD_BYTES, Chunk, encode, gather

COMMIT_EVERY_S: Final = 0.05
SYNC_EVERY_S: Final = 1.0
PRUNE_EVERY_S: Final = 5.0
RETRY_EVERY_S: Final = 1.0
PRUNED_MAX: Final = 500
"""Rows per pruning step; a step is one transaction."""
PRUNE_STEPS_MAX: Final = 20
KNOWN_MAX: Final = 65_536
"""Channels and streams of which the thread remembers the row between two commits."""
ROWS_PER_STATEMENT: Final = (32, 8, 1)
TRANSIENT: Final = ("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR_SHORT")

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

Item = KeepFrames | str | Callable[[], None]
"""What is to be kept, a channel to be forgotten, or somebody to be told once everything before is committed."""


class HistoryWriter:
    """Owns the connection from `start` on. `queue` is appended to by the event loop alone."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        wall_ms: Callable[[], int],
        max_age_s: float,
        max_bytes: int,
        committed: Callable[[int, int, int], None],
        troubled: Callable[[Exception, bool], None],
    ) -> None:
        """`committed(frames, bytes, newest row)` and `troubled(error, for good)` are called on the thread."""
        self.queue: deque[Item] = deque()
        self.notes: dict[str, int] = {}
        """Numbers to be stored with the next commit."""
        self.held_bytes = 0
        self.pruned = 0
        """Rows that went because of age or size."""
        self._connection = connection
        self._wall_ms = wall_ms
        self._max_age_ms = int(max_age_s * 1_000)
        self._max_bytes = max_bytes
        self._committed = committed
        self._troubled = troubled
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._stopping = False
        self._ended = ""
        self._told: list[Callable[[], None]] = []
        """Who waits for the commit that is being made."""
        self._channels: dict[str, int] = {}
        self._streams: dict[tuple[int, str], tuple[int, list[tuple[int, int]]]] = {}
        self._synced_at = 0.0
        self._pruned_at = 0.0
        self._newest_row = 0
        self._thread = threading.Thread(target=self._run, name="arqon-history", daemon=True)

    def start(self) -> None:
        numbers = dict(self._connection.execute("SELECT name, value FROM numbers").fetchall())
        self.held_bytes = numbers.get("bytes", 0)
        self._newest_row = numbers.get("row", 0)
        self._thread.start()

    def put(self, item: Item) -> None:
        """From the event loop: queue and wake."""
        self.queue.append(item)
        if not self._wake.is_set():
            self._wake.set()

    def hurry(self, told: Callable[[], None]) -> None:
        """Commit what waits now, then call `told`, on the thread."""
        self.put(told)
        self._hurry.set()

    def stop(self, ended: str) -> None:
        """Commit what is queued, note that the streams of this life ended, close the file."""
        self._ended = ended
        self._stopping = True
        self._hurry.set()
        self._wake.set()

    def join(self, timeout_s: float) -> bool:
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # --- on the thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while True:
                self._wake.wait(PRUNE_EVERY_S)
                if not self._stopping:
                    self._hurry.wait(COMMIT_EVERY_S)
                self._hurry.clear()
                self._wake.clear()
                stopping = self._stopping
                self._commit([self.queue.popleft() for _ in range(len(self.queue))])
                if stopping and not self.queue:
                    break
                if time.monotonic() - self._pruned_at > PRUNE_EVERY_S:
                    self._pruned_at = time.monotonic()
                    self._tidy()
            self._store_notes()
            if self._ended:
                self._connection.execute(
                    "UPDATE streams SET ended = 1 WHERE epoch = ? OR epoch LIKE ?", (self._ended, self._ended + ".%")
                )
        except Exception as error:
            self._troubled(error, True)
            for tell in self._told:
                tell()
        finally:
            self._connection.close()

    def _commit(self, items: list[Item]) -> None:
        effects: list[KeepFrames] = []
        for item in items:
            if isinstance(item, KeepFrames):
                effects.append(item)
            elif isinstance(item, str):
                self._keep(effects)
                effects = []
                self._until_done(partial(self._forget, item))
            else:
                self._told.append(item)
        self._keep(effects)
        told, self._told = self._told, []
        for tell in told:
            tell()

    def _keep(self, effects: list[KeepFrames]) -> None:
        if not effects:
            return
        chunks = gather(effects)
        self._until_done(partial(self._store, chunks))
        if len(self._channels) > KNOWN_MAX:
            self._channels.clear()
        if len(self._streams) > KNOWN_MAX:
            self._streams.clear()
        size = sum(chunk.bytes for chunk in chunks)
        self._committed(sum(len(chunk.frames) for chunk in chunks), size, self._newest_row)

    def _forget(self, name: str) -> None:
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
        self._committed(0, 0, self._newest_row)

    def _until_done(self, work: Callable[[], None]) -> None:
        """Do it, again and again where it may work later."""
        while True:
            try:
                work()
                return
            except sqlite3.Error as error:
                self._roll_back(error)
                self._troubled(error, False)
            if self._stopping:
                raise sqlite3.OperationalError("the disk is full or locked, and the node stops")
            time.sleep(RETRY_EVERY_S)

    def _roll_back(self, error: sqlite3.Error) -> None:
        """Raises it when it will not pass by itself."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        if not str(getattr(error, "sqlite_errorname", "")).startswith(TRANSIENT):
            raise error

    def _store(self, chunks: list[Chunk]) -> None:
        connection = self._connection
        now = time.monotonic()
        full = now - self._synced_at > SYNC_EVERY_S
        held, newest = self.held_bytes, self._newest_row
        try:
            connection.execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            self._write(chunks)
            connection.execute("COMMIT")
        except sqlite3.Error:
            self.held_bytes, self._newest_row = held, newest
            self._channels.clear()
            self._streams.clear()
            raise
        if full:
            self._synced_at = now

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
            self._newest_row += 1
            place = (self._newest_row, channel, chunk.epoch, chunk.first, chunk.last)
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
            "INSERT OR REPLACE INTO numbers VALUES ('bytes', ?), ('row', ?)", (self.held_bytes, self._newest_row)
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

    # --- pruning ------------------------------------------------------------------------------------------

    def _tidy(self) -> None:
        """As far as the disk allows; what is left over is tried again at the next turn."""
        try:
            self._prune()
        except sqlite3.Error as error:
            self._roll_back(error)

    def adopt(self, max_age_s: float, max_bytes: int) -> None:
        """Other bounds from the next pruning on."""
        self._max_age_ms, self._max_bytes = int(max_age_s * 1_000), max_bytes

    def _prune(self) -> None:
        """What is too old or too much goes, oldest first, a few hundred rows at a time."""
        connection = self._connection
        cutoff_ms = self._wall_ms() - self._max_age_ms
        for _ in range(PRUNE_STEPS_MAX):
            over = self.held_bytes - self._max_bytes
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
            if self.queue:
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
