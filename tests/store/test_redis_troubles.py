"""What can be wrong with a Redis that the history is put into, each against a real redis-server."""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import redis as redis_client

from arqonmesh.core.kernel import HistoryQuery
from arqonmesh.store.history.redis import RedisHistory, heads_key, stream_key
from arqonmesh.store.history.redis.condition import kind_of
from arqonmesh.store.history.redis.keys import LIVES_MAX, stray_key
from tests.store.redis_server import RedisServer
from tests.store.test_history import CHANNEL, EPOCH, kept, offsets
from tests.store.test_redis_history import history_of, settle, streamed
from tests.waiting import until

OTHER = "a:b"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start(keep=True)
    yield server
    with contextlib.suppress(AssertionError):
        server.resume()
    server.kill()


@pytest.fixture
async def history(server: RedisServer, tmp_path: Path) -> AsyncIterator[RedisHistory]:
    """With SQLite behind it; three events of CHANNEL are in Redis."""
    history = history_of(server, tmp_path)
    history.keep(kept(1, 3))
    await settle(history, 3)
    yield history
    await history.close(EPOCH)


async def all_of(history: RedisHistory, last: int) -> list[int]:
    return offsets((await history.read(HistoryQuery(CHANNEL, 1_000, 1 << 20, ranges=((EPOCH, 1, last),)))).frames)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "arqonmesh.store.redis"]


SPOILERS: dict[str, Callable[[redis_client.Redis], object]] = {
    "stream": lambda worker: worker.set(stream_key(OTHER), "not a stream"),
    "heads": lambda worker: worker.set(heads_key(OTHER), "not a hash"),
    "head": lambda worker: worker.hset(heads_key(OTHER), EPOCH, "not a number"),
}


@pytest.mark.parametrize("what", SPOILERS)
@pytest.mark.parametrize("durable", [True, False])
async def test_a_key_of_a_wrong_type_costs_only_itself(
    server: RedisServer,
    worker: redis_client.Redis,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    what: str,
    durable: bool,
) -> None:
    """Its frames are skipped and counted, health names it, the log has one line; when it is gone, writing goes on."""
    SPOILERS[what](worker)
    history = history_of(server, tmp_path, durable=durable)
    for offset in range(1, 4):
        history.keep(kept(offset, channel=OTHER))
        history.keep(kept(offset))
        await until(lambda due=offset: not history.sender.pending and history.condition.skipped == due)  # type: ignore[misc]
    assert streamed(worker) == [1, 2, 3]
    health = history.health()
    assert (health["ok"], health["connected"], health["spoiled_keys"]) == (False, True, [stream_key(OTHER)])
    assert health["reason"].startswith("store.redis-key: 1 keys")
    if durable:
        found = await history.read(HistoryQuery(OTHER, 10, 1 << 20))
        assert offsets(found.frames) == [1, 2, 3], "the disk has it"
    worker.delete(stream_key(OTHER), heads_key(OTHER))
    history.keep(kept(4, channel=OTHER))
    await until(lambda: bool(history.health()["ok"]))
    assert streamed(worker, OTHER) == [4]
    stats = history.stats()
    assert (stats["redis_skipped"], stats["redis_episodes"], stats["redis_spoiled_keys"]) == (3, 0, 0)
    assert [line.split(" in Redis")[0].split(": ")[-1] for line in said(caplog)] == [stream_key(OTHER)] * 2
    await history.close(EPOCH)


def _full(worker: redis_client.Redis) -> None:
    worker.config_set("maxmemory", 1)


def _roomy(worker: redis_client.Redis) -> None:
    worker.config_set("maxmemory", 0)


def _replica(worker: redis_client.Redis) -> None:
    worker.replicaof("127.0.0.1", 1)


def _primary(worker: redis_client.Redis) -> None:
    worker.replicaof("NO", "ONE")


def _locked(worker: redis_client.Redis) -> None:
    worker.config_set("requirepass", "secret")
    worker.client_kill_filter(_type="normal", skipme=True)


def _unlocked(worker: redis_client.Redis) -> None:
    worker.config_set("requirepass", "")


@pytest.mark.parametrize(
    ("kind", "begin", "end", "readable"),
    [
        ("full", _full, _roomy, True),
        ("readonly", _replica, _primary, True),
        ("auth", _locked, _unlocked, False),
    ],
)
async def test_a_redis_that_takes_nothing_for_a_while_gets_everything_afterwards(
    server: RedisServer,
    worker: redis_client.Redis,
    history: RedisHistory,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    begin: Callable[[redis_client.Redis], None],
    end: Callable[[redis_client.Redis], None],
    readable: bool,
) -> None:
    """In order, once; meanwhile it is told by kind, in one line however often it is tried."""
    begin(worker)
    for offset in range(4, 7):
        history.keep(kept(offset))
    await until(lambda: history.condition.failures[kind] >= 2)
    health = history.health()
    assert (health["ok"], health["kind"], health["fallback"]) == (False, kind, "sqlite")
    assert health["connected"] is readable
    assert health["hint"]
    assert await all_of(history, 6) == [1, 2, 3, 4, 5, 6]
    end(worker)
    await until(lambda: bool(history.health()["ok"]))
    assert streamed(worker) == [1, 2, 3, 4, 5, 6]
    stats = history.stats()
    assert (stats["redis_episodes"], stats["redis_reconnects"], stats["redis_skipped"]) == (1, 1, 0)
    assert [line.partition(" redis://")[0] for line in said(caplog)] == ["store.redis: Redis at", "Redis at"]


async def test_a_redis_that_does_not_answer_is_given_up_in_time_and_gets_everything_once(
    server: RedisServer, worker: redis_client.Redis, history: RedisHistory
) -> None:
    """What it took without being able to say so is not written twice."""
    server.pause()
    history.keep(kept(4, 3))
    await until(lambda: history.condition.failures["timeout"] >= 1)
    assert (history.health()["kind"], history.condition.connected) == ("timeout", False)
    assert await all_of(history, 6) == [1, 2, 3, 4, 5, 6]
    assert history.sender.lag_s() > 0
    server.resume()
    await until(lambda: bool(history.health()["ok"]))
    assert (streamed(worker), history.sender.lag_s()) == ([1, 2, 3, 4, 5, 6], 0)


async def test_a_redis_that_loads_its_data_is_waited_for(
    server: RedisServer, worker: redis_client.Redis, history: RedisHistory, tmp_path: Path
) -> None:
    """It is there and answers LOADING; afterwards it gets what it missed."""
    ballast = random.Random(1).randbytes(16_000)  # which does not shrink: it looks around every 2 MB that it has read
    worker.mset({f"ballast:{number}": ballast for number in range(1_500)})  # for 1.5 s, longer than a pause of ours
    worker.bgrewriteaof()
    await until(lambda: not worker.info("persistence")["aof_rewrite_in_progress"])
    server.kill()
    history.keep(kept(4, 3))
    server.start("--key-load-delay", "1000", keep=True)
    await until(lambda: history.condition.failures["loading"] >= 1)
    await until(lambda: bool(history.health()["ok"]))
    assert streamed(worker) == [1, 2, 3, 4, 5, 6]


async def test_a_redis_that_comes_back_empty_gets_all_that_the_disk_has(
    server: RedisServer, worker: redis_client.Redis, tmp_path: Path
) -> None:
    """kill -9 of one that keeps nothing: its heads are gone with its streams, so nothing is taken for written."""
    server.kill()
    server.start()
    history = history_of(server, tmp_path)
    for offset in range(1, 4):
        history.keep(kept(offset))
        await settle(history, offset)
    await until(lambda: worker.keys("arqon:mirror:*") != [])
    server.kill()
    history.keep(kept(4, 3))
    server.start()
    await until(lambda: history.stats()["redis_rewinds"] == 1 and len(streamed(worker)) >= 6)
    assert streamed(worker) == [1, 2, 3, 4, 5, 6]
    await history.close(EPOCH)


async def test_a_redis_that_comes_back_with_an_older_snapshot_gets_what_it_lost(
    server: RedisServer, worker: redis_client.Redis, tmp_path: Path
) -> None:
    """What is in the snapshot is not written twice; also across a restart of the node."""
    server.kill()
    server.start("--dbfilename", "dump.rdb")
    history = history_of(server, tmp_path)
    for offset in range(1, 4):
        history.keep(kept(offset))
        await settle(history, offset)
    worker.save()
    for offset in range(4, 7):
        history.keep(kept(offset))
        await settle(history, offset)
    server.kill()
    await history.close(EPOCH)
    server.start("--dbfilename", "dump.rdb")
    assert streamed(worker) == [1, 2, 3]
    again = history_of(server, tmp_path)
    again.start()
    await until(lambda: bool(again.health()["ok"]) and not again.sender.pending)
    assert streamed(worker) == [1, 2, 3, 4, 5, 6]
    await again.close("nnnnnnnnnn-2")


async def test_another_redis_gets_what_the_disk_has(
    server: RedisServer, worker: redis_client.Redis, tmp_path: Path
) -> None:
    """How far it is stands in Redis itself, so another address begins with nothing."""
    history = history_of(server, tmp_path)
    history.keep(kept(1, 3))
    await settle(history, 3)
    await history.close(EPOCH)
    worker.flushall()
    again = history_of(server, tmp_path)
    again.start()
    await settle(again, 3)
    assert streamed(worker) == [1, 2, 3]
    await again.close("nnnnnnnnnn-2")


async def test_a_redis_that_dies_while_nobody_publishes_is_noticed_and_so_is_its_return(
    server: RedisServer, tmp_path: Path
) -> None:
    """It is asked now and then whether it is there."""
    history = history_of(server, tmp_path, idle_ping_s=0.05)
    history.keep(kept(1))
    await settle(history, 1)
    await until(lambda: bool(history.health()["ok"]))
    server.kill()
    await until(lambda: not history.condition.connected)
    server.start(keep=True)
    await until(lambda: bool(history.health()["ok"]))
    await history.close(EPOCH)


async def test_a_reader_that_finds_redis_gone_makes_the_writer_look(
    server: RedisServer, worker: redis_client.Redis, tmp_path: Path
) -> None:
    """Else it would count as gone until somebody publishes."""
    history = history_of(server, tmp_path, idle_ping_s=3_600)
    history.keep(kept(1))
    await settle(history, 1)
    await until(lambda: history.condition.ok)
    server.pause()
    await history.read(HistoryQuery(CHANNEL, 10, 1 << 20))
    assert not history.condition.connected
    server.resume()
    await until(lambda: bool(history.health()["ok"]))
    await history.close(EPOCH)


async def test_events_behind_one_that_failed_do_not_pass_it(
    server: RedisServer, worker: redis_client.Redis, history: RedisHistory
) -> None:
    """Within one round trip: what comes after a failure would raise the head past what it has not written."""
    answer = await history.sender._append(
        keys=[stream_key(CHANNEL), heads_key(CHANNEL), stray_key(CHANNEL)],
        args=[EPOCH, 6, 1_000, 5, 0, 0, kept(6).frames[0]],
    )
    assert (answer, streamed(worker)) == (-1, [1, 2, 3])


async def test_the_heads_of_a_channel_are_bounded_by_lives(
    server: RedisServer, worker: redis_client.Redis, tmp_path: Path
) -> None:
    """A node that is started again and again leaves its latest lives there, and takes none of another's."""
    history = history_of(server, tmp_path, durable=False)
    history.keep(kept(1, epoch="mmmmmmmmmm-1"))
    for life in range(LIVES_MAX + 5):
        history.keep(kept(1, epoch=f"nnnnnnnnnn-{chr(97 + life)}"))
    await settle(history, LIVES_MAX + 6)
    heads = worker.hkeys(heads_key(CHANNEL))
    assert len(heads) == LIVES_MAX + 1
    assert {b"mmmmmmmmmm-1", f"nnnnnnnnnn-{chr(97 + LIVES_MAX + 4)}".encode()} < set(heads)
    await history.close(EPOCH)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "key"),
        ("Error running script (call to f_1): @user_script:5: WRONGTYPE Operation", "key"),
        ("Error running script (call to f_1): @user_script:5: @user_script: 5: -OOM command not allowed when used "
         "memory > 'maxmemory'.", "full"),
        ("Error running script: -READONLY You can't write against a read only replica.", "readonly"),
        ("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist", "refused"),
        ("unknown command `EVALSHA`, with args beginning with:", "refused"),
        ("something that nobody has seen yet", "refused"),
    ],
)  # fmt: skip
def test_what_nobody_knows_is_tried_again_and_not_given_up(message: str, kind: str) -> None:
    """Only what a key holds costs its frames."""
    assert kind_of(redis_client.ResponseError(message)) == kind


@pytest.fixture(autouse=True)
def _warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "arqonmesh.store.redis")
