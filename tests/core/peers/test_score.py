"""Scores, buckets and selection, each against a plainer way to compute it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from arqonmesh.core.kernel import SECOND
from arqonmesh.core.peers.buckets import BUCKETS_MAX, Buckets
from arqonmesh.core.peers.causes import CAUSES, cause_of
from arqonmesh.core.peers.pool import Pool
from arqonmesh.core.peers.score import FULL_PPM, Score, decayed
from arqonmesh.ids import NodeId

HALF = 1_800 * SECOND


@given(st.integers(0, FULL_PPM), st.integers(0, 70 * HALF), st.integers(1, 10 * HALF))
def test_decay_is_the_power_of_two(deficit: int, elapsed: int, half_life: int) -> None:
    """Within 20 millionths of the float, and never more than there was."""
    left = decayed(deficit, elapsed, half_life)
    assert 0 <= left <= deficit
    assert abs(left - deficit * 2 ** -(elapsed / half_life)) <= 20


@given(st.integers(0, FULL_PPM), st.lists(st.integers(0, 2 * HALF), min_size=2, max_size=2))
def test_more_time_forgives_more(deficit: int, times: list[int]) -> None:
    """Monotone."""
    early, late = sorted(times)
    assert decayed(deficit, late, HALF) <= decayed(deficit, early, HALF)


def test_half_of_what_was_lost_is_back_after_one_half_life() -> None:
    """1.0 - 0.4 -> 0.8 -> 0.9."""
    score = Score(0, HALF)
    for _ in range(4):
        score.apply(0, cause_of("malformed"))
    assert [score.ppm(now) for now in (0, HALF, 2 * HALF)] == [600_000, 800_000, 900_000]


def test_a_conviction_is_never_forgiven() -> None:
    """A proof: 0 for ever."""
    score = Score(0, HALF)
    assert score.apply(0, CAUSES["equivocation"]) == -FULL_PPM
    assert score.ppm(1_000 * HALF) == 0


@given(st.lists(st.tuples(st.sampled_from(sorted(CAUSES)), st.integers(0, HALF)), max_size=60))
def test_a_score_stays_in_range_and_no_cause_pushes_below_its_floor(history: list[tuple[str, int]]) -> None:
    """0 to 1; each fault costs at most its cost and leaves what was already lower alone."""
    score, now = Score(0, HALF), 0
    for name, wait in history:
        now += wait
        before, cause = score.ppm(now), CAUSES[name]
        delta = score.apply(now, cause)
        after = score.ppm(now)
        assert 0 <= after <= FULL_PPM
        if not cause.convicts:
            assert after - before == delta
            assert -cause.cost_ppm <= delta <= 0
            assert after >= min(before, cause.floor_ppm)


def test_absence_alone_never_makes_anyone_ignored() -> None:
    """Timeouts stop at 0.6."""
    score = Score(0, HALF)
    for _ in range(1_000):
        score.apply(0, cause_of("timeout"))
    assert score.ppm(0) == 600_000


def test_causes_that_are_not_listed_are_taken_lightly() -> None:
    """Never below 0.6."""
    assert cause_of("something-new").floor_ppm == 600_000


# --- token buckets ------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-ID-15")
@given(st.lists(st.integers(0, 20_000), max_size=300), st.integers(1, 50), st.integers(1, 20))
@settings(deadline=None)
def test_a_bucket_lets_through_its_burst_and_its_rate_and_no_more(gaps: list[int], rate: int, burst: int) -> None:
    """In any stretch of time t at most burst + rate x t, against a bucket kept in exact fractions."""
    buckets, peer, now = Buckets(rate_per_s=rate, burst=burst), NodeId("a"), 0
    level, last = burst * SECOND, 0
    passed = 0
    for gap in gaps:
        now += gap
        level, last = min(burst * SECOND, level + (now - last) * rate), now
        expected = level >= SECOND
        level -= SECOND if expected else 0
        assert buckets.take(now, peer) is expected
        passed += expected
    assert passed <= burst + rate * now // SECOND + 1


def test_buckets_are_bounded() -> None:
    """Beyond 4,096 the oldest goes."""
    buckets = Buckets(rate_per_s=1, burst=1)
    for index in range(3 * BUCKETS_MAX):
        buckets.take(0, NodeId(str(index)))
    assert len(buckets._buckets) == BUCKETS_MAX


# --- selection ----------------------------------------------------------------------------------------------

nodes = st.sampled_from([NodeId(letter) for letter in "abcdefghij"])


class PoolMachine(RuleBasedStateMachine):
    """The pool against a dictionary of latencies."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(random.Random(1))
        self.model: dict[NodeId, int | None] = {}

    @rule(node=nodes, latency=st.none() | st.integers(0, 5))
    def add(self, node: NodeId, latency: int | None) -> None:
        self.pool.add(node, latency)
        if latency is not None or node not in self.model:
            self.model[node] = latency

    @rule(node=nodes)
    def remove(self, node: NodeId) -> None:
        self.pool.remove(node)
        self.model.pop(node, None)

    @rule(node=nodes, latency=st.integers(0, 5))
    def measure(self, node: NodeId, latency: int) -> None:
        self.pool.measured(node, latency)
        if node in self.model:
            self.model[node] = latency

    @rule(k=st.integers(0, 12), percent=st.integers(0, 100), exclude=st.lists(nodes, max_size=4))
    def select(self, k: int, percent: int, exclude: list[NodeId]) -> None:
        there = {node: latency for node, latency in self.model.items() if node not in exclude}
        near = sorted((latency, node) for node, latency in there.items() if latency is not None)
        assert self.pool.nearest(k, exclude) == [node for _, node in near[:k]]
        for chosen in (self.pool.random(k, exclude), self.pool.hybrid(k, percent, exclude)):
            assert len(chosen) == len(dict.fromkeys(chosen)) == min(k, len(there))
            assert all(node in there for node in chosen)

    @invariant()
    def holds_the_same(self) -> None:
        assert len(self.pool) == len(self.model)
        assert all(node in self.pool for node in self.model)


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_random_selection_is_even() -> None:
    """Ten peers, three at a time, 3,000 draws: each one about 900 times."""
    pool = Pool(random.Random(3))
    for letter in "abcdefghij":
        pool.add(NodeId(letter), None)
    counts = dict.fromkeys("abcdefghij", 0)
    for _ in range(3_000):
        for node in pool.random(3):
            counts[node] += 1
    assert all(800 <= count <= 1_000 for count in counts.values()), counts


@pytest.mark.requirement("R-PT-1")
def test_hybrid_takes_the_near_ones_and_a_share_at_random() -> None:
    """80/20: of ten chosen, the eight nearest are always there."""
    pool = Pool(random.Random(3))
    for index in range(40):
        pool.add(NodeId(f"{index:02}"), index * 1_000)
    chosen = pool.hybrid(10, 20)
    assert chosen[:8] == [f"{index:02}" for index in range(8)]
    assert len(dict.fromkeys(chosen)) == 10
