"""Where the bus meets federation: Imported, Backlog, and what the partition state tells clients."""

from __future__ import annotations

import pytest

from arqonmesh.core.events import Backlog, Imported, PartitionChanged
from arqonmesh.core.kernel import Throttle
from arqonmesh.ids import NodeId
from tests.core.bus.house import House

CHANNEL = "telemetry:host"
FACTORY, STORE = NodeId("f" * 32), NodeId("s" * 32)


def foreign_frames(count: int = 1, channel: str = CHANNEL) -> tuple[bytes, ...]:
    """Frames as another node's bus makes them."""
    house = House(node="f")
    publisher = house.connect()
    for i in range(count):
        house.send(publisher, {"type": "event", "channel": channel, "payload": i})
    return tuple(event.frame for event in house.published)


def test_imported_frames_reach_members_unchanged_and_are_remembered() -> None:
    """The origin's bytes, its `from` and its id; not published again."""
    house = House()
    member = house.member("telemetry:*")
    frames = foreign_frames(3)
    house.tell(Imported(FACTORY, "factory", CHANNEL, frames))
    assert house.inboxes[member] == list(frames)
    assert house.bus.history_frames(CHANNEL, 50) == list(frames)
    assert house.published == []
    assert house.bus.stats()["imported"] == 3


@pytest.mark.parametrize(
    "frame",
    [
        b'{"id":"","type":"event","room":"telemetry","channel":"host","from":"x","payload":{},"timestamp":"t","v":1}',
        b"rubbish",
        b"{}",
        b'\xff{"id":"arq_1"}',
        foreign_frames(channel="other:channel")[0],
        foreign_frames()[0].replace(b'"type":"event"', b'"type":"system"'),
        foreign_frames()[0].replace(b'"payload":0', b'"payload":"\xff"'),
        foreign_frames()[0].replace(b'"from":"', b'"from":"' + b"x" * 200),
        foreign_frames()[0].replace(b'"payload":0', b'"payload":' + 2_000 * b"[" + 2_000 * b"]"),
        foreign_frames()[0][:-1],
    ],
)
def test_an_import_that_clients_could_not_read_goes_no_further(frame: bytes) -> None:
    """No id, no JSON, no UTF-8, another channel, or posing as the bus: dropped and counted; the good ones arrive."""
    house = House()
    member = house.member(CHANNEL)
    (good,) = foreign_frames()
    house.tell(Imported(FACTORY, "factory", CHANNEL, (frame, good)))
    assert house.inboxes[member] == [good]
    assert [(drop.reason, drop.count) for drop in house.dropped] == [("import-unreadable", 1)]


def test_a_full_outbox_pauses_who_publishes_into_it_and_nobody_else() -> None:
    """Throttle once per client; the event itself is not lost."""
    house = House()
    loud, quiet = house.connect(), house.connect()
    house.tell(Backlog(FACTORY, True))
    house.send(loud, {"type": "event", "channel": CHANNEL, "payload": 1})
    house.send(loud, {"type": "event", "channel": CHANNEL, "payload": 2})
    house.send(quiet, {"type": "ping"})
    assert [(throttle.clients, throttle.paused) for throttle in house.throttled] == [((loud,), True)]
    assert len(house.published) == 2


def test_all_are_resumed_when_the_last_outbox_has_room() -> None:
    """One link that drained does not open the gate for another that did not."""
    house = House()
    loud = house.connect()
    house.tell(Backlog(FACTORY, True))
    house.tell(Backlog(STORE, True))
    house.send(loud, {"type": "event", "channel": CHANNEL, "payload": 1})
    house.tell(Backlog(FACTORY, False))
    assert len(house.throttled) == 1
    house.tell(Backlog(STORE, False))
    assert [(throttle.clients, throttle.paused) for throttle in house.throttled] == [((loud,), True), ((loud,), False)]
    house.send(loud, {"type": "event", "channel": CHANNEL, "payload": 2})
    assert len(house.throttled) == 2


def test_channels_that_stay_here_are_never_throttled() -> None:
    """A link that is slow is no reason to slow down what it does not carry."""
    house = House(exported=False)
    loud = house.connect()
    house.tell(Backlog(FACTORY, True))
    house.send(loud, {"type": "event", "channel": CHANNEL, "payload": 1})
    assert house.throttled == []


def test_a_client_that_went_while_paused_is_not_resumed() -> None:
    """Its place in the list went with it."""
    house = House()
    loud = house.connect()
    house.tell(Backlog(FACTORY, True))
    house.send(loud, {"type": "event", "channel": CHANNEL, "payload": 1})
    house.leave(loud)
    assert house.tell(Backlog(FACTORY, False)) == []


@pytest.mark.requirement("R-OB-11")
def test_clients_are_told_when_the_mesh_degrades() -> None:
    """Once per change of state, in both dialects; status shows it too."""
    house = House()
    new, old = house.connect(), house.connect("")
    house.take(new), house.take(old)
    for reachable in (2, 1):
        house.tell(PartitionChanged("degraded", True, reachable, 2, 3, "crash"))
    house.tell(PartitionChanged("critical", False, 1, 2, 3, "crash"))
    told = [frame["payload"] for frame in house.take(new)]
    assert [(payload["state"], payload["writable"]) for payload in told] == [("degraded", True), ("critical", False)]
    assert [frame["version"] for frame in house.take(old)] == ["1.0", "1.0"]
    assert house.ask(new, {"type": "status"})["payload"]["partition"] == {"state": "critical", "writable": False}


def test_leaving_the_mesh_lets_every_paused_publisher_go_on() -> None:
    """The links are gone and with them whoever would have said that the backlog fell; the next mesh starts afresh."""
    house = House()
    client = house.member("telemetry:host")
    house.tell(Backlog(FACTORY, True))
    house.tell(PartitionChanged("critical", False, 1, 2, 2, "crash"))
    house.send(client, {"type": "event", "channel": "telemetry:host", "payload": 1})
    assert house.throttled == [Throttle((client,), True)]

    house.perform(house.bus.left_mesh())

    assert house.throttled[1:] == [Throttle((client,), False)]
    assert house.bus.partition is None
    house.send(client, {"type": "event", "channel": "telemetry:host", "payload": 2})
    assert len(house.throttled) == 2
