"""Two nodes of one cluster that share one Redis: real processes, a real redis-server, plain WebSocket clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import redis as redis_client

from arqonmesh.store.history.redis import heads_key, stream_key
from arqonmesh_testbed.loopback import LoopbackNode, until
from tests.e2e import kit
from tests.e2e.test_history import CHANNEL, Talker, health
from tests.store.redis_server import RedisServer

OURS, THEIRS = range(1, 101), range(1_001, 1_101)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[tuple[LoopbackNode, LoopbackNode, RedisServer]]:
    """Rings of 20, so that what is asked for is on disk or in Redis."""
    server = RedisServer(tmp_path)
    server.start(keep=True)
    with kit.nodes(f"bus: {{history: {{per_channel: 20, redis_url: '{server.url}'}}}}\n") as mesh:
        one = mesh.seed("hq")
        two = mesh.join("hq-two", one, "hub", cluster="hq")
        yield one, two, server
    server.kill()


def in_redis(server: RedisServer) -> list[Any]:
    with redis_client.Redis.from_url(server.url) as worker:
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", worker.xrange(stream_key(CHANNEL)))
    return [json.loads(fields[b"frame"])["payload"] for _, fields in entries]


async def history_at(node: LoopbackNode) -> list[Any]:
    talker = await Talker.at(node, CHANNEL)
    answer = await talker.ask(type="history", limit=500)
    await talker.socket.close()
    return sorted(message["payload"] for message in answer["messages"])


@pytest.mark.process
@pytest.mark.requirement("R-BU-13")
async def test_what_both_published_is_found_at_the_one_that_is_left_even_without_its_disk(
    shared: tuple[LoopbackNode, LoopbackNode, RedisServer],
) -> None:
    """Each writes its own, once. One is killed, the other has everything; then it loses its disk, and has it from
    Redis: positions, what a client missed, and the history."""
    one, two, server = shared
    first, second = await Talker.at(one, CHANNEL), await Talker.at(two, CHANNEL)
    seen = (await second.ask(type="join", since={}))["position"]
    await asyncio.gather(first.publish(*OURS), second.publish(*THEIRS))
    until("all in Redis", lambda: len(in_redis(server)) >= 200)
    assert [payload for payload in in_redis(server) if payload in OURS] == list(OURS), "in order, once"
    assert sorted(in_redis(server)) == [*OURS, *THEIRS]
    one.kill()
    assert await history_at(two) == [*OURS, *THEIRS]
    await first.socket.close()
    await second.socket.close()

    two.kill()
    for path in two.data_dir.glob("history.db*"):
        path.unlink()
    await asyncio.to_thread(two.start)
    assert await history_at(two) == [*OURS, *THEIRS]
    with redis_client.Redis.from_url(server.url) as worker:
        heads = cast("dict[bytes, bytes]", worker.hgetall(heads_key(CHANNEL)))
    assert sorted(heads.values()) == [b"100", b"100"]
    back = await Talker.at(two, CHANNEL)
    missed = {epoch.decode(): 60 for epoch in heads}
    answer = await back.join({**seen, **missed})
    assert {epoch: answer["position"][epoch] for epoch in missed} == dict.fromkeys(missed, 100)
    assert (answer["missed"], sorted(back.seen)) == (80, [*OURS[60:], *THEIRS[60:]])
    gaps = [(gap["first"], gap["last"]) for gap in answer.get("gaps", ())]
    assert gaps == [(101, None)], "the life of its own that was killed: nobody knows whether there was more"
    await back.publish(2_001)
    until("the new one in Redis", lambda: 2_001 in in_redis(server))
    assert sorted(in_redis(server)) == [*OURS, *THEIRS, 2_001], "and nothing twice, though the disk is a new one"
    until("health", lambda: health(two)["ok"])
    assert health(two)["connected"]
    await back.socket.close()
