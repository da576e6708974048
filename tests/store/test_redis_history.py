"""Redis Streams as history, against a real redis-server that is killed and started again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import redis as redis_client

from arqonmesh.config.model import HistorySettings
from arqonmesh.core.kernel import HistoryQuery, KeepFrames
from arqonmesh.errors import StorageError
from arqonmesh.store.history import BACKENDS, SqliteHistory, open_backend
from arqonmesh.store.history.redis import RedisHistory, heads_key, scan, stream_key
from tests.store.redis_server import RedisServer
from tests.store.test_history import CHANNEL, EPOCH, frame, kept, offsets
from tests.waiting import until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start(keep=True)
    yield server
    server.kill()


def history_of(
    server: RedisServer,
    folder: Path,
    *,
    durable: bool = True,
    queue_bytes_max: int = 1 << 20,
    idle_ping_s: float = 5.0,
) -> RedisHistory:
    settings = HistorySettings(redis_url=server.url, redis_maxlen=1_000)
    behind = SqliteHistory.open(folder / "history.db", settings) if durable else None
    return RedisHistory(settings, behind, queue_bytes_max=queue_bytes_max, timeout_s=0.5, idle_ping_s=idle_ping_s)


def streamed(worker: redis_client.Redis, channel: str = CHANNEL) -> list[int]:
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", worker.xrange(stream_key(channel)))
    assert all(json.loads(fields[b"frame"])["offset"] == int(fields[b"offset"]) for _, fields in entries)
    return [int(fields[b"offset"]) for _, fields in entries]


async def settle(history: RedisHistory, written: int) -> None:
    await until(lambda: history.condition.connected and history.sender.written >= written)


@pytest.mark.requirement("R-BU-13")
@pytest.mark.parametrize("durable", [True, False])
async def test_workers_read_each_channel_from_a_stream_of_its_own(
    server: RedisServer, worker: redis_client.Redis, tmp_path: Path, durable: bool
) -> None:
    """frame, epoch and offset per entry; with SQLite in between or without."""
    history = history_of(server, tmp_path, durable=durable)
    history.keep(kept(1, 3))
    history.keep(kept(1, 2, channel="a:b"))
    await settle(history, 5)
    assert (streamed(worker), streamed(worker, "a:b")) == ([1, 2, 3], [1, 2])
    assert worker.hgetall(heads_key(CHANNEL)) == {EPOCH.encode(): b"3"}
    found = await history.read(HistoryQuery(CHANNEL, 10, 1 << 20, ranges=((EPOCH, 2, 3),)))
    assert found.frames == [frame(2), frame(3)]
    assert history.health()["ok"] is True
    assert BACKENDS["redis"] is RedisHistory
    await history.close(EPOCH)


@pytest.mark.requirement("R-BU-13")
@pytest.mark.parametrize("durable", [True, False])
async def test_a_redis_that_dies_under_load_is_told_and_gets_everything_when_it_is_back(
    server: RedisServer, worker: redis_client.Redis, tmp_path: Path, durable: bool
) -> None:
    """In order, nothing twice, nothing lost; meanwhile the node reads from what it has."""
    history = history_of(server, tmp_path, durable=durable)
    for offset in range(1, 51):
        history.keep(kept(offset))
    await settle(history, 1)
    server.kill()
    for offset in range(51, 151):
        history.keep(kept(offset))
    await until(lambda: not history.condition.connected)
    health = history.health()
    assert (health["ok"], health["fallback"]) == (False, "sqlite" if durable else "memory")
    assert "is gone" in health["reason"]
    if durable:
        found = await history.read(HistoryQuery(CHANNEL, 200, 1 << 20, ranges=((EPOCH, 1, 150),)))
        assert offsets(found.frames) == list(range(1, 151))
    else:
        with pytest.raises(StorageError):
            await history.read(HistoryQuery(CHANNEL, 200, 1 << 20))
    server.start(keep=True)
    await until(lambda: history.condition.ok and len(streamed(worker)) >= 150)
    assert streamed(worker) == list(range(1, 151))
    assert (history.health()["ok"], history.stats()["redis_dropped"]) == (True, 0)
    await history.close(EPOCH)


async def test_what_redis_missed_outlives_the_node(
    server: RedisServer, worker: redis_client.Redis, tmp_path: Path
) -> None:
    """The queue is history.db itself: another life sends what this one could not."""
    server.kill()
    history = history_of(server, tmp_path)
    history.keep(kept(1, 20))
    await history.read(HistoryQuery(CHANNEL, 50, 1 << 20))
    await history.close(EPOCH)
    server.start(keep=True)
    again = history_of(server, tmp_path)
    again.start()
    await settle(again, 20)
    again.keep(kept(1, 2, epoch="nnnnnnnnnn-2"))
    await settle(again, 22)
    assert streamed(worker) == [*range(1, 21), 1, 2]
    await again.close("nnnnnnnnnn-2")


async def test_writing_again_after_a_lost_answer_writes_nothing_twice(
    server: RedisServer, worker: redis_client.Redis, tmp_path: Path
) -> None:
    """The script knows how far each stream is."""
    for _ in range(2):
        history = history_of(server, tmp_path, durable=False)
        history.keep(kept(1, 3))
        await settle(history, 3)
        await history.close(EPOCH)
    assert streamed(worker) == [1, 2, 3]


async def test_what_another_node_of_the_cluster_published_is_its_to_write(
    server: RedisServer, worker: redis_client.Redis, tmp_path: Path
) -> None:
    """Kept here, and not sent."""
    history = history_of(server, tmp_path)
    theirs = KeepFrames(CHANNEL, "ffffffffff-1", 1, 0, 0, (frame(1, "ffffffffff-1"),), False)
    history.keep(theirs)
    history.keep(kept(1))
    await settle(history, 1)
    assert streamed(worker) == [1]
    assert len((await history.read(HistoryQuery(CHANNEL, 5, 1 << 20))).frames) == 2
    await history.close(EPOCH)


async def test_streams_are_trimmed_to_about_their_length(
    server: RedisServer, worker: redis_client.Redis, tmp_path: Path
) -> None:
    """XADD MAXLEN ~: whole nodes of the stream at a time."""
    history = history_of(server, tmp_path, durable=False)
    for first in range(1, 3_000, 100):
        history.keep(kept(first, 100))
    await settle(history, 3_000)
    assert 1_000 <= worker.xlen(stream_key(CHANNEL)) < 1_300
    found = await history.read(HistoryQuery(CHANNEL, 10_000, 1 << 20, ranges=((EPOCH, 1, 3_000),)))
    assert offsets(found.frames)[-1] == 3_000
    await history.close(EPOCH)


async def test_without_a_disk_the_queue_for_redis_is_bounded(server: RedisServer, tmp_path: Path) -> None:
    """The oldest goes, and is counted and told."""
    server.kill()
    history = history_of(server, tmp_path, durable=False, queue_bytes_max=1_000)
    for offset in range(1, 6):
        history.keep(kept(offset, size=300))
    assert history.memory.waiting_bytes <= 1_000
    assert history.health()["dropped"] == history.memory.dropped > 0
    await history.close(EPOCH)


async def test_the_settings_choose(tmp_path: Path) -> None:
    """Nothing, SQLite, Redis; a URL that is none is refused, and a password is never shown."""
    assert open_backend(tmp_path, HistorySettings(durable=False)) is None
    with pytest.raises(StorageError) as refused:
        open_backend(tmp_path, HistorySettings(durable=False, redis_url="http://host"))
    assert refused.value.code == "store.redis-url"
    secret = open_backend(tmp_path, HistorySettings(durable=False, redis_url="redis://me:secret@127.0.0.1:1/0"))
    assert secret is not None
    assert "secret" not in str(secret.health())
    await secret.close("")


async def test_what_was_deleted_before_redis_had_it_is_not_waited_for(
    server: RedisServer, worker: redis_client.Redis, tmp_path: Path
) -> None:
    """Rows that are gone count as looked at: nobody asks for them again and again, and what comes later is sent."""
    server.kill()
    history = history_of(server, tmp_path)
    history.keep(kept(1, 5))
    await history.read(HistoryQuery(CHANNEL, 10, 1 << 20))
    history.forget(CHANNEL)
    await history.read(HistoryQuery(CHANNEL, 10, 1 << 20))
    server.start(keep=True)
    await until(lambda: history.condition.connected and not history.sender.pending)
    assert (history.health()["behind_rows"], streamed(worker)) == (0, [])
    history.keep(kept(6))
    await until(lambda: streamed(worker) == [6])
    await history.close(EPOCH)


@pytest.mark.parametrize("fields", [{"said": "by hand"}, {"frame": "hello"}, {"frame": '{"offset": "one"}'}])
async def test_an_entry_that_is_not_of_the_bus_is_stepped_over(
    server: RedisServer, worker: redis_client.Redis, tmp_path: Path, fields: dict[str, str]
) -> None:
    """Workers may write into a stream, too; that must not keep the others' past from anybody."""
    history = history_of(server, tmp_path, durable=False)
    history.keep(kept(1, 2))
    await settle(history, 2)
    worker.xadd(stream_key(CHANNEL), cast("dict[Any, Any]", fields))
    history.keep(kept(3))
    await settle(history, 3)
    found = await history.read(HistoryQuery(CHANNEL, 10, 1 << 20, ranges=((EPOCH, 1, 3),)))
    assert (offsets(found.frames), history.condition.connected) == ([1, 2, 3], True)
    await history.close(EPOCH)


async def test_a_channel_is_forgotten_in_one_pass_over_what_waits_for_redis(
    server: RedisServer, worker: redis_client.Redis, tmp_path: Path
) -> None:
    """Of the others nothing goes, and the bytes that wait are theirs."""
    server.kill()
    history = history_of(server, tmp_path, durable=False, queue_bytes_max=8 << 20)
    for offset in range(1, 5_001):
        history.keep(kept(offset))
        history.keep(kept(offset, channel="a:b"))
    before_s = time.process_time()
    history.forget("a:b")
    assert time.process_time() - before_s < 0.2
    assert history.stats()["redis_waiting_bytes"] == sum(len(frame(offset)) for offset in range(1, 5_001))
    await history.close(EPOCH)


@pytest.mark.parametrize(("limit", "bytes_max"), [(5, 1 << 20), (1_000, 60_000), (40, 60_000), (1_000, 1 << 24)])
@pytest.mark.parametrize("oldest", [True, False])
async def test_a_long_past_is_read_without_holding_more_of_it_than_is_answered(
    server: RedisServer,
    worker: redis_client.Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
    bytes_max: int,
    oldest: bool,
) -> None:
    """The first or the last that there is room for, as SQLite answers; and no further pages once that is settled."""
    monkeypatch.setattr(scan, "PAGE", 16)
    pages: list[object] = []
    history = history_of(server, tmp_path, durable=False, queue_bytes_max=1 << 24)
    history.keep(kept(1, 100, size=2_000))
    await settle(history, 100)
    xrevrange = history._redis.xrevrange

    def paged(*arguments: Any, **named: Any) -> Any:
        pages.append(named)
        return xrevrange(*arguments, **named)

    monkeypatch.setattr(history._redis, "xrevrange", paged)
    room = min(limit, bytes_max // len(frame(50, size=2_000)), 100)
    found = await history.read(HistoryQuery(CHANNEL, limit, bytes_max, oldest, ranges=((EPOCH, 1, 100),)))
    assert offsets(found.frames) == list(range(1, room + 1) if oldest else range(101 - room, 101))
    assert found.more is (room < 100)
    assert len(pages) == (7 if oldest else room // 16 + 1)
    await history.close(EPOCH)


async def test_a_disk_that_failed_does_not_make_redis_come_and_go(
    server: RedisServer, worker: redis_client.Redis, tmp_path: Path
) -> None:
    """Each is told of by itself; what comes afterwards goes from memory to Redis, and is read from there."""
    history = history_of(server, tmp_path)
    history.keep(kept(1))
    await settle(history, 1)
    assert history._behind is not None
    history._behind.failure = StorageError("store.io", "the disk is gone")
    history.keep(kept(2))
    await settle(history, 2)
    health = history.health()
    assert (health["connected"], health["ok"], history.stats()["redis_episodes"]) == (True, False, 0)
    assert health["reason"].startswith("store.io: ")
    found = await history.read(HistoryQuery(CHANNEL, 10, 1 << 20, ranges=((EPOCH, 1, 2),)))
    assert (streamed(worker), offsets(found.frames)) == ([1, 2], [1, 2])
    await history.close(EPOCH)
