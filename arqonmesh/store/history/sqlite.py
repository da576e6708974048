"""The history in SQLite, as the event loop sees it: a bounded queue in, answers out, and how it is doing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

import msgspec

from arqonmesh.config.model import HistorySettings
from arqonmesh.core.kernel import HistoryQuery, KeepFrames, Row
from arqonmesh.errors import StorageError
from arqonmesh.store.history.backend import Found, HistoryBackend
from arqonmesh.store.history.reader import read
from arqonmesh.store.history.schema import explained, open_history, put_out_of_use
from arqonmesh.store.history.tables import ENDED
from arqonmesh.store.history.writer import HistoryWriter
from arqonmesh.store.opening import connect

WAITING_BYTES_MAX: Final = 64 << 20
"""Frames that wait for the disk; what comes beyond is kept in memory only, and counted."""
STREAMS_MAX: Final = 65_536
"""Streams told at the start, those that were busy last."""
DRAIN_TIMEOUT_S: Final = 30.0
COMMIT_PATIENCE_S: Final = 2.0
"""A question waits so long for a disk that is full or locked; then it is answered without what waits for the disk."""

Answer = TypeVar("Answer")

_log = logging.getLogger("arqonmesh.store.history")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class SqliteHistory(HistoryBackend):
    """One node's history in one file."""

    NAME: ClassVar[str] = "sqlite"

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        settings: HistorySettings,
        wall_ms: Callable[[], int],
        waiting_bytes_max: int,
        *,
        log_lost: bool = False,
    ) -> None:
        self.path = path
        self.log_lost = log_lost
        """The life before ended in a crash, and what it had written last is gone."""
        self.waiting_bytes = 0
        self.failure: StorageError | None = None
        """The file cannot be written any more; until the node is started again, memory is all there is."""
        self.trouble: StorageError | None = None
        """It could not be written just now, and is tried again."""
        self.kept = 0
        self.dropped = 0
        """Frames that there was no room for, or that the disk did not take in the end."""
        self._taken = 0
        """Frames that were handed to the thread."""
        self.commits = 0
        self.reads = 0
        self.on_committed: Callable[[int], None] | None = None
        """Called on the loop with the newest row, after each commit."""
        self._waiting_bytes_max = waiting_bytes_max
        self._connection = connection
        self._writer = HistoryWriter(
            connection,
            path,
            wall_ms=wall_ms,
            max_age_s=settings.max_age_s,
            max_bytes=settings.max_bytes,
            committed=lambda frames, size, row: self._post(lambda: self._settled(frames, size, row)),
            troubled=lambda error, final: self._post(lambda: self._troubled(error, final)),
        )
        self._readers = ThreadPoolExecutor(1, "arqon-history-read")
        self._reading: sqlite3.Connection | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @classmethod
    def open(
        cls,
        path: Path,
        settings: HistorySettings,
        *,
        wall_ms: Callable[[], int] = _now_ms,
        waiting_bytes_max: int = WAITING_BYTES_MAX,
    ) -> SqliteHistory:
        """Open or make the file. Raises StorageError: store.foreign, .newer, .corrupt, .unwritable."""
        connection, log_lost = open_history(path)
        if log_lost:
            _log.warning("store.log-lost: %s-wal is missing or damaged after a crash; what it held is gone", path)
        return cls(path, connection, settings, wall_ms, waiting_bytes_max, log_lost=log_lost)

    def adopt(self, settings: HistorySettings) -> None:
        self._writer.adopt(settings.max_age_s, settings.max_bytes)

    def load(self) -> Sequence[Row]:
        try:
            rows = self._connection.execute(
                "SELECT name, epoch, head, holes, ended FROM (SELECT * FROM streams ORDER BY touched_ms DESC LIMIT ?)"
                " AS newest JOIN channels ON channels.id = newest.channel ORDER BY touched_ms, epoch",
                (STREAMS_MAX,),
            ).fetchall()
            ended = self._connection.execute("SELECT value FROM numbers WHERE name = ?", (ENDED,)).fetchone()
        except sqlite3.Error as error:
            raise explained(error, self.path) from error
        self.ended_life = 0 if ended is None else int(ended[0])
        return rows

    def start(self) -> None:
        """From now on the writer thread owns the file."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._writer.start()

    def keep(self, effect: KeepFrames) -> None:
        if self._loop is None:
            self.start()
        size = sum(map(len, effect.frames))
        if self.failure is not None or self._closed or self.waiting_bytes + size > self._waiting_bytes_max:
            self.dropped += len(effect.frames)
            return
        self.waiting_bytes += size
        self._taken += len(effect.frames)
        self._writer.put(effect)

    def forget(self, channel: str) -> None:
        self.start()
        if self.failure is None and not self._closed:
            self._writer.put(channel)

    async def read(self, query: HistoryQuery) -> Found:
        self.start()
        return await self.ask(lambda connection: read(connection, query))

    async def ask(self, question: Callable[[sqlite3.Connection], Answer], *, fresh: bool = True) -> Answer:
        """Run `question` in the reader's thread, after everything kept so far was committed; when the disk takes
        nothing (any more), or without `fresh`, on what it took before. Raises StorageError."""
        loop = asyncio.get_running_loop()
        self.start()
        self.reads += 1
        if fresh and (self._writer.queue or self.waiting_bytes) and self.trouble is None and self.failure is None:
            committed = asyncio.Event()
            self._writer.hurry(lambda: self._post(committed.set))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(COMMIT_PATIENCE_S):
                    await committed.wait()
        try:
            return await loop.run_in_executor(self._readers, self._read, question)
        except (sqlite3.Error, msgspec.DecodeError) as error:
            raise explained(error, self.path) from error

    def note(self, name: str, value: int) -> None:
        """Remember a number beside the rows, with the next commit; losing the newest one is harmless to its owner."""
        self._writer.tables.notes[name] = value

    def health(self) -> Mapping[str, Any]:
        wrong = self.failure or self.trouble or (self._removed() if self._writer.removed else None)
        told: dict[str, Any] = {
            "ok": wrong is None,
            "backend": self.NAME,
            "waiting_bytes": self.waiting_bytes,
            "dropped": self.dropped,
        }
        if wrong is not None:
            told |= {"reason": f"{wrong.code}: {wrong.sentence}", "hint": wrong.hint}
        if self.log_lost:
            told["log_lost"] = True
        return told

    def stats(self) -> Mapping[str, int]:
        return {
            "kept": self.kept,
            "dropped": self.dropped,
            "commits": self.commits,
            "reads": self.reads,
            "waiting_bytes": self.waiting_bytes,
            "held_bytes": self._writer.tables.held_bytes,
            "pruned": self._writer.tables.pruned,
        }

    async def close(self, epoch: str) -> None:
        if self._closed:
            return
        self._closed = True
        if self._loop is None:
            with contextlib.suppress(sqlite3.Error):
                put_out_of_use(self._connection)
            self._connection.close()
            return
        self._writer.stop("" if self.dropped else epoch)  # an end of which something is missing is no clean end
        await asyncio.to_thread(self._writer.join, DRAIN_TIMEOUT_S)
        await asyncio.to_thread(self._readers.shutdown)
        if self._reading is not None:
            self._reading.close()

    # --- on the threads -----------------------------------------------------------------------------------

    def _read(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        if self._reading is None:
            self._reading = connect(self.path)
            self._reading.execute("PRAGMA query_only = ON")
        return question(self._reading)

    def _post(self, callback: Callable[[], None]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            self._closed = True

    # --- on the loop --------------------------------------------------------------------------------------

    def _settled(self, frames: int, size: int, row: int) -> None:
        self.waiting_bytes -= size
        self.kept += frames
        self.commits += 1
        if self.trouble is not None:
            _log.warning("%s is written again", self.path)
            self.trouble = None
        if self.on_committed is not None:
            self.on_committed(row)

    def _troubled(self, error: Exception, final: bool) -> None:
        reason = explained(error, self.path)
        if not final:
            if self.trouble is None:
                _log.warning("%s: %s; tried again every second", reason.code, reason.sentence)
            self.trouble = reason
            return
        self.failure = reason
        for item in list(self._writer.queue):
            if callable(item):
                item()  # somebody waits for a commit that will not come
        self._writer.queue.clear()
        self.waiting_bytes = 0
        lost, self._taken = self._taken - self.kept, self.kept
        self.dropped += lost
        _log.error(
            "%s: %s; %d events that waited are not on disk, and none is written until the next start",
            reason.code,
            reason.sentence,
            lost,
        )

    def _removed(self) -> StorageError:
        return StorageError(
            "store.removed",
            f"{self.path} was removed or replaced while the node has it open; what it keeps now ends with the process",
            hint="arqon node stop, then arqon node start",
        )
