"""Keys and clients of a real node, from the command line; a bus that is open to the network does not start."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from arqonmesh_testbed.loopback import LoopbackMesh, LoopbackNode, until
from tests.bridge.conftest import ask, receive
from tests.e2e.kit import foreground


@pytest.fixture
def node(mesh: LoopbackMesh) -> Iterator[LoopbackNode]:
    made = mesh.make(f"node{len(mesh.nodes)}", "hub")
    yield made
    if made.pid:
        made.stop()


@pytest.mark.requirement("R-BU-14")
async def test_a_key_lets_in_is_seen_and_its_end_closes_its_client(node: LoopbackNode) -> None:
    """Anyone before the first key; then who has it; revoked beside the running node, and its client is closed."""
    await asyncio.to_thread(node.start)
    url = f"ws://127.0.0.1:{node.bus}/"
    async with connect(url, proxy=None, subprotocols=["arqon.v1"]) as anyone:  # type: ignore[list-item]
        assert (await receive(anyone))["type"] == "system"
        log = (node.data_dir / "node.log").read_text()
        assert "lets anyone in who reaches it, as user" in log
        made = await asyncio.to_thread(node, "bus", "key", "new", "press-7", "--tenant", "acme", "--role", "admin")
        async with asyncio.timeout(10):
            with pytest.raises(ConnectionClosed) as ended:
                await anyone.recv()
        assert ended.value.rcvd is not None
        assert (ended.value.rcvd.code, ended.value.rcvd.reason.partition(":")[0]) == (4401, "bus.auth")
    with pytest.raises(InvalidStatus):
        await connect(url, proxy=None)
    assert made["first"] is True
    said = await asyncio.to_thread(node, "pub", "plant:operator", "1")
    assert said["published"] == 1, "whose node it is goes on without a key"
    bearer = {"Authorization": f"Bearer {made['key']}"}
    async with connect(url, proxy=None, additional_headers=bearer, subprotocols=["arqon.v1"]) as client:  # type: ignore[list-item]
        await receive(client)
        assert (await ask(client, {"type": "join", "channel": "plant:press"}))["status"] == "success"
        told = await asyncio.to_thread(node, "bus", "clients")
        ((one),) = told["clients"]
        assert (one["subject"], one["tenant"], one["rooms"]) == ("press-7", "acme", ["plant:press"])
        assert one["via"] == f"key:{made['prefix']}"
        # last uses are written in groups, beside the loop
        await asyncio.to_thread(until, "its last use", lambda: node("bus", "key", "ls")["keys"][0]["last_used_ms"] > 0)
        await asyncio.to_thread(node, "bus", "key", "revoke", "press-7")
        async with asyncio.timeout(10):
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason.partition(":")[0]) == (4401, "bus.auth-revoked")
    await asyncio.to_thread(until, "no client", lambda: node("bus", "clients")["total"] == 0)


def test_a_bus_on_a_network_address_starts_when_somebody_decided_who_may_use_it(node: LoopbackNode) -> None:
    """Exit code 2 and the way out; with a key it starts."""
    path = node.data_dir / "arqon.yaml"
    path.write_text(path.read_text().replace(f"127.0.0.1:{node.bus}", f"0.0.0.0:{node.bus}"))
    done = foreground(node)
    hint = f"arqon bus key new NAME --data-dir {node.data_dir}"
    assert (done.code, done.error["code"], done.error["hint"]) == (2, "bus.open", hint), done.text
    node("bus", "key", "new", "first")
    node.start()
    assert json.dumps(node("node", "status")["bus"])
