"""Routes: both ends must say so, own links count at once, and the same records give the same paths everywhere."""

from __future__ import annotations

import random
from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arqonmesh.config.model import RoutingSettings
from arqonmesh.core.events import Applied, LinkDown, LinkMeasured, LinkUp, MemberChanged
from arqonmesh.core.kernel import Event
from arqonmesh.core.routing.core import SETTLE, Routing
from arqonmesh.core.routing.graph import HOP_US, UNMEASURED_US, Edge
from arqonmesh.core.routing.paths import Path, Search
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import MAX_HOPS
from arqonmesh.wire.statement import Adjacency, Kind, Links
from tests.core.toy import env_of, node_of

ME, ANT, BEE, CAT, DOG = (node_of(name) for name in ("me", "ant", "bee", "cat", "dog"))


def cheapest_paths(costs: dict[NodeId, dict[NodeId, int]], source: NodeId, *, nodes_max: int) -> dict[NodeId, Path]:
    """All paths by one search that is asked for everybody."""
    return Search(source, lambda node: costs[node].items(), nodes_max=nodes_max).all()


def links_of(author: NodeId, *adjacencies: Adjacency) -> Applied:
    return Applied(author, Kind.LINKS, "", Links(adjacencies=adjacencies), b"", ours=author == ME)


def link(peer: NodeId, rtt_us: int = 5_000, *, state: str = "up", loss_ppm: int = 0) -> Adjacency:
    return Adjacency(peer=peer, state=state, transport="quic", rtt_us=rtt_us, loss_ppm=loss_ppm)


def edge(a: NodeId, b: NodeId, state: str, rtt_us: int, loss_ppm: int) -> Edge:
    return Edge(min(a, b), max(a, b), state, "quic", rtt_us, loss_ppm)


def routing(*events: Event) -> Routing:
    core = Routing(env_of("me"), RoutingSettings())
    for event in events:
        assert core.on_event(0, event) == []
    settle(core)
    return core


def settle(core: Routing) -> None:
    deadline = core.next_deadline()
    if deadline is not None:
        assert core.on_timer(deadline) == []
    assert core.next_deadline() is None


def test_a_link_of_ours_carries_a_route_the_moment_it_is_up() -> None:
    """No record of either side is needed for our own link, and no delay: heartbeats have proved both directions."""
    core = Routing(env_of("me"), RoutingSettings())
    core.on_event(0, LinkUp(ANT, "quic"))
    assert core.route(ANT) == (ME, ANT)
    core.on_event(0, LinkDown(ANT, "silent"))
    assert core.route(ANT) is None


def test_a_link_that_only_one_end_lists_carries_nothing() -> None:
    """OSPF's two-way check: ant says it has a link to bee, bee does not."""
    core = routing(LinkUp(ANT, "quic"), links_of(ANT, link(BEE)))
    assert core.route(BEE) is None
    core.on_event(0, links_of(BEE, link(ANT, state="down")))
    settle(core)
    assert core.route(BEE) is None
    core.on_event(0, links_of(BEE, link(ANT)))
    settle(core)
    assert core.route(BEE) == (ME, ANT, BEE)


def test_a_link_costs_what_the_slower_end_says() -> None:
    """ant claims 1 us to cat, cat says 90 ms: the way over bee with 2 x 20 ms is taken."""
    core = routing(
        LinkUp(ANT, "quic"),
        LinkUp(BEE, "quic"),
        LinkMeasured(ANT, 5_000, 0, 0),
        LinkMeasured(BEE, 20_000, 0, 0),
        links_of(ANT, link(CAT, 1)),
        links_of(BEE, link(CAT, 20_000)),
        links_of(CAT, link(ANT, 90_000), link(BEE, 20_000)),
    )
    assert core.route(CAT) == (ME, BEE, CAT)


def test_our_own_record_and_the_peers_memory_do_not_keep_a_dead_link() -> None:
    """Only what is live here counts for our links, whatever older records say on either side."""
    core = routing(links_of(ME, link(ANT)), links_of(ANT, link(ME), link(BEE)), links_of(BEE, link(ANT)))
    assert core.reachable() == ()
    assert edge(ME, ANT, "down", 5_000, 0) in core.edges()


def test_the_dead_and_the_departed_carry_nothing_until_they_are_back() -> None:
    """Membership's verdict removes a node as a hop and as a destination; a live link of ours outweighs it."""
    events = (
        LinkUp(ANT, "quic"),
        links_of(ANT, link(BEE)),
        links_of(BEE, link(ANT), link(CAT)),
        links_of(CAT, link(BEE)),
    )
    for verdict in ("dead", "left"):
        core = routing(*events, MemberChanged(BEE, "alive", verdict, 1, ""))
        assert core.reachable() == (ANT,)
        core.on_event(0, MemberChanged(BEE, verdict, "alive", 2, ""))
        settle(core)
        assert core.route(CAT) == (ME, ANT, BEE, CAT)
        core.on_event(0, MemberChanged(ANT, "alive", verdict, 1, ""))
        settle(core)
        assert core.route(ANT) == (ME, ANT)


def test_a_suspect_still_carries() -> None:
    """Suspicion is not a verdict."""
    core = routing(
        LinkUp(ANT, "quic"),
        links_of(ANT, link(BEE)),
        links_of(BEE, link(ANT)),
        MemberChanged(BEE, "alive", "suspect", 1, ""),
    )
    assert core.route(BEE) == (ME, ANT, BEE)


def test_a_burst_of_records_costs_one_computation() -> None:
    """A hundred records and a query after each: computed once, SETTLE after the first of them."""
    core = routing(LinkUp(ANT, "quic"))
    core.route(ANT)
    before = core.computations
    for rtt in range(100):
        core.on_event(rtt, links_of(ANT, link(BEE, rtt)))
        core.route(BEE)
    assert core.computations == before
    assert core.next_deadline() == SETTLE
    settle(core)
    core.route(BEE)
    core.route(ANT)
    assert core.computations == before + 1


def test_the_status_shows_each_link_once_with_the_worse_figures() -> None:
    """a < b; up when both say so, one-way when one does, our own as measured now."""
    core = routing(
        LinkUp(ANT, "quic"),
        LinkMeasured(ANT, 7_000, 10, 500),
        links_of(ANT, link(ME, 99_000), link(BEE, 3_000, loss_ppm=10), link(CAT)),
        links_of(BEE, link(ANT, 4_000, loss_ppm=5)),
    )
    assert set(core.edges()) == {
        edge(ME, ANT, "up", 7_000, 500),
        edge(ANT, BEE, "up", 4_000, 10),
        edge(ANT, CAT, "one-way", 5_000, 0),
    }
    assert core.edges() == sorted(core.edges(), key=lambda e: (e.a, e.b))


def test_a_link_that_was_never_measured_has_an_assumed_cost() -> None:
    """Until the first measurement a link of ours counts as UNMEASURED_US: usable, and no shortcut."""
    core = routing(LinkUp(ANT, "quic"))
    [only] = core.edges()
    assert only.rtt_us == UNMEASURED_US


def test_a_destination_beyond_the_longest_source_route_is_not_reachable() -> None:
    """A line: MAX_HOPS nodes are a route, one more is not."""
    names = [f"n{i}" for i in range(MAX_HOPS + 2)]
    nodes = [ME, *(node_of(name) for name in names)]
    costs = line(nodes)
    paths = cheapest_paths(costs, ME, nodes_max=MAX_HOPS)
    assert len(paths) == MAX_HOPS
    assert paths[nodes[MAX_HOPS - 1]] == tuple(nodes[:MAX_HOPS])


def test_a_dearer_way_is_taken_when_the_cheapest_has_too_many_hops() -> None:
    """Twenty cheap hops or one dear one: the dear one is a route, the cheap ones are not."""
    nodes = [ME, *(node_of(f"n{i}") for i in range(20))]
    costs = line(nodes)
    costs[ME][nodes[-1]] = costs[nodes[-1]][ME] = 10**9
    assert cheapest_paths(costs, ME, nodes_max=MAX_HOPS)[nodes[-1]] == (ME, nodes[-1])


def line(nodes: list[NodeId]) -> dict[NodeId, dict[NodeId, int]]:
    costs: dict[NodeId, dict[NodeId, int]] = {node: {} for node in nodes}
    for a, b in pairwise(nodes):
        costs[a][b] = costs[b][a] = 1
    return costs


def test_a_shorter_dearer_way_gives_way_to_a_longer_cheaper_one_that_still_fits() -> None:
    """Also in a mesh where some node is too far: 2 hops at cost 2 beat 1 hop at cost 10."""
    nodes = [ME, *(node_of(f"n{i}") for i in range(20))]
    costs = line(nodes)
    costs[ME][nodes[2]] = costs[nodes[2]][ME] = 10
    assert cheapest_paths(costs, ME, nodes_max=MAX_HOPS)[nodes[2]] == tuple(nodes[:3])


GRAPH = st.integers(4, 7).flatmap(
    lambda n: st.dictionaries(
        st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda pair: pair[0] < pair[1]),
        st.sampled_from([1, 2, 3, 10, 30]),
        min_size=3,
        max_size=14,
    ).map(lambda found: (n, found))
)


@settings(max_examples=200, deadline=None)
@given(graph=GRAPH, nodes_max=st.integers(3, 7))
def test_paths_are_those_of_a_search_through_all_of_them(
    graph: tuple[int, dict[tuple[int, int], int]], nodes_max: int
) -> None:
    """Against the dumbest oracle: every simple path of at most `nodes_max` nodes, least by (cost, length, ids)."""
    count, weights = graph
    nodes = sorted(node_of(f"n{i}") for i in range(count))
    costs: dict[NodeId, dict[NodeId, int]] = {node: {} for node in nodes}
    for (a, b), weight in weights.items():
        costs[nodes[a]][nodes[b]] = costs[nodes[b]][nodes[a]] = weight
    source = nodes[0]
    assert cheapest_paths(costs, source, nodes_max=nodes_max) == all_paths(costs, source, nodes_max)


def all_paths(costs: dict[NodeId, dict[NodeId, int]], source: NodeId, nodes_max: int) -> dict[NodeId, Path]:
    best: dict[NodeId, tuple[int, int, Path]] = {source: (0, 1, (source,))}
    others = [node for node in costs if node != source]
    for length in range(1, min(nodes_max, len(costs))):
        for middle in permutations(others, length):
            path = (source, *middle)
            if all(b in costs[a] for a, b in pairwise(path)):
                cost = sum(costs[a][b] for a, b in pairwise(path))
                label = (cost, len(path), path)
                if path[-1] not in best or label < best[path[-1]]:
                    best[path[-1]] = label
    return {node: path for node, (_, _, path) in best.items()}


@pytest.mark.requirement("R-LS-10")
@settings(max_examples=60, deadline=None)
@given(
    weights=st.dictionaries(
        st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda pair: pair[0] < pair[1]),
        st.integers(1, 9_000),
        max_size=20,
    ),
    order=st.randoms(use_true_random=False),
)
def test_the_order_of_news_changes_nothing(weights: dict[tuple[int, int], int], order: random.Random) -> None:
    """The core over a random mesh, fed in two orders: the same routes, as cheap as Floyd and Warshall say."""
    names = [ME, *(node_of(f"n{i}") for i in range(1, 10))]
    records: list[Event] = []
    ups: list[Event] = []
    for index, node in enumerate(names):
        peers = [(names[sum(pair) - index], rtt) for pair, rtt in weights.items() if index in pair]
        if index:
            records.append(links_of(node, *(link(peer, rtt) for peer, rtt in peers)))
        else:
            ups = [event for peer, rtt in peers for event in (LinkUp(peer, "quic"), LinkMeasured(peer, rtt, 0, 0))]
    again = routing(*records[::-1], *ups)
    order.shuffle(records)
    core = routing(*ups, *records)
    distance = floyd_warshall(len(names), weights)
    for index, node in enumerate(names):
        path = core.route(node)
        assert path == again.route(node)
        if distance[0][index] is None:
            assert path is None
            continue
        assert path is not None and path[0] == ME and path[-1] == node
        hops = [sorted((names.index(a), names.index(b))) for a, b in pairwise(path)]
        assert sum(weights[a, b] + HOP_US for a, b in hops) == distance[0][index]


def floyd_warshall(count: int, weights: dict[tuple[int, int], int]) -> list[list[int | None]]:
    far: list[list[int | None]] = [[0 if a == b else None for b in range(count)] for a in range(count)]
    for (a, b), rtt in weights.items():
        far[a][b] = far[b][a] = rtt + HOP_US
    for k in range(count):
        for a in range(count):
            for b in range(count):
                first, second, known = far[a][k], far[k][b], far[a][b]
                if first is not None and second is not None and (known is None or first + second < known):
                    far[a][b] = first + second
    return far
