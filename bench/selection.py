"""How fast news spreads over the peers that each strategy prefers.

    python -m bench.selection                       # 5 regions of 200, 3 preferred each (degree 6), 5 seeds; a minute
    python -m bench.selection --regions 3 --per-region 50 --k 6 --seeds 3

Every node chooses `k` peers by the strategies that ship (core/peers/strategies.py, hybrid at 20 and at 80 % random),
from a table in which it has measured everyone: 5 ms one way within a region and 100 ms between, give or take a fifth
per pair. Each choice is a link for both. Then one node floods: a message goes on over every link at once, so a node
hears it along the shortest path. Told over all seeds, floods and nodes: when nodes of the sender's own region hear it,
when everyone does, and who never does. `nearest + leaders` adds links between two nodes of each region, as
regional leaders have them; pure `nearest` shows why it must not be alone. `every link` is a mesh in which everyone is
linked with everyone: no choice of peers is faster, so how much random peers lose to it is the most that any strategy
can gain. Exit code 1 when nearest + leaders is not twice as fast as random to the last node where that is possible at
all, a mix is not faster than random, or anything but pure nearest leaves islands.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final

from arqonmesh.core.peers.pool import Pool
from arqonmesh.core.peers.strategies import strategy_of
from arqonmesh.ids import NodeId
from arqonmesh.sim.field.latency import mixed

WITHIN_US: Final = 5_000
BETWEEN_US: Final = 100_000
JITTER_PERCENT: Final = 20
SOURCES: Final = 5
"""Floods per seed."""
STRATEGIES: Final = ("random", "hybrid 80", "hybrid", "geographic", "nearest + leaders", "nearest")
MIXES: Final = ("hybrid 80", "hybrid", "geographic")

Graph = list[dict[int, int]]
"""Per node: neighbour to one-way latency in microseconds."""


class Place:
    """One seed's network, and in it what every node has measured of all others."""

    def __init__(self, *, regions: int, per_region: int, seed: int) -> None:
        self.regions, self.per_region, self.seed = regions, per_region, seed
        self.count = count = regions * per_region
        self.latency_us = [[0] * count for _ in range(count)]
        for one, other in combinations(range(count), 2):
            base = WITHIN_US if one // per_region == other // per_region else BETWEEN_US
            span = 2 * base * JITTER_PERCENT // 100
            latency_us = base - span // 2 + mixed(seed, one, other) % (span + 1)
            self.latency_us[one][other] = self.latency_us[other][one] = latency_us
        self.names = [NodeId(f"{index:05}") for index in range(count)]
        self.tables = [self._measured(node) for node in range(count)]

    def region_of(self, node: NodeId) -> str:
        return str(int(node) // self.per_region)

    def _measured(self, node: int) -> Pool:
        table = Pool(random.Random(f"{self.seed} {node}"), self.region_of)
        row = self.latency_us[node]
        for other in sorted(range(self.count), key=lambda other: (row[other], other)):
            if other != node:
                table.add(self.names[other], 2 * row[other])
        return table


def links_of(name: str, place: Place, k: int) -> Graph:
    """The links that this strategy leads to, when every node links to the k that it prefers."""
    strategy_name, _, share = name.partition(" ")
    percent = int(share) if share.isdigit() else 20
    graph: Graph = [{} for _ in range(place.count)]
    for node, table in enumerate(place.tables):
        strategy = strategy_of(strategy_name, random_percent=percent, region=place.region_of(place.names[node]))
        for chosen in strategy(table, k, ()):
            _link(graph, node, int(chosen), place)
    if name.endswith("leaders"):
        leaders = [region * place.per_region + rank for region in range(place.regions) for rank in range(2)]
        for one, other in combinations(leaders, 2):
            _link(graph, one, other, place)
    return graph


def _link(graph: Graph, one: int, other: int, place: Place) -> None:
    graph[one][other] = graph[other][one] = place.latency_us[one][other]


def islands(graph: Graph) -> int:
    """How many parts the graph falls into."""
    seen: dict[int, None] = {}
    parts = 0
    for start in range(len(graph)):
        if start not in seen:
            parts += 1
            seen.update(dict.fromkeys(flood(graph, start)))
    return parts


def flood(graph: Graph, source: int) -> dict[int, int]:
    """When each node hears it first, microseconds; those that never do are missing (Dijkstra)."""
    heard: dict[int, int] = {}
    queue = [(0, source)]
    while queue:
        at_us, node = heapq.heappop(queue)
        if node in heard:
            continue
        heard[node] = at_us
        for neighbour, latency_us in graph[node].items():
            if neighbour not in heard:
                heapq.heappush(queue, (at_us + latency_us, neighbour))
    return heard


def at_best(place: Place, source: int) -> dict[int, int]:
    """As `flood`, over the links of all with all (Dijkstra, dense)."""
    best = list(place.latency_us[source])
    left = dict.fromkeys(node for node in range(place.count) if node != source)
    while left:
        near = min(left, key=best.__getitem__)
        del left[near]
        at_us, row = best[near], place.latency_us[near]
        for node in left:
            if at_us + row[node] < best[node]:
                best[node] = at_us + row[node]
    best[source] = 0
    return dict(enumerate(best))


@dataclass(slots=True)
class Spread:
    """Over all seeds and sources: microseconds until nodes heard it, and what was left out."""

    own_region_us: list[int] = field(default_factory=list)
    everyone_us: list[int] = field(default_factory=list)
    last_us: list[int] = field(default_factory=list)
    """Per flood, the last of everyone."""
    missed: int = 0
    islands: int = 0
    """The most of any seed."""

    def take(self, place: Place, graph: Graph | None) -> None:
        """Floods over this graph; None: over all links that there can be."""
        self.islands = max(self.islands, 1 if graph is None else islands(graph))
        dice = random.Random(f"{place.seed} sources")
        for _ in range(SOURCES):
            source = dice.randrange(0, place.count)
            heard = at_best(place, source) if graph is None else flood(graph, source)
            region = source // place.per_region
            self.missed += place.count - len(heard)
            self.everyone_us += heard.values()
            self.own_region_us += [at_us for node, at_us in heard.items() if node // place.per_region == region]
            self.last_us.append(max(heard.values()))


def rank(values: Sequence[int], percent: int) -> float:
    """Milliseconds at this percentile (nearest rank)."""
    return values[min(len(values) - 1, len(values) * percent // 100)] / 1_000


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regions", type=int, default=5)
    parser.add_argument("--per-region", type=int, default=200)
    parser.add_argument("--k", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args(arguments)
    found = {name: Spread() for name in STRATEGIES}
    bound = Spread()
    for seed in range(1, options.seeds + 1):
        place = Place(regions=options.regions, per_region=options.per_region, seed=seed)
        for name, spread in found.items():
            spread.take(place, links_of(name, place, options.k))
        bound.take(place, None)
        print(f"seed {seed} of {options.seeds}", file=sys.stderr, flush=True)
    print(f"{options.regions} regions of {options.per_region}, {options.k} preferred each, {options.seeds} seeds; ms")
    print(f"{'':18}{'own region':>24}{'everyone':>24}{'last node':>24}")
    print(f"{'strategy':18}" + f"{'p50':>8}{'p99':>8}{'max':>8}" * 3 + f"{'islands':>9}")
    for name, spread in (found | {"every link": bound}).items():
        told = (sorted(spread.own_region_us), sorted(spread.everyone_us), sorted(spread.last_us))
        cells = "".join(f"{rank(values, percent):8.1f}" for values in told for percent in (50, 99, 100))
        missing = f"   {spread.missed} never heard" if spread.missed else ""
        print(f"{name:18}{cells}{spread.islands:9}{missing}")
    last = {name: rank(sorted(spread.last_us), 50) for name, spread in found.items()}
    slow, least = last["random"], rank(sorted(bound.last_us), 50)
    for name in ("nearest + leaders", *MIXES):
        print(f"{name}: the last node hears it {slow / last[name]:.2f} times as fast as with random peers")
    print(f"over every link there can be it would be {slow / least:.2f} times as fast: the most that a choice can gain")
    whole = all(found[name].islands == 1 for name in (*MIXES, "random", "nearest + leaders"))
    fast = 2 * last["nearest + leaders"] <= slow or 2 * least > slow
    return 0 if fast and all(last[name] < slow for name in MIXES) and whole else 1


if __name__ == "__main__":
    sys.exit(main())
