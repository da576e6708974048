"""Streams and offsets, the window that `history` reads, and coming back to where one was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from arqonmesh.config.model import BusSettings, HistorySettings
from arqonmesh.core.bus.administration import delete_channel
from arqonmesh.core.bus.identity import Identity
from arqonmesh.core.events import HistoryRead, Imported
from arqonmesh.core.kernel import HistoryQuery
from arqonmesh.ids import ClientId, NodeId
from tests.core.bus.house import House

CHANNEL = "telemetry:host"
OURS, THEIRS = "nnnnnnnnnn-0", "ffffffffff-0"


def publish(house: House, *payloads: Any, channel: str = CHANNEL) -> None:
    """One client says these, and leaves."""
    client = house.connect()
    for payload in payloads:
        house.send(client, {"type": "event", "channel": channel, "payload": payload})
    house.leave(client)


def frames_of(house: House) -> tuple[bytes, ...]:
    """What its clients published since the last time."""
    frames, house.published = tuple(event.frame for event in house.published), []
    return frames


def come_back(house: House, since: dict[str, int], channel: str = CHANNEL) -> tuple[list[Any], dict[str, Any]]:
    """Join with `since`: the payloads that come before the answer, and the answer."""
    client = house.connect()
    house.take(client)
    house.send(client, {"type": "join", "channel": channel, "since": since})
    return split(house, client)


def split(house: House, client: ClientId) -> tuple[list[Any], dict[str, Any]]:
    *missed, answer = house.take(client)
    assert answer["type"] == "response", answer
    return [frame["payload"] for frame in missed], answer["payload"]


def test_a_stream_counts_each_channel_from_one_without_gaps() -> None:
    """Whoever publishes, whatever else is published, and over refused frames."""
    house = House()
    for payload in range(3):
        publish(house, payload)
        publish(house, payload, channel="other:one")
        house.send(house.connect(), b'{"type":"event","channel":"telemetry:host"}')
    frames = [json.loads(frame) for frame in frames_of(house)]
    assert [frame["offset"] for frame in frames if frame["room"] == "telemetry"] == [1, 2, 3]
    assert {frame["epoch"] for frame in frames} == {OURS}


def test_a_channel_that_made_room_goes_on_counting_where_it_was() -> None:
    """Or the same offset would be given to two events."""
    house = House(BusSettings(channels_max=1))
    publish(house, 1)
    publish(house, 1, channel="other:one")
    publish(house, 2)
    assert [json.loads(frame)["offset"] for frame in frames_of(house)] == [1, 1, 2]


@pytest.mark.requirement("R-BU-12")
def test_history_is_the_newest_fifty_by_default_of_five_hundred() -> None:
    """And `since` or `before` choose others."""
    house = House()
    publish(house, *range(600))
    reader = house.connect()
    answer = house.ask(reader, {"type": "history", "channel": CHANNEL})["payload"]
    assert [frame["payload"] for frame in answer["messages"]] == list(range(550, 600))
    answer = house.ask(reader, {"type": "history", "channel": CHANNEL, "limit": 500})["payload"]
    assert (answer["returned"], answer["more"]) == (500, True)


@pytest.mark.parametrize(
    ("window", "payloads"),
    [
        ({"since": 1_767_225_600_002}, [2, 3, 4]),
        ({"since": "2026-01-01T00:00:00.003Z"}, [3, 4]),
        ({"since": "2026-01-01T01:00:00.003+01:00"}, [3, 4]),
        ({"before": 1_767_225_600_002}, [0, 1]),
        ({"since": "2026-01-01T00:00:00.001Z", "before": "2026-01-01T00:00:00.003Z"}, [1, 2]),
        ({"since": {OURS: 3}}, [3, 4]),
        ({"since": {}}, [0, 1, 2, 3, 4]),
        ({"before": {OURS: 3}}, [0, 1]),
        ({"since": {OURS: 1}, "limit": 2}, [1, 2]),
        ({"before": {OURS: 5}, "limit": 2}, [2, 3]),
        ({"since": {OURS: 5}}, []),
    ],
)
def test_since_and_before_choose_a_window(window: dict[str, Any], payloads: list[int]) -> None:
    """Milliseconds, ISO 8601 and positions; forward from `since`, else the last ones before."""
    house = House()
    for payload in range(5):
        publish(house, payload)
        house.wall_ms += 1
    answer = house.ask(house.connect(), {"type": "history", "channel": CHANNEL, **window})["payload"]
    assert [frame["payload"] for frame in answer["messages"]] == payloads
    assert answer["position"] == {OURS: 5}


@pytest.mark.parametrize("since", ["soon", True, [], {"x": -1}, {"x": "y"}, -5, 1e300, {"e" * 65: 1}])
def test_a_since_that_is_none_is_told_so(since: Any) -> None:
    """With the field named; nothing is guessed."""
    house = House()
    publish(house, 1)
    answer = house.ask(house.connect(), {"type": "history", "channel": CHANNEL, "since": since})
    assert (answer["payload"]["code"], answer["payload"]["field"]) == ("bus.invalid-field", "since")


def test_what_the_ring_gave_up_is_asked_of_the_disk_without_waiting() -> None:
    """The answer comes when the disk has; until then the bus does other things."""
    house = House(BusSettings(history=HistorySettings(per_channel=3)), durable=True)
    publish(house, *range(6))
    frames = frames_of(house)
    assert [(keep.first, len(keep.frames)) for keep in house.kept] == [(number, 1) for number in range(1, 7)]
    reader = house.connect()
    house.take(reader)
    house.send(reader, {"type": "history", "channel": CHANNEL, "since": {OURS: 1}, "id": "q"}, {"type": "ping"})
    (ping,) = house.take(reader)
    assert ping["command"] == "ping"
    (asked,) = house.asked
    assert asked.query == HistoryQuery(CHANNEL, 50, 1 << 20, oldest=True, ranges=((OURS, 2, 6),))
    house.tell(HistoryRead(asked.token, frames[1:]))
    (answer,) = house.take(reader)
    assert answer["request_id"] == "q"
    assert [frame["payload"] for frame in answer["payload"]["messages"]] == [1, 2, 3, 4, 5]


def test_a_ring_is_loaded_back_once_and_then_answers_by_itself() -> None:
    """After a restart the first question goes to the disk; what it brings stands in front of what came since."""
    before = House(node="n", boot_epoch=1)
    publish(before, *range(4))
    house = House(node="n", boot_epoch=2, durable=True)
    house.bus.start(0, {"streams": [(CHANNEL, "nnnnnnnnnn-1", 4, "", 1)]})
    publish(house, 4)
    reader = house.connect()
    house.take(reader)
    old, new = frames_of(before), frames_of(house)
    house.send(reader, {"type": "history", "channel": CHANNEL})
    house.tell(HistoryRead(house.asked[0].token, (*old, *new)))
    assert [frame["payload"] for frame in house.take(reader)[0]["payload"]["messages"]] == [0, 1, 2, 3, 4]
    answer = house.ask(reader, {"type": "history", "channel": CHANNEL})["payload"]
    assert [frame["payload"] for frame in answer["messages"]] == [0, 1, 2, 3, 4]
    assert (len(house.asked), answer["more"]) == (1, False)


# --- coming back ---------------------------------------------------------------------------------------------


def test_who_comes_back_gets_what_it_missed_and_is_told_that_nothing_is_missing() -> None:
    """Missed first, then the answer, then what is live."""
    house = House()
    publish(house, 1, 2, 3, 4)
    client = house.connect()
    house.take(client)
    house.send(client, {"type": "join", "channel": CHANNEL, "since": {OURS: 2}})
    publish(house, 5)
    *missed, answer, live = house.take(client)
    assert [frame["payload"] for frame in missed] == [3, 4]
    assert (answer["payload"]["recovered"], answer["payload"]["missed"]) == (True, 2)
    assert answer["payload"]["position"] == {OURS: 4}
    assert live["payload"] == 5


def test_a_plain_join_says_where_the_channel_stands() -> None:
    """So that a client that never heard an event can come back all the same."""
    house = House()
    publish(house, 1, 2)
    joined = house.ask(house.connect(), {"type": "join", "channel": CHANNEL})["payload"]
    assert joined["position"] == {OURS: 2}
    assert "recovered" not in joined


def test_what_nobody_has_any_more_is_a_gap_by_name() -> None:
    """Without a disk the ring is all there is."""
    house = House(BusSettings(history=HistorySettings(per_channel=2)))
    publish(house, 1, 2, 3, 4, 5)
    missed, answer = come_back(house, {OURS: 1})
    assert missed == [4, 5]
    assert answer["recovered"] is False
    assert answer["gaps"] == [{"epoch": OURS, "first": 2, "last": 3}]
    assert answer["position"] == {OURS: 5}


def test_a_crash_names_what_may_not_have_been_committed_and_names_it_once() -> None:
    """The stored end of the old stream is known; whether anything came after it is not."""
    house = House(boot_epoch=2)
    house.bus.start(0, {"streams": [(CHANNEL, "nnnnnnnnnn-1", 4, "", 0)]})
    _, answer = come_back(house, {"nnnnnnnnnn-1": 4})
    assert answer["recovered"] is False
    assert answer["gaps"] == [{"epoch": "nnnnnnnnnn-1", "first": 5, "last": None}]
    _, again = come_back(house, answer["position"])
    assert again["recovered"] is True


def test_who_reads_from_a_position_is_told_of_the_same_doubts() -> None:
    """Clients catch up the channels of a pattern by `history`; without a position nothing is asked for, nor told."""
    house = House(boot_epoch=2)
    house.bus.start(0, {"streams": [(CHANNEL, "nnnnnnnnnn-1", 4, "", 0)]})
    ask = {"type": "history", "channel": CHANNEL}
    reader = house.connect()
    answer = house.ask(reader, ask | {"since": {"nnnnnnnnnn-1": 4}})["payload"]
    assert answer["gaps"] == [{"epoch": "nnnnnnnnnn-1", "first": 5, "last": None}]
    assert "gaps" not in house.ask(reader, ask | {"since": answer["position"]})["payload"]
    assert "gaps" not in house.ask(reader, ask)["payload"]


def test_a_clean_stop_leaves_no_doubt() -> None:
    """The end of each stream is written when a node stops."""
    house = House(boot_epoch=2)
    house.bus.start(0, {"streams": [(CHANNEL, "nnnnnnnnnn-1", 4, "", 1)]})
    assert come_back(house, {"nnnnnnnnnn-1": 4})[1]["recovered"] is True


def test_a_stream_of_ours_that_is_forgotten_is_a_gap() -> None:
    """After a restart without a disk nothing of the old life is left, and who knew it is told."""
    house = House(boot_epoch=2)
    publish(house, 1)
    missed, answer = come_back(house, {"nnnnnnnnnn-1": 4})
    assert missed == [1]
    assert answer["gaps"] == [{"epoch": "nnnnnnnnnn-1", "first": 5, "last": None}]


def test_events_of_other_nodes_are_resumed_at_any_node() -> None:
    """The map names each node's stream; no node leads."""
    here, there = House(), House(node="f")
    publish(there, 1, 2, 3)
    here.tell(Imported(NodeId("f" * 32), "hq", CHANNEL, frames_of(there)))
    publish(here, 4)
    missed, answer = come_back(here, {THEIRS: 1})
    assert missed == [2, 3, 4]
    assert (answer["recovered"], answer["position"]) == (True, {THEIRS: 3, OURS: 1})


def test_an_event_that_comes_twice_is_taken_once() -> None:
    """By two ways, or because a node asked again."""
    here, there = House(), House(node="f")
    member = here.member(CHANNEL)
    publish(there, 1, 2)
    frames = frames_of(there)
    here.tell(Imported(NodeId("f" * 32), "hq", CHANNEL, frames))
    here.tell(Imported(NodeId("f" * 32), "hq", CHANNEL, frames))
    assert [frame["payload"] for frame in here.take(member)] == [1, 2]
    assert here.bus.stats()["import_known"] == 2


def test_a_member_may_not_write_into_another_ones_stream() -> None:
    """It could make clients believe that they have seen what they have not."""
    here, there = House(), House(node="f")
    member = here.member(CHANNEL)
    publish(there, 1)
    here.tell(Imported(NodeId("g" * 32), "hq", CHANNEL, frames_of(there)))
    assert here.take(member) == []
    assert here.bus.stats()["import_refused"] == 1


def test_a_client_that_is_ahead_of_its_new_node_hears_nothing_twice() -> None:
    """It saw 1 to 3 at the other node; this one has 1, and 2 to 4 are still on their way."""
    here, there = House(), House(node="f")
    publish(there, 1, 2, 3, 4)
    frames = frames_of(there)
    here.tell(Imported(NodeId("f" * 32), "hq", CHANNEL, frames[:1]))
    client, other = here.connect(), here.member(CHANNEL)
    here.take(client)
    here.send(client, {"type": "join", "channel": CHANNEL, "since": {THEIRS: 3}})
    missed, answer = split(here, client)
    assert (missed, answer["recovered"], answer["position"]) == ([], True, {THEIRS: 3, OURS: 0})
    here.take(other)
    for frame in frames[1:]:
        here.tell(Imported(NodeId("f" * 32), "hq", CHANNEL, (frame,)))
    assert [frame["payload"] for frame in here.take(client)] == [4]
    assert [frame["payload"] for frame in here.take(other)] == [2, 3, 4]


def test_what_is_published_while_the_disk_is_read_comes_after_it_and_before_what_is_live() -> None:
    """Also more than the ring holds."""
    house = House(BusSettings(history=HistorySettings(per_channel=2)), durable=True)
    publish(house, *range(1, 6))
    frames = frames_of(house)
    client = house.connect()
    house.take(client)
    house.send(client, {"type": "join", "channel": CHANNEL, "since": {OURS: 0}})
    publish(house, 6, 7, 8, 9)
    assert house.take(client) == []
    (asked,) = house.asked
    assert asked.query.ranges == ((OURS, 1, 5),)
    house.tell(HistoryRead(asked.token, frames))
    publish(house, 10)
    *missed, answer, live = house.take(client)
    assert [frame["payload"] for frame in missed] == list(range(1, 10))
    assert (answer["payload"]["recovered"], live["payload"]) == (True, 10)


def test_what_a_client_has_seen_elsewhere_does_not_come_with_what_is_published_meanwhile() -> None:
    """It is ahead of this node in one stream, and behind in another whose past is on disk."""
    here, there = House(BusSettings(history=HistorySettings(per_channel=1)), durable=True), House(node="f")
    publish(here, 1, 2)
    frames = frames_of(here)
    publish(there, 3, 4)
    client = here.connect()
    here.take(client)
    here.send(client, {"type": "join", "channel": CHANNEL, "since": {OURS: 0, THEIRS: 1}})
    here.tell(Imported(NodeId("f" * 32), "hq", CHANNEL, frames_of(there)))
    here.tell(HistoryRead(here.asked[0].token, frames))
    missed, answer = split(here, client)
    assert (missed, answer["recovered"]) == ([1, 2, 4], True)


def test_a_client_that_left_meanwhile_is_not_answered() -> None:
    """And nothing of it is kept."""
    house = House(BusSettings(history=HistorySettings(per_channel=1)), durable=True)
    publish(house, 1, 2)
    client = house.connect()
    house.send(client, {"type": "join", "channel": CHANNEL, "since": {OURS: 0}})
    house.leave(client)
    house.take(client)
    house.tell(HistoryRead(house.asked[0].token, ()))
    assert house.take(client) == []
    channel = house.bus.channels.find(CHANNEL)
    assert channel is not None
    assert (channel.tails, channel.members) == ((), {})


def test_a_broken_disk_is_a_gap_and_no_error() -> None:
    """The client goes on with what there is."""
    house = House(BusSettings(history=HistorySettings(per_channel=2)), durable=True)
    publish(house, 1, 2, 3, 4)
    client = house.connect()
    house.take(client)
    house.send(client, {"type": "join", "channel": CHANNEL, "since": {OURS: 0}})
    house.tell(HistoryRead(house.asked[0].token, (), failed="the disk is gone"))
    missed, answer = split(house, client)
    assert missed == [3, 4]
    assert answer["gaps"] == [{"epoch": OURS, "first": 1, "last": 2}]


def test_what_fills_a_hole_is_delivered_late_and_kept_in_its_place() -> None:
    """Nobody has had it: late is better than never. Who comes back later finds it where it belongs."""
    here, there = House(durable=True), House(node="f")
    member = here.member(CHANNEL)
    publish(there, 1, 2, 3)
    frames = frames_of(there)
    here.tell(Imported(NodeId("f" * 32), "hq", CHANNEL, frames[:1]))
    here.tell(Imported(NodeId("f" * 32), "hq", CHANNEL, frames[2:]))
    here.tell(Imported(NodeId("f" * 32), "hq", CHANNEL, frames[1:2]))
    assert [frame["payload"] for frame in here.take(member)] == [1, 3, 2]
    assert [(keep.epoch, keep.first) for keep in here.kept] == [(THEIRS, 1), (THEIRS, 3), (THEIRS, 2)]
    assert here.bus.stats()["import_late"] == 1


def test_a_deleted_channel_takes_its_history_along() -> None:
    """In memory and on disk; its stream goes on, so no offset is given twice."""
    house = House(durable=True)
    publish(house, 1, 2)
    _, effects = delete_channel(house.bus, house.now, Identity("ops", "admin"), CHANNEL)
    house.perform(effects)
    assert (house.forgotten, house.bus.channels.find(CHANNEL)) == ([CHANNEL], None)
    publish(house, 3)
    assert [json.loads(frame)["offset"] for frame in frames_of(house)][-1] == 3


def test_a_restarted_node_knows_how_far_every_stream_went() -> None:
    """Before anything is read from the disk: a plain join says so at once."""
    house = House(boot_epoch=2, durable=True)
    house.bus.start(0, {"streams": [(CHANNEL, "nnnnnnnnnn-1", 4, "", 1), (CHANNEL, THEIRS, 7, "2-3", 0)]})
    joined = house.ask(house.connect(), {"type": "join", "channel": CHANNEL})["payload"]
    assert joined["position"] == {"nnnnnnnnnn-1": 4, THEIRS: 7, "nnnnnnnnnn-2": 0}


def test_what_fills_a_hole_while_the_disk_is_read_is_not_missing() -> None:
    """It came after the question and before the answer, out of its turn."""
    here, there = House(BusSettings(history=HistorySettings(per_channel=2)), durable=True), House(node="f")
    publish(there, 1, 2, 3)
    frames = frames_of(there)
    publish(here, "a", "b")
    own = frames_of(here)
    here.tell(Imported(NodeId("f" * 32), "hq", CHANNEL, frames[:1]))
    here.tell(Imported(NodeId("f" * 32), "hq", CHANNEL, frames[2:]))
    client = here.connect()
    here.take(client)
    here.send(client, {"type": "join", "channel": CHANNEL, "since": {OURS: 0, THEIRS: 0}})
    here.tell(Imported(NodeId("f" * 32), "hq", CHANNEL, frames[1:2]))
    here.tell(HistoryRead(here.asked[0].token, (*own, frames[0], frames[2])))
    missed, answer = split(here, client)
    assert (missed, answer["recovered"]) == (["a", "b", 1, 2, 3], True)


def test_a_ring_without_what_came_late_is_not_all_there_is() -> None:
    """The disk has it; also after the ring was loaded back from there."""
    here, there = House(durable=True), House(node="f")
    publish(there, 1, 2, 3)
    frames = frames_of(there)
    for index in (0, 2, 1):
        here.tell(Imported(NodeId("f" * 32), "hq", CHANNEL, frames[index : index + 1]))
    client = here.connect()
    here.take(client)
    for count in (1, 2):
        here.send(client, {"type": "history", "channel": CHANNEL})
        assert len(here.asked) == count
        here.tell(HistoryRead(here.asked[-1].token, (frames[0], frames[2], frames[1])))
        (answer,) = here.take(client)
        assert [frame["payload"] for frame in answer["payload"]["messages"]] == [1, 3, 2]


@pytest.mark.parametrize("name", [CHANNEL, "telemetry:*", "*:host", "*"])
def test_who_begins_to_hear_a_channel_while_its_past_is_read_misses_nothing_and_hears_nothing_twice(name: str) -> None:
    """By a second join without `since`, of the channel or of a pattern."""
    house = House(BusSettings(history=HistorySettings(per_channel=2)), durable=True)
    publish(house, 1, 2, 3, 4)
    frames = frames_of(house)
    client = house.connect()
    house.take(client)
    house.send(client, {"type": "join", "channel": CHANNEL, "since": {OURS: 0}})
    publish(house, 5)
    house.send(client, {"type": "join", "channel": name})
    publish(house, 6)
    house.tell(HistoryRead(house.asked[0].token, frames))
    publish(house, 7)
    came = house.take(client)
    assert [frame["payload"] for frame in came if frame["type"] == "event"] == [6, 1, 2, 3, 4, 5, 7]
    (answer,) = [frame["payload"] for frame in came if "recovered" in str(frame["payload"])]
    assert (answer["recovered"], answer["position"]) == (True, {OURS: 6})


@pytest.mark.parametrize("pattern", ["telemetry:*", "*:host", "*"])
def test_who_hears_a_channel_by_a_pattern_and_joins_it_from_where_it_was_hears_nothing_twice(pattern: str) -> None:
    """And a gap of the past is told, though what is live came all along."""
    house = House(BusSettings(history=HistorySettings(per_channel=2)), durable=True)
    publish(house, 1, 2, 3, 4)
    frames = frames_of(house)
    client = house.connect()
    house.take(client)
    house.send(client, {"type": "join", "channel": pattern})
    house.take(client)
    house.send(client, {"type": "join", "channel": CHANNEL, "since": {OURS: 0}})
    publish(house, 5)
    assert [frame["payload"] for frame in house.take(client)] == [5]
    house.tell(HistoryRead(house.asked[0].token, frames[1:]))
    missed, answer = split(house, client)
    assert (missed, answer["gaps"]) == ([2, 3, 4], [{"epoch": OURS, "first": 1, "last": 1}])


@pytest.mark.parametrize(
    ("window", "payloads"),
    [({}, [3, 4]), ({"since": {OURS: 3}}, [4]), ({"before": {OURS: 4}}, [3]), ({"since": "2027-01-01"}, [])],
)
def test_of_a_disk_that_is_gone_memory_answers_what_was_asked(window: dict[str, Any], payloads: list[int]) -> None:
    """Not simply its newest; `more` says that there may be others."""
    house = House(BusSettings(history=HistorySettings(per_channel=2)), durable=True)
    publish(house, 1, 2, 3, 4)
    client = house.connect()
    house.take(client)
    house.send(client, {"type": "history", "channel": CHANNEL, "limit": 10, **window})
    if house.asked:
        house.tell(HistoryRead(house.asked[0].token, (), failed="the disk is gone"))
    (answer,) = house.take(client)
    assert [frame["payload"] for frame in answer["payload"]["messages"]] == payloads
    assert answer["payload"]["more"] is bool(house.asked)


@pytest.mark.parametrize("window", [{}, {"since": {OURS: 0}}, {"since": 0}])
def test_what_the_disk_has_not_taken_yet_is_found_in_memory(window: dict[str, Any]) -> None:
    """It is full, or locked; what is newest is in the ring."""
    house = House(BusSettings(history=HistorySettings(per_channel=3)), durable=True)
    publish(house, 1, 2, 3, 4)
    frames = frames_of(house)
    client = house.connect()
    house.take(client)
    house.send(client, {"type": "history", "channel": CHANNEL, "limit": 10, **window})
    house.tell(HistoryRead(house.asked[0].token, frames[:2]))
    (answer,) = house.take(client)
    assert [frame["payload"] for frame in answer["payload"]["messages"]] == [1, 2, 3, 4]
