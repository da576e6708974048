"""`arqon pub` against a real bus: what a publisher hears that the bus refuses."""

from __future__ import annotations

import asyncio

import pytest

from arqonmesh.client import BusClient
from arqonmesh.config.model import AuthSettings, BusSettings, RoomNames, RoomRule
from arqonmesh.errors import PeerError
from arqonmesh_cli.bus import _publish
from bench.lone_bus import LoneBus


@pytest.mark.requirement("R-BU-15")
async def test_who_publishes_too_fast_is_told_so_and_not_that_the_bus_is_silent() -> None:
    """The question whether all was taken may be dropped as well: the first refusal ends the wait."""
    slow = LoneBus(BusSettings(rate_per_s=2))
    bus = await BusClient.connect(await slow.start(), reconnect=False)
    for number in range(6):
        await bus.publish("a:b", {"n": number})
    with pytest.raises(PeerError, match="2 frames a second") as refused:
        async with asyncio.timeout(5):
            await _publish(bus, "a:b", "one more")
    assert refused.value.code == "bus.rate-limited"
    assert "more slowly" in refused.value.hint
    await slow.stop()


async def test_what_the_bus_takes_is_counted_when_it_has_taken_it() -> None:
    """One message, and the connection ends in order."""
    lone = LoneBus(BusSettings())
    bus = await BusClient.connect(await lone.start(), reconnect=False)
    assert await _publish(bus, "a:b", "hello") == (1, "a:b")
    assert lone.core.counters["published"] == 1
    await lone.stop()


async def test_a_channel_without_a_room_is_told_by_its_full_name() -> None:
    """As the bus that took the message calls it: what its rooms are called is its own setting."""
    lone = LoneBus(BusSettings(names=RoomNames(room="lobby")))
    bus = await BusClient.connect(await lone.start(), reconnect=False)
    assert await _publish(bus, "nocolon", "hello") == (1, "lobby:nocolon")
    await lone.stop()


async def test_a_bus_that_tells_nothing_of_a_channel_still_takes_what_is_published_there() -> None:
    """Who may publish need not see who is there; the name is then as it was typed."""
    rule = RoomRule(rooms=("default:*",), publish="guest", presence="granted")
    lone = LoneBus(BusSettings(auth=AuthSettings(rooms=(rule,))))
    bus = await BusClient.connect(await lone.start(), reconnect=False)
    assert await _publish(bus, "nocolon", "hello") == (1, "nocolon")
    await lone.stop()
