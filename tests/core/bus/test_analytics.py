"""Figures per room, bounded; and what the bus tells the runtime of its clients and of channels that it watches."""

from __future__ import annotations

import random

import pytest

from arqonmesh.config.model import BusSettings
from arqonmesh.core.bus import Bus, BusEnv, analytics
from arqonmesh.core.bus.analytics import Analytics
from arqonmesh.core.events import ClientCame, ClientWent, Observed
from arqonmesh.ids import ClusterId, NodeId
from tests.core.bus.house import House


def noted(*notes: tuple[str, str, list[bytes], int]) -> Analytics:
    figures = Analytics()
    for note in notes:
        figures.note(*note)
    return figures


@pytest.mark.requirement("R-OB-6")
def test_messages_bytes_publishers_and_the_last_time_are_counted_per_room() -> None:
    """All channels of a room together; private messages and commands are none of it."""
    house = House()
    ann, bob = house.connect(), house.connect()
    for sender, channel in ((ann, "lab:a"), (bob, "lab:b"), (ann, "lab:a"), (ann, "chat:a")):
        house.send(sender, {"type": "event", "channel": channel, "payload": {"x": 1}})
    house.ask(ann, {"type": "ping"})
    rooms = dict(house.bus.analytics.rooms())
    lab = rooms["lab"]
    assert list(rooms) == ["lab", "chat"]
    assert (lab.messages, lab.bytes, list(lab.publishers)) == (
        3,
        sum(len(event.frame) for event in house.published[:3]),
        [ann, bob],
    )
    house.bus.analytics.roll(10_000)
    assert (lab.span_messages, lab.span_ms, lab.span_publishers, len(lab.publishers)) == (3, 10_000, 2, 0)
    house.wall_ms += 5_000
    house.send(bob, {"type": "event", "channel": "lab:a", "payload": 1})
    house.bus.analytics.roll(5_000)
    assert (lab.messages, lab.span_messages, lab.span_publishers, lab.last_ms) == (4, 1, 1, house.wall_ms)


@pytest.mark.requirement("R-OB-6")
def test_the_table_of_rooms_is_bounded_and_the_quietest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its figures go to the others', so that sums stay true; a busy table takes in nobody."""
    monkeypatch.setattr(analytics, "ROOMS_MAX", 2)
    figures = noted(("a", "p", [b"12"], 1_000), ("b", "p", [b"1"], 2_000), ("c", "p", [b"123", b"4"], 3_000))
    assert ([name for name, _ in figures.rooms()], figures.other.messages, figures.other.bytes) == (["a", "b"], 2, 4)
    figures.note("d", "p", [b"1"], 61_001)
    assert [name for name, _ in figures.rooms()] == ["b", "d"]
    assert (figures.other.messages, figures.other.bytes) == (3, 6)
    figures.roll(1_000)
    assert figures.other.span_messages == 3
    figures.note("e", "p", [b"1"], 61_500)
    assert [name for name, _ in figures.rooms()] == ["b", "d"], "looked a moment ago"


def test_publishers_of_a_room_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the count stays."""
    monkeypatch.setattr(analytics, "PUBLISHERS_MAX", 2)
    figures = noted(*(("a", f"p{number}", [b"1"], 1_000) for number in range(5)))
    assert [len(room.publishers) for _, room in figures.rooms()] == [2]


@pytest.mark.requirement("R-BU-25")
def test_each_command_is_measured_when_there_is_a_stopwatch() -> None:
    """From the frame to its answer; without a stopwatch nothing."""
    ticks = iter(range(0, 1_000_000_000, 5_000_000))
    env = BusEnv(
        node_id=NodeId("n" * 32),
        cluster=ClusterId("hq"),
        rng=random.Random(1),
        wall_ms=lambda: 1,
        stopwatch=lambda: next(ticks),
    )
    house = House()
    house.bus = Bus(env, BusSettings())
    client = house.connect()
    for _ in range(3):
        house.ask(client, {"type": "ping"})
    told = house.bus.analytics.commands["ping"].figures()
    assert (told["count"], told["mean_us"]) == (3, 5_000)
    without = House()
    without.ask(without.connect(), {"type": "ping"})
    assert without.bus.analytics.commands == {}


@pytest.mark.requirement("R-BU-16")
def test_who_comes_and_goes_is_told_and_so_is_what_is_said_where_the_runtime_listens() -> None:
    """Frames of a watched channel once per run; of others not at all."""
    house = House()
    house.bus.observed["integriguard:telemetry-stream"] = None
    client = house.connect(name="planner")
    house.send(
        client,
        {"type": "telemetry", "payload": {"eventType": "x"}},
        {"type": "telemetry", "payload": {"eventType": "y"}},
        {"type": "event", "channel": "other:channel", "payload": 1},
    )
    house.leave(client)
    came, seen, went = house.told
    assert came == ClientCame(client, "", "planner")
    assert isinstance(seen, Observed)
    assert (seen.channel, len(seen.frames)) == ("integriguard:telemetry-stream", 2)
    assert went == ClientWent(client, "", "planner", 3)
