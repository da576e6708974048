"""The back end: Redis in front, SQLite behind it where there is one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from arqonmesh.config.model import HistorySettings
from arqonmesh.core.kernel import HistoryQuery, KeepFrames, Row
from arqonmesh.errors import StorageError
from arqonmesh.store.history.backend import Found, HistoryBackend
from arqonmesh.store.history.mirror import Batch
from arqonmesh.store.history.redis.address import check_url, without_password
from arqonmesh.store.history.redis.condition import KINDS, Condition, kind_of
from arqonmesh.store.history.redis.heads import read_heads, with_heads
from arqonmesh.store.history.redis.keys import stream_key
from arqonmesh.store.history.redis.queues import QUEUE_BYTES_MAX, DiskQueue, MemoryQueue
from arqonmesh.store.history.redis.scan import scan
from arqonmesh.store.history.redis.sender import IDLE_PING_S, Sender
from arqonmesh.store.history.sqlite import SqliteHistory
from arqonmesh.store.history.together import together
from arqonmesh.store.history.union import is_whole

TIMEOUT_S: Final = 2.0
"""For a connection and for an answer; then Redis counts as gone. And for all round trips of a question together."""


class RedisHistory(HistoryBackend):
    """Redis and SQLite as one history: what either has is found."""

    NAME: ClassVar[str] = "redis"

    def __init__(
        self,
        settings: HistorySettings,
        behind: SqliteHistory | None,
        *,
        queue_bytes_max: int = QUEUE_BYTES_MAX,
        timeout_s: float = TIMEOUT_S,
        idle_ping_s: float = IDLE_PING_S,
    ) -> None:
        check_url(settings.redis_url)
        self.heads_loaded = 0
        """Streams that the start learned of, or more of, from Redis."""
        self.heads_failure = ""
        """Why it did not learn of all."""
        self.unions = 0
        """Answers made of what both have."""
        self._url = settings.redis_url
        self._timeout_s = timeout_s
        self._behind = behind
        self._closing = False
        self._shown = without_password(settings.redis_url)
        self._redis: Redis = Redis.from_url(
            settings.redis_url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=None
        )
        self.condition = Condition(self._shown)
        self.memory = MemoryQueue(queue_bytes_max)
        self.disk = None if behind is None else DiskQueue(behind)
        self.sender = Sender(
            self._redis, self.condition, self.memory, self.disk, settings.redis_maxlen, idle_ping_s=idle_ping_s
        )
        if behind is not None:
            behind.on_committed = self._committed

    def adopt(self, settings: HistorySettings) -> None:
        if self._behind is not None:
            self._behind.adopt(settings)

    def load(self) -> Sequence[Row]:
        """What SQLite knows, and what Redis knows beyond that; blocks for the time of read_heads at most."""
        known = () if self._behind is None else self._behind.load()
        self.ended_life = 0 if self._behind is None else self._behind.ended_life
        heads = read_heads(self._url, self._timeout_s)
        rows = with_heads(known, heads.rows)
        before = {(row[0], row[1]): row[2] for row in known}
        self.heads_loaded = sum(1 for row in rows if before.get((row[0], row[1])) != row[2])
        self.heads_failure = heads.failure
        return rows

    def start(self) -> None:
        """Begin to connect, and to send what an earlier life left. Needs the running loop."""
        if not self._closing:
            if self._behind is not None:
                self._behind.start()
            self.sender.start()

    def keep(self, effect: KeepFrames) -> None:
        self.start()
        behind = self._behind
        if behind is not None:
            behind.keep(effect)
        if effect.ours and (behind is None or behind.failure is not None):
            times = effect.low_ms, effect.high_ms
            self.memory.add(Batch(effect.channel, effect.epoch, effect.first, list(effect.frames), 0, *times))
            self.sender.wake()

    def forget(self, channel: str) -> None:
        """Here at once; in Redis as soon as it is there, once. What it has not got yet is gone with the rows."""
        if self._behind is not None:
            self._behind.forget(channel)
        self.memory.forget(channel)
        self.start()
        self.sender.forget(channel)

    async def read(self, query: HistoryQuery) -> Found:
        """What SQLite has; where that may not be all, together with what Redis tells within `timeout_s`."""
        self.start()
        own: Found | None = None
        failure: StorageError | None = None
        if self._behind is not None:
            try:
                own = await self._behind.read(query)
            except StorageError as error:
                failure = error
            if own is not None and (self.condition.is_gone or is_whole(own, query)):
                return own
        deadline_s = asyncio.get_running_loop().time() + self._timeout_s
        try:
            theirs = await scan(self._redis, query, deadline_s)
            if own is None:
                return theirs
            self.unions += 1
            return await self._together(own, theirs, query, deadline_s)
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            self._unread(query, error)
            if own is not None:
                return own
            raise failure or StorageError(
                "store.redis", f"{self.condition.sentence()}, and no disk keeps the history", hint="redis-cli ping"
            ) from error

    async def _together(self, own: Found, theirs: Found, query: HistoryQuery, deadline_s: float) -> Found:
        """Who was cut short is asked for what that left out; as far as there is time, and the disk answers."""
        assert self._behind is not None
        behind = self._behind

        async def ask_own(lacking: HistoryQuery) -> Found:
            try:
                return await behind.read(lacking)
            except StorageError:
                return Found([], False)

        async def ask_theirs(lacking: HistoryQuery) -> Found:
            if asyncio.get_running_loop().time() > deadline_s:
                return Found([], False)
            with contextlib.suppress(TimeoutError):
                return await scan(self._redis, lacking, deadline_s)
            return Found([], False)

        return await together(own, theirs, query, ask_own, ask_theirs)

    def health(self) -> Mapping[str, Any]:
        behind, disk = self._behind, self.disk
        told: dict[str, Any] = {"ok": True, "backend": self.NAME, "url": self._shown}
        inner: Mapping[str, Any] = {}
        if behind is not None and disk is not None:
            inner = behind.health()
            told |= {"sqlite": dict(inner), "ok": inner["ok"], "behind_rows": disk.behind_rows}
            if wrong := inner.get("reason") or self.sender.unread:
                told |= {"ok": False, "reason": wrong}
        if disk is None or self.memory:
            told["waiting_bytes"] = self.memory.waiting_bytes
        told |= {"dropped": self._dropped(), "lag_s": round(self.sender.lag_s(), 1)}
        if self.heads_failure:
            told["heads"] = f"not all read at the start: {self.heads_failure}"
        alone = behind is None or behind.failure is not None
        redis = self.condition.health("memory" if alone else "sqlite")
        if "reason" in told and "reason" in redis:
            redis = {**redis, "reason": f"{redis['reason']}; {told['reason']}"}
        return {**told, **redis}

    def stats(self) -> Mapping[str, int]:
        condition, disk = self.condition, self.disk
        return {
            **({} if self._behind is None else self._behind.stats()),
            "redis_written": self.sender.written,
            "redis_skipped": condition.skipped,
            "redis_dropped": self._dropped(),
            "redis_episodes": condition.episodes,
            "redis_reconnects": condition.reconnects,
            "redis_connected": int(condition.connected),
            "redis_ok": int(condition.ok),
            "redis_spoiled_keys": len(condition.spoiled),
            "redis_behind_rows": 0 if disk is None else disk.behind_rows,
            "redis_rewinds": 0 if disk is None else disk.rewinds,
            "redis_waiting_bytes": self.memory.waiting_bytes,
            "redis_lag_ms": int(self.sender.lag_s() * 1_000),
            "redis_heads_loaded": self.heads_loaded,
            "redis_unions": self.unions,
            **{f"redis_failed_{kind}": condition.failures[kind] for kind in KINDS},
        }

    async def close(self, epoch: str) -> None:
        """A last try to send what is in memory; what Redis has not got of the disk waits there for the next start."""
        if self._closing:
            return
        self._closing = True
        await self.sender.close(self._timeout_s)
        if self._behind is not None:
            self._behind.on_committed = None
            await self._behind.close(epoch)
        with contextlib.suppress(RedisError, OSError, asyncio.CancelledError):
            await self._redis.aclose()

    def _committed(self, row: int) -> None:
        assert self.disk is not None
        self.disk.committed(row)
        self.sender.wake()

    def _unread(self, query: HistoryQuery, error: Exception) -> None:
        """A key of a wrong type is its own matter; else somebody should look what has become of Redis."""
        if kind_of(error) == "key":
            self.condition.spoils(stream_key(query.channel), 0, error)
        else:
            self.condition.fails(error)
            self.sender.doubt()

    def _dropped(self) -> int:
        return self.memory.dropped + (0 if self.disk is None else self.disk.pruned_rows)
