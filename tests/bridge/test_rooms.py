"""Rooms and the client's record over real WebSockets."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest
from websockets.asyncio.client import connect

from arqonmesh.config.model import RoomSettings
from tests.bridge.conftest import RunningBus, StartBus, ask, receive


@pytest.mark.requirement("R-BU-2")
async def test_what_a_client_says_of_itself_at_the_handshake_is_seen_by_others(bus: RunningBus) -> None:
    """By query, percent-encoded; what is too long is cut; `name` is the screen name where there is no other."""
    about = {"type": "ai-agent", "screen_name": "Ada L.", "personality": "terse", "avatar": "🦉", "name": "ada"}
    url = f"{bus.url}?{urlencode(about)}"
    async with bus.member("lab:one") as other, connect(url, subprotocols=["arqon.v1"], proxy=None) as client:  # type: ignore[list-item]
        await receive(client)
        await ask(client, {"type": "join", "channel": "lab:one"})
        notice = (await receive(other))["payload"]
        assert (notice["type"], notice["screen_name"], notice["name"]) == ("ai-agent", "Ada L.", "Ada L.")
        assert (notice["personality"], notice["avatar"]) == ("terse", "🦉")
    long = f"{bus.url}?{urlencode({'name': 'x' * 100})}"
    async with connect(long, proxy=None) as client:
        await receive(client)
        you = (await ask(client, {"type": "status", "v": 1}))["payload"]["you"]
        assert you["screen_name"] == "x" * 64


@pytest.mark.requirement("R-BU-18")
async def test_a_room_of_the_configuration_takes_an_event_to_everyone_in_it(start_bus: StartBus) -> None:
    """Members of different channels, each once."""
    bus = await start_bus(rooms=(RoomSettings(room="science", channels=("general", "explore")),))
    async with bus.member("science:general") as one, bus.member("science:explore") as two, bus.client() as sender:
        await ask(two, {"type": "join", "channel": "science:*"})
        await sender.send(json.dumps({"type": "event", "channel": "science:*", "payload": "ten o'clock"}))
        await ask(sender, {"type": "ping"})
        for member in (one, two):
            heard = await receive(member)
            assert (heard["room"], heard["channel"], heard["payload"]) == ("science", "*", "ten o'clock")
            assert (await ask(member, {"type": "ping"}))["type"] == "response"
