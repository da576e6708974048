"""History and resume over real processes: killed nodes, clients that come back elsewhere, Redis beside a node."""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
import redis as redis_client
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from arqonmesh.store.history.redis import stream_key
from arqonmesh_testbed.loopback import LoopbackMesh, LoopbackNode, until
from tests.e2e import kit
from tests.store.redis_server import RedisServer

CHANNEL = "lab:bench"
SMALL = "bus: {history: {per_channel: 20}}\n"


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[LoopbackMesh, LoopbackNode, LoopbackNode]]:
    """Two nodes of one cluster, with rings so small that the disk has to help."""
    with kit.nodes(SMALL) as mesh:
        one = mesh.seed("hq")
        two = mesh.join("hq-two", one, "hub", cluster="hq")
        yield mesh, one, two


class Talker:
    """A plain WebSocket client that notes what it was sent of one channel."""

    def __init__(self, socket: ClientConnection, channel: str) -> None:
        self.socket = socket
        self.channel = channel
        self.seen: list[Any] = []
        self.position: dict[str, int] = {}

    @classmethod
    async def at(cls, node: LoopbackNode, channel: str) -> Talker:
        socket = await connect(f"ws://127.0.0.1:{node.bus}/", subprotocols=["arqon.v1"])  # type: ignore[list-item]
        return cls(socket, channel)

    async def ask(self, **frame: Any) -> dict[str, Any]:
        """Send a command; its answer. Events that come before it are noted."""
        await self.socket.send(json.dumps({"channel": self.channel, **frame}))
        while True:
            told = await self.read()
            if told["type"] in ("response", "error"):
                assert told["type"] == "response", told
                return dict(told["payload"])

    async def read(self) -> dict[str, Any]:
        async with asyncio.timeout(20):
            told: dict[str, Any] = json.loads(await self.socket.recv())
        if told["type"] == "event":
            self.seen.append(told["payload"])
            self.position[told["epoch"]] = max(self.position.get(told["epoch"], 0), told["offset"])
        return told

    async def hear(self, count: int) -> None:
        """Until so many events are noted."""
        while len(self.seen) < count:
            await self.read()

    async def publish(self, *payloads: int) -> None:
        """Each is acknowledged by the node."""
        for payload in payloads:
            await self.ask(type="event", payload=payload, metadata={"ack": True})

    async def join(self, since: dict[str, int] | None = None) -> dict[str, Any]:
        answer = await self.ask(type="join", **({} if since is None else {"since": since}))
        for epoch, offset in answer["position"].items():
            self.position[epoch] = max(self.position.get(epoch, 0), offset)
        return answer


@pytest.mark.process
async def test_who_lost_its_node_resumes_at_the_other_and_misses_nothing(
    pair: tuple[LoopbackMesh, LoopbackNode, LoopbackNode],
) -> None:
    """More was published meanwhile than a ring holds; nothing comes twice, and what is live follows."""
    _, one, two = pair
    talker, listener = await Talker.at(one, "lab:move"), await Talker.at(one, "lab:move")
    await listener.join()
    await talker.publish(*range(1, 6))
    await listener.hear(5)
    await listener.socket.close()
    await talker.publish(*range(6, 101))
    again = await Talker.at(two, "lab:move")
    again.seen, again.position = listener.seen, listener.position
    for _ in range(100):  # the newest may still be on their way between the nodes
        if (await again.ask(type="history", limit=1))["position"].get(next(iter(listener.position)), 0) == 100:
            break
    answer = await again.join(listener.position)
    assert (answer["recovered"], again.seen) == (True, list(range(1, 101)))
    await talker.publish(101)
    await again.hear(101)
    assert again.seen == list(range(1, 102))
    await again.socket.close()
    await talker.socket.close()


@pytest.mark.process
async def test_a_killed_node_has_what_it_committed_and_names_what_it_may_not_have(
    pair: tuple[LoopbackMesh, LoopbackNode, LoopbackNode],
) -> None:
    """A new epoch begins; the old one's end is what reached the disk, and the doubt about its tail is told once."""
    _, one, _ = pair
    talker, listener = await Talker.at(one, "lab:crash"), await Talker.at(one, "lab:crash")
    await listener.join()
    await talker.publish(*range(1, 51))
    await listener.hear(50)
    await talker.ask(type="history", since=dict.fromkeys(listener.position, 0), limit=500)  # reads, so it commits
    one.kill()
    await asyncio.to_thread(one.start)
    back = await Talker.at(one, "lab:crash")
    old = next(epoch for epoch, offset in listener.position.items() if offset == 50)
    answer = await back.join({**listener.position, old: 10})
    assert back.seen == list(range(11, 51))
    assert answer["gaps"] == [{"epoch": old, "first": 51, "last": None}]
    fresh = await Talker.at(one, "lab:crash")
    assert (await fresh.join(back.position))["recovered"] is True
    history = await fresh.ask(type="history", limit=500)
    assert [frame["payload"] for frame in history["messages"]] == list(range(1, 51))
    query = f"/history?channel=lab:crash&limit=500&since={quote(json.dumps({old: 40}))}"
    told = await asyncio.to_thread(get, one, query)
    assert [frame["payload"] for frame in told["history"]] == list(range(41, 51))
    await back.socket.close()
    await fresh.socket.close()


@pytest.mark.process
async def test_a_node_that_was_away_has_the_history_of_its_cluster_when_it_is_back(
    pair: tuple[LoopbackMesh, LoopbackNode, LoopbackNode],
) -> None:
    """What was published at the other meanwhile is held for it, and resumes work at either."""
    _, one, two = pair
    await asyncio.to_thread(until, "the link", lambda: one.links_up() and two.links_up())
    talker, listener = await Talker.at(one, "lab:away"), await Talker.at(two, "lab:away")
    await listener.join()
    await talker.publish(1, 2)
    await listener.hear(2)
    two.kill()
    await talker.publish(*range(3, 61))
    await asyncio.to_thread(two.start)
    back = await Talker.at(two, "lab:away")
    back.seen, back.position = listener.seen, listener.position
    answer = await back.join(listener.position)
    await back.hear(60)  # what has not arrived yet comes live, from where it stopped
    assert back.seen == list(range(1, 61))
    assert [gap for gap in answer.get("gaps", []) if gap["last"] is not None] == []
    await back.socket.close()
    await talker.socket.close()


@pytest.fixture
def trio() -> Iterator[tuple[LoopbackNode, LoopbackNode, LoopbackNode]]:
    """Three nodes of one cluster."""
    with kit.nodes(SMALL) as mesh:
        one = mesh.seed("hq")
        two, three = [mesh.join(name, one, "hub", cluster="hq") for name in ("hq-two", "hq-three")]
        until("the links", lambda: one.links_up() >= 2)
        yield one, two, three


@pytest.mark.process
async def test_a_node_killed_under_load_is_filled_up_by_its_cluster(
    trio: tuple[LoopbackNode, LoopbackNode, LoopbackNode],
) -> None:
    """The publisher's own: its mates have what its disk did not get, and it knows again how far it went."""
    one, two, _ = trio
    talker, listener = await Talker.at(one, "lab:load"), await Talker.at(two, "lab:load")
    await listener.join()

    async def load() -> None:
        """Published and not waited for, until the node is gone."""
        for number in range(1, 1_000_000):
            await talker.socket.send(json.dumps({"type": "event", "channel": "lab:load", "payload": number}))
            if number % 20 == 0:
                await asyncio.sleep(0.005)

    loading = asyncio.create_task(load())
    await listener.hear(1_000)
    old = max(listener.position, key=lambda epoch: listener.position[epoch])
    one.kill()
    with pytest.raises(ConnectionClosed):
        await loading
    with contextlib.suppress(TimeoutError):
        while True:
            await asyncio.wait_for(listener.read(), 1)  # what was on its way
    heard = max(listener.seen)
    assert listener.seen == list(range(1, heard + 1))
    await asyncio.to_thread(one.start)
    for _ in range(200):
        back = await Talker.at(one, "lab:load")
        answer = await back.join({old: max(0, heard - 2_000)})
        if answer["recovered"] and answer["position"].get(old, 0) >= heard:
            break
        await back.socket.close()
        await asyncio.sleep(0.1)
    assert answer["recovered"], answer
    assert back.seen == list(range(max(0, heard - 2_000) + 1, answer["position"][old] + 1))
    for socket in (back.socket, listener.socket, talker.socket):
        await socket.close()


@pytest.fixture
def with_redis(tmp_path: Path) -> Iterator[tuple[LoopbackNode, RedisServer]]:
    server = RedisServer(tmp_path)
    server.start(keep=True)
    with kit.nodes(f"bus: {{history: {{redis_url: '{server.url}'}}}}\n") as mesh:
        node = mesh.make("solo")
        node.start()
        yield node, server
    server.kill()


@pytest.mark.process
@pytest.mark.requirement("R-BU-13")
async def test_redis_dies_under_load_and_the_node_says_so_and_catches_up(
    with_redis: tuple[LoopbackNode, RedisServer],
) -> None:
    """/health names it, clients notice nothing, and workers find everything in order afterwards."""
    node, server = with_redis
    talker = await Talker.at(node, CHANNEL)
    await talker.publish(*range(1, 101))
    server.kill()
    await talker.publish(*range(101, 201))
    until("the loss in health", lambda: not health(node)["connected"])
    assert health(node)["ok"] is False
    assert "is gone" in health(node)["reason"]
    assert len((await talker.ask(type="history", limit=500))["messages"]) == 200
    server.start(keep=True)
    with redis_client.Redis.from_url(server.url) as worker:
        until("all in Redis", lambda: worker.xlen(stream_key(CHANNEL)) == 200)
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", worker.xrange(stream_key(CHANNEL)))
    assert [json.loads(fields[b"frame"])["payload"] for _, fields in entries] == list(range(1, 201))
    until("health", lambda: health(node)["ok"])
    await talker.socket.close()


def get(node: LoopbackNode, path: str) -> dict[str, Any]:
    """An answer's body, whatever its status code."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{node.http}{path}", timeout=5) as read:
            told: dict[str, Any] = json.load(read)
    except urllib.error.HTTPError as unwell:
        told = json.load(unwell)
    return told


def health(node: LoopbackNode) -> dict[str, Any]:
    found: dict[str, Any] = get(node, "/health")["components"]["history"]
    return found
