"""Bounds: whatever a client does, the bus answers, counts and stays small."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.config.model import BusSettings
from arqonmesh.core.bus.answers import UNREADABLE_IN_A_ROW_MAX
from arqonmesh.core.bus.channels import SUBSCRIPTIONS_MAX
from arqonmesh.core.bus.history import History, Ring
from arqonmesh.core.bus.ratelimit import TokenBucket
from arqonmesh.core.events import HistoryRead
from arqonmesh.core.kernel import SECOND
from tests.core.bus.house import House, Json


def code_of(answer: Json) -> str:
    assert answer["type"] == "error"
    return str(answer["payload"]["code"])


@pytest.mark.requirement("R-BU-8")
@pytest.mark.parametrize(
    ("frame", "code", "field"),
    [
        (b"rubbish", "bus.invalid-json", ""),
        (b"", "bus.invalid-json", ""),
        (b"[1,2]", "bus.invalid-field", ""),
        (b'{"type":"event","payload":{"a":1}', "bus.invalid-json", ""),
        (b'{"type":7}', "bus.invalid-field", "type"),
        (b'{"type":"event","channel":["a"],"payload":1}', "bus.invalid-field", "channel"),
        (b'{"type":"event","channel":"a b","payload":1}', "bus.channel-name", "channel"),
        (b'{"type":"event","channel":"*:a","payload":1}', "bus.channel-name", "channel"),
        (b'{"type":"event","channel":"a:b"}', "bus.payload-missing", "payload"),
        (b'{"type":"event","channel":"a:b","payload":1,"metadata":[]}', "bus.invalid-field", "metadata"),
        (b'{"type":"event","channel":"a:b","payload":1,"metadata":{"echo":3}}', "bus.invalid-field", "metadata.echo"),
        (b'{"type":"event","channel":"a:b","payload":"\xff"}', "bus.invalid-json", ""),
        (b'{"type":"event","channel":"a:b","payload":' + b"[" * 5_000 + b"]" * 5_000 + b"}", "bus.invalid-json", ""),
        (b'{"type":"event","channel":"a:b","id":"' + b"x" * 129 + b'"}', "bus.invalid-field", "id"),
        (b'{"type":"system","channel":"a:b","payload":1}', "bus.unknown-type", "type"),
        (b"{}", "bus.unknown-type", "type"),
        (b'{"type":"private","payload":1}', "bus.target-missing", "to"),
        (b'{"type":"private","to":["' + b'a","' * 70 + b'"],"payload":1}', "bus.invalid-field", "to"),
        (b'{"type":"command"}', "bus.unknown-command", "command"),
        (b'{"type":"command","payload":{"command":"fly"}}', "bus.unknown-command", "payload.command"),
        (b'{"type":"command","payload":{"command":7}}', "bus.invalid-field", "payload.command"),
        (b'{"type":"command","command":"join_channel","args":7}', "bus.invalid-field", "args"),
        (b'{"type":"join"}', "bus.channel-missing", "channel"),
        (b'{"type":"info","channel":"no:one"}', "bus.no-such-channel", "channel"),
    ],
)
def test_input_that_makes_no_sense_is_told_so(frame: bytes, code: str, field: str) -> None:
    """code, message, hint, and the field that is meant; counted, and nothing else happens."""
    house = House()
    client = house.connect()
    answer = house.ask(client, frame)
    assert code_of(answer) == code
    assert answer["payload"]["field"] == field
    assert answer["payload"]["message"]
    assert answer["payload"]["hint"]
    assert [(drop.where, "bus." + drop.reason) for drop in house.dropped] == [("bus", code)]
    assert house.published == []
    house.send(client, {"type": "event", "channel": "a:b", "payload": 1})
    assert len(house.published) == 1


def test_a_client_that_sends_only_rubbish_is_cut_off() -> None:
    """After 100 unreadable frames in a row; one good frame starts the count anew."""
    house = House()
    client = house.connect()
    house.send(client, *[b"rubbish"] * (UNREADABLE_IN_A_ROW_MAX - 1))
    house.send(client, {"type": "ping"})
    house.send(client, *[b"rubbish"] * (UNREADABLE_IN_A_ROW_MAX - 1))
    assert house.closed == []
    house.send(client, b"rubbish", b'{"type":"event","channel":"a:b","payload":1}')
    assert [(close.client, close.code) for close in house.closed] == [(client, 1008)]
    assert house.published == []
    assert house.send(client, {"type": "ping"}) == []


def test_one_client_too_many_is_turned_away_with_1013() -> None:
    """clients_max; a place that becomes free is taken again."""
    house = House(BusSettings(clients_max=2))
    first = house.connect()
    house.connect()
    third = house.connect()
    assert [(close.client, close.code) for close in house.closed] == [(third, 1013)]
    assert house.dropped[0].reason == "clients-max"
    house.leave(third)
    house.leave(first)
    house.connect()
    assert len(house.closed) == 1


@pytest.mark.requirement("R-BU-15")
def test_a_client_has_a_rate_and_is_told_once_per_read_what_was_dropped() -> None:
    """Token bucket: one second's worth at once, then rate_per_s; the others are not concerned."""
    house = House(BusSettings(rate_per_s=10))
    flood, calm = house.connect(), house.connect()
    house.take(flood)
    event: Json = {"type": "event", "channel": "a:b", "payload": 1}
    house.send(flood, *[event] * 25)
    (told,) = house.take(flood)
    assert (told["payload"]["code"], told["payload"]["dropped"]) == ("bus.rate-limited", 15)
    assert (house.dropped[0].reason, house.dropped[0].count) == ("rate-limited", 15)
    assert len(house.published) == 10
    house.send(calm, event)
    assert len(house.published) == 11
    house.now += SECOND // 2
    house.send(flood, *[event] * 25)
    assert len(house.published) == 16


@given(st.integers(1, 1000), st.lists(st.tuples(st.integers(0, 3 * SECOND), st.integers(0, 50)), max_size=50))
def test_a_bucket_never_gives_more_than_its_rate_and_one_second(rate: int, asks: list[tuple[int, int]]) -> None:
    """Over any time: at most rate x time + rate."""
    bucket, now, taken = TokenBucket(0, rate), 0, 0
    for wait, wanted in asks:
        now += wait
        taken += bucket.take(now, wanted)
        assert taken <= rate * now // SECOND + rate


def test_a_client_may_hold_so_many_subscriptions() -> None:
    """The next is refused; repeats of one that it has are not."""
    house = House()
    client = house.connect()
    for i in range(SUBSCRIPTIONS_MAX):
        house.send(client, {"type": "join", "channel": f"a:{i}"})
    assert code_of(house.ask(client, {"type": "join", "channel": "a:more"})) == "bus.subscriptions-full"
    assert code_of(house.ask(client, {"type": "join", "channel": "more:*"})) == "bus.subscriptions-full"
    assert house.ask(client, {"type": "join", "channel": "a:0"})["status"] == "success"


def test_a_full_channel_table_lets_go_of_the_quietest_without_members() -> None:
    """And refuses when all have members."""
    house = House(BusSettings(channels_max=3))
    publisher = house.connect()
    for name in ("a:1", "a:2", "a:3", "a:1"):
        house.send(publisher, {"type": "event", "channel": name, "payload": 1})
    house.send(publisher, {"type": "event", "channel": "a:4", "payload": 1})
    listed = house.ask(publisher, {"type": "list_channels"})["payload"]["channels"]
    assert {channel["id"] for channel in listed} == {"a:1", "a:3", "a:4"}
    house.send(publisher, {"type": "event", "channel": "a:2", "payload": 1})  # its remembered route is gone too
    for name in ("a:5", "a:6", "a:7"):
        house.member(name)
    assert code_of(house.ask(publisher, {"type": "event", "channel": "a:8", "payload": 1})) == "bus.channels-full"
    assert house.bus.stats()["channels"] == 3


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 40)), max_size=200))
def test_history_never_holds_more_than_its_bytes_and_keeps_the_newest(writes: list[tuple[int, int]]) -> None:
    """CLOCK over channels; what is left of each channel is its newest frames, in order."""
    history = History(per_channel=5, bytes_max=300)
    rings = [Ring() for _ in range(6)]
    written: list[list[bytes]] = [[] for _ in range(6)]
    for serial, (channel, size) in enumerate(writes):
        frame = b"%03d" % serial + b"x" * size
        written[channel].append(frame)
        history.extend(str(channel), rings[channel], [frame])
        assert history.held_bytes == sum(ring.held_bytes for ring in rings) <= 300
        for ring, frames in zip(rings, written, strict=True):
            assert len(ring.frames) <= 5
            assert ring.held_bytes == sum(map(len, ring.frames))
            assert list(ring.frames) == frames[len(frames) - len(ring.frames) :]


def test_a_channel_that_is_read_and_written_keeps_its_history_longest() -> None:
    """The quiet ones give up first."""
    history = History(per_channel=100, bytes_max=100)
    quiet, busy = Ring(), Ring()
    history.extend("quiet", quiet, [b"x" * 10] * 5)
    history.extend("busy", busy, [b"y" * 10] * 5)
    for _ in range(10):
        history.extend("busy", busy, [b"y" * 10])
    assert len(quiet.frames) < len(busy.frames)
    assert history.evicted > 0


def test_a_frame_beyond_the_limit_is_refused_also_without_the_bridge() -> None:
    """frame_bytes_max holds in the core too."""
    house = House(BusSettings(frame_bytes_max=100))
    answer = house.ask(house.connect(), b'{"type":"event","channel":"a:b","payload":"' + b"x" * 100 + b'"}')
    assert code_of(answer) == "bus.frame-too-large"


def test_frames_of_an_unknown_client_are_nothing() -> None:
    """A disconnect may cross with a read."""
    house = House()
    client = house.connect()
    house.leave(client)
    house.leave(client)
    assert house.send(client, {"type": "ping"}) == []


def test_a_join_with_since_that_is_refused_leaves_no_channel() -> None:
    """Neither at once, nor when the client's last place is taken, or the client gone, while the disk is read."""
    house = House(BusSettings(subscriptions_max=1), boot_epoch=2, durable=True)
    rows = [(f"new:{n}", "nnnnnnnnnn-1", 1, "", 1) for n in (1, 2, 3)]
    house.bus.start(house.now, {"streams": rows})
    full, late, gone = house.member("a:b"), house.connect(), house.connect()
    refused = house.ask(full, {"type": "join", "channel": "new:1", "since": {}})
    assert code_of(refused) == "bus.subscriptions-full"
    assert house.bus.channels.find("new:1") is None
    for channel, client in (("new:2", late), ("new:3", gone)):
        house.send(client, {"type": "join", "channel": channel, "since": {}})
    house.send(late, {"type": "join", "channel": "a:b"})
    house.leave(gone)
    assert len(house.asked) == 2
    for asked in house.asked:
        house.tell(HistoryRead(asked.token, ()))
    assert [channel.name for channel in house.bus.channels.all()] == ["a:b"]
