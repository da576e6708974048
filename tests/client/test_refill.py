"""What a bus dropped because its client read too slowly is fetched by the client, before what came after it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from arqonmesh.client import Gap, catch_up
from arqonmesh.client.failures import Busy
from arqonmesh.config.model import BusSettings, HistorySettings
from arqonmesh.core.bus.refusal import Refusal
from bench.lone_bus import LoneBus
from tests.client.conftest import Connect, cut
from tests.client.dropping import Dropping, heard, resumes
from tests.waiting import until


@pytest.mark.requirement("R-SD-2")
@pytest.mark.parametrize("joined", ["a:b", "a:*"])
async def test_what_was_dropped_comes_in_its_order_and_once(
    joined: str, open_bus: LoneBus, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, with what is live behind it; what the client published itself does not come."""
    monkeypatch.setattr(catch_up, "PAGE", 7)
    publisher, member = await connect(), await connect()
    seen, told = heard(member, "a:b"), resumes(member)
    await member.join(joined)
    await publisher.send("a:b", 0)
    await until(lambda: seen == [0])
    drops = Dropping(open_bus, member, monkeypatch)
    drops.drops = True
    for n in range(1, 21):
        await publisher.send("a:b", n)
    await member.publish("a:b", "its own")
    await publisher.send("a:b", 21)
    drops.tell()
    for n in range(22, 26):
        await publisher.send("a:b", n)
    await until(lambda: bool(told))
    await publisher.send("a:b", 26)
    await until(lambda: 26 in seen)
    assert seen == list(range(27))
    assert [(one.channel, one.recovered, one.gaps) for one in told] == [("a:b", True, ())]
    assert told[0].missed >= 21


async def test_what_is_not_in_the_history_any_more_is_told(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gap by its stream and offsets; and that not all of what was dropped was found."""
    small = LoneBus(BusSettings(history=HistorySettings(per_channel=3)))
    url = await small.start()
    publisher, member = await connect(url), await connect(url)
    seen, told = heard(member, "a:b"), resumes(member)
    await member.join("a:b")
    (epoch,) = member.position("a:b")
    drops = Dropping(small, member, monkeypatch)
    drops.drops = True
    for n in range(1, 11):
        await publisher.send("a:b", n)
    drops.tell()
    await until(lambda: len(told) == 2)
    assert (seen, told[0].gaps) == ([8, 9, 10], (Gap(epoch, 1, 7),))
    assert (told[1].channel, told[1].recovered, told[1].missed) == ("*", False, 3)
    assert member.position("a:b") == {epoch: 10}
    await publisher.close()
    await member.close()
    await small.stop()


async def test_more_that_is_dropped_while_the_history_is_read_is_read_too(
    open_bus: LoneBus, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second notice comes behind the answer to the first question."""
    publisher, member = await connect(), await connect()
    seen, told = heard(member, "a:b"), resumes(member)
    await member.join("a:b")
    drops = Dropping(open_bus, member, monkeypatch)
    drops.drops = True
    await publisher.send("a:b", 1)
    ask = member._session.ask
    asked: list[str] = []

    async def again(name: str, args: dict[str, Any], *rest: Any, **how: Any) -> Any:
        answer = await ask(name, args, *rest, **how)
        if name == "history" and not asked:
            asked.append(name)
            drops.drops = True
            await publisher.send("a:b", 2)
            drops.tell()
            await publisher.send("a:b", 3)
            await until(lambda: len(member._session.subscriptions.catch_up._holds["a:b"].live or ()) == 1)
        return answer

    monkeypatch.setattr(member._session.subscriptions, "_ask", again)
    drops.tell()
    await until(lambda: len(told) == 1)
    assert (seen, told[0].recovered) == ([1, 2, 3], True)


async def test_a_connection_that_is_lost_meanwhile_loses_nothing(
    open_bus: LoneBus, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was held back comes again, from where the channel was."""
    publisher, member = await connect(), await connect()
    seen, told = heard(member, "a:b"), resumes(member)
    await member.join("a:b")
    drops = Dropping(open_bus, member, monkeypatch)
    drops.drops = True
    await publisher.send("a:b", 1)
    ask = member._session.ask

    async def never(name: str, args: dict[str, Any], *rest: Any, **how: Any) -> Any:
        if name == "history":
            await asyncio.get_running_loop().create_future()
        return await ask(name, args, *rest, **how)

    monkeypatch.setattr(member._session.subscriptions, "_ask", never)
    drops.tell()
    await publisher.send("a:b", 2)
    await until(lambda: bool((hold := member._session.subscriptions.catch_up._holds.get("a:b")) and hold.live))
    cut(open_bus, member)
    await until(lambda: len(told) == 1)
    assert (seen, told[0].recovered) == ([1, 2], True)


async def test_a_busy_bus_is_asked_again_on_the_same_connection(
    open_bus: LoneBus, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the pause that it names; a caller's patience has an end."""
    publisher, member = await connect(), await connect()
    seen, told = heard(member, "a:b"), resumes(member)
    await member.join("a:b")
    busy = [2]
    missed = type(open_bus.core.channels.obtain("a:b", 0).streams).missed

    def refusing(streams: Any, since: Any) -> Any:
        if busy[0]:
            busy[0] -= 1
            raise Refusal("bus.history-busy", "too much is read", retry_after_ms=20)
        return missed(streams, since)

    monkeypatch.setattr(type(open_bus.core.channels.obtain("a:b", 0).streams), "missed", refusing)
    cut(open_bus, member)
    await publisher.send("a:b", 1)
    await until(lambda: len(told) == 1)
    assert (seen, told[0].recovered, member.reconnects, busy) == ([1], True, 1, [0])
    busy[0] = 10_000
    with pytest.raises(Busy, match="too much is read") as refused:
        await member.command("history", channel="a:b", since={}, timeout_s=0.1)
    assert (refused.value.code, refused.value.retry_after_s) == ("bus.history-busy", 0.02)
    assert 9_990 < busy[0] < 10_000
    busy[0] = 0
