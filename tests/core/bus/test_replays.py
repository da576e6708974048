"""Replays follow the client's buffer: a client that comes back to many channels is sent as much as it reads."""

from __future__ import annotations

from typing import Any

import pytest

from arqonmesh.config.model import BusSettings
from arqonmesh.core.bus import replays
from arqonmesh.core.events import ClientDrained
from arqonmesh.ids import ClientId
from tests.core.bus.house import House

BUFFER = 64 << 10
CHANNELS = 40
EACH = 20
"""Events per channel, of about 1 KB: 800 KB in all."""


@pytest.fixture
def house() -> House:
    return House(BusSettings(buffer_bytes_max=BUFFER))


def fill(house: House, first: int, count: int) -> None:
    publisher = house.connect()
    for number in range(first, first + count):
        for channel in range(CHANNELS):
            payload = {"n": number, "x": "x" * 1_000}
            house.send(publisher, {"type": "event", "channel": f"a:c{channel}", "payload": payload})
    house.leave(publisher)


def come_back(house: House) -> ClientId:
    client = house.connect()
    house.inboxes[client].clear()
    joins = [{"type": "join", "channel": f"a:c{channel}", "since": {}} for channel in range(CHANNELS)]
    house.send(client, *joins)
    return client


def sizes(house: House, client: ClientId) -> int:
    return sum(map(len, house.inboxes[client]))


def by_channel(frames: list[dict[str, Any]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for frame in frames:
        if frame["type"] == "event":
            found.setdefault(frame["channel"], []).append(frame["payload"]["n"])
    return found


@pytest.mark.requirement("R-BU-27")
def test_many_replays_never_hold_more_than_the_buffer(house: House) -> None:
    """Between two reads a client is sent at most a window and one replay, whatever it asks for at once."""
    fill(house, 0, EACH)
    client = come_back(house)
    portions = [sizes(house, client)]
    heard = house.take(client)
    while house.awaited:
        assert house.awaited == [client], "asked once, not for each join"
        house.awaited.clear()
        house.tell(ClientDrained(client))
        portions.append(sizes(house, client))
        heard += house.take(client)
    assert max(portions) <= BUFFER * 3 // 4 + 2_000
    assert len(portions) > 10
    assert by_channel(heard) == {f"c{channel}": list(range(EACH)) for channel in range(CHANNELS)}
    answers = [frame for frame in heard if frame["type"] == "response"]
    assert len(answers) == CHANNELS
    assert all(answer["payload"]["recovered"] for answer in answers)


def test_what_is_published_while_a_join_waits_comes_in_order_and_once(house: House) -> None:
    """A join that waits has not come yet: its replay has what was published meanwhile, and live follows it."""
    fill(house, 0, EACH)
    client = come_back(house)
    heard = house.take(client)
    fill(house, EACH, 1)
    heard += house.take(client)
    for _ in range(CHANNELS * 2):
        house.awaited.clear()
        house.tell(ClientDrained(client))
        heard += house.take(client)
    fill(house, EACH + 1, 1)
    heard += house.take(client)
    assert by_channel(heard) == {f"c{channel}": list(range(EACH + 2)) for channel in range(CHANNELS)}


def test_small_replays_do_not_wait(house: House) -> None:
    """Whoever missed little is answered at once, and nobody is asked whether it has read."""
    fill(house, 0, 1)
    client = house.connect()
    house.take(client)
    house.send(client, *({"type": "join", "channel": f"a:c{number}", "since": {}} for number in range(5)))
    assert len([frame for frame in house.take(client) if frame["type"] == "response"]) == 5
    assert house.awaited == []
    house.tell(ClientDrained(client))
    assert house.take(client) == []


def test_a_client_that_goes_takes_its_joins_along(house: House) -> None:
    """What waited is not run for anybody, and its channels are not kept for it."""
    fill(house, 0, EACH)
    client = come_back(house)
    assert house.bus.counters["replays_held"] > 10
    house.leave(client)
    assert house.tell(ClientDrained(client)) == []


def test_joins_that_wait_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it a join is told to come again, and those before it go on."""
    monkeypatch.setattr(replays, "WAITING_MAX", 3)
    fill(house, 0, EACH)
    client = come_back(house)
    refused = [frame for frame in house.take(client) if frame["type"] == "error"]
    assert len(refused) > 10
    assert {frame["payload"]["code"] for frame in refused} == {"bus.history-busy"}
    house.tell(ClientDrained(client))
    assert [frame for frame in house.take(client) if frame["type"] == "response"]


def test_a_join_that_fails_at_its_turn_is_refused_and_the_next_goes_on(house: House) -> None:
    """As it would have been at once."""
    house.bus.adopt(house.now, BusSettings(buffer_bytes_max=BUFFER, subscriptions_max=3))
    fill(house, 0, EACH)
    client = come_back(house)
    heard = house.take(client)
    for _ in range(CHANNELS):
        house.tell(ClientDrained(client))
        heard += house.take(client)
    assert len([frame for frame in heard if frame["type"] == "response"]) == 3
    assert len([frame for frame in heard if frame["type"] == "error"]) == CHANNELS - 3
