"""Where a client's reach ends: names that only look like its own, rooms that change after it asked, full tables."""

from __future__ import annotations

import pytest

from arqonmesh.config.model import AuthSettings, BusSettings, RoomRule
from arqonmesh.core.bus.identity import Identity
from arqonmesh.core.bus.reads import READS_PER_CLIENT_MAX
from arqonmesh.core.events import ClientCame, ClientWent, HistoryRead
from tests.core.bus.cluster.town import Town
from tests.core.bus.house import House

SECRET = RoomRule(rooms=("plant:secret",), publish="admin")


@pytest.mark.requirement("R-BU-14")
@pytest.mark.parametrize("room", ["acme|plant", "acme|plant:press", "acme|", "|plant"])
def test_a_listing_of_a_room_named_as_inside_is_empty(room: str) -> None:
    """`list_channels` takes any text as the room; the names that channels have inside the node lead nowhere."""
    house = House()
    theirs = house.connect(identity=Identity("ada", "user", "acme"))
    house.send(theirs, {"type": "join", "channel": "plant:press"})
    for identity in (Identity("x", "admin"), Identity("y", "user", "globex")):
        answer = house.ask(house.connect(identity=identity), {"type": "list_channels", "args": {"room": room}})
        assert (answer["payload"]["channels"], answer["payload"]["total"]) == ([], 0)


@pytest.mark.requirement("R-BU-14")
@pytest.mark.parametrize("asked", ["$mesh", "$mesh:state", "$mesh:*"])
def test_nobody_is_told_who_is_in_the_room_of_the_mesh(asked: str) -> None:
    """Clients of all tenants are in it, so neither its members nor its listing are anybody's to see."""
    house = House()
    theirs = house.connect(name="Ada", identity=Identity("ada", "user", "acme"))
    house.send(theirs, {"type": "join", "channel": "$mesh"})
    for identity in (Identity("x", "admin"), Identity("y", "user", "globex")):
        other = house.connect(identity=identity)
        assert house.ask(other, {"type": "channel_info", "channel": asked})["payload"]["code"] == "bus.reserved-room"
        assert house.ask(other, {"type": "list_channels"})["payload"]["total"] == 0
        assert house.ask(other, {"type": "list_channels", "args": {"room": "$mesh"}})["payload"]["total"] == 0


@pytest.mark.requirement("R-BU-14")
def test_a_channel_that_a_room_gets_later_is_asked_about_too() -> None:
    """Who spoke to the whole room before may do so no more when one of its channels is closed to it."""
    house = House(BusSettings(auth=AuthSettings(rooms=(SECRET,))))
    speaker, open_one = house.connect(), house.member("plant:open")
    house.send(speaker, {"type": "event", "channel": "plant:*", "payload": 1})
    assert [frame["payload"] for frame in house.take(open_one)] == [1]
    inside = house.member("plant:secret")
    answer = house.ask(speaker, {"type": "event", "channel": "plant:*", "payload": 2})
    assert answer["payload"]["code"] == "bus.forbidden"
    assert house.take(inside) == house.take(open_one) == []


@pytest.mark.requirement("R-BU-14")
@pytest.mark.requirement("R-BU-21")
def test_a_whole_room_ends_at_a_closed_channel_of_another_node() -> None:
    """The channel that its speaker may not publish to has members elsewhere in the cluster alone."""
    town = Town("a", "b")
    town.mesh()
    town.settle()
    town["b"].guest("plant:secret")
    town.settle()
    speaker = town["a"].guest("plant:open", identity=Identity("x", "user", "", ("-publish:plant:secret",)))
    answer = town["a"].ask(speaker, {"type": "event", "channel": "plant:*", "payload": 1})
    assert answer["payload"]["code"] == "bus.forbidden"


def test_who_listens_by_name_hears_a_whole_room_as_soon_as_its_channel_is_there() -> None:
    """A subscription to `*:late` begins to count for the room when somebody publishes to `plant:late`."""
    house = House()
    listener, speaker = house.connect(), house.connect()
    house.send(listener, {"type": "join", "channel": "*:late"})
    house.member("plant:open")
    house.send(speaker, {"type": "event", "channel": "plant:*", "payload": 1})
    house.send(speaker, {"type": "event", "channel": "plant:late", "payload": 2})
    house.send(speaker, {"type": "event", "channel": "plant:*", "payload": 3})
    assert [frame["payload"] for frame in house.take(listener) if frame["type"] == "event"] == [2, 3]


def test_a_channel_may_make_room_for_the_next_of_the_same_read() -> None:
    """The quietest channel of a full table is published to, and in the same read another that needs its place."""
    house = House(BusSettings(channels_max=2))
    speaker = house.connect()
    for channel in ("a:x", "a:y"):
        house.send(speaker, {"type": "event", "channel": channel, "payload": 0})
    house.take(speaker)
    house.send(speaker, *({"type": "event", "channel": channel, "payload": 1} for channel in ("a:x", "a:z", "a:x")))
    assert house.take(speaker) == []
    held = sum(len(frame) for name in ("a:x", "a:y", "a:z") for frame in house.bus.history_frames(name, 10))
    assert house.bus.stats()["history_bytes"] == held
    assert [event.channel for event in house.published] == ["a:x", "a:y", "a:x", "a:z", "a:x"]


@pytest.mark.requirement("R-BU-14")
@pytest.mark.parametrize("lost", ["join", "history"])
def test_who_is_someone_else_by_the_time_its_past_is_read_gets_nothing_of_it(lost: str) -> None:
    """A join with `since` may wait for the disk; what counts is who the client is when it enters."""

    def lesser(current: Identity, token: str) -> Identity:
        return Identity("ada", "user", "", (f"-{lost}:plant:*",))

    house = House(node="n", boot_epoch=2, durable=True, authenticate=lesser)
    house.bus.start(house.now, {"streams": [("plant:press", "nnnnnnnnnn-1", 1, "", 1)]})
    client = house.connect(identity=Identity("ada"))
    house.send(client, {"type": "join", "channel": "plant:press", "since": {}})
    house.send(client, {"type": "authenticate", "args": {"token": "newer"}})
    house.take(client)
    (asked,) = house.asked
    frame = (
        b'{"id":"arq_1","type":"event","room":"plant","channel":"press","from":"x","payload":1,'
        b'"timestamp":"2026-01-01T00:00:00.000Z","epoch":"nnnnnnnnnn-1","offset":1,"v":1}'
    )
    house.tell(HistoryRead(asked.token, (frame,)))
    (told,) = house.take(client)
    assert told["payload"]["code"] == "bus.forbidden"
    assert house.bus.clients[client].subscriptions == {}


def test_a_refusal_does_not_ask_for_the_role_that_the_client_has() -> None:
    """Who is forbidden by its token's permissions needs another permission, not another role."""
    house = House()
    client = house.connect(identity=Identity("press", "user", "", ("-*:*", "publish:plant:press")))
    told = house.ask(client, {"type": "join", "channel": "plant:press"})["payload"]["message"]
    needs = "a permission join:plant:press after its -*:*, which forbids it"
    assert told == f"press (user) may not join plant:press; it needs {needs}"


def test_what_a_client_says_of_itself_is_told_on_as_the_bus_knows_it() -> None:
    """Whoever watches clients come and go gets names cut and printable, as everyone else does."""
    house = House()
    client = house.connect(name="Ada\x1b[2J" + "x" * 5_000)
    house.leave(client)
    came, went = [event for event in house.told if isinstance(event, ClientCame | ClientWent)]
    assert came.name == went.name == "Ada[2J" + "x" * 58


@pytest.mark.parametrize("durable", [False, True])
def test_what_is_sent_again_never_makes_a_client_slow(durable: bool) -> None:
    """At most half of `buffer_bytes_max` at a time, also from memory: the newest; what is left off is named."""
    house = House(BusSettings(buffer_bytes_max=20_000), node="n", durable=durable)
    publisher, back = house.connect(), house.connect()
    for _ in range(30):
        house.send(publisher, {"type": "event", "channel": "a:b", "payload": "x" * 1_000})
    house.take(back)
    house.send(back, {"type": "join", "channel": "a:b", "since": {}})
    if durable:
        (asked,) = house.asked
        assert asked.query.bytes_max == 10_000
        frames = house.bus.history_frames("a:b", 30)
        house.tell(HistoryRead(asked.token, tuple(frames[-8:]), True))
    assert sum(map(len, house.inboxes[back][:-1])) <= 10_000
    *events, answer = house.take(back)
    offsets = [event["offset"] for event in events]
    assert offsets == list(range(offsets[0], 31))
    assert 5 < len(offsets) < 10
    assert answer["payload"]["missed"] == len(offsets)
    assert [(gap["first"], gap["last"]) for gap in answer["payload"]["gaps"]] == [(1, offsets[0] - 1)]


@pytest.mark.requirement("R-BU-14")
def test_rules_that_are_reloaded_count_for_the_next_event() -> None:
    """For who has published there before, and for who hears the channel by a pattern."""
    house = House()
    publisher, listener = house.connect(), house.member("plant:*")
    event = {"type": "event", "channel": "plant:secret", "payload": 1}
    house.send(publisher, event)
    assert len(house.take(listener)) == 1
    house.bus.adopt(house.now, BusSettings(auth=AuthSettings(rooms=(RoomRule(rooms=("plant:*",), join="admin"),))))
    house.send(publisher, event)
    assert house.take(listener) == []
    house.bus.adopt(house.now, BusSettings(auth=AuthSettings(rooms=(SECRET,))))
    assert house.ask(publisher, event)["payload"]["code"] == "bus.forbidden"


@pytest.mark.requirement("R-BU-11")
def test_a_short_listing_takes_its_room_beside_its_type() -> None:
    """As every short form of a command: {"type": "list", "room": "plant"}."""
    house = House()
    house.member("plant:press")
    client = house.member("chat:lobby")
    answer = house.ask(client, {"type": "list", "room": "plant"})["payload"]
    assert [channel["id"] for channel in answer["channels"]] == ["plant:press"]


@pytest.mark.requirement("R-BU-11")
def test_a_channel_tells_when_it_was_created() -> None:
    """A channel of this node alone: the time at which it was first joined, not the beginning of time."""
    house = House()
    client = house.member("plant:press")
    house.wait(5_000)
    channel = house.ask(client, {"type": "channel_info", "channel": "plant:press"})["payload"]["channel"]
    assert channel["created_at"] == channel["members"][0]["since"] == "2026-01-01T00:00:00.000Z"


def test_one_client_that_asks_for_much_of_the_past_leaves_room_for_others() -> None:
    """Reads that wait for the disk are bounded per client; what is answered makes room again."""
    house = House(node="n", boot_epoch=2, durable=True)
    house.bus.start(house.now, {"streams": [("a:b", "nnnnnnnnnn-1", 3, "", 1)]})
    greedy, modest = house.connect(), house.connect()
    ask = {"type": "history", "channel": "a:b"}
    house.take(greedy)
    house.send(greedy, *[ask] * (READS_PER_CLIENT_MAX + 10))
    assert {frame["payload"]["code"] for frame in house.take(greedy)} == {"bus.history-busy"}
    assert len(house.asked) == READS_PER_CLIENT_MAX
    house.send(modest, ask)
    assert len(house.asked) == READS_PER_CLIENT_MAX + 1
    house.tell(HistoryRead(house.asked[0].token, ()))
    house.send(greedy, ask)
    assert len(house.asked) == READS_PER_CLIENT_MAX + 2
