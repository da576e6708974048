"""Members that this node thinks ill of carry nothing for others, or only where no other way leads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arqonmesh.config.model import PeerSettings, RoutingSettings
from arqonmesh.core.events import (
    Applied,
    LinkMeasured,
    LinkUp,
    MemberAdmitted,
    MemberExpelled,
    PeerRuled,
    ScoreChanged,
)
from arqonmesh.core.kernel import Emit, Event, Lane, Send
from arqonmesh.core.peers.core import Peers
from arqonmesh.core.relay import arrived, wrap
from arqonmesh.core.router import Router
from arqonmesh.core.routing.core import Routing
from arqonmesh.core.routing.transit import HOLD_DOWN, Transit
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import MAX_HOPS, Ping, Relay
from arqonmesh.wire.statement import Adjacency, Kind, Links
from tests.core.toy import env_of, key_of, node_of

ME, ANT, BEE, CAT, DOG = (node_of(name) for name in ("me", "ant", "bee", "cat", "dog"))
Policy = Literal["any", "prefer-trusted", "trusted"]
POLICIES: tuple[Policy, ...] = ("any", "prefer-trusted", "trusted")


def ignored(node: NodeId) -> ScoreChanged:
    return ScoreChanged(node, 400_000, "bad-route", True)


def convicted(node: NodeId) -> ScoreChanged:
    return ScoreChanged(node, 0, "equivocation", True)


def forgiven(node: NodeId) -> ScoreChanged:
    return ScoreChanged(node, 510_000, "forgiven", False)


def pardoned(node: NodeId) -> ScoreChanged:
    return ScoreChanged(node, 1_000_000, "pardoned", False)


def says(author: NodeId, rtts_us: dict[NodeId, int]) -> Applied:
    adjacencies = tuple(Adjacency(peer, "up", "quic", rtt_us, 0) for peer, rtt_us in rtts_us.items())
    return Applied(author, Kind.LINKS, "", Links(adjacencies), b"", ours=False)


def square(policy: Policy = "prefer-trusted") -> Routing:
    """cat is reached over ant in 20 ms, over bee in 60 ms; dog over ant alone."""
    core = Routing(env_of("me"), RoutingSettings(transit=policy))
    tell(core, [LinkUp(ANT, "quic"), LinkUp(BEE, "quic")])
    tell(core, [LinkMeasured(ANT, 10_000, 0, 0), LinkMeasured(BEE, 30_000, 0, 0)])
    tell(core, [says(ANT, {CAT: 10_000, DOG: 10_000}), says(BEE, {CAT: 30_000})])
    tell(core, [says(CAT, {ANT: 10_000, BEE: 30_000}), says(DOG, {ANT: 10_000})])
    settle(core)
    assert core.route(CAT) == (ME, ANT, CAT)
    assert core.route(DOG) == (ME, ANT, DOG)
    return core


def tell(core: Routing, events: Iterable[Event], now: int = 0) -> None:
    for event in events:
        assert core.on_event(now, event) == []


def settle(core: Routing) -> None:
    deadline = core.next_deadline()
    assert deadline is not None
    assert core.on_timer(deadline) == []


@pytest.mark.requirement("R-PT-9")
@pytest.mark.parametrize("policy", POLICIES)
def test_who_is_convicted_carries_nothing_and_is_still_an_end(policy: Policy) -> None:
    """A proof that everyone has verified: no way over it, not even as a last resort; `any` does not care."""
    core = square(policy)
    tell(core, [convicted(ANT)])
    assert core.route(ANT) == (ME, ANT)
    if policy == "any":
        assert core.route(CAT) == (ME, ANT, CAT) and core.route(DOG) == (ME, ANT, DOG)
        return
    assert core.route(CAT) == (ME, BEE, CAT)
    assert core.route(DOG) is None
    assert core.route_of_all(DOG) == (ME, ANT, DOG)
    assert core.reachable() == tuple(sorted((ANT, BEE, CAT)))
    assert core.transit.reason(ANT) == "convicted"
    assert core.transit.count() == (1, 0)


@pytest.mark.requirement("R-PT-9")
@pytest.mark.parametrize("policy", POLICIES)
def test_who_is_ignored_on_observations_is_the_last_resort(policy: Policy) -> None:
    """Three times as far, but over somebody trusted; where there is nobody else, over it, and `trusted` not at all."""
    core = square(policy)
    tell(core, [ignored(ANT)])
    over_ant = policy == "any"
    assert core.route(CAT) == ((ME, ANT, CAT) if over_ant else (ME, BEE, CAT))
    assert core.route(DOG) == (None if policy == "trusted" else (ME, ANT, DOG))
    assert core.transit.count() == {"any": (0, 0), "prefer-trusted": (0, 1), "trusted": (1, 0)}[policy]


def test_no_round_trip_is_so_long_that_a_last_resort_is_preferred() -> None:
    """A liar may claim 2 ** 63 - 1 us: still better than who is ignored."""
    core = square()
    far = 2**63 - 1
    tell(core, [says(BEE, {CAT: far}), says(CAT, {ANT: 10_000, BEE: far}), ignored(ANT)])
    assert core.route(CAT) == (ME, BEE, CAT)


def test_of_two_last_resorts_one_is_better_than_both() -> None:
    """me - ant - bee - cat and me - dog - cat with ant and bee ignored: once over dog when dog is ignored, too."""
    core = Routing(env_of("me"), RoutingSettings())
    tell(core, [LinkUp(ANT, "quic"), LinkUp(DOG, "quic"), LinkMeasured(ANT, 10, 0, 0), LinkMeasured(DOG, 90_000, 0, 0)])
    tell(core, [says(ANT, {BEE: 10}), says(BEE, {ANT: 10, CAT: 10}), says(DOG, {CAT: 90_000})])
    tell(core, [says(CAT, {BEE: 10, DOG: 90_000}), ignored(ANT), ignored(BEE), ignored(DOG)])
    settle(core)
    assert core.route(CAT) == (ME, DOG, CAT)


def test_it_carries_again_a_minute_after_it_was_forgiven_and_not_before() -> None:
    """A score that hovers about the threshold moves no route to and fro: each relapse begins the minute anew."""
    core = square()
    tell(core, [ignored(ANT)])
    now = 0
    for _ in range(5):  # forgiven, and ignored again within the minute
        tell(core, [forgiven(ANT)], now)
        assert core.route(CAT) == (ME, BEE, CAT)
        assert core.transit.reason(ANT) == "hold-down"
        now += HOLD_DOWN - 1
        core.on_timer(now)
        before = core.computations
        assert core.route(CAT) == (ME, BEE, CAT)
        assert core.computations == before
        tell(core, [ignored(ANT)], now)
        assert core.next_deadline() is None
    tell(core, [forgiven(ANT)], now)
    assert core.next_deadline() == now + HOLD_DOWN
    core.on_timer(now + HOLD_DOWN)
    assert core.route(CAT) == (ME, ANT, CAT)
    assert core.next_deadline() is None


@pytest.mark.parametrize("verdict", [ignored, convicted])
def test_a_pardon_counts_at_once(verdict: Callable[[NodeId], ScoreChanged]) -> None:
    """The operator has decided: no hold-down."""
    core = square()
    tell(core, [verdict(ANT), pardoned(ANT)])
    assert core.route(CAT) == (ME, ANT, CAT)
    assert core.next_deadline() is None


def test_what_only_moves_a_score_costs_no_computation() -> None:
    """Faults of somebody who is ignored anyway, and of somebody who is not."""
    core = square()
    tell(core, [ignored(ANT)])
    core.route(CAT)
    before = core.computations
    tell(core, [ScoreChanged(ANT, 300_000, "rate", True), ScoreChanged(BEE, 980_000, "rate", False)])
    core.route(CAT)
    assert core.computations == before


def test_another_policy_counts_from_the_moment_it_is_adopted() -> None:
    """`arqon config reload` when a hub is convicted and its spokes are to talk all the same."""
    core = square()
    tell(core, [convicted(ANT), ignored(BEE)])
    assert core.route(DOG) is None
    core.adopt(RoutingSettings(transit="any"))
    assert core.route(DOG) == (ME, ANT, DOG)
    core.adopt(RoutingSettings(transit="trusted"))
    assert core.route(CAT) is None


def test_the_first_message_over_a_last_resort_is_warned_of_and_all_are_counted() -> None:
    """Once per member until it is trusted again; no warning for an end that is ignored."""
    core = square()
    tell(core, [ignored(ANT)])
    assert core.used((ME, ANT)) is None
    assert [core.used((ME, ANT, DOG)) for _ in range(3)] == [ANT, None, None]
    assert core.last_resorts == 3
    tell(core, [pardoned(ANT)])
    assert core.used((ME, ANT, DOG)) is None
    tell(core, [ignored(ANT)])
    assert core.used((ME, ANT, DOG)) == ANT


def test_what_is_not_ignored_any_more_is_forgotten() -> None:
    """Nothing is kept of who is trusted, so nothing grows with time."""
    transit = Transit(RoutingSettings(), lambda node: True)
    for index in range(100):
        node = node_of(f"n{index}")
        assert transit.scored(index, (ignored, convicted)[index % 2](node))
        transit.warn(node)
        transit.scored(index, (forgiven, pardoned)[index % 2](node))
    assert transit.review(100 + HOLD_DOWN)
    assert transit.plain and transit.count() == (0, 0) and transit.due_at is None
    assert transit.warn(node_of("n0"))


def test_who_is_expelled_is_forgotten_and_convicted_still_when_it_comes_back() -> None:
    """Standing is kept of members only, so it grows with the roster at most: what is said of others is not taken in,
    and the registry of peers, which remembers, says it again when they are members again."""
    roster = {ANT: None, BEE: None}
    peers, core = Peers(env_of("me"), PeerSettings()), Routing(env_of("me"), RoutingSettings(), roster.__contains__)
    router = Router((peers, core))
    router.start(0, {})
    for name in ("me", "ant", "bee"):
        router.event(1, MemberAdmitted(node_of(name), key_of(name), "c", "hub"))
    banned = PeerRuled(ANT, True, "lies")
    router.event(2, banned)
    router.run(2, peers, [Emit(ignored(BEE)), Emit(forgiven(BEE))])
    core.transit.warn(BEE)
    assert (core.transit.reason(ANT), core.transit.reason(BEE)) == ("convicted", "hold-down")
    for name in ("ant", "bee"):
        roster.pop(node_of(name))
        router.event(3, MemberExpelled(node_of(name), "admission-void"))
    assert core.transit.plain and core.transit.count() == (0, 0) and core.transit.due_at is None
    assert core.transit.warn(BEE)
    tell(core, [convicted(ANT), ignored(BEE)])
    assert core.transit.plain, "no members"
    roster[ANT] = None
    assert Emit(ScoreChanged(ANT, 0, "banned", True)) in router.event(4, MemberAdmitted(ANT, key_of("ant"), "c", "hub"))
    assert core.transit.reason(ANT) == "convicted"
    assert router.event(5, MemberAdmitted(ANT, key_of("ant"), "c", "hub")) == [
        Emit(MemberAdmitted(ANT, key_of("ant"), "c", "hub"))
    ], "said once"


def test_routes_change_at_once_when_a_convict_is_expelled() -> None:
    """What was computed without it does not hold any more."""
    core = square()
    tell(core, [convicted(ANT)])
    assert core.route(DOG) is None
    tell(core, [MemberExpelled(ANT, "admission-void")])
    assert core.route(DOG) == (ME, ANT, DOG)


EDGES = st.dictionaries(
    st.tuples(st.integers(0, 8), st.integers(0, 8)).filter(lambda pair: pair[0] < pair[1]),
    st.integers(1, 9_000),
    min_size=8,
    max_size=24,
)
VIEWS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.booleans()), max_size=20)
LACKS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=10)


@pytest.mark.requirement("R-PT-6")
@settings(max_examples=80, deadline=None)
@given(edges=EDGES, views=VIEWS, lacks=LACKS, policies=st.lists(st.sampled_from(POLICIES), min_size=9, max_size=9))
def test_no_message_goes_in_circles_whoever_trusts_whom(
    edges: dict[tuple[int, int], int],
    views: list[tuple[int, int, bool]],
    lacks: list[tuple[int, int]],
    policies: list[Policy],
) -> None:
    """Nine nodes, each with a policy, a view of trust and records of its own, which may be old: what any of them sends
    to any other passes nobody twice, takes fewer than MAX_HOPS hops, and ends; and each node's own rule holds on it."""
    nodes = [node_of(f"n{index}") for index in range(9)]
    cores = [Routing(env_of(f"n{index}"), RoutingSettings(transit=policies[index])) for index in range(9)]
    links = [{nodes[sum(pair) - at]: rtt for pair, rtt in edges.items() if at in pair} for at in range(9)]
    for at, core in enumerate(cores):
        tell(core, [LinkUp(peer, "quic") for peer in links[at]])
        tell(core, [LinkMeasured(peer, rtt, 0, 0) for peer, rtt in links[at].items()])
        for other in range(9):
            if other != at and (at, other) not in lacks:
                tell(core, [says(nodes[other], links[other])])
        for by, about, proven in views:
            if by == at:
                tell(core, [(convicted if proven else ignored)(nodes[about])])
        if core.next_deadline() is not None:
            settle(core)
    for at, core in enumerate(cores):
        convicts = [nodes[about] for by, about, proven in views if proven and by == at and about != at]
        doubted = [nodes[about] for by, about, _ in views if by == at and about != at]
        for other in range(9):
            route = core.route(nodes[other])
            if other == at or route is None:
                continue
            assert len(set(route)) == len(route) <= MAX_HOPS
            between = route[1:-1]
            if policies[at] != "any":
                assert not [node for node in between if node in convicts]
            if policies[at] == "trusted":
                assert not [node for node in between if node in doubted]
            if len(route) > 2:
                assert travelled(route) == list(route[1:])


def travelled(route: tuple[NodeId, ...]) -> list[NodeId]:
    """Whom a message on this route passes, hop by hop as every node handles it, its end included."""
    hop: Send | tuple[NodeId, object] = wrap(route, Lane.DATAGRAM, Ping(seq=1, accused=-1))
    passed: list[NodeId] = []
    before = route[0]
    while isinstance(hop, Send):
        assert len(passed) < MAX_HOPS
        here = hop.to
        passed.append(here)
        assert isinstance(hop.message, Relay)
        hop, before = arrived(here, before, hop.message), here
    assert hop[0] == route[0]
    return passed
