"""Nodes of one cluster fill up each other's history: what is fetched, who hears it, and what is nobody's to give."""

from __future__ import annotations

import json

import pytest

from arqonmesh.config.model import BusSettings, HistorySettings
from arqonmesh.core.bus.cluster.holdings import WEIGHT_MAX, packed
from arqonmesh.core.bus.streams import without
from arqonmesh.core.events import Imported
from arqonmesh.ids import ClientId, NodeId
from arqonmesh.wire.codec import encode_message
from arqonmesh.wire.messages import MAX_FRAME_BYTES, HistoryFrames, HistoryHeads, HistoryWanted
from tests.core.bus.mates import CHANNEL, Mates, Side

SETTINGS = BusSettings(history=HistorySettings(per_channel=3))
STRANGER = NodeId("s" * 32)


@pytest.fixture
def mates() -> Mates:
    return Mates("nfq", SETTINGS)


def offsets(side: Side, client: ClientId) -> list[int]:
    return [told["offset"] for told in side.house.take(client) if told["type"] == "event"]


def join(side: Side, since: dict[str, int] | None = None) -> ClientId:
    """A client that has joined; its answer stays in its inbox."""
    client = side.house.connect()
    side.house.take(client)
    frame = {"type": "join", "channel": CHANNEL}
    side.house.send(client, frame if since is None else {**frame, "since": since})
    return client


def kill(mates: Mates, side: Side) -> None:
    mates.stop(side)
    mates.start(side, "")


def test_what_had_come_and_was_not_committed_when_it_was_killed_comes_from_a_mate(mates: Mates) -> None:
    """Federation does not send it again; a mate has it."""
    publisher, killed, _ = mates.sides
    mates.publish(publisher, 2)
    killed.arrive(2)
    killed.commit()
    mates.publish(publisher, 3)
    killed.arrive(3)
    kill(mates, killed)
    mates.settle()
    assert sorted(killed.disk.places()) == [(publisher.epoch, offset) for offset in range(1, 6)]
    assert killed.house.bus.stats()["fillup_fetched"] == 3


def test_a_killed_publisher_learns_from_its_mates_how_far_it_went(mates: Mates) -> None:
    """Its clients are told of a doubt before, of none after; and they hear what its own disk did not get."""
    publisher = mates.sides[0]
    mates.publish(publisher, 2)
    publisher.commit()
    mates.publish(publisher, 2)
    old = publisher.epoch
    for mate in mates.sides[1:]:
        mate.arrive(4)
    kill(mates, publisher)
    early = join(publisher, {old: 1})
    publisher.answer_reads()
    told = publisher.house.take(early)
    assert told[-1]["payload"]["gaps"] == [{"epoch": old, "first": 3, "last": None}]
    mates.settle()
    assert offsets(publisher, early) == [3, 4]
    late = join(publisher, {old: 1})
    publisher.answer_reads()
    *events, answer = publisher.house.take(late)
    assert ([event["offset"] for event in events], answer["payload"]["recovered"]) == ([2, 3, 4], True)


def test_who_saw_the_offsets_jump_hears_late_what_was_between_and_nobody_else(mates: Mates) -> None:
    """Who came back since has been told of the hole by name, or has seen it elsewhere."""
    publisher, here, mate = mates.sides
    mates.publish(publisher, 5)
    frames = tuple(frame for _, frame in here.way)
    here.way.clear()
    mate.arrive(5)
    witness = join(here)
    here.house.take(witness)
    for frame in (frames[0], frames[4]):
        here.house.tell(Imported(publisher.id, "hq", CHANNEL, (frame,)))
    ahead, told = join(here, {publisher.epoch: 5}), join(here, {publisher.epoch: 1})
    here.answer_reads()
    assert here.house.take(told)[-1]["payload"]["gaps"] == [{"epoch": publisher.epoch, "first": 2, "last": 4}]
    here.house.take(ahead)
    mates.settle()
    assert offsets(here, witness) == [1, 5, 2, 3, 4]
    assert (offsets(here, ahead), offsets(here, told)) == ([], [])
    again = join(here, {publisher.epoch: 1})
    here.answer_reads()
    *events, answer = here.house.take(again)
    assert ([event["offset"] for event in events], answer["payload"]["recovered"]) == ([2, 3, 4, 5], True)


def test_what_was_said_to_a_whole_room_is_fetched_from_a_mates_disk_too(
    mates: Mates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No client asks for the history of `room:*`; mates do, which is why it is kept: who was there hears it late."""
    monkeypatch.setattr("tests.core.bus.mates.CHANNEL", "telemetry:*")
    publisher, here, mate = mates.sides
    witness = join(here)
    here.house.take(witness)
    mates.publish(publisher, 5)
    frames = tuple(frame for _, frame in here.way)
    here.way.clear()
    mate.arrive(5)
    for frame in (frames[0], frames[4]):
        here.house.tell(Imported(publisher.id, "hq", "telemetry:*", (frame,)))
    mates.settle()
    assert offsets(here, witness) == [1, 5, 2, 3, 4]


def test_what_was_published_before_a_client_came_is_not_live_for_it(mates: Mates) -> None:
    """A node that fills up from nothing does not tell its clients the cluster's past, except who asked by `since`."""
    publisher, here, mate = mates.sides
    mates.publish(publisher, 3)
    here.way.clear()
    mate.arrive(3)
    here.house.wall_ms += 90_000  # within what clocks may differ
    plain, pattern = join(here), here.house.member("telemetry:*")
    asked = join(here, {"qqqqqqqqqq-1": 0})
    ahead = join(here, {publisher.epoch: 2})
    for client in (plain, asked, ahead):
        here.house.take(client)
    mates.settle()
    assert len(here.disk.rows) == 3
    assert [offsets(here, client) for client in (plain, pattern, asked, ahead)] == [[], [], [1, 2, 3], [3]]


def test_what_a_mate_gave_before_the_publisher_could_is_heard_when_its_own_copy_comes(mates: Mates) -> None:
    """The link to the publisher was down, and what it held back comes later: once, and not to who had it already."""
    publisher, here, mate = mates.sides
    here.house.wall_ms += 90_000  # within what clocks may differ
    witness = join(here)
    here.house.take(witness)
    mates.publish(publisher, 3)
    frames = tuple(frame for _, frame in here.way)
    here.way.clear()
    mate.arrive(3)
    asked = join(here, {"qqqqqqqqqq-1": 0})
    here.house.take(asked)
    mates.settle()
    assert (offsets(here, witness), offsets(here, asked)) == ([], [1, 2, 3])
    for _ in range(2):
        here.house.tell(Imported(publisher.id, "hq", CHANNEL, frames))
    assert (offsets(here, witness), offsets(here, asked)) == ([1, 2, 3], [])
    assert len(here.disk.rows) == 3, "kept once"


def test_who_was_handed_what_a_mate_gave_does_not_hear_it_again(mates: Mates) -> None:
    """It was connected long before it was published, by anybody's clock."""
    publisher, here, mate = mates.sides
    witness = join(here)
    here.house.take(witness)
    mates.publish(publisher, 3)
    frames = tuple(frame for _, frame in here.way)
    here.way.clear()
    mate.arrive(3)
    mates.settle()
    assert offsets(here, witness) == [1, 2, 3]
    here.house.tell(Imported(publisher.id, "hq", CHANNEL, frames))
    assert offsets(here, witness) == []


def test_what_no_mate_has_becomes_a_hole_that_is_told(mates: Mates) -> None:
    """A mate says how far it was, and has lost the middle: whoever resumes reads exactly that."""
    publisher, here, mate = mates.sides
    mates.publish(publisher, 4)
    here.way.clear()
    mate.arrive(4)
    for side in (publisher, mate):
        side.commit()
        del side.disk.rows[1:3]
        side.house.bus.history.forget(CHANNEL, side.house.bus.channels.obtain(CHANNEL, 0).ring)
    mates.settle()
    client = join(here, {publisher.epoch: 0})
    here.answer_reads()
    *events, answer = here.house.take(client)
    assert [event["offset"] for event in events] == [1, 4]
    assert answer["payload"]["gaps"] == [{"epoch": publisher.epoch, "first": 2, "last": 3}]


def test_only_mates_are_listened_to_and_only_what_was_asked_for_is_taken(mates: Mates) -> None:
    """A stranger's heads and unasked frames go nowhere; streams of other clusters are neither told nor wanted."""
    here = mates.sides[0]
    house = here.house
    house.bus.cluster_of = lambda node: None if node == STRANGER else "hq"
    heads = HistoryHeads(False, ((CHANNEL, (("ffffffffff-1", 9, ()), ("xxxxxxxxxx-1", 9, ()))),))
    house.perform(house.bus.on_message(house.now, STRANGER, heads))
    assert [drop.reason for drop in house.dropped] == ["cluster-stranger"]
    house.perform(house.bus.on_message(house.now, mates.sides[1].id, heads))
    mates.wire.clear()
    here.pass_time(2_000_000)
    asked = [message for message in _sent(mates, here) if isinstance(message, HistoryWanted)]
    assert [(one.epoch, one.stretches) for one in asked] == [("ffffffffff-1", ((1, 9),))]
    (frame,) = (frame for frame in [_foreign()])
    for token in (asked[0].token + 1, asked[0].token):
        answer = HistoryFrames(token, False, False, (frame,))
        house.perform(house.bus.on_message(house.now, mates.sides[1].id, answer))
    assert house.kept == []


def test_nothing_is_fetched_while_a_publisher_waits(mates: Mates) -> None:
    """The lowest priority; but for ever nothing may wait."""
    publisher, here, mate = mates.sides
    mates.publish(publisher, 3)
    here.way.clear()
    mate.arrive(3)
    mates.carry(1_000)
    here.pass_time(200_000)
    here.house.bus.paused[ClientId("c")] = next(iter(here.house.bus.clients.values()), None)  # type: ignore[assignment]
    mates.wire.clear()
    here.pass_time(4_000_000)
    assert not [one for one in _sent(mates, here) if isinstance(one, HistoryWanted)]


def test_heads_go_in_messages_that_every_node_takes() -> None:
    """Whatever is held: 64 streams with holes in each of a thousand channels."""
    holes = tuple((n * 10, n * 10 + 5) for n in range(8))
    rows = [
        (f"room:{n}".ljust(256, "x"), tuple((f"{s:010d}-{2**40}".ljust(64, "0"), 2**53, holes) for s in range(64)))
        for n in range(100)
    ]
    messages = packed(rows, answer=False)
    assert sum(len(message.channels) for message in messages) == 100
    assert max(len(encode_message(message)) for message in messages) < MAX_FRAME_BYTES
    assert WEIGHT_MAX >= 64 * 9


def test_stretches_without_others() -> None:
    """What is left of both sides, in order."""
    assert without([(1, 10), (12, 12)], [(3, 4), (10, 12)]) == [(1, 2), (5, 9)]


def _foreign() -> bytes:
    """An event of a stream that was not asked for."""
    other = Mates("x", SETTINGS)
    other.publish(other.sides[0], 1)
    frame = bytes(other.sides[0].house.kept[0].frames[0])
    assert json.loads(frame)["epoch"].startswith("xxxxxxxxxx")
    return frame


def _sent(mates: Mates, side: Side) -> list[object]:
    from arqonmesh.wire.codec import decode_message

    return [decode_message(message) for sender, _, message in mates.wire if sender == side.id]
