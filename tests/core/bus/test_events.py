"""Events: one canonical frame, everyone who listens, nobody twice."""

from __future__ import annotations

import json

import pytest

from arqonmesh.config.model import BusSettings, HistorySettings
from arqonmesh.core.kernel import Deliver, Emit
from tests.core.bus.house import House

CHANNEL = "telemetry:host"


@pytest.mark.requirement("R-BU-6")
def test_an_event_reaches_the_members_as_one_canonical_frame() -> None:
    """id, type, room, channel, from, payload, timestamp, epoch, offset and v, and the same bytes to everyone."""
    house = House()
    publisher = house.connect()
    first, second = house.member(CHANNEL), house.member(CHANNEL)
    house.send(publisher, {"type": "event", "channel": CHANNEL, "payload": {"load": 0.5}})

    assert house.inboxes[first] == house.inboxes[second]
    (frame,) = house.take(first)
    assert list(frame) == ["id", "type", "room", "channel", "from", "payload", "timestamp", "epoch", "offset", "v"]
    assert frame["id"].startswith("arq_")
    assert (frame["type"], frame["room"], frame["channel"]) == ("event", "telemetry", "host")
    assert (frame["from"], frame["payload"], frame["v"]) == (publisher, {"load": 0.5}, 1)
    assert frame["timestamp"] == "2026-01-01T00:00:00.000Z"
    assert house.published[0].frame == house.deliveries[-1].frames[0]
    assert house.published[0].client == publisher


def test_the_payload_keeps_the_bytes_that_the_client_wrote() -> None:
    """Numbers keep their spelling and objects their blanks: the payload is never parsed."""
    house = House()
    publisher, member = house.connect(), house.member(CHANNEL)
    house.send(
        publisher, b'{"type":"event","channel":"telemetry:host","payload":{"n": 1.50e3,  "u":"\\u00e9\xc3\xa9"}}'
    )
    assert b'"payload":{"n": 1.50e3,  "u":"\\u00e9\xc3\xa9"},' in house.inboxes[member][0]


def test_correlation_id_and_metadata_travel_with_the_event() -> None:
    """Both are the applications' own and come out as they went in."""
    house = House()
    publisher, member = house.connect(), house.member(CHANNEL)
    house.send(
        publisher,
        {"type": "event", "channel": CHANNEL, "payload": 1, "correlation_id": 'a"b', "metadata": {"trace": [1, 2]}},
    )
    (frame,) = house.take(member)
    assert (frame["correlation_id"], frame["metadata"]) == ('a"b', {"trace": [1, 2]})


def test_a_client_cannot_speak_in_another_ones_name() -> None:
    """`from`, `id` and `timestamp` of a client's frame are the bus's to write."""
    house = House()
    publisher, member = house.connect(), house.member(CHANNEL)
    house.send(
        publisher,
        {
            "type": "event",
            "id": "arq_x",
            "from": "boss",
            "channel": CHANNEL,
            "payload": 1,
            "timestamp": "2001-01-01T00:00",
            "v": 1,
        },
    )
    (frame,) = house.take(member)
    assert frame["from"] == publisher
    assert frame["id"] != "arq_x"
    assert frame["timestamp"].startswith("2026")


def test_a_publisher_does_not_hear_itself_unless_it_asks() -> None:
    """As ArqonBus does it; `metadata.echo` asks."""
    house = House()
    publisher, other = house.member(CHANNEL), house.member(CHANNEL)
    house.send(publisher, {"type": "event", "channel": CHANNEL, "payload": 1})
    assert house.take(publisher) == []
    house.send(publisher, {"type": "event", "channel": CHANNEL, "payload": 2, "metadata": {"echo": True}})
    assert [frame["payload"] for frame in house.take(publisher)] == [2]
    assert [frame["payload"] for frame in house.take(other)] == [1, 2]


def test_an_acknowledged_event_is_answered_with_its_id_and_reach() -> None:
    """`metadata.ack`: the id that the bus gave it, and how many clients of this node it went to."""
    house = House()
    publisher, member = house.connect(), house.member(CHANNEL)
    answer = house.ask(
        publisher, {"type": "event", "id": "q1", "channel": CHANNEL, "payload": 1, "metadata": {"ack": True}}
    )
    (frame,) = house.take(member)
    assert answer["payload"] == {"id": frame["id"], "delivered": 1}
    assert (answer["request_id"], answer["status"]) == ("q1", "success")


@pytest.mark.requirement("R-BU-10")
def test_a_client_that_listens_in_three_ways_gets_an_event_once() -> None:
    """Channel, room and everything: no duplicate delivery to one client."""
    house = House()
    publisher, member = house.connect(), house.member(CHANNEL)
    for pattern in ("telemetry:*", "*"):
        house.send(member, {"type": "join", "channel": pattern})
    house.take(member)
    house.send(publisher, {"type": "event", "channel": CHANNEL, "payload": 1})
    assert len(house.take(member)) == 1


def test_patterns_take_a_room_or_everything_and_end_when_left() -> None:
    """`room:*` hears its room alone, `*` hears all, also channels that are made later."""
    house = House()
    publisher, room, everything = house.connect(), house.member("telemetry:*"), house.member("*")
    for channel in ("telemetry:a", "chat:b", "telemetry:c"):
        house.send(publisher, {"type": "event", "channel": channel, "payload": channel})
    assert [frame["payload"] for frame in house.take(room)] == ["telemetry:a", "telemetry:c"]
    assert [frame["payload"] for frame in house.take(everything)] == ["telemetry:a", "chat:b", "telemetry:c"]
    house.send(room, {"type": "leave", "channel": "telemetry:*"})
    house.take(room)
    house.send(publisher, {"type": "event", "channel": "telemetry:a", "payload": 2})
    assert house.take(room) == []


def test_consecutive_events_of_one_read_leave_as_one_delivery() -> None:
    """One Deliver, and one event for federation, per run of events to one audience; order across channels is kept."""
    house = House()
    publisher, member = house.connect(), house.member("*")
    events = [{"type": "event", "channel": f"a:{name}", "payload": i} for i, name in enumerate("xxxyyx")]
    effects = house.send(publisher, *events)
    assert [len(effect.frames) for effect in effects if isinstance(effect, Deliver)] == [3, 2, 1]
    assert [frame["payload"] for frame in house.take(member)] == list(range(6))
    assert sum(isinstance(effect, Emit) for effect in effects) == 3
    assert len(house.published) == 6
    ids = [json.loads(event.frame)["id"] for event in house.published]
    assert ids == sorted(ids)


@pytest.mark.requirement("R-BU-9")
def test_private_messages_reach_the_named_clients_alone_and_stay_here() -> None:
    """Neither history nor federation sees them."""
    house = House()
    sender, friend, other = house.connect(), house.connect(), house.member(CHANNEL)
    house.take(friend)
    house.send(sender, {"type": "private", "to": [friend], "payload": {"text": "hello"}})
    (frame,) = house.take(friend)
    assert (frame["type"], frame["from"], frame["to"]) == ("private", sender, [friend])
    assert frame["payload"] == {"text": "hello"}
    assert house.take(other) == []
    assert house.published == []


def test_a_private_message_to_someone_absent_is_told_and_still_reaches_the_others() -> None:
    """The error names who is not connected."""
    house = House()
    sender, friend = house.connect(), house.connect()
    house.take(friend)
    answer = house.ask(sender, {"type": "private", "to": [friend, "arq_gone"], "payload": 1})
    assert answer["type"] == "error"
    assert answer["payload"]["code"] == "bus.no-such-client"
    assert "arq_gone" in answer["payload"]["message"]
    assert len(house.take(friend)) == 1


def test_an_event_without_an_address_goes_to_the_first_subscription() -> None:
    """R-BU-4's last resort; patterns are no address."""
    house = House()
    listener = house.member("*")
    publisher = house.member("x:*")
    answer = house.ask(publisher, {"type": "event", "payload": 1})
    assert answer["payload"]["code"] == "bus.channel-missing"
    house.send(publisher, {"type": "join", "channel": "a:b"})
    house.send(publisher, {"type": "join", "channel": "c:d"})
    house.send(publisher, {"type": "event", "payload": 2})
    house.send(publisher, {"type": "leave", "channel": "a:b"})
    house.send(publisher, {"type": "event", "payload": 3})
    assert [(frame["room"], frame["payload"]) for frame in house.take(listener)] == [("a", 2), ("c", 3)]


def test_telemetry_without_an_address_has_a_channel_of_its_own() -> None:
    """R-BU-16's stream; the type stays telemetry."""
    house = House()
    publisher, listener = house.connect(), house.member("integriguard:telemetry-stream")
    house.send(publisher, {"type": "telemetry", "payload": {"eventType": "x"}})
    assert [frame["type"] for frame in house.take(listener)] == ["telemetry"]


def test_what_the_bus_says_never_federates() -> None:
    """Welcome, notices, answers and errors are Deliver only."""
    house = House()
    member = house.member(CHANNEL)
    for frame in ({"type": "status"}, {"type": "nonsense"}, {"type": "join", "channel": "a:b"}, {"type": "ping"}):
        house.send(member, frame)
    assert house.published == []


def test_history_can_be_turned_off() -> None:
    """history: 0 keeps nothing, and channels without members vanish at once."""
    house = House(BusSettings(history=HistorySettings(per_channel=0)))
    publisher = house.connect()
    house.send(
        publisher, {"type": "event", "channel": "a:b", "payload": 1}, {"type": "event", "channel": "a:b", "payload": 2}
    )
    house.send(publisher, {"type": "event", "channel": "a:b", "payload": 3})
    assert len(house.published) == 3
    assert house.bus.stats()["channels"] == 0
    assert house.bus.history_frames("a:b", 10) == []
