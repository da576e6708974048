"""Holding back what is live until what was missed has come: each hold has one owner, and ends once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from arqonmesh.client import BusClient, Gap, Message, catch_up
from arqonmesh.config.model import RoomRule
from arqonmesh.errors import PeerError
from bench.lone_bus import LoneBus
from tests.client.conftest import Connect, cut
from tests.client.dropping import Dropping, heard, resumes
from tests.waiting import until

NO_HISTORY = (RoomRule(rooms=("a:*",), history="granted"),)


def ask_through(
    member: BusClient, around: Callable[[str, dict[str, Any], Callable[[], Awaitable[Message]]], Awaitable[Message]]
) -> None:
    """`around` the client's own commands: the name, the arguments, and what runs it."""
    subscriptions = member._session.subscriptions
    ask = subscriptions._ask

    async def asked(name: str, args: dict[str, Any], **how: Any) -> Message:
        return await around(name, args, lambda: ask(name, args, **how))

    subscriptions._ask = asked


async def test_a_channel_that_is_refused_takes_nothing_from_the_others(
    open_bus: LoneBus, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told and goes on behind a hole; the mesh's own room, which has no history, is not asked for."""
    publisher, member = await connect(), await connect()
    seen, told = heard(member, "a:*"), resumes(member)
    for channel in ("$mesh", "a:b", "a:c"):
        await member.join(channel)
    asked: list[str] = []

    async def refusing(name: str, args: dict[str, Any], run: Callable[[], Awaitable[Message]]) -> Message:
        asked.append(args["channel"])
        if args["channel"] == "a:b":
            raise PeerError("bus.odd", "not today")
        return await run()

    ask_through(member, refusing)
    drops = Dropping(open_bus, member, monkeypatch)
    drops.drops = True
    await publisher.send("a:b", 1)
    await publisher.send("a:c", 2)
    drops.tell()
    await until(lambda: len(told) == 3)
    await publisher.send("a:b", 3)
    await until(lambda: seen == [2, 3])
    assert asked == ["a:b", "a:c"]
    assert [(one.channel, one.recovered, one.missed) for one in told] == [
        ("a:b", False, 0),
        ("a:c", True, 1),
        ("*", False, 1),
    ]
    member._session.subscriptions._ask = member._session.ask
    cut(open_bus, member)
    await until(lambda: len(told) == 6)
    again = next(one for one in told[3:] if one.channel == "a:b")
    assert (seen, again.recovered) == ([2, 3, 1], True), "the hole is asked for at the next return"


async def test_what_a_refill_holds_is_not_thrown_away_by_a_pattern(
    open_bus: LoneBus, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`a:b` is caught up, `a:c` is not yet, and the bus drops something of `a:b`."""
    publisher, member = await connect(), await connect()
    seen, told = heard(member, "a:b"), resumes(member)
    others = heard(member, "a:c")
    await member.join("a:*")
    for channel in ("a:b", "a:c"):
        await publisher.send(channel, 1)
    await until(lambda: (seen, others) == ([1], [1]))
    reached, go_on, fetch = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slowly(name: str, args: dict[str, Any], run: Callable[[], Awaitable[Message]]) -> Message:
        if args["channel"] == "a:c" and not reached.is_set():
            reached.set()
            await go_on.wait()
        elif reached.is_set() and name == "history" and not go_on.is_set():
            await fetch.wait()
        return await run()

    ask_through(member, slowly)
    cut(open_bus, member)
    await publisher.send("a:b", 2)
    await publisher.send("a:c", 2)
    await reached.wait()
    drops = Dropping(open_bus, member, monkeypatch)
    drops.drops = True
    await publisher.send("a:b", 3)
    drops.tell()
    await publisher.send("a:b", 4)
    await until(lambda: bool((hold := member._session.subscriptions.catch_up._holds.get("a:b")) and hold.live))
    go_on.set()
    await until(lambda: len(told) >= 3 and others == [1, 2])
    fetch.set()
    await until(lambda: len(seen) == 4)
    assert (seen, member.reconnects) == ([1, 2, 3, 4], 1)


async def test_what_was_dropped_in_more_channels_than_are_held_comes_too(
    open_bus: LoneBus, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the notice what is live passes there; it is behind what was missed in the first ones only."""
    monkeypatch.setattr(catch_up, "HOLDING_MAX", 1)
    publisher, member = await connect(), await connect()
    channels = [f"a:{number}" for number in range(4)]
    seen, told = {channel: heard(member, channel) for channel in channels}, resumes(member)
    for channel in channels[:2]:
        await member.join(channel)
    await member.join("a:*")
    for channel in channels:
        await publisher.send(channel, 0)
    await until(lambda: all(seen.values()))
    go_on = asyncio.Event()

    async def slowly(name: str, args: dict[str, Any], run: Callable[[], Awaitable[Message]]) -> Message:
        await go_on.wait()
        return await run()

    ask_through(member, slowly)
    drops = Dropping(open_bus, member, monkeypatch)
    drops.drops = True
    for channel in channels:
        await publisher.send(channel, 1)
    drops.tell()
    for channel in channels:
        await publisher.send(channel, 2)
    await member.flush()
    go_on.set()
    await until(lambda: len(told) == 4)
    await until(lambda: all(len(one) == 3 for one in seen.values()))
    assert seen["a:0"] == [0, 1, 2]
    assert [sorted(one) for one in seen.values()] == [[0, 1, 2]] * 4
    assert [(one.channel, one.recovered) for one in told] == [(channel, True) for channel in channels]
    assert not member._session.subscriptions.catch_up._holds
    assert member._session.subscriptions.catch_up._holding == 0
    positions = {channel: list(member.position(channel).values()) for channel in channels}
    assert positions == {channel: [3] for channel in channels}


async def test_all_of_a_pattern_s_channels_are_caught_up(
    open_bus: LoneBus, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those beyond what is held at one time behind the others."""
    monkeypatch.setattr(catch_up, "HOLDING_MAX", 1)
    publisher, member = await connect(), await connect()
    seen = heard(member, "a:*")
    await member.join("a:*")
    for number in range(4):
        await publisher.send(f"a:{number}", number)
    await until(lambda: len(seen) == 4)
    cut(open_bus, member)
    for number in range(4):
        await publisher.send(f"a:{number}", 10 + number)
    await until(lambda: len(seen) == 8)
    assert sorted(seen) == [0, 1, 2, 3, 10, 11, 12, 13]


async def test_what_is_published_after_the_notice_does_not_hide_what_was_not_found(
    open_bus: LoneBus, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A private message was dropped, which no history has; an event that came live as well was not."""
    publisher, member = await connect(), await connect()
    seen, told = heard(member, "a:b"), resumes(member)
    await member.join("a:b")
    held = member._session.subscriptions.catch_up

    async def behind(name: str, args: dict[str, Any], run: Callable[[], Awaitable[Message]]) -> Message:
        for payload in (2, 3):
            await publisher.send("a:b", payload)
        await until(lambda: len(held._holds["a:b"].live or ()) >= 2)
        member._session.subscriptions._ask = member._session.ask
        return await run()

    ask_through(member, behind)
    drops = Dropping(open_bus, member, monkeypatch)
    drops.drops = True
    await publisher.send("a:b", 1)
    await publisher.private(member.client_id, "in no history")
    await publisher.flush()
    drops.dropped = 2
    drops.tell()
    await until(lambda: len(told) == 2)
    assert seen == [1, 2, 3]
    assert [(one.channel, one.recovered, one.missed) for one in told] == [("a:b", True, 3), ("*", False, 1)]


@pytest.mark.parametrize("how", ["a:b", "a:*"])
async def test_who_leaves_meanwhile_is_fetched_nothing_more(
    how: str, open_bus: LoneBus, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what was missed nor what waited behind it is handed on."""
    publisher, member = await connect(), await connect()
    await publisher.send("a:b", "long ago")
    seen, told = heard(member, "a:b"), resumes(member)
    await member.join(how)
    await publisher.send("a:b", 0)
    await until(lambda: seen == [0])
    reached, go_on, asked = asyncio.Event(), asyncio.Event(), list[str]()

    async def slowly(name: str, args: dict[str, Any], run: Callable[[], Awaitable[Message]]) -> Message:
        asked.append(name)
        reached.set()
        await go_on.wait()
        return await run()

    ask_through(member, slowly)
    drops = Dropping(open_bus, member, monkeypatch)
    drops.drops = True
    await publisher.send("a:b", 1)
    drops.tell()
    await publisher.send("a:b", 2)
    await reached.wait()
    await member.leave(how)
    go_on.set()
    await until(lambda: len(told) == 1)
    assert (seen, asked, told[0].channel) == ([0], ["history"], "*")
    assert member.position("a:b") == {}


async def test_who_may_join_and_not_read_history_comes_back(
    open_bus: LoneBus, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """From where the channel is by then, with the gap by its offsets."""
    publisher, member = await connect(), await connect()
    seen, told = heard(member, "a:b"), resumes(member)
    await member.join("a:b")
    await publisher.send("a:b", 1)
    await until(lambda: seen == [1])
    (epoch,) = member.position("a:b")
    open_bus.core.permissions.adopt(NO_HISTORY)
    cut(open_bus, member)
    await publisher.send("a:b", 2)
    await until(lambda: len(told) == 1)
    await publisher.send("a:b", 3)
    await until(lambda: seen == [1, 3])
    assert (told[0].recovered, told[0].gaps) == (False, (Gap(epoch, 2, 2),))
    assert (member.state, member.position("a:b")) == ("connected", {epoch: 3})
    assert "a:b is joined again without what was missed" in caplog.text


async def test_a_channel_whose_history_was_refused_is_live_again_behind_one_hole(
    open_bus: LoneBus, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the client publishes itself from then on is no hole; what was dropped comes when it may be read."""
    publisher, member = await connect(), await connect()
    seen, told = heard(member, "a:b"), resumes(member)
    await member.join("a:b")
    (epoch,) = member.position("a:b")
    open_bus.core.permissions.adopt(NO_HISTORY)
    drops = Dropping(open_bus, member, monkeypatch)
    drops.drops = True
    await publisher.send("a:b", 1)
    drops.tell()
    await until(lambda: [one.channel for one in told] == ["a:b", "*"])
    await publisher.send("a:b", 2)
    await member.send("a:b", "its own")
    await publisher.send("a:b", 4)
    await until(lambda: seen == [2, 4])
    streams = member._session.subscriptions.positions._seen["a:b"].streams
    assert (streams[epoch].holes, member.position("a:b")) == ([(1, 1)], {epoch: 0})
    open_bus.core.permissions.adopt(())
    cut(open_bus, member)
    await until(lambda: len(told) == 3)
    assert (seen, told[2].recovered, member.position("a:b")) == ([2, 4, 1], True, {epoch: 4})
