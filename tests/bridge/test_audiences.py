"""Connections of an audience are remembered while it is the same, in bounded number, and no longer than its clients."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack

import pytest

from arqonmesh.bridge import audiences
from tests.bridge.conftest import RunningBus, receive
from tests.waiting import until

MEMBERS = 6
EVENT = json.dumps({"type": "event", "channel": "a:b", "payload": 1})


async def test_an_audience_is_remembered_until_somebody_goes(bus: RunningBus) -> None:
    """Whoever is gone is held by nothing, and the others go on hearing."""
    known = bus.server.outgoing._audiences
    async with AsyncExitStack() as stay, bus.client() as publisher:
        members = [await stay.enter_async_context(bus.member("a:b", subprotocols=["arqon.v1"])) for _ in range(MEMBERS)]
        for expected in (MEMBERS, MEMBERS - 1):
            known.clear()
            await publisher.send(EVENT)
            await publisher.send(EVENT)
            for member in members:
                heard = 0
                while heard < 2:
                    heard += (await receive(member))["type"] == "event"
            ((_, found),) = known._known.values()
            assert len(found) == expected
            await members.pop().close()
            await until(lambda: bus.server.client_count == len(members) + 1)
            assert all(len(connections) <= len(members) for _, connections in known._known.values())


async def test_what_is_remembered_is_bounded(bus: RunningBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """An audience larger than the bound is found anew each time."""
    monkeypatch.setattr(audiences, "REFERENCES_MAX", MEMBERS - 1)
    async with AsyncExitStack() as stay, bus.client() as publisher:
        members = [await stay.enter_async_context(bus.member("a:b", subprotocols=["arqon.v1"])) for _ in range(MEMBERS)]
        await publisher.send(EVENT)
        for member in members:
            while (await receive(member))["type"] != "event":
                pass
        known = bus.server.outgoing._audiences
        assert all(len(connections) < MEMBERS for _, connections in known._known.values())
