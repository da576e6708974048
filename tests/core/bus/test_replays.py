"""Replays follow the client's buffer: a client that comes back to many channels is sent as much as it reads."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from arqonmesh.config.model import BusSettings
from arqonmesh.core.bus import replays
from arqonmesh.core.events import ClientDrained, HistoryRead
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
    waited = house.bus.clients[client].replays
    assert waited is not None
    assert (len(waited.queue), waited.waiting_bytes) == (0, 0)


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


def refusals(house: House, client: ClientId) -> list[str]:
    return [frame["payload"]["code"] for frame in house.take(client) if frame["type"] == "error"]


def test_joins_that_wait_are_as_many_as_a_client_may_be_in(house: House) -> None:
    """Beyond it a join is told to come again, and those before it go on."""
    house.bus.adopt(house.now, BusSettings(buffer_bytes_max=BUFFER, subscriptions_max=3))
    fill(house, 0, EACH)
    client = come_back(house)
    refused = refusals(house, client)
    assert len(refused) > 10
    assert set(refused) == {"bus.history-busy"}
    house.tell(ClientDrained(client))
    assert [frame for frame in house.take(client) if frame["type"] == "response"]


def test_of_each_channel_one_join_waits(house: House) -> None:
    """Whoever asks again while it waits is told to come later; its turn does not go to the later one."""
    fill(house, 0, EACH)
    client = come_back(house)
    house.take(client)
    held = house.bus.counters["replays_held"]
    again = {"type": "join", "channel": f"a:c{CHANNELS - 1}", "since": {}}
    house.send(client, again, again)
    assert refusals(house, client) == ["bus.history-busy"] * 2
    assert house.bus.counters["replays_held"] == held
    heard: list[dict[str, Any]] = []
    for _ in range(CHANNELS):
        house.tell(ClientDrained(client))
        heard += house.take(client)
    assert by_channel(heard)[f"c{CHANNELS - 1}"] == list(range(EACH))


@pytest.mark.parametrize("where", ["metadata", "since"])
def test_joins_that_wait_hold_little_of_what_they_came_with(house: House, where: str) -> None:
    """Neither their frames nor more positions than there is room for: a client cannot make the bus keep 250 KB each."""
    fill(house, 0, EACH)
    client = come_back(house)
    house.take(client)
    for channel in range(CHANNELS):
        house.leave(house.member(f"b:c{channel}"))
    large = {"metadata": {"x": "x" * 200_000}} if where == "metadata" else {}
    frames = [
        json.dumps({"type": "join", "channel": f"b:c{channel}", "since": {}} | large).encode()
        for channel in range(CHANNELS)
    ]
    if where == "since":
        frames = [frame.replace(b'"since": {', b'"since": {' + b" " * 200_000) for frame in frames]
    tracemalloc.start()
    try:
        for frame in frames:
            house.send(client, bytes(bytearray(frame)))
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held_bytes < (1 << 20) + replays.WAITING_BYTES_MAX * (where == "since")
    waited = CHANNELS if where == "metadata" else replays.WAITING_BYTES_MAX // 200_000
    assert refusals(house, client) == ["bus.history-busy"] * (CHANNELS - waited)


def test_a_join_behind_a_window_that_became_smaller_goes_on(house: House) -> None:
    """What was sent fitted the window of before, so nobody was asked to tell when it is read; now somebody is."""
    fill(house, 0, 8)
    client = house.connect()
    house.take(client)
    house.send(client, {"type": "join", "channel": "a:c0", "since": {}})
    assert (house.awaited, len(house.take(client))) == ([], 9)
    house.bus.adopt(house.now, BusSettings(buffer_bytes_max=BUFFER // 2))
    house.send(client, {"type": "join", "channel": "a:c1", "since": {}})
    assert (house.awaited, house.take(client)) == ([client], [])
    house.tell(ClientDrained(client))
    assert by_channel(house.take(client)) == {"c1": list(range(8))}


def test_a_join_behind_a_read_that_failed_goes_on() -> None:
    """The window became smaller meanwhile, and the join whose past was read is refused: nothing is sent for it."""
    house = House(BusSettings(buffer_bytes_max=BUFFER), durable=True)
    fill(house, 0, 8)
    client = house.connect()
    house.take(client)
    house.send(client, {"type": "join", "channel": "a:c0", "since": {}})
    ring = house.bus.channels.find("a:c1")
    assert ring is not None
    house.bus.history.per_channel = 2
    fill(house, 8, 1)  # the older ones are on the disk alone
    house.send(client, {"type": "join", "channel": "a:c1", "since": {}})
    house.send(client, {"type": "join", "channel": "a:c2", "since": {}})
    house.take(client)
    (read,) = house.asked
    house.bus.adopt(house.now, BusSettings(buffer_bytes_max=BUFFER // 2, subscriptions_max=1))
    house.tell(HistoryRead(read.token, (), False))
    assert refusals(house, client) == ["bus.subscriptions-full"]
    assert house.awaited == [client]


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
