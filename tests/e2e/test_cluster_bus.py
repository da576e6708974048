"""Two real nodes of one cluster: clients of either see each other, talk, whisper; a node dies, freezes, comes back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from arqonmesh.client import BusClient
from arqonmesh_testbed.loopback import LoopbackMesh, LoopbackNode
from tests.e2e import kit

CHANNEL = "lab:bench"
QUICK = """
membership: {probe_interval_ms: 200, probe_timeout_ms: 100, suspicion_mult: 2, dead_probe_interval_ms: 1000}
"""


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[LoopbackMesh, LoopbackNode, LoopbackNode]]:
    with kit.nodes(QUICK) as mesh:
        one = mesh.seed("hq")
        two = mesh.join("hq-two", one, "hub", cluster="hq")
        yield mesh, one, two


@asynccontextmanager
async def guest(node: LoopbackNode, name: str, kind: str = "human") -> AsyncIterator[BusClient]:
    async with await BusClient.connect(f"ws://127.0.0.1:{node.bus}/", name=name, kind=kind, reconnect=False) as client:
        await client.join(CHANNEL)
        yield client


async def eventually(what: str, true: Callable[[], Awaitable[Any]]) -> None:
    """Ask until the answer is true; fails after about twenty seconds."""
    for _ in range(1_000):
        if await true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{what} did not come true")


async def names(client: BusClient) -> list[str]:
    return sorted(member.name for member in await client.presence(CHANNEL))


async def seen(*clients: BusClient, as_: list[str]) -> None:
    async def all_see() -> bool:
        return all([await names(client) == as_ for client in clients])

    await eventually(f"presence {as_}", all_see)


@pytest.mark.requirement("R-BU-21")
@pytest.mark.requirement("R-BU-24")
async def test_clients_of_two_nodes_see_each_other_talk_and_whisper(
    pair: tuple[LoopbackMesh, LoopbackNode, LoopbackNode],
) -> None:
    """Without any export rule: this is one cluster."""
    _, one, two = pair
    async with guest(one, "ada") as ada, guest(two, "bot", "ai-agent") as bot:
        await seen(ada, bot, as_=["ada", "bot"])
        members = {member.name: member for member in await ada.presence(CHANNEL)}
        assert members["bot"].type == "ai-agent"
        assert members["bot"].node != members["ada"].node
        told: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        bot.on(CHANNEL, lambda message: told.put_nowait(("event", message.payload)))
        bot.on("private", lambda message: told.put_nowait(("private", message.payload)))
        await ada.publish(CHANNEL, {"n": 1})
        await ada.private(bot.client_id, {"n": 2})
        async with asyncio.timeout(10):
            heard = [await told.get(), await told.get()]
        assert sorted(heard, key=str) == [("event", {"n": 1}), ("private", {"n": 2})]
        listed = (await bot.command("list_channels")).payload["channels"]
        assert [(one["id"], one["member_count"]) for one in listed if one["room"] == "lab"] == [(CHANNEL, 2)]


def deaths(node: LoopbackNode, of: LoopbackNode) -> int:
    """How often `node` has taken the other for dead, by its log."""
    id_ = of("node", "status")["node_id"]
    return len([event for event in kit.events(node, "member") if event["node"] == id_ and event["state"] == "dead"])


@pytest.mark.requirement("R-BU-24")
async def test_a_frozen_node_and_a_killed_one_take_their_clients_with_them_and_bring_them_back(
    pair: tuple[LoopbackMesh, LoopbackNode, LoopbackNode],
) -> None:
    """Frozen (SIGSTOP): out of sight, and after its return presence is equal. Killed (SIGKILL): gone, with notices.

    These follow what is taken for true, by turns: never one more than there were deaths. On a machine that is starved a
    node that just came back may be taken for dead once more, so there is no saying how many deaths a freeze is.
    """
    _, one, two = pair
    before = await asyncio.to_thread(deaths, one, two)
    async with guest(one, "ada") as ada:
        told: list[str] = []
        ada.on_presence(lambda presence, _: told.append(presence.event) if presence.name == "bot" else None)

        async def is_told(count: int, last: str) -> None:
            async def true() -> bool:
                return len(told) >= count and told[-1] == last

            await eventually(f"at least {count} notices, with {last} in the end,", true)
            assert told == ["joined", "left"] * (len(told) // 2) + ["joined"] * (len(told) % 2)

        async with guest(two, "bot") as bot:
            await seen(ada, bot, as_=["ada", "bot"])
            await is_told(1, "joined")
            os.kill(two.pid, signal.SIGSTOP)
            try:
                await seen(ada, as_=["ada"])
                await is_told(2, "left")
            finally:
                os.kill(two.pid, signal.SIGCONT)
            await seen(ada, bot, as_=["ada", "bot"])
            await is_told(3, "joined")
            two.kill()
        await seen(ada, as_=["ada"])
        await is_told(4, "left")
        await asyncio.to_thread(two.start)
        async with guest(two, "cat") as cat:
            await seen(ada, cat, as_=["ada", "cat"])
        assert told.count("left") <= await asyncio.to_thread(deaths, one, two) - before
