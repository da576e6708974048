"""A client of one node of a cluster goes on at another, when its own is killed."""

from __future__ import annotations

import asyncio

import pytest

from arqonmesh.client import BusClient, Resumed
from arqonmesh_testbed.loopback import LoopbackMesh, LoopbackNode
from arqonmesh_testbed.loopback import until as happened
from tests.e2e.kit import nodes
from tests.waiting import until


@pytest.mark.requirement("R-BU-21")
@pytest.mark.process
def test_nothing_is_missing_when_the_node_of_a_client_is_killed() -> None:
    """kill -9; what was published at the other node meanwhile comes first, and what comes then is live."""
    with nodes() as mesh:
        one = mesh.seed("hq")
        two = _second(mesh, one)
        seen, told, url = asyncio.run(_lose_one(one, two))
    assert [n for n in seen if n] == list(range(1, 42))
    assert [(resumed.channel, resumed.recovered, resumed.gaps) for resumed in told] == [("a:b", True, ())]
    assert url == _url(two)


async def _lose_one(one: LoopbackNode, two: LoopbackNode) -> tuple[list[int], list[Resumed], str]:
    seen: list[int] = []
    told: list[Resumed] = []
    async with await BusClient.connect([_url(one), _url(two)]) as member, await BusClient.connect(_url(two)) as other:
        member.on("a:b", lambda message: seen.append(message.payload))
        member.on_resume(told.append)
        await member.join("a:b")
        while not seen:  # until the nodes have told each other who is where
            await other.send("a:b", 0)
        for n in range(1, 21):
            await other.send("a:b", n)
        await until(lambda: seen[-1:] == [20])
        one.kill()
        for n in range(21, 41):
            await other.send("a:b", n)
        await until(lambda: len(told) == 1)
        await other.send("a:b", 41)
        await until(lambda: seen[-1:] == [41])
        return seen, told, member.url


def _url(node: LoopbackNode) -> str:
    return f"ws://127.0.0.1:{node.bus}"


def _second(mesh: LoopbackMesh, one: LoopbackNode) -> LoopbackNode:
    """Another node of the same cluster, linked."""
    node = mesh.make("hq-2", "hub", cluster="hq")
    node.start()
    node("mesh", "join", one("invite", "new", "--cluster", "hq", "--role", "hub")["ticket"])
    happened("the link of hq-2", node.links_up)
    return node
