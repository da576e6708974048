"""Aggregates leave, events stay: one per window and channel, exact, bounded, marked."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arqonmesh.config.model import AggregateRule, FederationSettings, PinRule, Rules
from arqonmesh.core.bus.envelope import parse_stored
from arqonmesh.core.events import Dropped
from arqonmesh.core.federation.aggregate import CHANNELS_MAX, FIELDS_MAX, Aggregator
from arqonmesh.core.federation.policy import Policy, Summed
from arqonmesh.core.kernel import SECOND, Env
from arqonmesh.ids import ClusterId, node_id_of
from tests.core.federation.pretend import MESH, KeyedHash, Member, Net

OPEN = Rules(allow=("*",))


def summing(*channels: str, export: Rules = OPEN, pin: tuple[PinRule, ...] = (), **rule: Any) -> FederationSettings:
    return FederationSettings(export=export, pin=pin, aggregate=(AggregateRule(channels=channels, **rule),))


def pair(rules: FederationSettings) -> tuple[Net, Member, Member]:
    net = Net()
    one = net.add("one", "north", rules, region="eu")
    two = net.add("two", "south", FederationSettings(), region="us")
    net.connect(one, two)
    return net, one, two


def frame(**payload: Any) -> bytes:
    return b'{"id":"arq_1","type":"event","payload":%b}' % json.dumps(payload).encode()


def window(net: Net, member: Member, seconds: int = 60) -> None:
    net.settle(wait_us=0)
    net.now += seconds * SECOND
    net.settle(wait_us=0)
    assert member.fed.next_deadline() is None or member.fed.next_deadline() > net.now  # type: ignore[operator]


def told(member: Member) -> list[tuple[str, dict[str, Any]]]:
    return [(channel, json.loads(data)["payload"]) for channel, data in member.delivered]


def env() -> Env:
    return Env(
        node_id=node_id_of(b"x" * 32),
        public_key=b"x" * 32,
        cluster=ClusterId("north"),
        role="hub",
        region="eu",
        mesh_id=MESH,
        rng=random.Random(1),
        wall_ms=lambda: 1_760_000_000_000,
        crypto=KeyedHash(b"x" * 32),
        boot_epoch=1,
    )


@pytest.mark.requirement("R-RE-2")
def test_events_stay_and_one_aggregate_per_window_leaves() -> None:
    """Count, bytes, and of numeric fields count, minimum, maximum, mean; on the same channel, marked, readable."""
    net, one, two = pair(summing("metrics:*"))
    frames = [frame(load=n, name="x", ok=True, nested={"a": 1}) for n in (1, 2.5, 4)]
    for data in frames:
        net.publish(one, "metrics:host", data)
        net.settle()
    assert two.delivered == []

    window(net, one)
    ((channel, payload),) = told(two)
    assert channel == "metrics:host"
    assert payload.pop("from") <= payload.pop("until")
    assert payload == {
        "channel": "metrics:host",
        "window_s": 60,
        "count": 3,
        "bytes": sum(map(len, frames)),
        "fields": {"load": {"count": 3, "min": 1, "max": 4, "mean": 2.5}},
        "fields_left_out": 0,
    }
    stored = parse_stored(two.delivered[0][1])
    assert stored is not None and (stored.room, stored.channel, stored.from_) == ("metrics", "host", "north")
    assert json.loads(bytes(stored.metadata)) == {"aggregate": True}
    assert ("export", "metrics:host", "*", False, "aggregate[0] metrics:*", 1) not in one.fed.decisions()
    assert ("export", "metrics:host", "*", False, "aggregate[0] metrics:*", 3) in one.fed.decisions()
    assert ("export", "metrics:host", "south", True, "export.allow[0] *", 1) in one.fed.decisions()

    window(net, one)
    assert len(two.delivered) == 1  # no event, no window


def test_a_node_that_stops_tells_what_it_has_summed_up() -> None:
    """The window ends with the node, and says how short it was."""
    net, one, two = pair(summing("metrics:*", every_s=60))
    for load in (1, 2, 3):
        net.publish(one, "metrics:host", frame(load=load))
    net.settle(wait_us=0)
    net.perform(one, one.fed.end_windows(net.now))
    net.settle(wait_us=0)

    ((channel, payload),) = told(two)
    assert (channel, payload["count"], payload["fields"]["load"]["max"]) == ("metrics:host", 3, 3)
    assert one.fed.next_deadline() is None


def test_what_a_stopping_node_has_summed_up_waits_on_disk_for_a_link() -> None:
    """As everything published does: it leaves with the next life's first link."""
    net, one, two = pair(summing("metrics:*", every_s=60))
    net.settle()
    net.cut(one, two)
    net.publish(one, "metrics:host", frame(load=1))
    net.settle(wait_us=0)
    net.perform(one, one.fed.end_windows(net.now))
    while net.commit(one):
        pass
    net.crash(one)
    net.boot(one)
    net.connect(one, two)
    net.settle()

    assert [(channel, payload["count"]) for channel, payload in told(two)] == [("metrics:host", 1)]


def test_a_node_without_open_windows_has_nothing_to_tell_when_it_stops() -> None:
    """Also without any aggregate rule."""
    net, one, _ = pair(FederationSettings(export=OPEN))
    net.settle()

    assert one.fed.end_windows(net.now) == []


@pytest.mark.requirement("R-RE-2")
def test_no_hop_of_the_cluster_lets_the_events_out_and_its_clients_get_no_aggregate() -> None:
    """one - mate - other: the mate shares the events, passes on the aggregate, and only that."""
    net = Net()
    rules = summing("metrics:*")
    one, mate = net.add("one", "north", rules), net.add("mate", "north", rules)
    other = net.add("other", "south")
    net.connect(one, mate)
    net.connect(mate, other)
    for n in range(5):
        net.publish(one, "metrics:host", frame(load=n))
    net.settle()
    window(net, one)

    assert [data for _, data in mate.delivered] == [frame(load=n) for n in range(5)]
    assert [payload["count"] for _, payload in told(other)] == [5]


@pytest.mark.requirement("R-RE-2")
def test_aggregates_leave_on_the_channel_that_is_configured_under_its_rules() -> None:
    """The events' channel is pinned and not exported; `to` is exported, and free. A tenant's stay its own."""
    export = Rules(allow=("summary:*", "acme|summary:*"))
    pin = (PinRule(channels=("vitals:*", "*|vitals:*"), regions=("eu",)),)
    net, one, two = pair(summing("vitals:*", "*|vitals:*", export=export, pin=pin, to="summary:all"))
    for channel in ("vitals:bed-1", "acme|vitals:bed-1"):
        for n in range(3):
            net.publish(one, channel, frame(pulse=60 + n))
    net.settle()
    window(net, one)

    assert [(channel, payload["channel"]) for channel, payload in told(two)] == [
        ("summary:all", "vitals:bed-1"),
        ("acme|summary:all", "vitals:bed-1"),
    ]


@pytest.mark.requirement("R-RE-2")
def test_an_aggregate_on_a_pinned_channel_stays_in_its_regions() -> None:
    """The rules go by the channel on which it leaves."""
    net, one, two = pair(summing("vitals:*", pin=(PinRule(channels=("vitals:*",), regions=("eu",)),)))
    net.publish(one, "vitals:bed", frame(pulse=60))
    window(net, one)
    assert two.delivered == []


def test_what_may_not_leave_is_not_summed() -> None:
    """No window is opened for a channel whose aggregates no rule exports."""
    net, one, _ = pair(summing("metrics:*", export=Rules(allow=("other:*",))))
    net.publish(one, "metrics:host", frame(load=1))
    net.settle()
    assert one.fed.next_deadline() is None
    assert Policy("eu", one.settings).verdict("metrics:host", inside=False, region="eu") == (
        False,
        "aggregate[0] metrics:*",
        "its events stay, and no rule lets its aggregates out",
    )


def test_few_values_are_not_told() -> None:
    """Minimum and maximum of one value are that value: below events_min only the count is told."""
    net, one, two = pair(summing("metrics:*", events_min=3, every_s=10))
    for n in range(3):
        net.publish(one, "metrics:host", frame(common=n, **({"rare": n} if n < 2 else {})))
    net.settle()
    window(net, one, 10)
    assert list(told(two)[0][1]["fields"]) == ["common"]


def test_fields_can_be_named() -> None:
    """Nothing else of the payload is told of."""
    net, one, two = pair(summing("metrics:*", events_min=1, fields=("load",)))
    net.publish(one, "metrics:host", frame(salary=5, load=1))
    window(net, one)
    assert told(two)[0][1]["fields"] == {"load": {"count": 1, "min": 1, "max": 1, "mean": 1}}


def test_fields_numbers_and_channels_are_bounded() -> None:
    """16 fields, numbers of 32 characters within 10^64, 1,024 channels; what is beyond is counted."""
    net, one, two = pair(summing("metrics:*", events_min=1))
    many: dict[str, object] = {f"f{n}": n for n in range(FIELDS_MAX + 3)}
    net.publish(one, "metrics:host", frame(**many))
    for long in ("1e65", "1e-65", "0e999999999", "1" * 33):
        net.publish(one, "metrics:host", b'{"payload":{"f0":%b}}' % long.encode())
    for odd in (b"no json", b'{"payload":[1]}', b'{"payload":{"a":}}', b'{"payload":"text"}', b"{}"):
        net.publish(one, "metrics:host", odd)
    window(net, one)
    payload = told(two)[0][1]
    assert (payload["count"], len(payload["fields"]), payload["fields_left_out"]) == (10, FIELDS_MAX, 3 + 4)

    for number in range(CHANNELS_MAX + 5):
        net.publish(one, f"metrics:{number}", frame(load=1))
    net.settle()
    drops = [event for event in one.said(Dropped) if isinstance(event, Dropped)]
    assert [(event.reason, event.count) for event in drops] == [("aggregate-channels", 1)] * 5


def test_each_window_ends_in_its_own_time() -> None:
    """It begins with its first event; the deadline is that of the window that ends first."""
    rules = FederationSettings(
        export=OPEN,
        aggregate=(AggregateRule(channels=("slow:*",), every_s=60), AggregateRule(channels=("fast:*",), every_s=10)),
    )
    net, one, two = pair(rules)
    net.publish(one, "slow:x", frame(a=1))
    net.settle(wait_us=0)
    net.now += 5 * SECOND
    net.publish(one, "fast:x", frame(a=1))
    net.settle(wait_us=0)
    for seconds, seen in ((9, 0), (1, 1), (44, 1), (1, 2)):
        net.now += seconds * SECOND
        net.settle(wait_us=0)
        assert len(two.delivered) == seen
    assert one.fed.next_deadline() is None


NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12).map(str),
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e60, max_value=1e60).map(json.dumps),
)


@pytest.mark.requirement("R-RE-2")
@settings(max_examples=150, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_arithmetic_is_exact_and_knows_no_order(numbers: list[str], dice: random.Random) -> None:
    """Against fractions; the mean has twelve significant digits."""
    counted = [n for n in numbers if len(n) <= 32 and abs(Decimal(n).adjusted()) <= 64]
    if not counted:
        return
    answers = []
    for _ in range(2):
        aggregator = Aggregator(env())
        summed = Summed(AggregateRule(channels=("a:*",), every_s=1, events_min=1), "aggregate[0]", "a:b")
        assert aggregator.take(0, "a:b", summed, [b'{"payload":{"n":%b}}' % n.encode() for n in numbers])
        (aggregate,) = aggregator.close(SECOND)
        answers.append(json.loads(aggregate.frame, parse_float=Decimal, parse_int=Decimal)["payload"]["fields"]["n"])
        dice.shuffle(numbers)
    assert answers[0] == answers[1]
    exact: list[Fraction] = [Fraction(Decimal(n)) for n in counted]
    assert (Fraction(answers[0]["min"]), Fraction(answers[0]["max"])) == (min(exact), max(exact))
    mean, told_mean = sum(exact, Fraction()) / len(exact), Fraction(answers[0]["mean"])
    assert abs(told_mean - mean) <= abs(mean) * Fraction(1, 10**11)
