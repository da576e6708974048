"""The writer thread: takes everything that waits, makes one transaction of it, says what is done.

    while there is work:  take all -> merge -> BEGIN, rows, COMMIT -> finished(all)

A commit is synced when one of its transactions asks for it. In WAL mode `synchronous=NORMAL` writes a commit to the
log without waiting for the disk (it survives the process, https://www.sqlite.org/pragma.html#pragma_synchronous) and
FULL syncs the log, with every earlier commit in it; so what is durable is always a prefix of what was asked for.

After an error nothing is tried again: pages may have been dropped by the kernel after a failed fsync, so a later
"success" would be a lie (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from arqonmesh.core.kernel import Write
from arqonmesh.store.batch import apply, merge

TRANSACTIONS_MAX: Final = 4_096
"""Transactions joined into one commit at most, which bounds how long the first of them waits for the last."""


class Transaction(NamedTuple):
    writes: Sequence[Write]
    sync: bool
    done: Callable[[], None] | None
    weight: int


class Commit(NamedTuple):
    """One finished commit, told to the event loop."""

    transactions: list[Transaction]
    rows: int
    synced: bool


class WriterThread:
    """Owns the connection from `start` on. `queue` is appended to by the event loop alone."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        finished: Callable[[Commit], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self.queue: deque[Transaction] = deque()
        self._connection = connection
        self._finished = finished
        self._failed = failed
        self._wake = threading.Event()
        self._stopping = False
        self._synchronous = ""
        self._thread = threading.Thread(target=self._run, name="arqon-store", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, *transactions: Transaction) -> None:
        """From the event loop: queue and wake."""
        self.queue.extend(transactions)
        if not self._wake.is_set():
            self._wake.set()

    def stop(self) -> None:
        """Finish what is queued, then close the connection and end; `join` waits for that."""
        self._stopping = True
        self._wake.set()

    def join(self, timeout_s: float | None = None) -> bool:
        """True when the thread is gone."""
        if self._thread.ident is None:
            self._connection.close()
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while self._wait():
                self._commit(self._take())
        except Exception as error:  # a bug here must stop the process as surely as a broken disk
            self._failed(error)
        finally:
            self._connection.close()

    def _wait(self) -> bool:
        """Until there is work: True; stopping and nothing left: False."""
        while not self.queue:
            if self._stopping:
                return False
            self._wake.wait()
            # Cleared before the queue is looked at again: a put between the two leaves the flag up.
            self._wake.clear()
        return True

    def _take(self) -> list[Transaction]:
        queue = self.queue
        return [queue.popleft() for _ in range(min(len(queue), TRANSACTIONS_MAX))]

    def _commit(self, transactions: list[Transaction]) -> None:
        sync = any(transaction.sync for transaction in transactions)
        merged = merge(transaction.writes for transaction in transactions)
        self._set_synchronous("FULL" if sync else "NORMAL")
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        rows = apply(connection, merged)
        connection.execute("COMMIT")
        self._finished(Commit(transactions, rows, sync))

    def _set_synchronous(self, level: str) -> None:
        if level != self._synchronous:
            self._connection.execute(f"PRAGMA synchronous = {level}")
            self._synchronous = level
