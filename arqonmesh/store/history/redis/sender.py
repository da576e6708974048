"""The task that writes to Redis: connects, sends what waits in order, and comes back after every failure."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from arqonmesh.errors import StorageError
from arqonmesh.store.history.mirror import Batch
from arqonmesh.store.history.redis.condition import Condition, kind_of
from arqonmesh.store.history.redis.keys import AFTER_A_FAILURE, APPEND, heads_key, stray_key, stream_key
from arqonmesh.store.history.redis.queues import DiskQueue, MemoryQueue

FORGOTTEN_MAX: Final = 65_536
BATCH_MAX: Final = 64
"""Scripts per round trip."""
RETRY_MIN_S: Final = 0.1
RETRY_MAX_S: Final = 2.0
IDLE_PING_S: Final = 5.0
"""While nothing is written, Redis is asked that often whether it is there: /health is not to be older than this."""


class Sender:
    """Of one Redis. `memory` goes after `disk`, where there is one."""

    def __init__(
        self,
        redis: Redis,
        condition: Condition,
        memory: MemoryQueue,
        disk: DiskQueue | None,
        maxlen: int,
        *,
        idle_ping_s: float = IDLE_PING_S,
    ) -> None:
        self.written = 0
        """Frames that Redis has taken, or had."""
        self.unread = ""
        """Why history.db could not be read just now; empty: it could."""
        self._redis = redis
        self._condition = condition
        self._memory = memory
        self._disk = disk
        self._maxlen = maxlen
        self._idle_ping_s = idle_ping_s
        self._append = redis.register_script(APPEND)
        self._forgotten: dict[str, None] = {}
        """Channels whose stream is to be deleted."""
        self._wake = asyncio.Event()
        self._emptied = asyncio.Event()
        self._doubted = False
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Needs the running loop. Repeats are harmless."""
        if self._task is None and not self._closing:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def wake(self) -> None:
        self._wake.set()

    def doubt(self) -> None:
        """Somebody else found Redis gone: look again."""
        self._doubted = True
        self._wake.set()

    def forget(self, channel: str) -> None:
        """Delete its stream, once, as soon as Redis is there."""
        if len(self._forgotten) < FORGOTTEN_MAX:
            self._forgotten[channel] = None
        self._wake.set()

    @property
    def pending(self) -> bool:
        disk = self._disk
        return bool(self._forgotten or self._memory or (disk is not None and disk.pending))

    def lag_s(self) -> float:
        """For how long the oldest that waits has been waiting."""
        waiting = [
            since_s
            for queue in (self._disk, self._memory)
            if queue is not None and (since_s := queue.waits_since_s) is not None
        ]
        return time.monotonic() - min(waiting) if waiting else 0.0

    async def close(self, patience_s: float) -> None:
        """A last try to send what is in memory."""
        self._closing = True
        if self._task is None:
            return
        if self._condition.ok and self._memory:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._drained()
        while not self._task.done():  # the client may swallow a cancellation that meets an answer on its way
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=0.2)

    # --- the task -----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """For ever: connect, send, wait for more; after a failure again, from where it was."""
        pause_s = RETRY_MIN_S
        while True:
            try:
                await self._redis.ping()
                self._condition.answers()
                self._doubted = False
                if self._disk is not None and not self._disk.failed:
                    await self._disk.begin(self._redis)
                while not self._doubted:
                    await self._delete_forgotten()
                    sent = await self._send()
                    self._condition.well()
                    pause_s = RETRY_MIN_S
                    if not sent:
                        await self._wait()
                continue
            except (RedisError, OSError, TimeoutError) as error:
                if self._condition.fails(error) != "full":  # the address may lead somewhere else by now
                    await self._redis.connection_pool.disconnect(inuse_connections=False)
            except StorageError as error:
                assert self._disk is not None
                if self._disk.failed:  # which it says itself; what is in memory goes on
                    continue
                self.unread = f"{error.code}: {error.sentence}"
                pause_s = RETRY_MAX_S
            await asyncio.sleep(pause_s)
            pause_s = min(RETRY_MAX_S, pause_s * 2)

    async def _wait(self) -> None:
        """For something to send; now and then Redis is asked whether it is still there."""
        self._wake.clear()
        while not self.pending and not self._doubted:
            if not self._memory:
                self._emptied.set()
            try:
                async with asyncio.timeout(self._idle_ping_s):
                    await self._wake.wait()
            except TimeoutError:
                await self._redis.ping()
            self._wake.clear()

    async def _delete_forgotten(self) -> None:
        for channel in list(self._forgotten):
            await self._redis.unlink(stream_key(channel), stray_key(channel))
            self._forgotten.pop(channel, None)

    async def _send(self) -> bool:
        """One round trip; False: nothing waits. Raises RedisError, OSError, StorageError."""
        queue: DiskQueue | MemoryQueue = self._memory
        batches: Sequence[Batch] = ()
        if self._disk is not None and self._disk.pending:
            queue = self._disk
            batches = await self._disk.take(BATCH_MAX)
            self.unread = ""
            if not batches:
                return True
        else:
            batches = self._memory.take(BATCH_MAX)
        if not batches:
            return False
        answers = await self._write(batches)
        done, failed = 0, None
        for batch, answer in zip(batches, answers, strict=True):
            key = stream_key(batch.channel)
            if isinstance(answer, BaseException):
                if kind_of(answer) != "key":
                    failed = answer
                    break
                self._condition.spoils(key, len(batch.frames), answer)
            elif answer == AFTER_A_FAILURE:
                break
            else:
                self.written += len(batch.frames)
                if self._condition.spoiled:
                    self._condition.heals(key)
            done += 1
        queue.settle(done)
        if failed is not None:
            raise failed
        return True

    async def _write(self, batches: Sequence[Batch]) -> list[Any]:
        """An answer, or what failed, per batch; in order, because it is one connection."""
        mark = None if self._disk is None else self._disk.mark()
        before: dict[tuple[str, str], int] = {}
        async with self._redis.pipeline(transaction=False) as pipeline:
            for batch in batches:
                stream = (batch.channel, batch.epoch)
                await self._append(
                    keys=[stream_key(batch.channel), heads_key(batch.channel), stray_key(batch.channel)],
                    args=[
                        batch.epoch,
                        batch.first,
                        self._maxlen,
                        before.get(stream, 0),
                        batch.low_ms,
                        batch.high_ms,
                        *batch.frames,
                    ],
                    client=pipeline,
                )
                if batch.first:
                    before[stream] = max(before.get(stream, 0), batch.last)
            if mark is not None:
                pipeline.set(*mark)
            answers = list(await pipeline.execute(raise_on_error=False))
        if mark is not None and self._disk is not None and answers.pop() is True:
            self._disk.marked(mark[1])
        return answers

    async def _drained(self) -> None:
        while self._memory:
            self._emptied.clear()
            await self._emptied.wait()
