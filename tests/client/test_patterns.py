"""A pattern after a lost connection: nothing is missing in channels that it had never heard either."""

from __future__ import annotations

import time
from typing import Any

import pytest

from arqonmesh.client import BusClient, Message, Resumed, catch_up
from arqonmesh.client.endpoints import Endpoints
from arqonmesh.client.message import encode, read
from arqonmesh.client.subscriptions import Subscriptions
from arqonmesh.config.model import BusSettings, HistorySettings
from arqonmesh.core.bus import survey as survey_module
from arqonmesh.errors import UsageError
from bench.lone_bus import LoneBus
from tests.client.conftest import Connect, cut
from tests.client.dropping import heard, resumes
from tests.waiting import until


@pytest.mark.requirement("R-SD-2")
@pytest.mark.parametrize("pattern", ["a:*", "*:b", "*"])
async def test_what_was_published_in_a_channel_that_was_never_heard_comes_first(
    pattern: str, open_bus: LoneBus, connect: Connect
) -> None:
    """One that is new, and one that was there before the join: of that nothing older."""
    publisher, member = await connect(), await connect()
    seen, told = heard(member, pattern), resumes(member)
    await publisher.send("a:b", "before anybody listened")
    await member.join(pattern)
    cut(open_bus, member)
    await publisher.send("a:b", 1)
    await publisher.send("c:b", 2)
    await publisher.send("a:d", 3)
    wanted = {"a:*": {1, 3}, "*:b": {1, 2}, "*": {1, 2, 3}}[pattern]
    await until(lambda: len(told) == 1 + len(wanted))
    await publisher.send("a:b", "live")
    await until(lambda: seen[-1:] == ["live"])
    assert (sorted(seen[:-1]), seen.count("live")) == (sorted(wanted), 1)
    assert all(one.recovered for one in told)


async def test_each_loss_goes_on_where_the_last_return_left_it(open_bus: LoneBus, connect: Connect) -> None:
    """Nothing twice, whether a channel was heard live, caught up, or never heard."""
    publisher, member = await connect(), await connect()
    seen, told = heard(member, "a:*"), resumes(member)
    await publisher.send("a:quiet", "before")
    await member.join("a:*")
    sent: list[str] = []
    for round_ in range(4):
        cut(open_bus, member)
        for channel in ("a:every", f"a:{round_}", *(["a:quiet"] if round_ == 2 else [])):
            sent.append(f"{channel} {round_}")
            await publisher.send(channel, sent[-1])
        await until(lambda wanted=round_: sum(one.channel == "a:*" for one in told) == wanted + 1)  # type: ignore[misc]
        if round_ % 2:
            sent.append(f"live {round_}")
            await publisher.send("a:every", sent[-1])
    await until(lambda: len(seen) >= len(sent))
    assert sorted(seen) == sorted(sent)
    assert [text for text in seen if "every" in text or "live" in text] == [
        "a:every 0", "a:every 1", "live 1", "a:every 2", "a:every 3", "live 3",
    ]  # fmt: skip


async def test_what_comes_live_in_a_new_channel_waits_for_what_came_before_it(
    open_bus: LoneBus, connect: Connect
) -> None:
    """Also what comes between the bus's answer and the question for the past."""
    publisher, member = await connect(), await connect()
    seen, told = heard(member, "a:*"), resumes(member)
    await member.join("a:*")
    ask = member._session.subscriptions._ask

    async def ask_late(command: str, args: dict[str, Any], **how: float) -> Message:
        answer = await ask(command, args, **how)
        if command == "join_channel":
            await publisher.send("a:b", 2)
            await publisher.send("a:c", "only live")
            await member.flush()
        return answer

    member._session.subscriptions._ask = ask_late
    cut(open_bus, member)
    await publisher.send("a:b", 1)
    await until(lambda: len(told) == 2)
    await until(lambda: len(seen) == 3)
    assert [one for one in seen if one != "only live"] == [1, 2]
    assert [(one.channel, one.recovered) for one in told] == [("a:*", True), ("a:b", True)]


async def test_what_is_not_in_the_history_any_more_is_told_by_its_offsets(connect: Connect) -> None:
    """Of a channel that was never heard as of any other."""
    small = LoneBus(BusSettings(history=HistorySettings(per_channel=3)))
    url = await small.start()
    publisher, member = await connect(url), await connect(url)
    seen, told = heard(member, "a:*"), resumes(member)
    await member.join("a:*")
    cut(small, member)
    for n in range(1, 11):
        await publisher.send("a:b", n)
    await until(lambda: len(told) == 2)
    assert seen == [8, 9, 10]
    assert [(one.channel, one.recovered) for one in told] == [("a:*", True), ("a:b", False)]
    assert [(gap.first, gap.last) for gap in told[1].gaps] == [(1, 7)]
    await publisher.close()
    await member.close()
    await small.stop()


async def test_where_there_are_too_many_channels_to_name_that_is_told(
    open_bus: LoneBus, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are named are caught up; `recovered` of the pattern is false."""
    monkeypatch.setattr(survey_module, "CHANNELS_MAX", 2)
    publisher, member = await connect(), await connect()
    seen, told = heard(member, "a:*"), resumes(member)
    await member.join("a:*")
    cut(open_bus, member)
    for n in range(3):
        await publisher.send(f"a:{n}", n)
    await until(lambda: len(told) == 3)
    assert [(one.channel, one.recovered) for one in told] == [("a:*", False), ("a:0", True), ("a:1", True)]
    assert seen == [0, 1]


async def test_a_channel_that_was_too_many_to_be_named_brings_nothing_from_before_the_join(
    open_bus: LoneBus, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it stood nobody said; when it was published says it, too."""
    publisher, member = await connect(), await connect()
    seen, told = heard(member, "a:*"), resumes(member)
    for n in range(3):
        await publisher.send(f"a:{n}", "before")
    published_ms = time.time_ns() // 1_000_000
    await until(lambda: time.time_ns() // 1_000_000 > published_ms)
    with monkeypatch.context() as patched:
        patched.setattr(survey_module, "CHANNELS_MAX", 1)
        await member.join("a:*")
    cut(open_bus, member)
    await publisher.send("a:2", 1)
    await until(lambda: seen == [1])
    await until(lambda: {one.channel for one in told} >= {"a:*", "a:2"})
    assert seen == [1]


async def test_channels_that_were_heard_of_and_never_caught_up_wait_no_longer(
    open_bus: LoneBus, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is a bound for channels that are met while a pattern is joined again."""
    monkeypatch.setattr(catch_up, "MET_MAX", 1)
    publisher, member = await connect(), await connect()
    seen, told = heard(member, "a:*"), resumes(member)
    await member.join("a:*")
    cut(open_bus, member)
    await until(lambda: len(told) == 1)
    for n in range(3):
        await publisher.send(f"a:{n}", n)
    await until(lambda: seen == [0, 1, 2])
    assert not member._session.subscriptions.catch_up._holds


A1, A2, B1 = "aaaaaaaaaa-1", "aaaaaaaaaa-2", "bbbbbbbbbb-1"


class Answering:
    """A bus that answers the joins of `a:*` one after the other as it was told, and keeps what it was asked."""

    def __init__(self, *surveys: dict[str, Any]) -> None:
        self.asked: list[tuple[str, dict[str, int]]] = []
        self.history: dict[str, Any] = {"messages": []}
        self._surveys = iter(surveys)
        self.subscriptions = Subscriptions(Endpoints("ws://h"), self.ask, self.take, lambda one: None)
        self.subscriptions.positions.connected("aaaaaaaaaa")

    async def ask(self, name: str, args: dict[str, Any], **how: Any) -> Message:
        self.asked.append((args["channel"], dict(args["since"])))
        payload = next(self._surveys) if name == "join_channel" else self.history
        return frame({"type": "response", "payload": payload, "timestamp": "2026-01-01T00:00:00.000Z"})

    def take(self, message: Message) -> bool:
        return self.subscriptions.positions.advance(message.channel, message)

    def hear(self, channel: str, epoch: str, offset: int) -> None:
        room, _, leaf = channel.partition(":")
        message = frame({"type": "event", "room": room, "channel": leaf, "epoch": epoch, "offset": offset})
        if not self.subscriptions.catch_up.holds(channel, message):
            self.take(message)

    async def come_back(self) -> list[Resumed]:
        self.subscriptions.positions.connected("aaaaaaaaaa")
        return await self.subscriptions.join_again()


def frame(told: dict[str, Any]) -> Message:
    message = read(encode(told))
    assert message is not None
    return message


async def test_each_return_says_from_which_one_it_goes_on() -> None:
    """What the bus has told of a life that is over it is not asked for again."""
    bus = Answering(*({"position": {epoch: 0}, "positions": {}, "recovered": True} for epoch in (A1, A2, A2)))
    await bus.subscriptions.join("a:*", None)
    await bus.come_back()
    await bus.come_back()
    assert bus.asked == [("a:*", {}), ("a:*", {A1: 0}), ("a:*", {A2: 0})]


async def test_a_channel_that_is_heard_goes_on_from_where_all_its_streams_were() -> None:
    """Those that it was not heard from, too: of what they had before the join nothing comes."""
    told = {"position": {A1: 0, B1: 0}, "positions": {"a:b": {A1: 3, B1: 7}}}
    bus = Answering(told, {**told, "recovered": True})
    await bus.subscriptions.join("a:*", None)
    bus.hear("a:b", A1, 4)
    bus.hear("a:new", B1, 1)
    await bus.come_back()
    assert bus.asked[2:] == [("a:b", {A1: 4, B1: 7}), ("a:new", {A1: 0, B1: 1})]


async def test_a_channel_whose_end_is_in_doubt_is_asked_for_though_nothing_new_is_seen_of_it() -> None:
    """Its last events may have gone with a crash: the answer tells the gap."""
    told = {"position": {A1: 0}, "positions": {"a:b": {A1: 3}}}
    bus = Answering(told, {**told, "position": {A2: 0}, "unsure": ["a:b"], "recovered": True})
    bus.history = {"messages": [], "position": {A1: 3, A2: 0}, "gaps": [{"epoch": A1, "first": 4, "last": None}]}
    await bus.subscriptions.join("a:*", None)
    assert [(one.channel, one.recovered) for one in await bus.come_back()] == [("a:*", True), ("a:b", False)]


async def test_a_pattern_has_no_position_to_go_on_from(open_bus: LoneBus, connect: Connect) -> None:
    """An application's `since` belongs to one channel."""
    member = await connect()
    with pytest.raises(UsageError, match="many channels"):
        await member.join("a:*", since={"x-1": 1})


async def test_a_client_that_will_not_come_back_asks_for_nothing_more(open_bus: LoneBus) -> None:
    """Where a thousand channels stand costs something."""
    async with await BusClient.connect(f"ws://127.0.0.1:{open_bus.server.address[1]}", reconnect=False) as member:
        await member.join("a:*")
        assert member._session.subscriptions.catch_up.pasts == {}
