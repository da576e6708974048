"""What one client may send: token buckets as a state machine, both rates, floods, subscriptions."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from arqonmesh.config.model import BusSettings
from arqonmesh.core.bus.allowances import Allowance
from arqonmesh.core.bus.limits import STRIKES_S, TOO_MUCH, ClientLimits
from arqonmesh.core.bus.ratelimit import TokenBucket
from arqonmesh.core.kernel import SECOND
from tests.core.bus.house import House

pytestmark = pytest.mark.requirement("R-BU-15")


class Bucket(RuleBasedStateMachine):
    """Against a bucket that counts in fractions and remembers everything that was taken."""

    def __init__(self) -> None:
        super().__init__()
        self.rate, self.burst = 7, 20
        self.now = 5 * SECOND
        self.bucket = TokenBucket(self.now, self.rate, burst=self.burst)
        self.held = self.burst * SECOND
        self.begun = self.now
        self.taken = 0

    @rule(microseconds=st.integers(0, 10 * SECOND))
    def wait(self, microseconds: int) -> None:
        self.now += microseconds
        self.held = min(self.burst * SECOND, self.held + microseconds * self.rate)

    @rule(wanted=st.integers(0, 50))
    def take(self, wanted: int) -> None:
        available = self.bucket.available(self.now)
        taken = self.bucket.take(self.now, wanted)
        assert taken == min(wanted, available) == min(wanted, self.held // SECOND)
        self.held -= taken * SECOND
        self.taken += taken

    @rule(back=st.integers(1, 5 * SECOND))
    def the_clock_steps_back(self, back: int) -> None:
        assert self.bucket.available(self.now - back) <= self.burst

    @invariant()
    def never_more_than_its_rate_and_burst(self) -> None:
        assert self.taken <= self.burst + self.rate * (self.now - self.begun) // SECOND
        assert 0 <= self.bucket.available(self.now) <= self.burst


TestBucket = Bucket.TestCase
TestBucket.settings = settings(max_examples=40, stateful_step_count=30)


@given(st.lists(st.integers(1, 400), max_size=40), st.integers(1, 30), st.integers(400, 2_000))
def test_what_is_let_in_is_a_beginning_within_both_rates(sizes: list[int], rate: int, bytes_rate: int) -> None:
    """And the longest such: one frame more would break one of them."""
    told = BusSettings(rate_per_s=rate, rate_bytes_per_s=bytes_rate, frame_bytes_max=400)
    limits = ClientLimits(0, told, Allowance(0, ("connection", "", "a"), told))
    frames = [b"x" * size for size in sizes]
    allowed = limits.allowed(0, frames)
    assert allowed <= rate
    assert sum(sizes[:allowed]) <= bytes_rate
    assert allowed == len(sizes) or allowed == rate or sum(sizes[: allowed + 1]) > bytes_rate
    assert limits.allowed(0, frames[allowed:]) == 0 or allowed == len(sizes)


def test_bytes_are_limited_as_frames_are() -> None:
    """The first frame that does not fit ends what is let in; a second later there is room again."""
    house = House(BusSettings(rate_bytes_per_s=1_000, frame_bytes_max=1_000))
    client = house.connect()
    house.take(client)
    frame = json.dumps({"type": "event", "channel": "a:b", "payload": "x" * 400}).encode()
    house.send(client, frame, frame, frame)
    (told,) = house.take(client)
    assert (told["payload"]["code"], told["payload"]["dropped"]) == ("bus.rate-limited", 1)
    assert "1000 bytes a second" in told["payload"]["message"]
    assert len(house.published) == 2
    house.now += SECOND
    house.send(client, frame)
    assert len(house.published) == 3


def test_a_burst_is_forgiven_and_a_flood_is_closed() -> None:
    """Ten seconds' worth may be dropped; who sends on at ten times the rate is closed with 4429."""
    house = House(BusSettings(rate_per_s=10))
    burst, flood = house.connect(), house.connect()
    frame = json.dumps({"type": "event", "channel": "a:b", "payload": 1}).encode()
    house.send(burst, *[frame] * (10 + 10 * STRIKES_S))
    assert house.closed == []
    for _ in range(20):
        house.now += SECOND // 10
        house.send(flood, *[frame] * 10)
    ((closed),) = house.closed
    assert (closed.client, closed.code, closed.reason.partition(":")[0]) == (flood, TOO_MUCH, "bus.flood")
    assert house.bus.counters["flooders_closed"] == 1
    assert house.send(flood, frame) == []
    house.now += 20 * SECOND
    house.send(burst, *[frame] * (10 + 10 * STRIKES_S))
    assert len(house.closed) == 1


def test_who_stays_a_little_above_its_rate_is_not_closed() -> None:
    """Half more than allowed, for a minute: dropped and told, not cut off."""
    house = House(BusSettings(rate_per_s=10))
    client = house.connect()
    frame = json.dumps({"type": "event", "channel": "a:b", "payload": 1}).encode()
    for _ in range(60):
        house.now += SECOND
        house.send(client, *[frame] * 15)
    assert house.closed == []
    assert house.bus.counters["rate_limited"] == 60 * 5


def test_subscriptions_are_as_many_as_the_setting_says() -> None:
    """bus.subscriptions_max; leaving one makes room."""
    house = House(BusSettings(subscriptions_max=2))
    client = house.connect()
    for channel in ("a:1", "a:2"):
        house.send(client, {"type": "join", "channel": channel})
    assert house.ask(client, {"type": "join", "channel": "a:3"})["payload"]["code"] == "bus.subscriptions-full"
    house.send(client, {"type": "leave", "channel": "a:1"})
    assert house.ask(client, {"type": "join", "channel": "a:3"})["status"] == "success"
