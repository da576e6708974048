"""Tenants on real nodes: two nodes of one cluster and one of another, linked, with everything exported."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from arqonmesh_testbed.loopback import LoopbackMesh, LoopbackNode
from tests.bridge.conftest import ask, receive
from tests.e2e import kit

CHANNEL = "plant:press"
TENANTS = ("acme", "globex", "")
EVERYTHING = 'federation: {export: {allow: ["*"]}, import: {allow: ["*"]}}\n'
SETTLE_S = 0.3
"""How long is listened for what must not come, once what must come has arrived everywhere."""


@pytest.fixture(scope="module")
def three() -> Iterator[tuple[LoopbackNode, LoopbackNode, LoopbackNode]]:
    with kit.nodes(EVERYTHING) as mesh:
        yield from _three(mesh)


def _three(mesh: LoopbackMesh) -> Iterator[tuple[LoopbackNode, LoopbackNode, LoopbackNode]]:
    one = mesh.seed("hq")
    two = mesh.join("hq-two", one, "hub", cluster="hq")
    far = mesh.join("factory", one, "hub")
    yield one, two, far


@asynccontextmanager
async def member(node: LoopbackNode, tenant: str, channel: str) -> AsyncIterator[tuple[ClientConnection, str]]:
    path = f"t/{tenant}" if tenant else ""
    url = f"ws://127.0.0.1:{node.bus}/{path}"
    async with connect(url, proxy=None, subprotocols=["arqon.v1"]) as client:  # type: ignore[list-item]
        id_ = (await receive(client))["payload"]["client_id"]
        await ask(client, {"type": "join", "channel": channel})
        yield client, id_


async def heard(client: ClientConnection, wanted: set[str]) -> list[dict[str, Any]]:
    """Everything until these payloads have come, and what comes in a while after."""
    frames: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while not wanted <= {frame["payload"] for frame in frames if frame["type"] == "event"}:
            frames.append(json.loads(await client.recv()))
    try:
        async with asyncio.timeout(SETTLE_S):
            while True:
                frames.append(json.loads(await client.recv()))
    except TimeoutError:
        return frames


@pytest.mark.requirement("R-BU-14")
async def test_tenants_hear_themselves_at_every_node_and_nobody_else(
    three: tuple[LoopbackNode, LoopbackNode, LoopbackNode],
) -> None:
    """Events, presence, private messages, listings and history, across a cluster and across federation."""
    async with AsyncExitStack() as stack:
        clients: dict[tuple[str, int], tuple[ClientConnection, str]] = {}
        for tenant in TENANTS:
            for place, node in enumerate(three):
                channel = "*" if place == 1 else CHANNEL
                clients[tenant, place] = await stack.enter_async_context(member(node, tenant, channel))
        await _all_reached(clients)
        for tenant in TENANTS:
            publisher, _ = clients[tenant, 0]
            strangers = [id_ for (other, _), (_, id_) in clients.items() if other != tenant]
            await publisher.send(json.dumps({"type": "private", "to": strangers, "payload": "psst"}))
            await publisher.send(json.dumps({"type": "event", "channel": CHANNEL, "payload": f"of {tenant}"}))
        for (tenant, place), (client, _) in clients.items():
            if place == 0:
                continue
            frames = await heard(client, {f"of {tenant}"})
            events = [frame["payload"] for frame in frames if frame["type"] in ("event", "private")]
            assert {event for event in events if not event.startswith("are you")} == {f"of {tenant}"}
            text = json.dumps(frames)
            assert not [id_ for (other, _), (_, id_) in clients.items() if other != tenant and id_ in text]
            told = [
                await ask(client, {"type": "list_channels"}),
                await ask(client, {"type": "history", "channel": CHANNEL}),
                await ask(client, {"type": "info", "channel": CHANNEL}),
            ]
            assert [entry["id"] for entry in told[0]["payload"]["channels"]] == [CHANNEL]
            assert f"of {tenant}" in {message["payload"] for message in told[1]["payload"]["messages"]}
            text = json.dumps(told)
            for other in TENANTS:
                if other != tenant:
                    assert f'"of {other}"' not in text
                    assert not [id_ for (owner, _), (_, id_) in clients.items() if owner == other and id_ in text]


async def _all_reached(clients: dict[tuple[str, int], tuple[ClientConnection, str]]) -> None:
    """Interest has spread: what each tenant says at the first node is heard at the others."""
    for tenant in TENANTS:
        question = f"are you there {tenant}"
        waiting = [asyncio.create_task(heard(clients[tenant, place][0], {question})) for place in (1, 2)]
        while not all(task.done() for task in waiting):
            frame = {"type": "event", "channel": CHANNEL, "payload": question}
            await clients[tenant, 0][0].send(json.dumps(frame))
            await asyncio.wait(waiting, timeout=0.1)
        for task in waiting:
            for frame in task.result():
                assert frame["type"] != "event" or frame["payload"] == question
