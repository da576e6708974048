"""What waits for Redis, in order: rows of history.db, or frames in memory where there is no disk."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Final

from redis.asyncio import Redis

from arqonmesh.store.history.mirror import MIRROR, Batch, read_rows, read_span
from arqonmesh.store.history.redis.keys import mirror_key
from arqonmesh.store.history.sqlite import SqliteHistory

QUEUE_BYTES_MAX: Final = 64 << 20
"""In memory: frames that wait for Redis; beyond it the oldest goes, counted."""
COMMITS_TIMED_MAX: Final = 4_096
"""Commits of which the time is remembered until Redis has them: over three minutes of full load."""


class MemoryQueue:
    """Frames that no disk has."""

    def __init__(self, bytes_max: int = QUEUE_BYTES_MAX) -> None:
        self.waiting_bytes = 0
        self.dropped = 0
        """Frames that fell out, the oldest first."""
        self._bytes_max = bytes_max
        self._queue: deque[tuple[float, Batch]] = deque()
        self._taken: Sequence[Batch] = ()

    def __bool__(self) -> bool:
        return bool(self._queue)

    @property
    def waits_since_s(self) -> float | None:
        """Monotonic time at which the oldest that waits came."""
        return self._queue[0][0] if self._queue else None

    def add(self, batch: Batch) -> None:
        self._queue.append((time.monotonic(), batch))
        self.waiting_bytes += batch.size
        while self.waiting_bytes > self._bytes_max:
            _, oldest = self._queue.popleft()
            self.waiting_bytes -= oldest.size
            self.dropped += len(oldest.frames)

    def forget(self, channel: str) -> None:
        self._queue = deque(entry for entry in self._queue if entry[1].channel != channel)
        self.waiting_bytes = sum(batch.size for _, batch in self._queue)

    def take(self, limit: int) -> Sequence[Batch]:
        """The next ones; they wait until `settle`."""
        self._taken = [self._queue[index][1] for index in range(min(limit, len(self._queue)))]
        return self._taken

    def settle(self, count: int) -> None:
        """So many of those that were taken are done with."""
        for batch in self._taken[:count]:
            if self._queue and self._queue[0][1] is batch:  # else it fell out meanwhile
                self._queue.popleft()
                self.waiting_bytes -= batch.size
        self._taken = ()


class DiskQueue:
    """Rows of history.db. How far Redis has them stands in Redis itself: with what it loses, that goes back."""

    def __init__(self, behind: SqliteHistory) -> None:
        self.behind_rows = 0
        """Rows that Redis does not have yet."""
        self.pruned_rows = 0
        """Rows that were pruned or deleted before Redis had them."""
        self.rewinds = 0
        """Times that Redis had less than it had taken, and is sent that again."""
        self._behind = behind
        self._mirror = 0
        self._cursor = 0
        self._marked: int | None = None
        """What Redis took last as the mark; None: nothing in this life."""
        self._newest_row = 0
        self._ready = False
        self._commits: deque[tuple[int, float]] = deque()
        self._taken: Sequence[Batch] = ()
        self._last = 0

    @property
    def failed(self) -> bool:
        """The disk is given up: what is on it cannot be sent in this life."""
        return self._behind.failure is not None

    @property
    def pending(self) -> bool:
        return not self.failed and (not self._ready or self._cursor < self._newest_row)

    @property
    def waits_since_s(self) -> float | None:
        """Monotonic time of the oldest commit that Redis lacks, or of our start."""
        return self._commits[0][1] if self._commits else None

    def committed(self, row: int) -> None:
        if row > self._newest_row:
            if not self._newest_row and not self._ready:
                self._cursor = row - 1  # how far Redis is nobody knows yet; what came since our start it has not got
            self._newest_row = row
            if len(self._commits) < COMMITS_TIMED_MAX:
                self._commits.append((row, time.monotonic()))
            self._count()

    async def begin(self, redis: Redis) -> None:
        """A connection is new: from where on has this Redis to be sent? Raises RedisError, StorageError."""
        mirror, oldest, newest = await self._behind.ask(read_span, fresh=False)
        self._mirror = self._mirror or mirror or secrets.randbits(62) | 1
        if mirror != self._mirror:
            self._behind.note(MIRROR, self._mirror)
        said = await redis.get(mirror_key(self._mirror))
        mark = int(said) if isinstance(said, bytes) and said.isdigit() else 0
        if self._marked is None:
            self.committed(newest)
            self._cursor = min(mark, newest)
        elif mark < self._marked:
            self.rewinds += 1
            self._cursor = mark
        self._marked, self._ready = mark, True
        self._move(oldest - 1)  # what was pruned before is not missed
        if self.behind_rows and not self._commits:
            self._commits.append((self._newest_row, time.monotonic()))

    async def take(self, limit: int) -> Sequence[Batch]:
        """The next ones; they wait until `settle`. Raises StorageError."""
        self._taken = ()
        rows = await self._behind.ask(partial(read_rows, cursor=self._cursor, limit=limit), fresh=False)
        if rows.skipped:
            self.pruned_rows += rows.skipped
            self._move(self._cursor + rows.skipped)
        if not rows.batches:
            self._move(rows.last)
        self._taken, self._last = rows.batches, rows.last
        return self._taken

    def settle(self, count: int) -> None:
        """So many of those that were taken are done with."""
        if count and self._taken:
            self._move(self._last if count == len(self._taken) else self._taken[count - 1].row)
        self._taken = ()

    def mark(self) -> tuple[str, int] | None:
        """What is to be written into Redis with the next round trip, so that it says what it has: key and row."""
        return None if not self._ready or self._marked == self._cursor else (mirror_key(self._mirror), self._cursor)

    def marked(self, row: int) -> None:
        """Redis has taken that."""
        self._marked = row

    def _move(self, row: int) -> None:
        self._cursor = max(self._cursor, row)
        while self._commits and self._commits[0][0] <= self._cursor:
            self._commits.popleft()
        self._count()

    def _count(self) -> None:
        self.behind_rows = max(0, self._newest_row - self._cursor)
