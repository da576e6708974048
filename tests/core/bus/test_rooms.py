"""Rooms: whole-room events and subscriptions, rooms that stay, memberships both ways, presence by room."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.config.load import load
from arqonmesh.config.model import AuthSettings, BusSettings, RoomRule, RoomSettings
from arqonmesh.core.bus.identity import Identity
from arqonmesh.core.bus.names import resolve_target
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.events import Imported
from arqonmesh.ids import ClientId
from tests.core.bus.house import House, Json

SCIENCE = Path(__file__).parents[3] / "examples" / "config" / "science.yaml"


def payloads(house: House, client: ClientId) -> list[object]:
    return [frame["payload"] for frame in house.take(client) if frame["type"] == "event"]


def joined(house: House, *channels: str) -> ClientId:
    client = house.connect()
    for channel in channels:
        house.send(client, {"type": "join", "channel": channel})
    for inbox in house.inboxes.values():
        inbox.clear()
    return client


@pytest.mark.requirement("R-BU-10")
@given(st.lists(st.sampled_from(["lab:one", "lab:two", "lab:*", "*:one", "*", "hall:one"]), unique=True, max_size=6))
def test_whatever_one_subscribes_to_one_hears_everything_once(subscriptions: list[str]) -> None:
    """Channel-only and room-wide events; by channel, by room, by name in every room, by everything, or all of these."""
    house = House()
    client = joined(house, *subscriptions)
    house.member("lab:two")
    sender = house.connect()
    for channel in ("lab:one", "lab:two", "hall:one", "lab:*"):
        house.send(sender, {"type": "event", "channel": channel, "payload": channel})
    wanted = set(subscriptions)
    expected = [
        channel
        for channel in ("lab:one", "lab:two", "hall:one")
        if wanted & {channel, "*", channel.split(":")[0] + ":*", "*:" + channel.split(":")[1]}
    ]
    # lab:one exists only while somebody is in it or something was said there; it was, just now
    if wanted & {"lab:one", "lab:two", "lab:*", "*", "*:one"}:
        expected.append("lab:*")
    assert payloads(house, client) == expected


@pytest.mark.requirement("R-BU-10")
def test_an_event_to_a_room_says_so_and_is_not_for_its_sender() -> None:
    """channel is `*`; the sender hears it only with echo; it has a history of its own and is no channel."""
    house = House()
    sender, other, apart = joined(house, "lab:one"), joined(house, "lab:one", "lab:two"), joined(house, "hall:one")
    house.send(sender, {"type": "event", "room": "lab", "channel": "*", "payload": 1, "metadata": {"ack": True}})
    (acknowledged,) = house.take(sender)
    assert acknowledged["payload"]["delivered"] == 1
    (event,) = house.take(other)
    assert (event["room"], event["channel"], event["payload"]) == ("lab", "*", 1)
    assert house.take(apart) == []
    listed = house.ask(sender, {"type": "list_channels"})["payload"]
    assert [channel["id"] for channel in listed["channels"]] == ["lab:one", "lab:two", "hall:one"]
    assert listed["total"] == 3


def test_who_joins_or_leaves_a_channel_of_the_room_counts_from_then_on() -> None:
    """The audience of a room follows every membership in it."""
    house = House()
    sender, client = house.connect(), house.connect()
    house.send(sender, {"type": "event", "channel": "lab:*", "payload": 0})
    house.send(client, {"type": "join", "channel": "lab:one"})
    house.send(sender, {"type": "event", "channel": "lab:*", "payload": 1})
    house.send(client, {"type": "join", "channel": "lab:two"}, {"type": "leave", "channel": "lab:one"})
    house.send(sender, {"type": "event", "channel": "lab:*", "payload": 2})
    house.send(client, {"type": "leave", "channel": "lab:two"})
    house.send(sender, {"type": "event", "channel": "lab:*", "payload": 3})
    assert payloads(house, client) == [1, 2]


def test_nobody_is_reached_by_a_room_through_a_channel_in_which_the_sender_may_not_speak() -> None:
    """The refusal names that channel."""
    rule = RoomRule(rooms=("lab:board",), publish="admin")
    house = House(BusSettings(auth=AuthSettings(rooms=(rule,))))
    joined(house, "lab:one", "lab:board")
    refused = house.ask(house.connect(), {"type": "event", "channel": "lab:*", "payload": 1})
    assert refused["payload"]["code"] == "bus.forbidden"
    assert "lab:board" in refused["payload"]["message"]


def test_an_event_to_a_room_reaches_it_on_other_nodes_too() -> None:
    """It leaves as what it is, and is imported as that: whoever is in the room there hears it once."""
    house, other = House(), House(node="o")
    house.send(house.connect(), {"type": "event", "channel": "lab:*", "payload": 1})
    (published,) = house.published
    assert published.channel == "lab:*"
    here, old, apart = joined(other, "lab:one", "lab:two"), other.member("lab:two", ""), joined(other, "hall:one")
    other.take(here)
    other.tell(Imported(house.bus.env.node_id, "hq", published.channel, (published.frame,)))
    assert payloads(other, here) == [1]
    (legacy,) = other.take(old)
    assert (legacy["type"], legacy["room"], legacy["channel"]) == ("message", "lab", "*")
    assert other.take(apart) == []


@pytest.mark.parametrize("target", ["*", "*:*", "*:one", "lab*:one", "$mesh:*", "a:b:*"])
def test_an_event_goes_to_one_room_at_most(target: str) -> None:
    """Everything at once, a name in every room, half a name, the mesh's own room: refused."""
    with pytest.raises(Refusal):
        resolve_target("", target)


@pytest.mark.requirement("R-BU-18")
def test_the_science_room_of_the_example_is_there_from_the_start_and_stays() -> None:
    """Seven channels without members, before anybody came; they cannot be deleted, nor do they make room."""
    config = load(SCIENCE, {})
    house = House(config.bus)
    client = house.connect()
    listed = house.ask(client, {"type": "list_channels", "room": "science", "limit": 10})["payload"]["channels"]
    leaves = ["general", "explore", "hypothesize", "design", "execute", "interpret", "share"]
    assert [channel["channel"] for channel in listed] == leaves
    house.send(client, {"type": "join", "channel": "science:explore"}, {"type": "leave", "channel": "science:explore"})
    house.bus.clients[client].identity = Identity(role="admin")
    refused = house.ask(client, {"type": "delete_channel", "channel": "science:explore"})["payload"]
    assert refused["code"] == "bus.channel-fixed"
    assert house.ask(client, {"type": "list_channels"})["payload"]["total"] == 7


@pytest.mark.requirement("R-BU-5")
def test_rooms_of_the_configuration_never_make_room_for_others() -> None:
    """Channels that others left do; when there are none, one more is refused."""
    settings = BusSettings(channels_max=3, rooms=(RoomSettings(room="lab", channels=("one", "two")),))
    house = House(settings)
    client = house.connect()
    for channel in ("a:b", "c:d"):
        house.send(client, {"type": "event", "channel": channel, "payload": 1})
    assert house.bus.channels.evicted == 1
    house.send(client, {"type": "join", "channel": "c:d"})
    refused = house.ask(client, {"type": "event", "channel": "e:f", "payload": 1})
    assert refused["payload"]["code"] == "bus.channels-full"
    for channel in ("lab:one", "lab:two"):
        assert house.ask(client, {"type": "channel_info", "channel": channel})["status"] == "success"


@pytest.mark.requirement("R-BU-24")
def test_a_room_tells_who_is_in_any_of_its_channels_each_once() -> None:
    """With the earliest time; patterns are no presence."""
    house = House()
    first = joined(house, "lab:one")
    house.wall_ms += 5_000
    second = joined(house, "lab:one", "lab:two")
    house.send(first, {"type": "join", "channel": "lab:two"})
    joined(house, "lab:*")
    room = house.ask(first, {"type": "channel_info", "channel": "lab:*"})["payload"]["room"]
    assert (room["channels"], room["member_count"]) == (["lab:one", "lab:two"], 2)
    since = {member["client_id"]: member["since"] for member in room["members"]}
    assert since == {first: "2026-01-01T00:00:00.000Z", second: "2026-01-01T00:00:05.000Z"}
    nobody = house.ask(first, {"type": "channel_info", "channel": "none:*"})["payload"]
    assert nobody["code"] == "bus.no-such-channel"


@pytest.mark.requirement("R-BU-11")
def test_those_in_the_room_hear_of_a_new_channel_and_members_of_its_end() -> None:
    """System notices; who asked has the answer instead; deletion takes a history along and asks for an admin."""
    house = House()
    maker, other, apart = joined(house, "lab:one"), joined(house, "lab:one"), joined(house, "hall:one")
    house.send(maker, {"type": "create_channel", "channel": "lab:two"})
    house.take(maker)
    (notice,) = house.take(other)
    assert (notice["type"], notice["payload"]["event"], notice["channel"]) == ("system", "channel_created", "two")
    house.send(other, {"type": "join", "channel": "lab:two"}, {"type": "event", "channel": "lab:two", "payload": 1})
    house.take(other)
    refused = house.ask(maker, {"type": "delete_channel", "channel": "lab:two"})["payload"]
    assert refused["code"] == "bus.forbidden"
    house.bus.clients[maker].identity = Identity(role="admin")
    answer = house.ask(maker, {"type": "delete_channel", "channel": "lab:two"})["payload"]
    assert answer["members_removed"] == 1
    (notice,) = house.take(other)
    assert notice["payload"] == {"event": "channel_deleted", "channel": "lab:two", "client_id": maker}
    assert list(house.bus.clients[other].subscriptions) == ["lab:one"]
    assert house.bus.history_frames("lab:two", 10) == []
    assert house.take(apart) == []
    again = house.ask(maker, {"type": "delete_channel", "channel": "lab:two"})["payload"]
    assert again["code"] == "bus.no-such-channel"


@pytest.mark.requirement("R-BU-2")
def test_a_client_has_a_record_that_it_can_change() -> None:
    """Given at the handshake, changed by update_client; what is not given stays, what is empty goes."""
    house = House()
    client = house.connect(name="Ada")
    house.wall_ms += 1_500
    house.send(client, {"type": "join", "channel": "lab:one"})
    you: Json = house.ask(client, {"type": "status"})["payload"]["you"]
    assert (you["screen_name"], you["connected_at"]) == ("Ada", "2026-01-01T00:00:00.000Z")
    assert (you["last_activity"], you["subscriptions"]) == ("2026-01-01T00:00:01.500Z", ["lab:one"])
    update = {"type": "command", "command": "update_client", "args": {"type": "ai-agent", "avatar": "🦉"}}
    you = house.ask(client, update)["payload"]["you"]
    assert (you["type"], you["avatar"], you["screen_name"]) == ("ai-agent", "🦉", "Ada")
    update["args"] = {"screen_name": ""}
    assert house.ask(client, update)["payload"]["you"]["screen_name"] == ""
    for wrong in ("x" * 65, "a\u0007b"):
        update["args"] = {"screen_name": wrong}
        refused = house.ask(client, update)["payload"]
        assert (refused["code"], refused["field"]) == ("bus.invalid-field", "args.screen_name")


@pytest.mark.requirement("R-BU-25")
def test_commands_are_counted_by_what_became_of_them() -> None:
    """Answered or refused; a role that is missing is a refusal."""
    house = House()
    client = house.member("lab:one")
    house.send(client, {"type": "ping"}, {"type": "leave", "channel": "x:y"}, {"type": "delete", "channel": "lab:one"})
    counts = {name: (c.answered, c.refused) for name, c in house.bus.command_counts.items() if c.answered or c.refused}
    assert counts == {"join_channel": (1, 0), "ping": (1, 0), "leave_channel": (0, 1), "delete_channel": (0, 1)}


@pytest.mark.requirement("R-BU-25")
def test_help_is_the_registry_as_data_and_its_examples_work() -> None:
    """Role, permission, schema and example of every command; each example runs as it stands, as an admin."""
    house = House()
    client = house.member("telemetry:host")
    house.bus.clients[client].identity = Identity(role="admin")
    told = house.ask(client, {"type": "help"})["payload"]["commands"]
    for command in told:
        assert command["role"] in ("guest", "user", "admin")
        assert command["schema"]["properties"].keys() == command["parameters"].keys()
        if command["name"] in ("authenticate",):  # needs a bus that knows tokens
            continue
        house.send(client, {"type": "join", "channel": "telemetry:host"})
        answer = house.ask(client, command["example"])
        assert (answer["type"], answer["command"]) == ("response", command["name"]), answer
    roles = {command["name"]: command["role"] for command in told}
    assert (roles["delete_channel"], roles["create_channel"], roles["status"]) == ("admin", "user", "guest")
    (only,) = house.ask(client, {"type": "command", "command": "help", "args": {"name": "ping"}})["payload"]["commands"]
    assert only["name"] == "ping"
