"""Cheapest paths from one node to all (Dijkstra 1959), at most MAX_HOPS nodes long, ties broken without chance.

Of paths of equal cost the one with fewer hops wins, then the one whose node ids come first: every node that holds the
same records computes the same paths, whatever the order in which they came.
"""

from __future__ import annotations

import heapq
from typing import TypeAlias

from arqonmesh.core.routing.graph import Costs
from arqonmesh.ids import NodeId

Path: TypeAlias = tuple[NodeId, ...]
_Label: TypeAlias = tuple[int, int, Path]
"""(cost, nodes, path): compared in this order."""


def cheapest_paths(costs: Costs, source: NodeId, *, nodes_max: int) -> dict[NodeId, Path]:
    """For every node in reach the cheapest path of at most `nodes_max` nodes, beginning with `source`.

    Costs are positive. A node whose cheapest path is too long gets the cheapest that is short enough.
    """
    paths, too_long = _dijkstra(costs, source, nodes_max)
    return _with_bounded_hops(costs, source, nodes_max) if too_long else paths


def _dijkstra(costs: Costs, source: NodeId, nodes_max: int) -> tuple[dict[NodeId, Path], bool]:
    done: dict[NodeId, Path] = {}
    heap: list[_Label] = [(0, 1, (source,))]
    while heap:
        cost, length, path = heapq.heappop(heap)
        node = path[-1]
        if node in done:
            continue
        if length > nodes_max:
            return done, True
        done[node] = path
        for peer, step in costs.get(node, {}).items():
            if peer not in done:
                heapq.heappush(heap, (cost + step, length + 1, (*path, peer)))
    return done, False


def _with_bounded_hops(costs: Costs, source: NodeId, nodes_max: int) -> dict[NodeId, Path]:
    """The same by rounds of relaxation (Bellman-Ford), one hop more in each; slower, and only for very long meshes."""
    best: dict[NodeId, _Label] = {source: (0, 1, (source,))}
    frontier = best
    for length in range(2, nodes_max + 1):
        reached: dict[NodeId, _Label] = {}
        for node, (cost, _, path) in frontier.items():
            for peer, step in costs.get(node, {}).items():
                if peer in path:
                    continue
                label = (cost + step, length, (*path, peer))
                if peer not in reached or label < reached[peer]:
                    reached[peer] = label
        frontier = {node: label for node, label in reached.items() if node not in best or label < best[node]}
        best = {**best, **frontier}
    return {node: path for node, (_, _, path) in best.items()}
