"""`$mesh`: who is missing since when, at once and whenever it changes, to those who asked for it and nobody else."""

from __future__ import annotations

import pytest

from arqonmesh.core.events import PartitionChanged, UserEvent
from arqonmesh.ids import NodeId
from tests.core.bus.house import START_MS, House, Json

GONE = NodeId("g" * 32)
WHOLE = PartitionChanged("healthy", True, 3, 2, 3, "crash", "healthy", 3, 3)
CUT = PartitionChanged("degraded", True, 2, 2, 3, "crash", "partitioned", 2, 3, ((GONE, START_MS),), 4)


def house() -> House:
    made = House()
    made.bus.cluster_of = lambda node: "factory" if node == GONE else None
    return made


def states(frames: list[Json]) -> list[Json]:
    return [frame["payload"] for frame in frames if frame.get("room") == "$mesh"]


@pytest.mark.requirement("R-PA-6")
@pytest.mark.parametrize("spelling", ["$mesh", "$mesh:*", "$mesh:state"])
def test_the_present_state_comes_at_once_and_every_change_after_it(spelling: str) -> None:
    """After the answer to the subscription; who is missing by node and by cluster; complete again at the end."""
    home = house()
    home.tell(CUT)
    client = home.connect()
    home.take(client)
    home.send(client, {"type": "join", "channel": spelling})
    answer, retained = home.take(client)
    assert answer["payload"]["channel"] == "$mesh:state"
    assert (retained["type"], retained["room"], retained["channel"]) == ("event", "$mesh", "state")
    told = retained["payload"]
    assert (told["event"], told["complete"], told["phase"], told["writable"]) == (
        "partition",
        False,
        "partitioned",
        True,
    )
    assert (told["reachable"], told["required"], told["missing_more"]) == (2, 2, 4)
    since = "2026-01-01T00:00:00.000Z"
    assert told["missing"] == [{"node": GONE, "cluster": "factory", "since": since}]
    assert told["missing_clusters"] == [{"cluster": "factory", "since": since, "members": 1}]
    home.tell(WHOLE)
    [told] = states(home.take(client))
    assert (told["complete"], told["phase"], told["missing"]) == (True, "healthy", [])


def test_user_events_are_told_there() -> None:
    """As text where they are text, else as base64."""
    home = house()
    client = home.member("$mesh")
    home.tell(UserEvent(GONE, 7, "deploy", b"v7", START_MS))
    home.tell(UserEvent(GONE, 8, "raw", b"\xff", START_MS))
    first, second = states(home.take(client))
    assert (first["event"], first["name"], first["payload"], first["cluster"]) == (
        "user-event",
        "deploy",
        "v7",
        "factory",
    )
    assert second["payload_base64"] == "/w=="


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "event", "channel": "$mesh", "payload": 1},
        {"type": "event", "channel": "$mesh:state", "payload": 1},
        {"type": "event", "room": "$mesh", "channel": "x", "payload": 1},
        {"type": "telemetry", "room": "$mesh", "payload": 1},
        {"type": "create", "channel": "$mesh:mine"},
        {"type": "history", "channel": "$mesh"},
    ],
)
def test_a_client_only_subscribes(frame: Json) -> None:
    """Publishing, creating, asking for history: refused with a code of its own."""
    home = house()
    client = home.member("$mesh")
    answer = home.ask(client, frame)
    assert (answer["type"], answer["payload"]["code"]) == ("error", "bus.reserved-room")
    assert home.published == []


def test_an_event_without_an_address_does_not_go_there() -> None:
    """The first subscription is meant by no address, and this one never is."""
    home = house()
    client = home.member("$mesh")
    answer = home.ask(client, {"type": "event", "payload": 1})
    assert answer["payload"]["code"] == "bus.channel-missing"


def test_nobody_else_is_told_and_nobody_announces_who_listens() -> None:
    """Not those with a pattern for everything, and not the other listeners."""
    home = house()
    every, one = home.member("*"), home.member("$mesh")
    other = home.connect()
    home.send(other, {"type": "join", "channel": "$mesh"})
    assert home.take(one) == []
    home.tell(CUT)
    assert states(home.take(every)) == []
    assert len(states(home.take(one))) == 1
    home.send(one, {"type": "leave", "channel": "$mesh"})
    home.take(one)
    home.tell(WHOLE)
    assert states(home.take(one)) == []


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "join", "channel": "$mesh:bogus"},
        {"type": "join", "room": "$mesh", "channel": "bogus"},
        {"type": "join", "room": "$mesh", "channel": "a:b"},
        {"type": "join", "channel": "$meshes"},
        {"type": "leave", "channel": "$mesh:"},
    ],
)
def test_another_name_in_the_mesh_s_room_is_none(frame: dict[str, str]) -> None:
    """It is not taken for the one that there is; the answer names that."""
    home = house()
    client = home.connect()
    home.take(client)
    answer = home.ask(client, frame)
    assert (answer["type"], answer["payload"]["code"]) == (
        "error", "bus.channel-name" if "$meshes" in frame["channel"] else "bus.no-such-channel",
    )  # fmt: skip
    assert home.bus.clients[client].subscriptions == {}
    if "$meshes" not in frame["channel"]:
        assert "$mesh has $mesh:state alone" in answer["payload"]["message"]


def test_leaving_the_mesh_is_told() -> None:
    """Phase `none`: there is nothing to be on a side of."""
    home = house()
    client = home.member("$mesh")
    home.tell(WHOLE)
    home.take(client)
    home.perform(home.bus.left_mesh())
    [told] = states(home.take(client))
    assert (told["phase"], told["complete"]) == ("none", False)
