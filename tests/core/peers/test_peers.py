"""The registry of peers: whom it blames, whom it ignores, what it keeps."""

from __future__ import annotations

import dataclasses
import random

import pytest

from arqonmesh.config.model import PeerSettings
from arqonmesh.core.events import (
    Dropped,
    Fault,
    Forked,
    Imported,
    LinkMeasured,
    MemberAdmitted,
    MemberChanged,
    MemberDescribed,
    ScoreChanged,
)
from arqonmesh.core.kernel import SECOND, Delete, Durable, Effect, Emit, Env, Persist, Put, Row
from arqonmesh.core.peers.core import Peers
from arqonmesh.core.peers.report import PeerReport
from arqonmesh.core.tables import BY_NAME
from arqonmesh.ids import NodeId
from tests.core.toy import env_of, key_of, node_of


class Clock:
    """Wall milliseconds that a test moves."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms


class Disk:
    """The rows that Persist effects leave behind, by table and primary key."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[Row, Row]] = {"peers": {}, "peer_causes": {}}
        self.transactions = 0

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Persist):
                self.transactions += 1
                for write in effect.writes:
                    if isinstance(write, Put):
                        spec = BY_NAME[write.table]
                        assert len(write.row) == len(spec.columns)
                        self.tables[write.table][write.row[: spec.key]] = write.row
                    else:
                        assert isinstance(write, Delete)
                        del self.tables[write.table][write.key]

    def durable(self) -> Durable:
        return {name: list(rows.values()) for name, rows in self.tables.items()}


def world(wall: Clock | None = None) -> Env:
    return dataclasses.replace(env_of("me"), wall_ms=wall or Clock())


def mesh(size: int, settings: PeerSettings | None = None, env: Env | None = None) -> tuple[Peers, list[NodeId]]:
    """Ourselves and size - 1 others, all alive."""
    core = Peers(env or world(), settings or PeerSettings())
    core.start(0, {})
    names = [f"p{index}" for index in range(size - 1)]
    for name in ("me", *names):
        core.on_event(0, MemberAdmitted(node_of(name), key_of(name), "cluster", "hub"))
        core.on_event(0, MemberChanged(node_of(name), "", "alive", 1, "joined"))
    return core, [node_of(name) for name in names]


def kept(report: PeerReport) -> PeerReport:
    """A report without what is of this life only, or told again by statements."""
    return dataclasses.replace(
        report,
        cluster="",
        role="",
        ignored=False,
        score_ppm=0,
        last_seen_ms=0,
        preferred=False,
        rtt_min_us=None,
        rtt_variance_us=None,
        loss_ppm=None,
    )


def scores(effects: list[Effect]) -> list[ScoreChanged]:
    return [e.event for e in effects if isinstance(e, Emit) and isinstance(e.event, ScoreChanged)]


@pytest.mark.requirement("R-PS-4")
def test_a_score_starts_at_one_falls_on_faults_and_says_why() -> None:
    """ScoreChanged with the cause; the view lists it."""
    core, (peer, *_) = mesh(4)
    assert core.view(0, peer).score_ppm == 1_000_000
    assert scores(core.on_event(0, Fault(peer, "bad-signature"))) == [
        ScoreChanged(peer, 900_000, "bad-signature", False)
    ]
    (cause,) = core.view(0, peer).causes
    assert (cause.cause, cause.delta_ppm) == ("bad-signature", -100_000)


def test_ten_thousand_bad_signatures_cost_the_link_peer_and_not_its_victim() -> None:
    """The slander test: below 0.5 and ignored; the victim's score has not moved; the timeline has not exploded."""
    core, (liar, victim, *_) = mesh(7)
    told = 0
    for _ in range(10_000):
        told += len(scores(core.on_event(0, Fault(liar, "bad-signature"))))
    assert core.view(0, liar).score_ppm < 500_000
    assert core.ignored(liar) and not core.ignored(victim)
    assert core.view(0, victim).score_ppm == 1_000_000
    assert told <= 3
    assert len(core.view(0, liar).causes) == 1


@pytest.mark.parametrize("size", [2, 3, 4, 7, 10, 31])
def test_on_observations_alone_at_most_f_peers_are_ignored(size: int) -> None:
    """f = ceil(n/3) - 1, whatever everyone seems to do; the rest is excused and counted."""
    core, others = mesh(size)
    excused = 0
    for peer in others:
        for _ in range(20):
            for effect in core.on_event(0, Fault(peer, "malformed")):
                excused += isinstance(effect, Emit) and isinstance(effect.event, Dropped)
    f = -(-size // 3) - 1
    assert sum(core.ignored(peer) for peer in others) == f
    assert excused == len(others) - f
    assert all(core.view(0, peer).score_ppm < 500_000 for peer in others)


def test_proofs_are_not_counted_against_that_bound_and_stick() -> None:
    """Equivocation: 0, ignored, on disk in the same step, for ever and over a restart."""
    wall, disk = Clock(), Disk()
    core, others = mesh(4, env=world(wall))
    for peer in others:
        effects = core.on_event(0, Forked(peer, 1, 7, b"first", b"second"))
        assert scores(effects) == [ScoreChanged(peer, 0, "equivocation", True)]
        assert [e.sync for e in effects if isinstance(e, Persist)] == [True]
        disk.perform(effects)
        assert core.on_event(0, Fault(peer, "equivocation", b"again")) == []
    assert all(core.ignored(peer) for peer in others)
    wall.ms += 365 * 86_400_000
    again = Peers(world(wall), PeerSettings())
    told = again.start(0, disk.durable())
    assert scores(told) == [ScoreChanged(peer, 0, "equivocation", True) for peer in others]  # the other cores forgot
    assert all(again.ignored(peer) and again.view(0, peer).score_ppm == 0 for peer in others)
    assert again.view(0, others[0]).causes[0].evidence != b""


def test_a_claim_without_its_proof_convicts_nobody() -> None:
    """Hearsay weighs nothing."""
    core, (peer, *_) = mesh(4)
    assert core.on_event(0, Fault(peer, "equivocation")) == []
    assert core.view(0, peer).score_ppm == 1_000_000


def test_an_ignored_peer_is_not_selected_and_returns_when_it_is_forgiven() -> None:
    """Out of every selection below 0.5; back, and told, once decay lifted it over the threshold."""
    core, (peer, other, third) = mesh(4)
    core.on_event(0, LinkMeasured(peer, 1_000, 0, 0))
    for _ in range(6):
        core.on_event(0, Fault(peer, "bad-signature"))
    assert core.ignored(peer)
    assert sorted(core.random(9)) == sorted(core.hybrid(9)) == sorted([other, third])
    assert core.nearest(9) == []
    now = 0
    back: list[ScoreChanged] = []
    while not back and now < 7_200 * SECOND:
        now = core.next_deadline() or now
        back = scores(core.on_timer(now))
    assert [(change.node, change.ignored, change.cause) for change in back] == [(peer, False, "forgiven")]
    assert back[0].score_ppm >= 500_000
    assert peer in core.random(9)
    assert core.nearest(9) == [peer]


def test_only_those_who_are_there_are_selected() -> None:
    """Alive and suspect, not dead, not left, not ourselves."""
    core, (a, b, c) = mesh(4)
    core.on_event(0, MemberChanged(a, "alive", "suspect", 1, "x"))
    core.on_event(0, MemberChanged(b, "alive", "dead", 1, "x"))
    core.on_event(0, MemberChanged(c, "alive", "left", 1, "x"))
    assert core.random(9) == [a]
    core.on_event(0, MemberChanged(b, "dead", "alive", 2, "x"))
    assert sorted(core.random(9)) == sorted([a, b])


def test_excess_is_refused_and_is_a_fault_once_a_second() -> None:
    """1,000 a second and a burst: three seconds of ten times the rate cost about three faults."""
    wall = Clock()
    core, (peer, *_) = mesh(7, env=world(wall))
    allowed = 0
    told: list[ScoreChanged] = []
    for now in range(0, 3 * SECOND, 100):
        wall.ms = now // 1_000
        allowed += core.allow(now, peer)
        due = core.next_deadline()
        if due is not None and due <= now:
            told += scores(core.on_timer(now))
    assert 4_900 <= allowed <= 5_001
    assert 2 <= len(told) <= 4
    assert all(change.cause == "rate" for change in told)


def test_what_is_known_survives_a_restart_and_time_in_between_forgives() -> None:
    """Scores, causes, latency, deliveries; one half-life away gives half of it back. Where it is, statements tell."""
    wall, disk = Clock(), Disk()
    core, (peer, *_) = mesh(4, env=world(wall))
    core.on_event(0, MemberDescribed(peer, "cluster", "hub", "eu", ("a:1", "b:2"), "x"))
    core.on_event(0, LinkMeasured(peer, 12_345, 0, 0))
    core.on_event(0, Imported(peer, "cluster", "room:channel", (b"1", b"2")))
    for _ in range(4):
        core.on_event(0, Fault(peer, "malformed"))
    while (due := core.next_deadline()) is not None and due < 100 * SECOND:
        disk.perform(core.on_timer(due))
    wall.ms += 1_800_000
    again = Peers(world(wall), PeerSettings())
    again.start(5, disk.durable())
    before, after = core.view(0, peer), again.view(5, peer)
    assert before.score_ppm == 600_000
    assert abs(after.score_ppm - 800_000) < 10_000
    assert after.causes == before.causes
    assert (after.latency_us, after.deliveries) == (12_345, 2)
    assert after.first_seen_ms == before.first_seen_ms


def test_the_timeline_keeps_the_newest_causes_in_memory_and_on_disk() -> None:
    """causes_max = 5: the oldest rows are deleted."""
    wall, disk = Clock(), Disk()
    core, (peer, *_) = mesh(4, PeerSettings(causes_max=5), world(wall))
    now = 0
    for index in range(12):
        wall.ms += 2_000
        now += 2 * SECOND
        core.on_event(now, Fault(peer, ("malformed", "bad-route")[index % 2]))
        disk.perform(core.on_timer(now + SECOND))
    kept = [cause.at_ms for cause in core.view(now, peer).causes]
    assert len(kept) == 5
    assert [row[2] for row in sorted(disk.tables["peer_causes"].values(), key=lambda row: str(row[2]))] == kept


def test_measurements_do_not_wear_out_the_disk() -> None:
    """Two a second for ten minutes: at most one transaction a minute, after the first."""
    wall, disk = Clock(), Disk()
    core, (peer, *_) = mesh(4, env=world(wall))
    for tick in range(1_200):
        now = tick * SECOND // 2
        wall.ms += 500
        core.on_event(now, LinkMeasured(peer, 1_000 + tick % 7, 0, 0))
        due = core.next_deadline()
        if due is not None and due <= now:
            disk.perform(core.on_timer(now))
    assert disk.transactions <= 12


def test_standing_is_earned_by_time_and_deliveries() -> None:
    """Ten minutes and ten deliveries, or a day."""
    wall = Clock()
    core, (peer, quiet, _) = mesh(4, env=world(wall))
    core.on_event(0, Imported(peer, "cluster", "room:channel", (b"x",) * 10))
    assert core.standing(peer) == "newcomer"
    wall.ms += 10 * 60_000
    assert core.standing(peer) == "established"
    assert core.standing(quiet) == "newcomer"
    wall.ms += 24 * 3_600_000
    assert core.standing(quiet) == "established"
    assert core.standing(node_of("stranger")) == "newcomer"


def test_we_are_not_our_own_peer_and_strangers_are_not_registered() -> None:
    """Faults of unknown parties change nothing; a view of one is a KeyError."""
    core, _ = mesh(4)
    assert node_of("me") not in core
    assert core.on_event(0, Fault(node_of("stranger"), "malformed")) == []
    with pytest.raises(KeyError):
        core.view(0, node_of("stranger"))


def test_fewer_members_may_be_ignored_when_the_mesh_shrinks() -> None:
    """Seven members, two ignored; after three left only one still is."""
    core, others = mesh(7)
    for peer in others[:2]:
        for _ in range(6):
            core.on_event(0, Fault(peer, "malformed"))
    assert [core.ignored(peer) for peer in others[:2]] == [True, True]
    for peer in others[3:]:
        core.on_event(0, MemberChanged(peer, "alive", "left", 1, "x"))
    core.on_timer(10 * SECOND)
    assert [core.ignored(peer) for peer in others[:2]] == [True, False]


def test_any_history_leaves_tables_that_restore_to_the_same_peers() -> None:
    """A thousand random events; what the disk holds is what memory holds."""
    rng = random.Random(5)
    wall, disk = Clock(), Disk()
    core, others = mesh(10, env=world(wall))
    now = 0
    for _ in range(1_000):
        now += rng.randrange(0, 3 * SECOND)
        wall.ms = 1_700_000_000_000 + now // 1_000
        peer = others[rng.randrange(len(others))]
        event = rng.choice(
            [
                Fault(peer, rng.choice(["malformed", "timeout", "rate", "new-cause"])),
                LinkMeasured(peer, rng.randrange(1, 50_000), 0, 0),
                Imported(peer, "c", "r:c", (b"x",)),
            ]
        )
        disk.perform(core.on_event(now, event))
        while (due := core.next_deadline()) is not None and due <= now:
            disk.perform(core.on_timer(now))
    while core._store.waiting:
        now += 60 * SECOND
        wall.ms = 1_700_000_000_000 + now // 1_000
        disk.perform(core.on_timer(now))
    again = Peers(world(wall), PeerSettings())
    again.start(now, disk.durable())
    for peer in others:
        one, two = core.view(now, peer), again.view(now, peer)
        assert abs(one.score_ppm - two.score_ppm) <= 30_000
        assert kept(one) == kept(two)
