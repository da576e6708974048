"""Limits are of subjects: whoever opens ten connections has what one has, and none of the ten starves the others."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arqonmesh.config.model import BusSettings
from arqonmesh.core.bus import ClientInfo
from arqonmesh.core.bus.allowances import RESTING_MAX, Allowance, Allowances, key_of
from arqonmesh.core.bus.identity import Identity
from arqonmesh.core.bus.limited import SUBJECTS_MAX, Limited
from arqonmesh.core.bus.limits import ClientLimits
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.ids import ClientId
from tests.core.bus.house import House, Json

pytestmark = pytest.mark.requirement("R-BU-15")

EVENT = json.dumps({"type": "event", "channel": "a:b", "payload": 1}).encode()
ANN = Identity("ann", via="jwt")


def code_of(told: Json) -> Any:
    return told["payload"].get("code")


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (ANN, Identity("ann", via="key:k3v9x2mq"), True),
        (ANN, Identity("bob", via="jwt"), False),
        (ANN, Identity("ann", tenant="acme", via="jwt"), False),
        (Identity(), Identity(), False),
        (Identity("token", via="token"), Identity("token", via="token"), False),
        (Identity("", via="jwt"), Identity("", via="jwt"), False),
    ],
)
def test_connections_of_one_subject_draw_on_one_allowance(one: Identity, other: Identity, shared: bool) -> None:
    """(tenant, subject) decides, however it was shown; who is nobody in particular is counted by connection."""
    house = House(BusSettings(rate_per_s=10))
    first, second = house.connect(identity=one), house.connect(identity=other)
    house.send(first, *[EVENT] * 10)
    house.take(second)
    house.send(second, *[EVENT] * 10)
    assert len(house.published) == (10 if shared else 20)
    assert [code_of(told) for told in house.take(second)] == (["bus.rate-limited"] if shared else [])


@given(
    st.integers(1, 12), st.lists(st.tuples(st.integers(0, 11), st.integers(1, 40), st.integers(0, 400)), max_size=60)
)
@settings(max_examples=60, deadline=None)
def test_however_many_connections_a_subject_never_has_more_than_its_rate(
    connections: int, turns: list[tuple[int, int, int]]
) -> None:
    """Rate times time, and one burst."""
    house = House(BusSettings(rate_per_s=20))
    clients = [house.connect(identity=ANN) for _ in range(connections)]
    begun = house.now
    for who, frames, milliseconds in turns:
        house.now += milliseconds * MILLISECOND
        house.send(clients[who % connections], *[EVENT] * frames)
    assert len(house.published) <= 20 + 20 * (house.now - begun) // SECOND


@given(st.integers(2, 8), st.lists(st.integers(1, 200), min_size=1, max_size=30))
@settings(max_examples=40, deadline=None)
def test_who_asks_gets_its_even_part_of_each_second_whatever_its_siblings_do(
    connections: int, greed: list[int]
) -> None:
    """Greedy siblings take as often and as much as they like."""
    rate = 40
    told = BusSettings(rate_per_s=rate)
    shared = Allowance(0, ("subject", "", "ann"), told)
    for index in range(connections):
        shared.connections[ClientId(str(index))] = None
    modest, *greedy = [ClientLimits(0, told, shared) for _ in range(connections)]
    for second in range(3):
        got = 0
        for step in range(100):
            now = second * SECOND + step * SECOND // 100
            for index, sibling in enumerate(greedy):
                sibling.allowed(now, [EVENT] * greed[(step + index) % len(greed)])
            if got < rate // connections:
                got += modest.allowed(now, [EVENT])
        assert got >= rate // connections - 1  # a token that becomes whole with the last microsecond of the second


def test_alone_a_greedy_connection_has_nearly_the_whole_rate() -> None:
    """Siblings that say nothing cost one burst's half, once, and no rate."""
    house = House(BusSettings(rate_per_s=100))
    greedy, _quiet = house.connect(identity=ANN), house.connect(identity=ANN)
    for _ in range(100):
        house.now += SECOND // 10
        house.send(greedy, *[EVENT] * 12)
    assert len(house.published) >= 100 * 10


def test_by_address_anonymous_clients_share_too_where_it_is_said() -> None:
    """bus.anonymous_counted_by: address; the port is none of it."""
    told = BusSettings(rate_per_s=5, anonymous_counted_by="address")
    near, far = ClientId("near"), ClientId("far")
    assert key_of(near, Identity(), "10.0.0.1:5", told) == key_of(far, Identity(), "10.0.0.1:6", told)
    assert key_of(near, Identity(), "10.0.0.1:5", told) != key_of(far, Identity(), "10.0.0.2:5", told)
    assert key_of(near, Identity(), "[::1]:5", told) == ("address", "", "[::1]")
    assert key_of(near, Identity(), "", told) == ("connection", "", "near")
    assert key_of(near, ANN, "10.0.0.1:5", told) == ("subject", "", "ann")
    house = House(told)
    clients = [house.connect() for _ in range(3)]  # all of 127.0.0.1
    for client in clients:
        house.send(client, *[EVENT] * 5)
    assert 3 <= len(house.published) <= 5  # what is left is kept for a sibling that has not had its part


def test_who_comes_back_finds_its_bucket_as_it_left_it() -> None:
    """Reconnecting is no way to a fresh burst; a second later the bucket is full again and nothing is remembered."""
    house = House(BusSettings(rate_per_s=10))
    for _ in range(5):
        client = house.connect(identity=ANN)
        house.send(client, *[EVENT] * 10)
        house.leave(client)
    assert len(house.published) == 10
    assert (len(house.bus.allowances), house.bus.allowances.resting) == (0, 1)
    house.now += SECOND
    house.leave(house.connect(identity=ANN))
    assert house.bus.allowances.resting == 0
    house.send(house.connect(identity=ANN), *[EVENT] * 10)
    assert len(house.published) == 20


def test_what_is_remembered_of_subjects_that_left_is_bounded() -> None:
    """The one that rests longest is forgotten, counted; connections of nobody in particular are never remembered."""
    told, table = BusSettings(rate_per_s=1), Allowances()
    for index in range(RESTING_MAX + 3):
        for identity in (Identity(f"s{index}", via="jwt"), Identity()):
            client = ClientId(f"c{index}")
            allowance = table.of(0, client, identity, "a:1", told)
            assert allowance is not None
            table.enter(client, allowance)
            assert allowance.frames is not None
            allowance.frames.take(0, 1)
            table.leave(0, client, allowance)
    assert (len(table), table.resting, table.forgotten) == (0, RESTING_MAX, 3)


def test_a_subject_has_as_many_connections_as_the_setting_says() -> None:
    """One more is closed with 1013; closing one makes room; other subjects are not concerned."""
    house = House(BusSettings(connections_per_subject_max=2))
    first, _, third = (house.connect(identity=ANN) for _ in range(3))
    assert [(close.client, close.code, close.reason.partition(":")[0]) for close in house.closed] == [
        (third, 1013, "bus.subject-connections")
    ]
    assert house.bus.client_count == 2
    house.connect(identity=Identity("bob", via="jwt"))
    house.connect()
    house.leave(first)
    house.connect(identity=ANN)
    assert (len(house.closed), house.bus.counters["turned_away"]) == (1, 1)


def test_authenticating_moves_a_connection_to_its_new_subject_where_there_is_room() -> None:
    """Its rate is that of who it is now; where that one's connections are full it stays who it was."""

    def authenticate(identity: Identity, token: str) -> Identity:
        if token == "wrong":
            raise Refusal("bus.auth", "no", hint="help")
        return Identity(token, via="jwt")

    house = House(BusSettings(rate_per_s=10, connections_per_subject_max=1), authenticate=authenticate)
    house.connect(identity=ANN)
    client = house.connect(identity=Identity("bob", via="jwt"))
    asked = {"type": "authenticate", "args": {"token": "ann"}}
    assert code_of(house.ask(client, asked)) == "bus.subject-connections"
    assert house.bus.clients[client].subject == "bob"
    asked["args"] = {"token": "cat"}
    assert house.ask(client, asked)["status"] == "success"
    house.send(client, *[EVENT] * 20)
    assert len(house.published) == 10
    house.connect(identity=Identity("bob", via="jwt"))
    assert house.closed == []


def test_subscriptions_are_counted_over_all_connections_of_a_subject() -> None:
    """bus.subscriptions_per_subject_max; joining again what one is in costs nothing."""
    house = House(BusSettings(subscriptions_per_subject_max=3))
    one, two = house.connect(identity=ANN), house.connect(identity=ANN)
    for client, channel in ((one, "a:1"), (one, "a:2"), (two, "a:1")):
        assert house.ask(client, {"type": "join", "channel": channel})["status"] == "success"
    assert code_of(house.ask(two, {"type": "join", "channel": "a:2"})) == "bus.subscriptions-full"
    house.send(two, {"type": "join", "channel": "a:1"})
    house.leave(one)
    assert house.ask(two, {"type": "join", "channel": "a:2"})["status"] == "success"


@given(st.integers(1, 50), st.integers(0, 999), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_retry_after_is_when_the_next_frame_has_room_and_not_earlier(rate: int, waited: int, extra: int) -> None:
    """Of a connection that is alone: one millisecond before it is refused again."""
    house = House(BusSettings(rate_per_s=rate))
    client = house.connect(identity=ANN)
    house.now += waited * MILLISECOND
    house.take(client)
    house.send(client, *[EVENT] * (rate + min(extra, rate)))
    (told,) = house.take(client)
    assert told["payload"]["limit"] == "frames"
    assert told["payload"]["counted_by"] == "subject"
    wait_ms = told["payload"]["retry_after_ms"]
    before = len(house.published)
    if wait_ms > 1:
        house.now += (wait_ms - 1) * MILLISECOND
        house.send(client, EVENT)
        assert len(house.published) == before
        house.now += MILLISECOND
    else:
        house.now += wait_ms * MILLISECOND
    house.send(client, EVENT)
    assert len(house.published) == before + 1


def test_retry_after_of_bytes_counts_what_the_refused_frame_needs() -> None:
    """A frame of 600 bytes at 1,000 bytes a second, with 400 left: 200 ms. `limit` says bytes."""
    house = House(BusSettings(rate_bytes_per_s=1_000, frame_bytes_max=1_000))
    client = house.connect(identity=ANN)
    house.take(client)
    frame = EVENT[:-1] + b" " * (600 - len(EVENT)) + b"}"
    house.send(client, frame, frame)
    (told,) = house.take(client)
    assert (told["payload"]["limit"], told["payload"]["retry_after_ms"]) == ("bytes", 200)
    house.now += 200 * MILLISECOND
    house.send(client, frame)
    assert len(house.published) == 2


def test_other_limits_hold_at_once_for_who_is_connected() -> None:
    """`adopt`: shared from the first moment on, and nothing is kept where there is no limit."""
    house = House(BusSettings())
    clients = [house.connect(identity=ANN) for _ in range(3)]
    assert len(house.bus.allowances) == 0
    house.bus.adopt(house.now, BusSettings(rate_per_s=6))
    for client in clients:
        house.send(client, *[EVENT] * 6)
    assert len(house.published) == 6
    house.bus.adopt(house.now, BusSettings())
    assert len(house.bus.allowances) == 0
    house.send(clients[0], *[EVENT] * 50)
    assert len(house.published) == 56
    for client in clients:
        house.leave(client)
    assert len(house.bus.allowances) == 0


@given(st.lists(st.tuples(st.integers(0, 80), st.integers(1, 9)), max_size=300))
def test_who_was_limited_most_is_told_and_the_sum_stays_true(notes: list[tuple[int, int]]) -> None:
    """A bounded table; what has no place of its own is in `other`."""
    limited, true = Limited(), 0
    for who, dropped in notes:
        limited.note("", f"s{who}", dropped)
        true += dropped
    told = list(limited.most(SUBJECTS_MAX))
    assert len(told) <= SUBJECTS_MAX
    assert limited.total() == true == limited.other + sum(count for _, _, count in told)
    assert [count for _, _, count in told] == sorted([count for _, _, count in told], reverse=True)


def test_an_address_in_the_answer_is_called_so() -> None:
    """Who is refused reads what is counted: with siblings also how many."""
    house = House(BusSettings(rate_per_s=1, anonymous_counted_by="address"))
    client = house.bus.new_client_id()
    house.inboxes[client] = []
    house.perform(house.bus.client_connected(house.now, client, ClientInfo("10.0.0.9:1", "arqon.v1")))
    house.take(client)
    house.send(client, EVENT, EVENT)
    (told,) = house.take(client)
    assert told["payload"]["message"] == "1 frames dropped; this bus takes 1 frames a second of each address"
    assert list(house.bus.limited.most(5)) == [("", "10.0.0.9", 1)]
