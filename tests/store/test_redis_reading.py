"""What a question costs Redis, and how long it may take, against a real redis-server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client

from arqonmesh.core.kernel import HistoryQuery, KeepFrames
from arqonmesh.store.history.redis import RedisHistory, scan, stream_key
from arqonmesh.store.history.redis.heads import read_heads
from arqonmesh.store.history.redis.keys import SLACK_MS, stray_key
from tests.store.redis_server import RedisServer
from tests.store.test_history import CHANNEL, EPOCH, START_MS, frame, kept, offsets
from tests.store.test_redis_history import history_of, settle
from tests.waiting import until

MATE = "mmmmmmmmmm-1"
COUNT, STEP_MS = 2_000, 1_000


@pytest.fixture
async def history(server: RedisServer, tmp_path: Path) -> AsyncIterator[RedisHistory]:
    """Redis alone."""
    history = history_of(server, tmp_path, durable=False)
    yield history
    await history.close(EPOCH)


def fill(worker: redis_client.Redis) -> None:
    """An event per second, with ids as Redis would have given them at that time."""
    with worker.pipeline(transaction=False) as pipeline:
        for offset in range(1, COUNT + 1):
            at_ms = START_MS + offset * STEP_MS
            fields: dict[Any, Any] = {"epoch": EPOCH, "offset": offset, "frame": frame(offset, at_ms=at_ms)}
            pipeline.xadd(stream_key(CHANNEL), fields, id=f"{at_ms + 50}-0")
        pipeline.execute()


def looked_at(worker: redis_client.Redis) -> int:
    """Round trips that read of a stream, since the last time."""
    commands: Any = worker.info("commandstats")
    worker.config_resetstat()
    return sum(commands.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("xrange", "xrevrange"))


def at(offset: int) -> int:
    return START_MS + offset * STEP_MS


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"after_ms": at(1_000), "oldest": True}, range(1_000, 1_010)),
        ({"after_ms": at(1_990)}, range(1_991, 2_001)),
        ({"before_ms": at(1_000)}, range(990, 1_000)),
        ({"before_ms": at(100), "oldest": True}, range(1, 11)),
        ({"after_ms": at(500), "before_ms": at(505)}, range(500, 505)),
        ({"after_ms": at(2_001), "oldest": True}, range(0)),
        ({}, range(1_991, 2_001)),
    ],
)
async def test_a_question_for_a_time_looks_at_the_entries_of_that_time(
    worker: redis_client.Redis, history: RedisHistory, query: dict[str, Any], expected: range
) -> None:
    """Not at the twenty thousand that came later, nor at those before."""
    fill(worker)
    looked_at(worker)
    found = await history.read(HistoryQuery(CHANNEL, 10, 1 << 20, **query))
    assert offsets(found.frames) == list(expected)
    assert looked_at(worker) == 1


async def test_what_redis_got_long_after_its_time_or_before_it_is_found(
    worker: redis_client.Redis, history: RedisHistory
) -> None:
    """It was away, or a clock is ahead: the script notes it, and then more is looked at."""
    fill(worker)
    now_ms = time.time_ns() // 1_000_000
    history.keep(kept(1, epoch=MATE, at_ms=at(1_500)))
    await settle(history, 1)
    assert set(worker.hgetall(stray_key(CHANNEL))) == {b"late"}
    found = await history.read(HistoryQuery(CHANNEL, 3, 1 << 20, before_ms=at(1_501)))
    assert offsets(found.frames) == [1_499, 1_500, 1], "in the order in which they came"
    history.keep(kept(2, epoch=MATE, at_ms=now_ms + 10 * SLACK_MS))
    history.keep(kept(3, epoch=MATE, at_ms=now_ms))
    await settle(history, 3)
    assert set(worker.hgetall(stray_key(CHANNEL))) == {b"late", b"early"}
    found = await history.read(HistoryQuery(CHANNEL, 3, 1 << 20, True, after_ms=now_ms + 9 * SLACK_MS))
    assert offsets(found.frames) == [2]
    history.forget(CHANNEL)
    await settle(history, 3)
    await until(lambda: not worker.exists(stream_key(CHANNEL), stray_key(CHANNEL)))
    worker.set(stray_key(CHANNEL), "of a wrong type")
    history.keep(kept(4, epoch=MATE, at_ms=at(1_500)))
    await settle(history, 4)
    assert history.health()["ok"] is True
    assert offsets((await history.read(HistoryQuery(CHANNEL, 3, 1 << 20, before_ms=at(1_501)))).frames) == [4]


async def test_several_stretches_of_one_stream_are_all_read(worker: redis_client.Redis, history: RedisHistory) -> None:
    """As a mate asks for its holes."""
    fill(worker)
    stretches = ((EPOCH, 1_990, 1_991), (EPOCH, 1_500, 1_500), (EPOCH, 1_700, 1_702))
    found = await history.read(HistoryQuery(CHANNEL, 10, 1 << 20, True, ranges=stretches))
    assert (offsets(found.frames), found.more) == ([1_500, 1_700, 1_701, 1_702, 1_990, 1_991], False)


async def test_a_slow_redis_costs_a_question_no_more_than_its_time(
    worker: redis_client.Redis, history: RedisHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All round trips together: what came until then is the answer, with `more`, and Redis does not count as gone."""
    monkeypatch.setattr(scan, "PAGE", 16)
    fill(worker)
    history.start()
    await settle(history, 0)
    xrevrange = history._redis.xrevrange

    async def slow(*arguments: Any, **named: Any) -> Any:
        await asyncio.sleep(0.15)
        return await xrevrange(*arguments, **named)

    monkeypatch.setattr(history._redis, "xrevrange", slow)
    began_s = time.monotonic()
    found = await history.read(HistoryQuery(CHANNEL, 1_000, 1 << 20))
    assert time.monotonic() - began_s < 1, "timeout_s is half a second, and there are 125 pages"
    assert found.more
    assert offsets(found.frames)[-1] == COUNT
    assert history.condition.connected


def test_heads_are_looked_for_no_longer_than_a_start_can_wait(server: RedisServer, worker: redis_client.Redis) -> None:
    """Among keys of others, however many: every round trip looks at the time."""
    worker.mset({f"other:{number}": "" for number in range(20_000)})
    worker.config_resetstat()
    assert read_heads(server.url, 1.0, within_s=0).failure
    commands: Any = worker.info("commandstats")
    assert commands.get("cmdstat_scan", {}).get("calls", 0) <= 1
    assert not read_heads(server.url, 1.0).failure


@pytest.mark.parametrize("oldest", [True, False])
async def test_two_answers_that_were_cut_short_pass_over_nothing(
    server: RedisServer, worker: redis_client.Redis, tmp_path: Path, oldest: bool
) -> None:
    """SQLite lacks one of A, Redis has B's backlog before A's: who pages on by positions is given all of both."""
    history = history_of(server, tmp_path)
    mate = history_of(server, tmp_path, durable=False)
    for first in (1, 51):
        mate.keep(kept(first, 50, epoch=MATE))
    await settle(mate, 100)
    mate.keep(kept(1, 100))
    await settle(mate, 200)
    for first, last in ((1, 2), (4, 100)):
        some = tuple(frame(offset) for offset in range(first, last + 1))
        history.keep(KeepFrames(CHANNEL, EPOCH, first, START_MS, START_MS, some, False))
    seen: dict[str, list[int]] = {EPOCH: [], MATE: []}
    more, pages = True, 0
    while more:
        ranges = tuple(
            (epoch, max(got, default=0) + 1, 100) if oldest else (epoch, 1, min(got, default=101) - 1)
            for epoch, got in seen.items()
        )
        asked = tuple((epoch, first, last) for epoch, first, last in ranges if first <= last)
        found = await history.read(HistoryQuery(CHANNEL, 50, 1 << 20, oldest, ranges=asked))
        for each in found.frames:
            epoch = EPOCH if EPOCH.encode() in each else MATE
            seen[epoch] += offsets([each])
        more, pages = found.more, pages + 1
        assert pages < 10
    assert {epoch: sorted(got) for epoch, got in seen.items()} == {epoch: list(range(1, 101)) for epoch in seen}
    await mate.close(MATE)
    await history.close(EPOCH)
