"""Joining again after a loss, without a bus: what is asked, from which position, and how much at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from arqonmesh.client import Gap, Message
from arqonmesh.client import subscriptions as subscriptions_module
from arqonmesh.client.endpoints import Endpoints
from arqonmesh.client.message import encode, read
from arqonmesh.client.resume import Resumed
from arqonmesh.client.subscriptions import JOINS_AT_ONCE_MAX, Subscriptions
from arqonmesh.errors import PeerError
from tests.waiting import until

A1, A2 = "aaaaaaaaaa-1", "aaaaaaaaaa-2"


def answer(payload: dict[str, Any]) -> Message:
    message = read(encode({"type": "response", "payload": payload}))
    assert message is not None
    return message


def event(epoch: str, offset: int) -> Message:
    message = read(encode({"type": "event", "room": "a", "channel": "b", "epoch": epoch, "offset": offset}))
    assert message is not None
    return message


def subscribed(ask: Callable[..., Awaitable[Message]], seen: list[int] | None = None) -> Subscriptions:
    """To a:b, at A-1:40, after a loss. `seen`: offsets of what is handed on."""

    def take(message: Message) -> bool:
        fresh = found.positions.advance(message.channel, message)
        if fresh and seen is not None:
            seen.append(message.offset)
        return fresh

    found = Subscriptions(Endpoints("ws://h"), ask, take, lambda one: None)
    found.positions.connected("aaaaaaaaaa")
    found.positions.told("a:b", {A1: 40})
    return found


@pytest.mark.parametrize("joined", ["a:b", "a:*"])
async def test_an_answer_that_was_cut_off_is_asked_for_again_from_the_same_position(joined: str) -> None:
    """Who named what came on the way (A-2) would count as told of what the answer would have said of A-1."""
    asked: list[dict[str, int]] = []
    doubt = {"epoch": A1, "first": 41, "last": None}

    async def ask(name: str, args: dict[str, Any], **how: Any) -> Message:
        if args["channel"] == "a:*":
            return answer({"success": True})
        asked.append(dict(args["since"]))
        if len(asked) == 1:
            if name == "join_channel":
                for offset in range(1, 51):
                    subscriptions.positions.advance("a:b", event(A2, offset))
                raise PeerError("bus.closed", "connection lost")
            frames = [{"type": "event", "room": "a", "channel": "b", "epoch": A2, "offset": n} for n in range(1, 51)]
            return answer({"messages": frames, "more": True, "position": {A1: 40, A2: 60}, "gaps": [doubt]})
        if len(asked) == 2 and name == "history":
            raise PeerError("bus.closed", "connection lost")
        told = {"position": {A1: 40, A2: 50}, "gaps": [doubt] if A2 not in args["since"] else []}
        if name == "history":
            return answer({"messages": [], **told})
        return answer({"recovered": not told["gaps"], **told})

    subscriptions = subscribed(ask)
    subscriptions.joined[joined] = None
    subscriptions.positions.connected("aaaaaaaaaa")
    with pytest.raises(PeerError):
        await subscriptions.join_again()
    assert subscriptions.positions.of("a:b") == {A1: 40}, "what the application may keep"
    subscriptions.positions.connected("aaaaaaaaaa")
    resumed = await subscriptions.join_again()
    assert (asked[0], asked[-1]) == ({A1: 40}, {A1: 40})
    assert (resumed[-1].recovered, resumed[-1].gaps) == (False, (Gap(A1, 41, None),))
    assert subscriptions.positions.of("a:b") == {A1: 40, A2: 50}
    subscriptions.positions.connected("aaaaaaaaaa")
    assert [one.recovered for one in await subscriptions.join_again()][-1] is True
    assert asked[-1] == {A1: 40, A2: 50}


async def test_what_is_dropped_of_an_answer_on_its_way_is_fetched() -> None:
    """The answer says that all was sent, and a notice before it that some of that was dropped."""
    frames = [{"type": "event", "room": "a", "channel": "b", "epoch": A1, "offset": n} for n in (41, 42, 43)]
    seen: list[int] = []

    async def ask(name: str, args: dict[str, Any], **how: Any) -> Message:
        if name == "history":
            return answer({"messages": frames, "position": {A1: 43}})
        subscriptions.positions.advance("a:b", event(A1, 42))
        subscriptions.dropped(1)
        return answer({"recovered": True, "missed": 3, "position": {A1: 43}})

    subscriptions = subscribed(ask, seen)
    subscriptions.joined["a:b"] = None
    subscriptions.positions.connected("aaaaaaaaaa")
    await subscriptions.join_again()
    await until(lambda: "a:b" not in subscriptions.catch_up)
    assert (seen, subscriptions.positions.of("a:b")) == ([41, 43], {A1: 43})


async def test_what_a_bus_cannot_tell_of_a_pattern_s_channel_is_a_gap_once() -> None:
    """Nothing came of the later life; that it is named is enough."""
    asked: list[dict[str, int]] = []

    async def ask(name: str, args: dict[str, Any], **how: Any) -> Message:
        if name != "history":
            return answer({"success": True})
        asked.append(dict(args["since"]))
        gaps = [] if A2 in args["since"] else [{"epoch": A1, "first": 41, "last": None}]
        return answer({"messages": [], "position": {A1: 40, A2: 0}, "gaps": gaps})

    subscriptions = subscribed(ask)
    subscriptions.joined["a:*"] = None
    found: list[Resumed] = []
    for _ in range(2):
        subscriptions.positions.connected("aaaaaaaaaa")
        found += [one for one in await subscriptions.join_again() if one.channel == "a:b"]
    assert [(one.recovered, one.gaps) for one in found] == [(False, (Gap(A1, 41, None),)), (True, ())]
    assert asked == [{A1: 40}, {A1: 40, A2: 0}]


async def test_a_pattern_that_is_asked_for_again_fetches_what_it_had_not_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else who has more channels than its rate would begin anew each time."""
    monkeypatch.setattr(subscriptions_module, "RATE_PAUSE_S", 0.0)
    asked: list[str] = []

    async def ask(name: str, args: dict[str, Any], **how: Any) -> Message:
        if name != "history":
            return answer({"success": True})
        asked.append(args["channel"])
        if asked == ["a:b", "a:c"]:
            await asyncio.sleep(0.01)  # until somebody listens
            subscriptions.too_fast()
            await asyncio.get_running_loop().create_future()
        return answer({"messages": [], "position": args["since"]})

    subscriptions = subscribed(ask)
    subscriptions.positions.told("a:c", {A1: 1})
    subscriptions.joined["a:*"] = None
    subscriptions.positions.connected("aaaaaaaaaa")
    await subscriptions.join_again()
    assert asked == ["a:b", "a:c", "a:c"]


async def test_joins_that_nobody_objects_to_become_more_at_once_again() -> None:
    """Up to what it was before the bus was too fast."""
    at_once: list[int] = []
    now = 0

    async def ask(name: str, args: dict[str, Any], **how: Any) -> Message:
        nonlocal now
        now += 1
        await asyncio.sleep(0)
        at_once.append(now)
        await asyncio.sleep(0)
        now -= 1
        return answer({"success": True, "position": {}})

    subscriptions = subscribed(ask)
    subscriptions.joined.update(dict.fromkeys(f"a:{number}" for number in range(3_000)))
    subscriptions._at_once = 1
    await subscriptions.join_again()
    assert (at_once[0], max(at_once), subscriptions._at_once) == (1, JOINS_AT_ONCE_MAX, JOINS_AT_ONCE_MAX)
