"""The store's front, used from the event loop's thread only.

`persist` queues and returns; `done` is called on the loop once the transaction is committed. Completions are called
in the order of the calls, and all of one commit's completions share one wake-up of the loop. A transaction that was
followed by a failure is never reported done.

What nobody waits for (`sync=False` and no `done`) is handed to the writer a moment later, together with what comes
until then, or with the next transaction that somebody does wait for: always in the order of the calls. To wake another
thread for each would cost the loop more than the writing costs that thread, and most on a machine that is busy, where
the two wait for each other's turn at the interpreter.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from arqonmesh.core.kernel import Durable, Row, Write
from arqonmesh.core.tables import TABLES
from arqonmesh.errors import StorageError
from arqonmesh.store.batch import weigh
from arqonmesh.store.lock import FileLock
from arqonmesh.store.opening import connect, explain, open_database
from arqonmesh.store.schema import SELECT_ALL
from arqonmesh.store.writer import Commit, Transaction, WriterThread

PRESSED_BYTES: Final = 16 << 20
"""Waiting bytes above which `pressed` is set: producers should pause."""
WAITING_BYTES_MAX: Final = 256 << 20
"""Waiting bytes at which the disk counts as stalled: fatal, because nothing that waits may be dropped."""
DRAIN_TIMEOUT_S: Final = 30.0
LATER_S: Final = 0.1
"""So long may wait what nobody waits for."""
LATER_BYTES_MAX: Final = 1 << 20
"""More of it than this is handed over at once."""


@dataclass(slots=True)
class StoreStats:
    """Plain counters, bumped on the loop."""

    transactions: int = 0
    rows: int = 0
    """Rows written; writes to one key within one commit are one row."""
    commits: int = 0
    syncs: int = 0
    """Commits that waited for the disk."""
    bytes: int = 0
    pressed: int = 0
    """Times that the queue rose above PRESSED_BYTES."""
    refused: int = 0
    """Transactions not taken: the store had failed or was closed."""


class Store:
    """One node's durable state in one SQLite file."""

    def __init__(
        self, path: Path, lock: FileLock, connection: sqlite3.Connection, *, pressed_bytes: int, waiting_bytes_max: int
    ) -> None:
        self.path = path
        self.stats = StoreStats()
        self.fatal: StorageError | None = None
        """Set once the disk failed: nothing is written any more, and the process must stop."""
        self.on_fatal: Callable[[StorageError], None] | None = None
        """Called on the loop, once."""
        self.on_pressure: Callable[[bool], None] | None = None
        """Called on the loop when `pressed` changes."""
        self.pressed = False
        """More waits than the disk keeps up with; producers should pause until it falls."""
        self.waiting_bytes = 0
        """Queued or with the writer, and not committed yet."""
        self._later: list[Transaction] = []
        self._later_bytes = 0
        self._later_timer: asyncio.TimerHandle | None = None
        self._pressed_bytes = pressed_bytes
        self._waiting_bytes_max = waiting_bytes_max
        self._lock = lock
        self._connection = connection
        self._writer = WriterThread(connection, self._committed, self._failed)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @classmethod
    def open(
        cls, path: Path, *, pressed_bytes: int = PRESSED_BYTES, waiting_bytes_max: int = WAITING_BYTES_MAX
    ) -> Store:
        """Open, or make, the file and hold it for this process.

        Raises StorageError: store.in-use, store.foreign, store.corrupt, store.newer, store.unwritable, store.full.
        """
        lock = FileLock.acquire(path.with_name(path.name + ".lock"))
        try:
            connection = open_database(path)
        except BaseException:
            lock.release()
            raise
        return cls(path, lock, connection, pressed_bytes=pressed_bytes, waiting_bytes_max=waiting_bytes_max)

    def load(self) -> Durable:
        """All rows of all tables, in key order. Before the first `persist`. Raises StorageError `store.corrupt`."""
        assert self._loop is None, "load is for the start; the writer thread owns the file after the first persist"
        return self._read(self._connection)

    def snapshot(self) -> Durable:
        """All rows as of the newest commit, read beside the writer; may run in a thread. Raises StorageError."""
        try:
            connection = connect(self.path)
        except sqlite3.Error as error:
            raise explain(error, self.path) from error
        try:
            connection.execute("BEGIN")  # one read transaction: all tables as of one commit
            return self._read(connection)
        finally:
            connection.close()

    def persist(self, writes: Sequence[Write], *, sync: bool, done: Callable[[], None] | None) -> None:
        """Write all of `writes` in one transaction; then call `done` on the loop.

        `sync=True`: on disk before `done`. `sync=False`: from `done` on it survives the process, not the machine; what
        has no `done` either is on its way within `LATER_S`. Returns at once; `pressed` tells whether to slow down.
        After a failure or `close` nothing is taken and `done` never comes.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._writer.start()
        if self.fatal is not None or self._closed:
            self.stats.refused += 1
            return
        weight = weigh(writes)
        self.waiting_bytes += weight
        self.stats.transactions += 1
        self.stats.bytes += weight
        transaction = Transaction(writes, sync, done, weight)
        if sync or done is not None or self._later_bytes + weight > LATER_BYTES_MAX:
            self._hand_over()
            self._writer.put(transaction)
        else:
            self._later.append(transaction)
            self._later_bytes += weight
            if self._later_timer is None:
                self._later_timer = self._loop.call_later(LATER_S, self._hand_over)
        if self.waiting_bytes > self._pressed_bytes:
            self._press()

    async def close(self) -> None:
        """Write what waits, call what is done, let go of the file. Repeats are harmless."""
        if self._closed:
            return
        self._closed = True
        self._hand_over()
        self._writer.stop()
        gone = await asyncio.to_thread(self._writer.join, DRAIN_TIMEOUT_S)
        await asyncio.sleep(0)  # completions that the thread posted before it ended
        self._lock.release()
        if not gone:
            raise StorageError(
                "store.stalled",
                f"{self.path} was not written within {DRAIN_TIMEOUT_S:g} s of closing; "
                f"{self.waiting_bytes} bytes were lost, none of which was promised to anyone",
                hint="dmesg | tail",
            )

    def _hand_over(self) -> None:
        """Give the writer what nobody waited for."""
        if self._later_timer is not None:
            self._later_timer.cancel()
            self._later_timer = None
        later, self._later, self._later_bytes = self._later, [], 0
        if later:
            self._writer.put(*later)

    def _read(self, connection: sqlite3.Connection) -> Durable:
        durable: dict[str, Sequence[Row]] = {}
        try:
            for table in TABLES:
                durable[table.name] = connection.execute(SELECT_ALL[table.name]).fetchall()
        except sqlite3.Error as error:
            raise explain(error, self.path) from error
        return durable

    # --- on the writer thread -----------------------------------------------------------------------------

    def _committed(self, commit: Commit) -> None:
        self._post(lambda: self._settle(commit))

    def _failed(self, error: Exception) -> None:
        reason = explain(error, self.path)
        self._post(lambda: self._die(reason))

    def _post(self, callback: Callable[[], None]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            # The loop is closed: the process is going down and nobody is left to be told.
            self._closed = True

    # --- on the loop --------------------------------------------------------------------------------------

    def _settle(self, commit: Commit) -> None:
        stats = self.stats
        stats.commits += 1
        stats.rows += commit.rows
        stats.syncs += commit.synced
        for transaction in commit.transactions:
            self.waiting_bytes -= transaction.weight
            if transaction.done is not None:
                self._tell(transaction.done)
        if self.pressed and self.waiting_bytes <= self._pressed_bytes // 2:
            self.pressed = False
            if self.on_pressure is not None:
                self.on_pressure(False)

    def _tell(self, done: Callable[[], None]) -> None:
        """One completion's failure must not keep the others of its commit from being told."""
        try:
            done()
        except Exception as error:
            assert self._loop is not None
            self._loop.call_exception_handler({"message": "a store completion failed", "exception": error})

    def _press(self) -> None:
        if self.waiting_bytes > self._waiting_bytes_max:
            self._die(
                StorageError(
                    "store.stalled",
                    f"{self.waiting_bytes} bytes wait for {self.path}, more than {self._waiting_bytes_max}; "
                    "the disk does not keep up",
                    hint="dmesg | tail",
                )
            )
        elif not self.pressed:
            self.pressed = True
            self.stats.pressed += 1
            if self.on_pressure is not None:
                self.on_pressure(True)

    def _die(self, reason: StorageError) -> None:
        if self.fatal is None:
            self.fatal = reason
            if self.on_fatal is not None:
                self.on_fatal(reason)
