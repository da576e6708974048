"""Redis Streams as the history that the nodes of a cluster, and workers without a WebSocket, share.

    arqon:history:{science:explore}    a stream per room:channel; entries with the fields frame, epoch, offset
    arqon:heads:{science:explore}      a hash, {epoch: offset}: how far the stream has each of the bus's streams

    XREAD BLOCK 0 STREAMS "arqon:history:{science:explore}" $        what a worker does; XREADGROUP for several

Every node writes what its own clients published and what came from other clusters. A script appends and raises the head
in one step and skips what is there already, so writing again after a lost answer is harmless. Streams are trimmed to
about `redis_maxlen` (XADD MAXLEN ~).

The way there is a queue on disk: with `durable`, rows of history.db that were committed are sent in order, and the
number of the last one that Redis has is kept beside them. So a Redis that dies takes nothing along: reading goes on
from SQLite and memory at once, /health says so, and when Redis is back it gets what it missed, in order, also when the
node was restarted meanwhile. Without `durable` the queue is in memory, bounded, and what falls out of it is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, ClassVar, Final, cast
from urllib.parse import urlsplit, urlunsplit

import msgspec
from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.exceptions import RedisError

from arqonmesh.config.model import HistorySettings
from arqonmesh.core.kernel import HistoryQuery, KeepFrames, Row
from arqonmesh.errors import StorageError
from arqonmesh.store.history.backend import Found, HistoryBackend
from arqonmesh.store.history.chunks import place_of, within
from arqonmesh.store.history.mirror import CURSOR, Batch, Mirrored, read_cursor, read_rows
from arqonmesh.store.history.sqlite import SqliteHistory

QUEUE_BYTES_MAX: Final = 64 << 20
"""Without `durable`: frames that wait for Redis; beyond it the oldest goes, counted."""
FORGOTTEN_MAX: Final = 65_536
BATCH_MAX: Final = 64
"""Scripts per round trip."""
RETRY_MIN_S: Final = 0.1
RETRY_MAX_S: Final = 2.0
TIMEOUT_S: Final = 2.0
"""For a connection and for an answer; then Redis counts as gone."""
PAGE: Final = 256
"""Entries per step when a stream is read."""
SCAN_MAX: Final = 20_000
"""Entries that one question looks at, at most."""

_Entries = list[tuple[bytes, dict[bytes, bytes]]]

APPEND: Final = """
local head = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0')
local offset = tonumber(ARGV[2])
for i = 4, #ARGV do
  if offset == 0 or offset > head then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'epoch', ARGV[1], 'offset', offset, 'frame', ARGV[i])
    head = offset
  end
  if offset > 0 then offset = offset + 1 end
end
if head > 0 then redis.call('HSET', KEYS[2], ARGV[1], head) end
return head
"""


def check_url(url: str) -> None:
    """Raises StorageError `store.redis-url` when this is no address of a Redis."""
    try:
        parse_url(url)
    except ValueError as error:
        raise StorageError(
            "store.redis-url",
            f"bus.history.redis_url is {_without_password(url)!r}: {error}",
            hint="ARQON_REDIS_URL=redis://127.0.0.1:6379/0",
        ) from error


class RedisHistory(HistoryBackend):
    """Redis in front, SQLite behind it where there is one."""

    NAME: ClassVar[str] = "redis"

    def __init__(
        self,
        settings: HistorySettings,
        behind: SqliteHistory | None,
        *,
        queue_bytes_max: int = QUEUE_BYTES_MAX,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.connected = False
        self.failure = "not connected yet"
        self.written = 0
        """Frames that Redis has taken, or had."""
        self.dropped = 0
        """Frames that never reached Redis: the queue was full, or they were pruned before it came back."""
        self.episodes = 0
        """Times that Redis went away."""
        self.waiting_bytes = 0
        self.behind_rows = 0
        """Rows of history.db that Redis does not have yet."""
        self._since_s = time.monotonic()
        self._maxlen = settings.redis_maxlen
        self._shown = _without_password(settings.redis_url)
        self._behind = behind
        self._queue: deque[Batch] = deque()
        self._queue_bytes_max = queue_bytes_max
        self._newest_row = 0
        self._cursor: int | None = None
        self._forgotten: dict[str, None] = {}
        """Channels whose stream is to be deleted."""
        self._wake = asyncio.Event()
        self._emptied = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        check_url(settings.redis_url)
        self._redis: Redis = Redis.from_url(
            settings.redis_url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=None
        )
        self._append = self._redis.register_script(APPEND)
        if behind is not None:
            behind.on_committed = self._committed

    # --- HistoryBackend -----------------------------------------------------------------------------------

    def adopt(self, settings: HistorySettings) -> None:
        if self._behind is not None:
            self._behind.adopt(settings)

    def load(self) -> Sequence[Row]:
        return () if self._behind is None else self._behind.load()

    def start(self) -> None:
        """Begin to connect, and to send what an earlier life left. Needs the running loop."""
        if self._task is None and not self._closing:
            if self._behind is not None:
                self._behind.start()
            self._task = asyncio.get_running_loop().create_task(self._run())

    def keep(self, effect: KeepFrames) -> None:
        self.start()
        if self._behind is not None:
            self._behind.keep(effect)
        elif effect.ours:
            batch = Batch(effect.channel, effect.epoch, effect.first, list(effect.frames), 0)
            self._queue.append(batch)
            self.waiting_bytes += batch.size
            while self.waiting_bytes > self._queue_bytes_max:
                oldest = self._queue.popleft()
                self.waiting_bytes -= oldest.size
                self.dropped += len(oldest.frames)
            self._wake.set()

    def forget(self, channel: str) -> None:
        """Here at once; in Redis as soon as it is there, once. What it has not got yet is gone with the rows."""
        if self._behind is not None:
            self._behind.forget(channel)
        self._queue = deque(batch for batch in self._queue if batch.channel != channel)
        self.waiting_bytes = sum(batch.size for batch in self._queue)
        self.start()
        if len(self._forgotten) < FORGOTTEN_MAX:
            self._forgotten[channel] = None
        self._wake.set()

    async def read(self, query: HistoryQuery) -> Found:
        """From Redis when it has everything, else from SQLite."""
        self.start()
        if self._behind is not None and (not self.connected or query.ranges is None or self.behind_rows):
            return await self._behind.read(query)
        try:
            found = await self._scan(query)
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            self._lost(error)
            if self._behind is None:
                raise StorageError(
                    "store.redis", f"Redis at {self._shown} is gone: {error}", hint="redis-cli ping"
                ) from error
            return await self._behind.read(query)
        due = sum(last - first + 1 for _, first, last in query.ranges or ())
        if self._behind is not None and len(found.frames) < due and not found.more:
            own = await self._behind.read(query)  # trimmed there, perhaps kept here
            return own if len(own.frames) > len(found.frames) else found
        return found

    def health(self) -> Mapping[str, Any]:
        told: dict[str, Any] = {"ok": True, "backend": self.NAME, "url": self._shown}
        if self._behind is not None:
            inner = self._behind.health()
            told |= {"sqlite": dict(inner), "ok": inner["ok"], "behind_rows": self.behind_rows}
        else:
            told["waiting_bytes"] = self.waiting_bytes
        told["dropped"] = self.dropped
        told["connected"] = self.connected
        if not self.connected:
            instead = "sqlite" if self._behind is not None else "memory"
            told |= {
                "ok": False,
                "fallback": instead,
                "for_s": round(time.monotonic() - self._since_s, 1),
                "reason": f"store.redis: Redis at {self._shown} is gone ({self.failure}); {instead} keeps the history",
            }
        return told

    def stats(self) -> Mapping[str, int]:
        return {
            **({} if self._behind is None else self._behind.stats()),
            "redis_written": self.written,
            "redis_dropped": self.dropped,
            "redis_episodes": self.episodes,
            "redis_connected": int(self.connected),
            "redis_behind_rows": self.behind_rows,
            "redis_waiting_bytes": self.waiting_bytes,
        }

    async def close(self, epoch: str) -> None:
        """A last try to bring Redis up to date; what it does not take stays in SQLite for the next start."""
        if self._closing:
            return
        self._closing = True
        if self._task is not None:
            if self.connected and self._behind is None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._drained(), TIMEOUT_S)
            while not self._task.done():  # the client may swallow a cancellation that meets an answer on its way
                self._task.cancel()
                await asyncio.wait({self._task}, timeout=0.2)
        if self._behind is not None:
            self._behind.on_committed = None
            await self._behind.close(epoch)
        with contextlib.suppress(RedisError, OSError):
            await self._redis.aclose()

    # --- the way to Redis ---------------------------------------------------------------------------------

    async def _run(self) -> None:
        """For ever: connect, send what waits in order, wait for more; after a failure again, from where it was."""
        pause_s = RETRY_MIN_S
        while not self._closing:
            try:
                await self._redis.ping()
                self._found()
                pause_s = RETRY_MIN_S
                while not self._closing:
                    for channel in list(self._forgotten):
                        await self._redis.delete(stream_key(channel))
                        del self._forgotten[channel]
                    sent = await self._send_from_disk() if self._behind is not None else await self._send_from_memory()
                    if not sent:
                        self._wake.clear()
                        if not self._pending():
                            await self._wake.wait()
            except (RedisError, OSError, TimeoutError) as error:
                self._lost(error)
            except StorageError:  # the disk failed, and says so itself: what is on it cannot be sent any more
                pause_s = RETRY_MAX_S
            await asyncio.sleep(pause_s)
            pause_s = min(RETRY_MAX_S, pause_s * 2)

    def _pending(self) -> bool:
        if self._forgotten:
            return True
        if self._behind is None:
            return bool(self._queue)
        return self._cursor is None or self._cursor < self._newest_row

    async def _send_from_disk(self) -> bool:
        assert self._behind is not None
        if self._cursor is None:
            sent, newest = await self._behind.ask(read_cursor)
            self._cursor, self._newest_row = sent, max(self._newest_row, newest)
        cursor: int = self._cursor
        rows: Mirrored = await self._behind.ask(partial(read_rows, cursor=cursor, limit=BATCH_MAX))
        if rows.skipped:
            self.dropped += rows.skipped
        if rows.batches:
            await self._write(rows.batches)
        if rows.last > cursor:
            self._cursor = rows.last
            self._behind.note(CURSOR, rows.last)
        self.behind_rows = max(0, self._newest_row - rows.last)
        return rows.last > cursor

    async def _send_from_memory(self) -> bool:
        batches = [self._queue[index] for index in range(min(BATCH_MAX, len(self._queue)))]
        if not batches:
            return False
        await self._write(batches)
        for batch in batches:
            if self._queue and self._queue[0] is batch:  # else it fell out meanwhile
                self._queue.popleft()
                self.waiting_bytes -= batch.size
        if not self._queue:
            self._emptied.set()
        return True

    async def _write(self, batches: Sequence[Batch]) -> None:
        """One round trip; in order, because it is one connection."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for batch in batches:
                await self._append(
                    keys=[stream_key(batch.channel), heads_key(batch.channel)],
                    args=[batch.epoch, batch.first, self._maxlen, *batch.frames],
                    client=pipeline,
                )
            await pipeline.execute()
        self.written += sum(len(batch.frames) for batch in batches)

    async def _drained(self) -> None:
        while self._queue:
            self._emptied.clear()
            await self._emptied.wait()

    def _committed(self, row: int) -> None:
        self._newest_row = row
        if self._cursor is not None:
            self.behind_rows = max(0, row - self._cursor)
        self._wake.set()

    def _found(self) -> None:
        if not self.connected:
            self.connected, self.failure = True, ""
            self._since_s = time.monotonic()

    def _lost(self, error: Exception) -> None:
        self.failure = str(error) or type(error).__name__
        if self.connected:
            self.connected = False
            self.episodes += 1
            self._since_s = time.monotonic()

    # --- reading ------------------------------------------------------------------------------------------

    async def _scan(self, query: HistoryQuery) -> Found:
        """Backwards from the newest entry until everything that is wanted was seen, or the stream's beginning."""
        wanted = {epoch: (first, last) for epoch, first, last in query.ranges or ()}
        below = dict.fromkeys(wanted)
        picked: deque[bytes] = deque()
        at, seen, size, ended = b"+", 0, 0, False
        while not ended and seen < SCAN_MAX and (query.ranges is None or below):
            entries = cast(_Entries, await self._redis.xrevrange(stream_key(query.channel), max=at, count=PAGE))
            ended = len(entries) < PAGE
            for name, fields in entries:
                at = b"(" + name
                seen += 1
                frame = fields.get(b"frame", b"")
                try:
                    epoch, offset = place_of(frame)
                except msgspec.DecodeError:  # no entry of ours: others may write there
                    continue
                if query.ranges is not None:
                    first, last = wanted.get(epoch, (1, 0))
                    if offset <= first:
                        below.pop(epoch, None)
                    if not first <= offset <= last:
                        continue
                if (query.after_ms is None and query.before_ms is None) or within(
                    frame, query.after_ms, query.before_ms
                ):
                    picked.append(frame)
                    size += len(frame)
                    while query.oldest and (len(picked) > query.limit + 1 or size - len(picked[0]) > query.bytes_max):
                        size -= len(picked.popleft())  # newer than what there will be room for
            if not query.oldest and (len(picked) > query.limit or size > query.bytes_max):
                break
        more = len(picked) > query.limit or (not ended and not (query.ranges is not None and not below))
        size, fits = 0, []
        for frame in islice(reversed(picked) if query.oldest else picked, query.limit):
            size += len(frame)
            if size > query.bytes_max:
                more = True
                break
            fits.append(frame)
        return Found(fits if query.oldest else fits[::-1], more)


def stream_key(channel: str) -> str:
    """The braces keep both keys of a channel on one node of a Redis cluster."""
    return f"arqon:history:{{{channel}}}"


def heads_key(channel: str) -> str:
    return f"arqon:heads:{{{channel}}}"


def _without_password(url: str) -> str:
    try:
        parts = urlsplit(url)
        if parts.password is None:
            return url
    except ValueError:  # brackets of an IPv6 address that are none
        return url.partition("://")[0] + "://***"
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{parts.netloc.rpartition('@')[2]}"))
