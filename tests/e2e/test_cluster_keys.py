"""Three real nodes of one cluster: a key is made once and holds at three, is revoked once and ends at three."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from arqonmesh_testbed.loopback import LoopbackNode, until
from tests.bridge.conftest import receive
from tests.e2e import kit

QUICK = """
membership: {probe_interval_ms: 200, probe_timeout_ms: 100, suspicion_mult: 2, dead_probe_interval_ms: 1000}
"""


@pytest.fixture
def trio() -> Iterator[list[LoopbackNode]]:
    with kit.nodes(QUICK) as mesh:
        one = mesh.seed("hq")
        yield [one, *(mesh.join(f"hq-{name}", one, "hub", cluster="hq") for name in ("two", "three"))]


def knocks(node: LoopbackNode, key: str) -> connect:
    bearer = {"Authorization": f"Bearer {key}"}
    return connect(f"ws://127.0.0.1:{node.bus}/", proxy=None, additional_headers=bearer, subprotocols=["arqon.v1"])  # type: ignore[list-item]


async def opens(node: LoopbackNode, key: str) -> ClientConnection:
    """Once the key is known there; before, there was nothing by which a client could be judged."""
    await asyncio.to_thread(until, f"{node.name} heard of it", lambda: states(node) == [("dash", "active")])
    client = await knocks(node, key)
    await receive(client)
    return client


async def reads_to_its_end(client: ClientConnection) -> None:
    """Notices of the node that stopped come first. Raises ConnectionClosed."""
    while True:
        await client.recv()


def states(node: LoopbackNode) -> list[tuple[str, str]]:
    return [(key["name"], key["state"]) for key in node("bus", "key", "ls")["keys"]]


@pytest.mark.requirement("R-BU-14")
@pytest.mark.requirement("R-BU-21")
async def test_a_key_is_made_once_and_revoked_once_for_the_whole_cluster(
    trio: list[LoopbackNode],
) -> None:
    """Clients at all three are closed within a second or two; a node that was down hears of it when it is back, and
    the keys are still there after a restart."""
    one, two, three = trio
    made = await asyncio.to_thread(one, "bus", "key", "new", "dash", "--role", "guest")
    clients = [await opens(node, made["key"]) for node in trio]
    listed = (await asyncio.to_thread(two, "bus", "key", "ls"))["keys"]
    assert [(key["name"], key["role"], key["made_at"] != "") for key in listed] == [("dash", "guest", True)]
    (mine,) = (await asyncio.to_thread(one, "bus", "key", "ls"))["keys"]
    assert mine["made_at"] == ""
    await clients[2].close()
    await asyncio.to_thread(three.stop)
    begun = time.monotonic()
    await asyncio.to_thread(two, "bus", "key", "revoke", "dash")
    for client in clients[:2]:
        async with asyncio.timeout(10):
            with pytest.raises(ConnectionClosed) as ended:
                await reads_to_its_end(client)
        assert ended.value.rcvd is not None
        assert (ended.value.rcvd.code, ended.value.rcvd.reason.partition(":")[0]) == (4401, "bus.auth-revoked")
    assert time.monotonic() - begun < 5.0
    assert states(three) == [("dash", "active")]  # it is down, and this its file
    await asyncio.to_thread(three.start)
    await asyncio.to_thread(until, "three heard of it", lambda: states(three) == [("dash", "revoked")])
    with pytest.raises(InvalidStatus):
        await knocks(three, made["key"])
    await asyncio.to_thread(one.stop)
    await asyncio.to_thread(one.start)
    assert states(one) == [("dash", "revoked")]
