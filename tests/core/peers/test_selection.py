"""Strategies, preferences, guesses, standing: whom we deal with first, and how much a newcomer may send."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.config.model import PeerSettings
from arqonmesh.core.events import (
    Applied,
    LinkMeasured,
    MemberAdmitted,
    MemberChanged,
    MemberDescribed,
    PeerRuled,
    Rebalanced,
)
from arqonmesh.core.kernel import SECOND, Emit
from arqonmesh.core.peers.core import Peers
from arqonmesh.core.peers.pool import Pool
from arqonmesh.core.peers.rtt import SAMPLES_MAX, RttTracker
from arqonmesh.core.peers.strategies import strategy_of
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Held, Kind
from bench.selection import Place, flood, islands, links_of
from tests.core.peers.test_peers import Clock, mesh, world
from tests.core.toy import key_of, node_of

NAMES = [NodeId(f"{index:02}") for index in range(30)]


def pool(regions: int = 5) -> Pool:
    """Thirty peers in regions by turns, the nearer the lower their number."""
    table = Pool(random.Random(1), lambda node: f"r{int(node) % regions}")
    for node in NAMES:
        table.add(node, 1_000 * (int(node) + 1))
    return table


@pytest.mark.requirement("R-PT-1")
@given(
    name=st.sampled_from(["random", "nearest", "hybrid", "geographic"]),
    k=st.integers(0, 40),
    percent=st.integers(0, 100),
    exclude=st.lists(st.sampled_from(NAMES), max_size=10),
)
def test_every_strategy_gives_up_to_k_different_ones_and_nobody_excluded(
    name: str, k: int, percent: int, exclude: list[NodeId]
) -> None:
    """And as many as there are."""
    strategy = strategy_of(name, random_percent=percent, region="r1")
    chosen = strategy(pool(), k, exclude)
    there = [node for node in NAMES if node not in exclude]
    assert len(chosen) == len(dict.fromkeys(chosen)) == min(k, len(there))
    assert all(node in there for node in chosen)


@pytest.mark.requirement("R-PT-1")
def test_geographic_takes_its_own_region_first_and_one_of_each_other() -> None:
    """Ten: six of ours, the nearest, and the nearest of each of four others."""
    chosen = strategy_of("geographic", region="r1")(pool(), 10, ())
    assert chosen == ["01", "06", "11", "16", "21", "26", "00", "02", "03", "04"]
    few = [tuple(strategy_of("geographic", region="r1")(table, 3, ())) for table in [pool()] for _ in range(40)]
    assert all(choice[0] == "01" for choice in few)
    assert len(dict.fromkeys(few)) > 3  # with less room than regions, who is left out changes


def test_a_hybrid_is_never_less_than_a_fifth_random() -> None:
    """Asked for 0 %: of ten, the eight nearest always, the two others anyone."""
    strategy = strategy_of("hybrid", random_percent=0)
    table = pool()
    picks = [strategy(table, 10, ()) for _ in range(60)]
    assert all(pick[:8] == NAMES[:8] for pick in picks)
    assert len(dict.fromkeys(node for pick in picks for node in pick[8:])) > 15


def test_pure_nearest_leaves_islands_and_a_mix_does_not() -> None:
    """Five regions of forty, six neighbours each: by the nearest alone nobody ever hears of another region."""
    place = Place(regions=5, per_region=30, seed=1)
    assert islands(links_of("nearest", place, 6)) >= 5
    for name in ("hybrid", "random", "geographic"):
        assert islands(links_of(name, place, 6)) == 1


@pytest.mark.requirement("R-PT-1")
def test_near_peers_spread_news_twice_as_fast_as_random_ones_and_a_mix_lies_between() -> None:
    """To the last node of five regions; the nearest with links between regional leaders."""
    place = Place(regions=5, per_region=60, seed=1)
    last = {
        name: max(max(flood(links_of(name, place, 3), source).values()) for source in (0, 100, 200))
        for name in ("random", "hybrid", "geographic", "nearest + leaders")
    }
    assert last["nearest + leaders"] * 2 <= last["random"]
    assert last["hybrid"] * 2 <= last["random"]
    assert last["geographic"] * 1.3 <= last["random"]


# --- guesses ------------------------------------------------------------------------------------------------


def test_who_was_never_measured_is_ranked_by_coordinates_until_it_is() -> None:
    """A guess ranks; a measurement takes its place and no guess takes it back."""
    guesses = {node_of("p0"): 5_000, node_of("p1"): 50_000}
    core = Peers(world(), PeerSettings(), guesses.get)
    core.start(0, {})
    _, others = mesh(4)
    for index, node in enumerate(others):
        core.on_event(0, MemberAdmitted(node, key_of(f"p{index}"), "cluster", "hub"))
        core.on_event(0, MemberChanged(node, "", "alive", 1, "joined"))
    assert core.nearest(9) == others[:2]
    assert (core.view(0, others[0]).latency_us, core.view(0, others[0]).guess_us) == (None, 5_000)
    core.on_event(0, LinkMeasured(others[1], 1_000, 0, 0))
    guesses[others[1]] = 9_000_000
    assert core.nearest(9) == [others[1], others[0]]
    del guesses[others[0]]
    assert core.nearest(9) == [others[1]]


@pytest.mark.requirement("R-PT-7")
def test_round_trips_are_tracked_per_peer_and_bounded() -> None:
    """Least of the newest 32; what the link's own estimator says; loss."""
    tracker = RttTracker()
    for sample in (5, *range(100, 100 + SAMPLES_MAX)):
        tracker.add(sample, 7, 20_000)
    assert (tracker.count, tracker.min_us) == (SAMPLES_MAX, 100)
    assert (tracker.smoothed_us, tracker.variance_us, tracker.loss_ppm) == (131, 7, 20_000)
    core, (peer, *_) = mesh(4)
    core.on_event(0, LinkMeasured(peer, 9_000, 400, 10_000))
    core.on_event(0, LinkMeasured(peer, 4_000, 300, 20_000))
    report = core.view(0, peer)
    assert (report.rtt_min_us, report.rtt_variance_us, report.loss_ppm, report.latency_us) == (
        4_000,
        300,
        20_000,
        4_000,
    )


# --- preferences --------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-PT-2")
def test_every_hundred_rounds_it_measures_clusters_chooses_and_tells() -> None:
    """At 100 s, not before: two regions, the near one preferred, and how much that gains."""
    core, others = mesh(13, PeerSettings(preferred_max=5, strategy="nearest"))
    for index, node in enumerate(others):
        region = "near" if index < 6 else "far"
        core.on_event(0, MemberDescribed(node, "cluster", "hub", region, (), "x"))
        core.on_event(0, LinkMeasured(node, 5_000 if index < 6 else 95_000, 0, 0))
    told: list[tuple[int, Rebalanced]] = []
    while (due := core.next_deadline()) is not None and due <= 250 * SECOND:
        told += [
            (due, effect.event)
            for effect in core.on_timer(due)
            if isinstance(effect, Emit) and isinstance(effect.event, Rebalanced)
        ]
    assert [at for at, _ in told] == [100 * SECOND, 200 * SECOND]
    event = told[0][1]
    assert sorted(event.chosen) == sorted(event.chosen) and all(node in others[:6] for node in event.chosen)
    assert len(event.chosen) == 5
    assert event.clusters == (("near", 6, 5_000), ("far", 6, 95_000))
    assert event.gain_ppm == 900_000
    assert core.view(0, event.chosen[0]).preferred
    core.on_event(0, PeerRuled(event.chosen[0], True, ""))
    core.on_event(0, MemberChanged(event.chosen[1], "alive", "left", 1, "farewell"))
    assert [node for node in event.chosen if core.view(0, node).preferred] == list(event.chosen[2:])


def test_without_regions_clusters_are_bands_of_latency() -> None:
    """A gap of more than twofold and 2 ms begins a new one."""
    core, others = mesh(10)
    for index, node in enumerate(others):
        core.on_event(0, LinkMeasured(node, (1_000, 1_900, 40_000)[index % 3] + index, 0, 0))
    core.on_timer(100 * SECOND)
    assert [(name, count) for name, count, _ in core.preference.clusters] == [("~1 ms", 6), ("~40 ms", 3)]


def test_a_partner_is_mostly_preferred_sometimes_anyone_and_never_an_ignored_one() -> None:
    """Every link is used in the end."""
    core, others = mesh(13, PeerSettings(preferred_max=2))
    for index, node in enumerate(others):
        core.on_event(0, LinkMeasured(node, 1_000 * (index + 1), 0, 0))
    core.on_timer(100 * SECOND)
    counts = dict.fromkeys(others, 0)
    for turn in range(2_000):
        counts[core.partner([*others[turn % 12 :], *others[: turn % 12]])] += 1
    preferred = sum(counts[node] for node in core.preference.chosen)
    assert 1_500 <= preferred <= 1_800
    assert min(counts.values()) > 0
    core.on_event(0, PeerRuled(others[0], True, ""))
    assert others[0] not in [core.partner(others) for _ in range(200)]
    assert core.partner([others[0]]) == others[0]


# --- standing -----------------------------------------------------------------------------------------------


def grown(settings: PeerSettings) -> tuple[Peers, Clock, list[NodeId]]:
    """A mesh eleven minutes old: p0 has delivered, the others have not."""
    clock = Clock()
    core, others = mesh(4, settings, world(clock))
    for seq in range(12):
        core.on_event(1, Applied(others[0], Kind.HELD, str(seq), Held(seq), b"", False))
    clock.ms += 11 * 60_000
    while (due := core.next_deadline()) is not None and due <= 60 * SECOND:
        core.on_timer(due)
    return core, clock, others


def allowed(core: Peers, peer: NodeId, start: int, seconds: int, per_s: int) -> int:
    step = SECOND // per_s
    return sum(core.allow(now, peer) for now in range(start, start + seconds * SECOND, step))


def test_a_newcomer_among_established_ones_is_held_to_a_tenth_without_blame() -> None:
    """The burst of its first synchronisation passes whole; after it 100 a second; excess of that is no fault."""
    core, _, (elder, newcomer, *_) = grown(PeerSettings())
    assert core.standing(elder) == "established" and core.standing(newcomer) == "newcomer"
    assert core.view(0, newcomer).probation and not core.view(0, elder).probation
    start = 100 * SECOND
    assert all(core.allow(start, newcomer) for _ in range(2_000))
    passed = allowed(core, newcomer, start + SECOND, 10, 500)
    assert 1_090 <= passed <= 1_110
    while (due := core.next_deadline()) is not None and due <= start + 20 * SECOND:
        core.on_timer(due)
    assert core.view(0, newcomer).causes == ()
    assert allowed(core, elder, start, 10, 500) == 5_000


def test_a_mesh_of_newcomers_holds_nobody_back() -> None:
    """Founders' first hour: there is no one to prefer, so nobody is on probation."""
    core, others = mesh(4)
    for due in range(0, 120 * SECOND, 10 * SECOND):
        core.on_timer(due)
    assert not any(core.view(0, peer).probation for peer in others)
    assert allowed(core, others[0], 200 * SECOND, 5, 800) == 4_000


def test_probation_ends_when_the_standing_is_earned() -> None:
    """Ten accepted statements count as deliveries; what our own disk brings back at the start does not."""
    core, _, (_, newcomer, *_) = grown(PeerSettings())
    for seq in range(12):
        core.on_event(70 * SECOND, Applied(newcomer, Kind.HELD, str(seq), Held(seq), b"", False))
    core.on_timer(130 * SECOND)
    assert not core.view(0, newcomer).probation
    assert core.view(0, newcomer).deliveries == 10
    fresh, others = mesh(4)
    fresh.start(0, {})
    fresh.on_event(0, Applied(others[0], Kind.HELD, "", Held(1), b"", False))
    assert fresh.view(0, others[0]).deliveries == 0


def test_the_settings_refuse_a_mix_without_chance() -> None:
    """At least 20 %."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"random_percent": 10}, PeerSettings)
