"""Announcements of a trickle: once per lazy link, by the end that begins, and by the other one when that is silent."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.core.broadcast import Plumtree
from arqonmesh.core.broadcast.announcements import (
    CALM_US,
    HELD_BACK_US,
    PAUSE_US,
    PER_MESSAGE,
    TRICKLE_MAX,
    Announcements,
    begins,
)
from arqonmesh.core.broadcast.fan_out import COPIES_SAVED, COPY_US, Purse
from arqonmesh.core.events import BroadcastJudged, LinkUp
from arqonmesh.core.kernel import MILLISECOND, SECOND, Effect, Event, Instant, Send
from arqonmesh.ids import NodeId, node_id_of
from arqonmesh.sim.crypto import toy_key
from arqonmesh.sim.field import regular_graph
from arqonmesh.wire.messages import BroadcastGraft, BroadcastHave, BroadcastPayload, BroadcastPrune
from tests.core.broadcast.hand import Hand, name_of, payload, peer, sends
from tests.core.broadcast.test_mesh import Mesh, big
from tests.core.toy import env_of

SELF = env_of("self").node_id
names = [f"n{number}" for number in range(40)]
BEGUN = [name for name in names if begins(SELF, peer(name))]
HELD = [name for name in names if not begins(SELF, peer(name))]
STEP = 70 * MILLISECOND
"""About 15 payloads a second."""


class Ends:
    """What one node tells, in a trickle that has run for a while, about payloads that everyone has heard of."""

    def __init__(self) -> None:
        self.waiting = Announcements(SELF, 5 * MILLISECOND)
        self.now = 0
        while self.now < CALM_US + SECOND or self.waiting.next_due() is not None:
            self.add(peer("elsewhere"), b"before")
            self.waiting.forget(peer("elsewhere"), b"before")
            self.wait(STEP)
            if self.now > CALM_US + SECOND:
                self.wait_for_turn()

    def add(self, to: NodeId, id_: bytes) -> bool:
        return self.waiting.add(self.now, to, id_, 1, 0)

    def wait_for_turn(self) -> None:
        """Until just after announcements left."""
        while (due := self.waiting.next_due()) is not None:
            self.now = due
            self.waiting.due(due)

    def wait(self, us: int) -> list[tuple[NodeId, bytes]]:
        """Who is told of what until then."""
        until, told = self.now + us, []
        while (due := self.waiting.next_due()) is not None and due <= until:
            self.now = due
            told += [(to, have[0]) for to, haves in self.waiting.due(due) for have in haves]
        self.now = until
        return told


def test_of_each_link_one_end_begins_and_nobody_on_all_of_his() -> None:
    """Whatever the names: who begins speaks more."""
    ids = [node_id_of(toy_key(f"node {number}")) for number in range(60)]
    assert all(begins(one, other) != begins(other, one) for one in ids for other in ids if one != other)
    shares = [sum(begins(one, other) for other in ids if other != one) for one in ids]
    assert min(shares) > 15 and max(shares) < 45


def test_in_a_trickle_the_end_that_does_not_begin_holds_back() -> None:
    """It tells what it was not told meanwhile, once that is too late."""
    ends = Ends()
    ends.add(peer(BEGUN[0]), b"news")
    ends.add(peer(HELD[0]), b"news")
    assert ends.wait(PAUSE_US) == [(peer(BEGUN[0]), b"news")]
    assert ends.wait(HELD_BACK_US - PAUSE_US - MILLISECOND) == []
    assert ends.wait(PAUSE_US + MILLISECOND) == [(peer(HELD[0]), b"news")]
    assert ends.wait(10 * SECOND) == []
    assert ends.waiting.next_due() is None


def test_who_was_told_meanwhile_says_nothing_and_what_is_younger_waits() -> None:
    """Of what it holds back only that leaves which has waited its time."""
    ends, to = Ends(), peer(HELD[0])
    ends.add(to, b"told")
    ends.add(to, b"older")
    ends.waiting.forget(to, b"told")
    assert ends.wait(HELD_BACK_US) == []
    ends.add(to, b"younger")
    assert ends.wait(PAUSE_US) == [(to, b"older")]
    assert ends.wait(HELD_BACK_US + PAUSE_US) == [(to, b"younger")]


def test_after_a_quiet_time_both_ends_tell_at_once() -> None:
    """Whoever lacks something then hears of it as soon as anyone can tell; and of what follows as soon, for a while."""
    ends = Ends()
    ends.wait(SECOND)
    both = [peer(BEGUN[0]), peer(HELD[0])]
    for to in both:
        ends.add(to, b"news")
    assert ends.wait(5 * MILLISECOND) == [(to, b"news") for to in both]
    for to in both:
        ends.add(to, b"more")
    assert ends.wait(PAUSE_US) == [(to, b"more") for to in both]


def test_nobody_holds_back_while_the_tree_may_be_torn() -> None:
    """A link came or went, or a payload was missing; for two seconds."""
    ends, to = Ends(), peer(HELD[0])
    ends.waiting.disturbed(ends.now)
    ends.add(to, b"news")
    assert ends.wait(PAUSE_US) == [(to, b"news")]
    while ends.now < 2 * CALM_US + 2 * SECOND:
        ends.add(to, b"of a trickle")
        ends.waiting.forget(to, b"of a trickle")
        ends.wait(STEP)
    ends.wait_for_turn()
    ends.add(to, b"later")
    assert ends.wait(PAUSE_US) == []


def test_what_waits_is_bounded_and_goes_with_its_link() -> None:
    """A full message leaves at once, from whichever end."""
    waiting = Announcements(SELF, 5 * MILLISECOND)
    to = peer(HELD[0])
    full = [waiting.add(0, to, b"%016d" % number, 1, 0) for number in range(PER_MESSAGE)]
    assert full == [False] * (PER_MESSAGE - 1) + [True]
    assert len(waiting.take(to)) == PER_MESSAGE
    waiting.add(0, to, b"x" * 16, 1, 0)
    waiting.drop(to)
    assert waiting.due(SECOND) == [] and waiting.next_due() is None


def trickle(mesh: Mesh, numbers: range, sources: list[int]) -> None:
    for number in numbers:
        mesh.say(sources[number % len(sources)], big(number))
        mesh.field.run_for(STEP)


def test_in_a_trickle_a_payload_is_announced_once_per_lazy_link() -> None:
    """Not by both ends."""
    mesh = Mesh(30, 1, latency=lambda one, other: 5 * MILLISECOND, fan_out_percent=0)
    mesh.field.lay(regular_graph(30, 6, 1))
    trickle(mesh, range(30), [*range(30)])
    cores = [node.core(Plumtree) for node in mesh.field.nodes]
    before = sum(core.counters.get("announcements_sent", 0) for core in cores)
    mesh.field.sent.clear()
    trickle(mesh, range(30, 90), [*range(30)])
    lazy_links = sum(len(core.lazy) for core in cores) / 2
    told = sum(core.counters.get("announcements_sent", 0) for core in cores) - before
    assert 0.9 < told / (60 * lazy_links) < 1.2
    seconds = 60 * STEP / SECOND
    assert mesh.field.sent[BroadcastHave] < lazy_links * seconds * SECOND / PAUSE_US * 1.2


class Forgetful(Plumtree):
    """While `passes` is False it passes nothing on, and serves who asks."""

    passes = True

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        said = super().on_event(now, event)
        if self.passes or not isinstance(event, BroadcastJudged):
            return said
        return [e for e in said if not (isinstance(e, Send) and isinstance(e.message, BroadcastPayload))]


@pytest.mark.parametrize("seed", range(3))
def test_in_a_trickle_what_the_tree_loses_is_mended_within_both_waits(seed: int) -> None:
    """Whoever is in the middle of the tree passes nothing on for a while; announcements bring what is behind it."""
    mesh = Mesh(40, seed, latency=lambda one, other: 5 * MILLISECOND, kind=Forgetful, fan_out_percent=0)
    mesh.field.lay(regular_graph(40, 6, seed))
    everyone = [*range(40)]
    trickle(mesh, range(40), everyone)
    assert mesh.field.sent[BroadcastPayload] > 0
    mesh.field.sent.clear()
    cores = [node.core(Forgetful) for node in mesh.field.nodes]
    for round_ in range(6):
        middle = max(cores, key=lambda core: len(core.eager))
        middle.passes = False
        others = [index for index in everyone if cores[index] is not middle]
        numbers = range(40 + 10 * round_, 50 + 10 * round_)
        trickle(mesh, numbers, others)
        mesh.field.run_for(HELD_BACK_US + 2 * PAUSE_US)
        middle.passes = True
        for number in numbers:
            assert mesh.missing(others[number % len(others)], big(number)) == [], f"{number}, {round_}"
    assert mesh.field.sent[BroadcastGraft] > 6
    assert mesh.faults == []


def test_a_node_that_lacks_a_payload_hears_of_it_from_every_lazy_neighbour() -> None:
    """Also from those that hold back: it cannot tell them that it has it."""
    ends = Ends()
    for name in names:
        ends.add(peer(name), b"news")
    told = ends.wait(HELD_BACK_US + PAUSE_US)
    assert sorted(to for to, _ in told) == sorted(map(peer, names))


def test_a_link_that_comes_or_goes_and_a_payload_that_is_missed_make_everyone_speak() -> None:
    """Then both ends of a lazy link tell within a pause."""
    disturbances: tuple[Callable[[Hand], object], ...] = (
        lambda hand: hand.down("gone"),
        lambda hand: hand.tell(LinkUp(peer("new"), "quic")),
        lambda hand: hand.hear("gone", BroadcastGraft(id=b"x" * 16)),
        lambda hand: hand.hear("gone", BroadcastHave(have=((b"y" * 16, 1, 0),))),
    )
    for disturb in disturbances:
        hand = Hand("tree", HELD[0], "gone", fan_out_percent=0)
        hand.broadcast()
        hand.hear(HELD[0], BroadcastPrune())
        for number in range((CALM_US + SECOND) // STEP):
            hand.hear("tree", payload(b"%04d trickle" % number * 50))
            hand.hear(HELD[0], BroadcastHave(have=((name_of(payload(b"%04d trickle" % number * 50)), 1, 0),)))
            hand.wait(STEP)
        disturb(hand)
        hand.wait(STEP)
        hand.hear("tree", payload(b"news" * 200))
        assert peer(HELD[0]) in sends(hand.wait(PAUSE_US), BroadcastHave)


def test_what_waited_for_a_peer_goes_with_its_link() -> None:
    """It is announced to nobody who is not there; with a new link it is among the newest that it is told of, once."""
    hand = Hand("tree", "lazy", "other", fan_out_percent=0)
    hand.broadcast(b"before" * 200)
    for name in ("lazy", "other"):
        hand.hear(name, BroadcastPrune())
    hand.wait(SECOND)
    hand.hear("tree", payload())
    hand.down("lazy")
    assert list(sends(hand.wait(SECOND), BroadcastHave)) == [peer("other")]
    told = sends(hand.tell(LinkUp(peer("lazy"), "quic")), BroadcastHave)
    assert name_of(payload()) in [id_ for id_, _, _ in told[peer("lazy")].have]
    assert sends(hand.wait(SECOND), BroadcastHave) == {}


def test_a_burst_is_told_at_once_by_both_ends() -> None:
    """It is no trickle: at the next turn all leaves, whoever begins."""
    ends, to = Ends(), peer(HELD[0])
    for number in range(TRICKLE_MAX + 1):
        ends.add(to, b"%04d" % number)
    assert len(ends.wait(PAUSE_US)) == TRICKLE_MAX + 1


@given(st.lists(st.tuples(st.integers(0, 5 * SECOND), st.integers(0, 40)), max_size=60))
def test_a_purse_never_pays_more_than_was_saved_and_earned(spent: list[tuple[int, int]]) -> None:
    """Over any time from the beginning; and never less than is there."""
    purse, now, paid = Purse(), 0, 0
    for later, wanted in spent:
        now += later
        copies = purse.spend(now, wanted)
        assert 0 <= copies <= wanted
        paid += copies
        assert paid <= COPIES_SAVED + now // COPY_US


def test_a_purse_is_full_after_a_quiet_time_and_earns_one_by_one() -> None:
    """Full it holds no more than that."""
    purse = Purse()
    now = 10_000 * SECOND
    assert purse.spend(now, COPIES_SAVED + 5) == COPIES_SAVED
    assert purse.spend(now + COPY_US - 1, 1) == 0
    assert purse.spend(now + COPY_US, 5) == 1
    assert purse.spend(now + 11 * COPY_US, 50) == 10


def test_copies_that_no_link_is_there_for_are_not_paid_for() -> None:
    """One of eight links is lazy: a payload costs one copy, whatever a node's share of them would be."""
    trees = [f"tree {number}" for number in range(7)]
    hand = Hand(*trees, "lazy", members=10_000, eager_max=8)
    hand.hear("lazy", BroadcastPrune())
    hand.wait(COPIES_SAVED * COPY_US)
    for number in range(2 * COPIES_SAVED):
        data = b"%04d" % number * 100
        if number % 2:
            hand.broadcast(data)
        else:
            hand.hear(trees[0], payload(data))
    assert hand.core.counters["beside_the_tree"] == COPIES_SAVED


def test_in_a_trickle_most_payloads_go_by_the_tree_alone() -> None:
    """Copies beside the tree are for news that come now and then."""
    mesh = Mesh(20, 1, latency=lambda one, other: 5 * MILLISECOND)
    mesh.field.lay(regular_graph(20, 5, 1))
    trickle(mesh, range(650), [*range(20)])
    mesh.field.sent.clear()
    trickle(mesh, range(650, 750), [*range(20)])
    assert mesh.field.sent[BroadcastPayload] < 100 * 19 * 1.2
    mesh.field.run_for(COPIES_SAVED * COPY_US)
    mesh.field.sent.clear()
    for number in range(1_000, 1_010):
        mesh.say(number % 20, big(number))
        mesh.field.run_for(3 * SECOND)
    assert mesh.field.sent[BroadcastPayload] > 10 * 19 * 1.2
