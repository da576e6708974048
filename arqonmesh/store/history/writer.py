"""The writer thread of history.db: group commit and pruning.

What is kept waits up to COMMIT_EVERY_S for company and is then committed together. A commit writes the log without
waiting for the disk, so it survives the death of the process; every SYNC_EVERY_S one of them waits for the disk. So a
crash of the process loses at most the last COMMIT_EVERY_S (and the commit that was being written), a power cut at most
SYNC_EVERY_S more. Who asks for what was just kept (`hurry`) is not made to wait.

A full or locked disk is tried again with the same rows, and pruning waits for better times; anything else ends the
thread, and what is on disk stays. A file that was removed or replaced under the running node is noticed.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from arqonmesh.core.kernel import KeepFrames
from arqonmesh.store.history.chunks import gather
from arqonmesh.store.history.schema import put_out_of_use, take_into_use
from arqonmesh.store.history.tables import HistoryTables

COMMIT_EVERY_S: Final = 0.05
PRUNE_EVERY_S: Final = 5.0
RETRY_EVERY_S: Final = 1.0
TRANSIENT: Final = ("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR_SHORT", "SQLITE_IOERR_WRITE")
"""A write that failed (a file-size limit, a network disk) was rolled back, and nothing was promised yet."""

Item = KeepFrames | str | Callable[[], None]
"""What is to be kept, a channel to be forgotten, or somebody to be told once everything before is committed."""


class HistoryWriter:
    """Owns the connection from `start` on. `queue` is appended to by the event loop alone."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        *,
        wall_ms: Callable[[], int],
        max_age_s: float,
        max_bytes: int,
        committed: Callable[[int, int, int], None],
        troubled: Callable[[Exception, bool], None],
    ) -> None:
        """`committed(frames, bytes, newest row)` and `troubled(error, for good)` are called on the thread."""
        self.queue: deque[Item] = deque()
        self.tables = HistoryTables(connection, wall_ms)
        self.removed = False
        """The file is not where it was: what is kept ends with the process."""
        self._connection = connection
        self._path = path
        self._identity: tuple[int, int] | None = None
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
        self._pruned_at = 0.0
        self._thread = threading.Thread(target=self._run, name="arqon-history", daemon=True)

    def start(self) -> None:
        self.tables.begin()
        self._identity = self._look()
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
            take_into_use(self._connection)
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
            self.tables.end(self._ended)
        except Exception as error:
            with contextlib.suppress(sqlite3.Error):  # no crash, whatever else it is
                put_out_of_use(self._connection)
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
                self._until_done(partial(self.tables.forget, item))
                self._committed(0, 0, self.tables.newest_row)
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
        self._until_done(partial(self.tables.store, chunks))
        size = sum(chunk.bytes for chunk in chunks)
        self._committed(sum(len(chunk.frames) for chunk in chunks), size, self.tables.newest_row)

    def _until_done(self, work: Callable[[], None]) -> None:
        """Do it, again and again where it may work later."""
        while True:
            try:
                work()
                return
            except sqlite3.Error as error:
                self._roll_back(error)
                if self._stopping:
                    raise
                self._troubled(error, False)
            time.sleep(RETRY_EVERY_S)

    def _roll_back(self, error: sqlite3.Error) -> None:
        """Raises it when it will not pass by itself."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        if not str(getattr(error, "sqlite_errorname", "")).startswith(TRANSIENT):
            raise error

    # --- pruning ------------------------------------------------------------------------------------------

    def adopt(self, max_age_s: float, max_bytes: int) -> None:
        """Other bounds from the next pruning on."""
        self._max_age_ms, self._max_bytes = int(max_age_s * 1_000), max_bytes

    def _tidy(self) -> None:
        """As far as the disk allows; what is left over is tried again at the next turn."""
        self.removed = self._look() != self._identity
        try:
            self.tables.prune(self._max_age_ms, self._max_bytes, lambda: bool(self.queue))
        except sqlite3.Error as error:
            self._roll_back(error)

    def _look(self) -> tuple[int, int] | None:
        """Which file bears the name."""
        try:
            seen = self._path.stat()
        except OSError:
            return None
        return seen.st_dev, seen.st_ino
