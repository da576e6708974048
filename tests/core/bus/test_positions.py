"""What a position names: every stream that somebody may be owed, so that a return says exactly what was missed; and
what becomes of the streams for which there is no room any more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from arqonmesh.config.model import BusSettings, HistorySettings
from arqonmesh.core.bus.past import EPOCHS_MAX
from arqonmesh.core.bus.streams import HEADS_MAX, Gap, Streams, epoch_of, is_over, oldest_lives
from arqonmesh.core.events import Imported
from arqonmesh.ids import NodeId
from tests.core.bus.house import House
from tests.core.bus.mates import CHANNEL, Mates, Side

B1, B2, B3 = "bbbbbbbbbb-1", "bbbbbbbbbb-2", "bbbbbbbbbb-3"


def come_back(house: House, since: dict[str, int] | None) -> tuple[list[tuple[str, int]], dict[str, Any]]:
    """What comes first, as places, and the answer."""
    client = house.connect()
    house.take(client)
    house.send(client, {"type": "join", "channel": CHANNEL, **({} if since is None else {"since": since})})
    *missed, answer = house.take(client)
    house.leave(client)
    return [(one["epoch"], one["offset"]) for one in missed], answer["payload"]


def imported(house: House, epoch: str, *offsets: int) -> None:
    for offset in offsets:
        frame = {
            "id": f"arq_{epoch}-{offset}",
            "type": "event",
            "room": "telemetry",
            "channel": "host",
            "from": "arq_x",
            "payload": offset,
            "timestamp": "2026-03-01T12:00:00.000Z",
            "epoch": epoch,
            "offset": offset,
            "v": 1,
        }
        told = Imported(NodeId(epoch[0] * 32), "hq", CHANNEL, (json.dumps(frame, separators=(",", ":")).encode(),))
        house.tell(told)


def linked(letters: str = "nf") -> tuple[Mates, list[Side]]:
    """Mates that have told each other of themselves."""
    mates = Mates(letters, BusSettings())
    mates.settle()
    return mates, mates.sides


def test_a_join_names_mates_that_nobody_has_heard_in_the_channel_in_the_life_they_are_in() -> None:
    """So that all they publish from now on is owed, whichever of their later lives is heard of first."""
    _, (here, there) = linked()
    assert come_back(here.house, None)[1]["position"] == {here.epoch: 0, there.epoch: 0}


def test_who_comes_back_and_had_not_heard_of_a_node_is_owed_all_its_lives() -> None:
    """Also those that the node it comes back to has not heard of yet: life 0 stands before them all."""
    mates, (here, there) = linked()
    assert mates.publish(there, 1) == [(there.epoch, 1)]
    here.arrive(1)
    _, answer = come_back(here.house, {here.epoch: 0})
    assert answer["position"] == {here.epoch: 0, there.epoch: 1, "ffffffffff-0": 0}
    assert come_back(here.house, {})[1]["position"] == {**answer["position"], "nnnnnnnnnn-0": 0}


@pytest.mark.requirement("R-BU-24")
def test_who_learned_of_a_later_life_first_is_owed_the_earlier_one() -> None:
    """A mate publishes, restarts, publishes again, and only the later events arrive here while the client listens."""
    mates, (here, there) = linked()
    client = here.house.connect()
    joined = here.house.ask(client, {"type": "join", "channel": CHANNEL})["payload"]
    first = mates.publish(there, 2)
    there.commit()
    here.way.clear()
    mates.stop(there)
    mates.start(there, first[0][0])
    second = mates.publish(there, 1)
    position = dict(joined["position"])
    position[second[0][0]] = 1
    client = there.house.connect()
    there.house.take(client)
    there.house.send(client, {"type": "join", "channel": CHANNEL, "since": position})
    there.answer_reads()
    *missed, answer = there.house.take(client)
    assert [(one["epoch"], one["offset"]) for one in missed] == first
    assert answer["payload"]["recovered"] is True


def test_a_life_that_was_over_before_the_join_is_not_owed() -> None:
    """The position names the life that the mate was in."""
    house = House()
    imported(house, B1, 1, 2)
    imported(house, B2, 1)
    imported(house, B3, 1)
    assert come_back(house, {B2: 1})[0] == [(B3, 1)]
    assert come_back(house, {"bbbbbbbbbb-0": 0, B3: 1})[0] == [(B1, 1), (B1, 2), (B2, 1)]
    assert come_back(house, {"bbbbbbbbbb-0": 0, B3: 1})[1]["recovered"] is True


@pytest.mark.parametrize(
    ("named", "over"),
    [([], False), ([B1], False), ([B2], False), ([B3], True), ([B1, B3], False), (["cccccccccc-9"], False)],
)
def test_a_stream_is_over_when_all_lives_of_its_node_that_are_named_came_later(named: list[str], over: bool) -> None:
    """Lives of one node compare; those of different nodes do not."""
    assert is_over(B2, oldest_lives(named)) is over


# --- what others have never seen -----------------------------------------------------------------------------


def test_what_a_client_saw_of_a_life_that_is_over_and_nobody_here_has_is_named() -> None:
    """A killed node showed it to its own clients and to nobody else; nothing is missing for this one."""
    house = House(boot_epoch=2)
    house.bus.start(0, {"streams": [(CHANNEL, "nnnnnnnnnn-1", 4, "", 1)]})
    missed, answer = come_back(house, {"nnnnnnnnnn-1": 6})
    assert (missed, answer["recovered"]) == ([], True)
    assert answer["lost"] == [{"epoch": "nnnnnnnnnn-1", "first": 5, "last": 6}]
    assert answer["position"]["nnnnnnnnnn-1"] == 6
    assert "lost" not in come_back(house, {"nnnnnnnnnn-1": 4})[1]


def test_of_a_life_that_goes_on_nothing_is_called_lost() -> None:
    """Its newest events are on their way."""
    house = House()
    imported(house, B2, 1)
    assert "lost" not in come_back(house, {B2: 3})[1]
    imported(house, B3, 1)
    assert come_back(house, {B2: 3})[1]["lost"] == [{"epoch": B2, "first": 2, "last": 3}]


def test_a_mate_that_restarted_has_ended_its_life_before_it_publishes_again() -> None:
    """The cluster's nodes tell each other which life they are in."""
    mates, (here, there) = linked()
    published = mates.publish(there, 1)
    here.arrive(9)
    there.commit()
    epoch = published[0][0]
    assert "lost" not in come_back(here.house, {epoch: 2})[1]
    mates.stop(there)
    mates.start(there, epoch)
    mates.settle()
    assert come_back(here.house, {epoch: 2})[1]["lost"] == [{"epoch": epoch, "first": 2, "last": 2}]


# --- no room -------------------------------------------------------------------------------------------------


def test_past_lives_make_room_before_streams_that_go_on() -> None:
    """Though another node's stream was heard of earlier."""
    streams = Streams(epoch_of("n" * 10, 1))
    streams.arrived("cccccccccc-1", 1)
    for life in range(1, HEADS_MAX + 1):
        streams.arrived(epoch_of("b" * 10, life), 1)
    assert "cccccccccc-1" in streams.heads
    assert B1 not in streams.heads
    assert (streams.has_given_up(B1), streams.has_given_up(B2)) == (True, False)


def test_what_made_room_is_a_gap_told_once_and_never_recovered() -> None:
    """Whoever knows later lives too: the answer's position does not name it any more."""
    house = House()
    for life in range(1, HEADS_MAX + 2):
        imported(house, epoch_of("b" * 10, life), 1)
    _, answer = come_back(house, {B1: 1, B2: 1, B3: 1})
    assert (answer["recovered"], answer["gaps"]) == (False, [{"epoch": B1, "first": 2, "last": None}])
    assert B1 not in answer["position"]
    _, again = come_back(house, answer["position"])
    assert (again["recovered"], again["missed"]) == (True, 0)


def test_what_a_position_has_no_room_for_is_a_gap() -> None:
    """The most that one may name are named, and of the rest nothing is claimed."""
    house = House(BusSettings(history=HistorySettings(per_channel=5)))
    imported(house, B1, 1)
    since = {epoch_of("c" * 10, life): 7 for life in range(1, EPOCHS_MAX + 1)}
    _, answer = come_back(house, since)
    assert len(answer["position"]) == EPOCHS_MAX
    left_out = [epoch for epoch in since if epoch not in answer["position"]]
    assert [Gap(**gap) for gap in answer["gaps"]] == [Gap(epoch, 8, None) for epoch in left_out]
    assert len(left_out) == 2


def test_the_streams_that_are_remembered_as_forgotten_are_bounded() -> None:
    """One entry per node, as many nodes as there are streams."""
    streams = Streams(epoch_of("n" * 10, 1))
    for number in range(3 * HEADS_MAX):
        letters = "".join("abcdefghijklmnopqrstuvwxyz"[number // 26**power % 26] for power in range(3))
        streams.arrived(epoch_of(letters, 1), 1)
    assert (len(streams.heads), len(streams.given_up)) == (HEADS_MAX, HEADS_MAX)
