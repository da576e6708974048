"""A search that is asked one destination at a time tells what a search for everybody tells."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from arqonmesh.config.model import RoutingSettings
from arqonmesh.core.events import Applied, LinkDown, LinkMeasured, LinkUp, MemberChanged
from arqonmesh.core.routing.core import SETTLE, Routing
from arqonmesh.core.routing.graph import HOP_US
from arqonmesh.core.routing.paths import Path, Search
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import MAX_HOPS
from arqonmesh.wire.statement import Adjacency, Kind, Links
from tests.core.toy import env_of, node_of

Costs = dict[NodeId, dict[NodeId, int]]


def random_mesh(seed: int, count: int, degree: int, costs: tuple[int, ...]) -> Costs:
    """About `degree` links per node; few different costs make many ties."""
    dice = random.Random(seed)
    nodes = [node_of("me"), *(node_of(f"n{i}") for i in range(count - 1))]
    found: Costs = {node: {} for node in nodes}
    for _ in range(count * degree // 2):
        a, b = dice.sample(nodes, 2)
        found[a][b] = found[b][a] = dice.choice(costs)
    return found


def searched(costs: Costs, source: NodeId, nodes_max: int = MAX_HOPS) -> Search:
    return Search(source, lambda node: costs[node].items(), nodes_max=nodes_max)


@pytest.mark.parametrize("seed", range(12))
def test_asking_one_by_one_in_any_order_gives_what_asking_for_all_gives(seed: int) -> None:
    """Each path is the same whatever was asked before it, ties included."""
    costs = random_mesh(seed, 60, (3, 4, 6)[seed % 3], (5, 5, 7))
    nodes = list(costs)
    everybody = searched(costs, nodes[0]).all()
    random.Random(seed).shuffle(nodes)
    lazily = searched(costs, node_of("me"))
    assert {node: lazily.path(node) for node in nodes} == {node: everybody.get(node) for node in nodes}


@pytest.mark.parametrize("seed", range(6))
def test_asking_one_by_one_also_agrees_where_the_cheapest_way_has_too_many_hops(seed: int) -> None:
    """The bound on hops bites only in some questions; those before it and after it agree with the search for all."""
    costs = random_mesh(seed, 40, 3, (1, 1, 60))
    nodes = list(costs)
    everybody = searched(costs, nodes[0], 5).all()
    random.Random(seed).shuffle(nodes)
    lazily = searched(costs, node_of("me"), 5)
    assert {node: lazily.path(node) for node in nodes} == {node: everybody.get(node) for node in nodes}
    assert max(map(len, everybody.values())) <= 5


@pytest.mark.parametrize("seed", range(6))
def test_no_path_is_dearer_than_relaxing_every_edge_until_nothing_moves(seed: int) -> None:
    """Against Bellman and Ford's method, which knows no heap, no order and no early end."""
    costs = random_mesh(seed, 80, 5, (3, 8, 21, 40))
    cheapest = {node_of("me"): 0}
    for _ in costs:
        for a, links in costs.items():
            for b, cost in links.items():
                if a in cheapest and cheapest[a] + cost < cheapest.get(b, 1 << 60):
                    cheapest[b] = cheapest[a] + cost
    search = searched(costs, node_of("me"))
    found = {node: price(costs, path) for node in costs if (path := search.path(node)) is not None}
    assert found == cheapest


def price(costs: Costs, path: Path) -> int:
    return sum(costs[a][b] for a, b in pairwise(path))


def test_a_search_stops_at_its_destination() -> None:
    """In a mesh of a thousand, a neighbour's route must not cost a thousand."""
    asked: list[NodeId] = []
    costs = random_mesh(1, 1_000, 6, (5, 7))

    def neighbours(node: NodeId) -> list[tuple[NodeId, int]]:
        asked.append(node)
        return list(costs[node].items())

    search = Search(node_of("me"), neighbours, nodes_max=MAX_HOPS)
    assert search.path(next(iter(costs[node_of("me")]))) is not None
    assert len(asked) < 50
    search.all()
    assert len(asked) == len(dict.fromkeys(asked))


def links_of(author: NodeId, links: dict[NodeId, int], state: str = "up") -> Applied:
    adjacencies = tuple(Adjacency(peer, state, "quic", cost, 0) for peer, cost in sorted(links.items()))
    return Applied(author, Kind.LINKS, "", Links(adjacencies=adjacencies), b"", ours=False)


@pytest.mark.parametrize("degree", [4, 32])
def test_the_core_finds_the_paths_of_the_graph_that_the_records_make(degree: int) -> None:
    """Records of few links and of many; our own links count as measured, the larger of two claims decides."""
    costs = random_mesh(3, 50, degree, (4_000, 9_000, 9_000, 20_000))
    me, core = node_of("me"), Routing(env_of("me"), RoutingSettings())
    for author, links in costs.items():
        if author != me:
            core.on_event(0, links_of(author, links))
    for peer, rtt_us in costs[me].items():
        core.on_event(0, LinkUp(peer, "quic"))
        core.on_event(0, LinkMeasured(peer, rtt_us, 0, 0))
    core.on_timer(SETTLE)
    with_hops = {a: {b: cost + HOP_US for b, cost in links.items()} for a, links in costs.items()}
    expected = searched(with_hops, me).all()
    assert {node: core.route(node) for node in costs} == {node: expected.get(node) for node in costs}


def test_a_route_asked_for_before_news_has_settled_is_of_the_old_graph_as_a_whole() -> None:
    """A search that went on over half of the news could find a path that exists in neither graph."""
    me, ant, bee, cat = (node_of(name) for name in ("me", "ant", "bee", "cat"))
    core = Routing(env_of("me"), RoutingSettings())
    core.on_event(0, LinkUp(ant, "quic"))
    core.on_event(0, links_of(ant, {bee: 5_000}))
    core.on_event(0, links_of(bee, {ant: 5_000, cat: 5_000}))
    core.on_event(0, links_of(cat, {bee: 5_000}))
    core.on_timer(SETTLE)
    assert core.route(ant) == (me, ant)
    core.on_event(SETTLE, links_of(bee, {ant: 5_000}))
    core.on_event(SETTLE, MemberChanged(bee, "alive", "dead", 1, ""))
    assert core.route(cat) == (me, ant, bee, cat)
    core.on_timer(2 * SETTLE)
    assert core.route(cat) is None
    assert core.route(bee) is None


def test_a_round_trip_time_that_trembles_begins_no_search() -> None:
    """A measurement twice a second on each link must not cost a search each; one that really moved does."""
    core = Routing(env_of("me"), RoutingSettings())
    ant = node_of("ant")
    core.on_event(0, LinkUp(ant, "quic"))
    core.on_event(0, LinkMeasured(ant, 40_000, 0, 0))
    core.on_timer(SETTLE)
    core.route(ant)
    before = core.computations
    for rtt_us in (41_000, 44_000, 38_000, 40_000):
        core.on_event(SETTLE, LinkMeasured(ant, rtt_us, 0, 0))
    assert core.next_deadline() is None
    core.route(ant)
    assert core.computations == before
    assert core.edges()[0].rtt_us == 40_000
    core.on_event(SETTLE, LinkMeasured(ant, 60_000, 0, 0))
    assert core.next_deadline() == 2 * SETTLE
    core.on_event(SETTLE, LinkDown(ant, "silent"))
    assert core.route(ant) is None
