"""Cheapest paths from one node (Dijkstra 1959), at most so many nodes long, ties broken without chance, found as asked.

Of paths of equal cost the one with fewer hops wins, then the one whose node ids come first: every node that holds the
same records computes the same paths, whatever the order in which they came.

A search goes only as far as the destination that somebody asks for, and goes on from there for the next one. All
questions together cost no more than one search for everybody, and in a mesh of a thousand a node is asked for a few.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from arqonmesh.ids import NodeId

Path: TypeAlias = tuple[NodeId, ...]
Neighbours: TypeAlias = Callable[[NodeId], Iterable[tuple[NodeId, int]]]
"""(neighbour, cost) of each edge of a node, in any order; costs are positive."""
_Chain: TypeAlias = tuple[Any, NodeId]
"""(chain up to here, node): paths that share a beginning share it in memory. Chains of one length compare as the paths
do, node by node from the first."""
_Label: TypeAlias = tuple[int, int, _Chain]
"""(cost, nodes, chain): compared in this order."""


class Search:
    """From one source over a graph that does not change while the search lives."""

    def __init__(self, source: NodeId, neighbours: Neighbours, *, nodes_max: int) -> None:
        self._source = source
        self._neighbours = neighbours
        self._nodes_max = nodes_max
        self._done: dict[NodeId, _Chain] = {}
        self._best: dict[NodeId, _Label] = {}
        """Of nodes that were seen and are not done."""
        self._heap: list[_Label] = [(0, 1, ((), source))]
        self._bounded: dict[NodeId, _Label] | None = None

    def path(self, to: NodeId) -> Path | None:
        """The cheapest path of at most `nodes_max` nodes to `to`, both ends included. A node whose cheapest path is too
        long gets the cheapest that is short enough."""
        chain = self._done.get(to)
        if chain is None:
            self._run(to)
            chain = self._done.get(to)
        if chain is None and self._bounded is not None:
            label = self._bounded.get(to)
            chain = None if label is None else label[2]
        return None if chain is None else _path(chain)

    def all(self) -> dict[NodeId, Path]:
        """Everybody in reach, the source included."""
        self._run(None)
        chains = dict(self._done)
        for node, label in (self._bounded or {}).items():
            chains.setdefault(node, label[2])
        return {node: _path(chain) for node, chain in chains.items()}

    def _run(self, to: NodeId | None) -> None:
        """Until `to` is done, or nothing is left."""
        heap, done, best, pop, push = self._heap, self._done, self._best, heapq.heappop, heapq.heappush
        neighbours, nodes_max = self._neighbours, self._nodes_max
        while heap:
            cost, length, chain = pop(heap)
            node = chain[1]
            if node in done:
                continue
            if length > nodes_max:
                heap.clear()
                best.clear()
                self._bounded = self._with_bounded_hops()
                return
            done[node] = chain
            best.pop(node, None)
            for peer, step in neighbours(node):
                if peer in done:
                    continue
                label = (cost + step, length + 1, (chain, peer))
                known = best.get(peer)
                if known is None or label < known:
                    best[peer] = label
                    push(heap, label)
            if node == to:
                return

    def _with_bounded_hops(self) -> dict[NodeId, _Label]:
        """The same by rounds of relaxation (Bellman-Ford), one hop more in each; only for meshes that are very long."""
        best: dict[NodeId, _Label] = {self._source: (0, 1, ((), self._source))}
        frontier = best
        for length in range(2, self._nodes_max + 1):
            reached: dict[NodeId, _Label] = {}
            for node, (cost, _, chain) in frontier.items():
                on_the_way = _path(chain)
                for peer, step in self._neighbours(node):
                    if peer in on_the_way:
                        continue
                    label = (cost + step, length, (chain, peer))
                    if peer not in reached or label < reached[peer]:
                        reached[peer] = label
            frontier = {node: label for node, label in reached.items() if node not in best or label < best[node]}
            best = {**best, **frontier}
        return best


def _path(chain: _Chain) -> Path:
    nodes: list[NodeId] = []
    link: Any = chain
    while link:
        link, node = link
        nodes.append(node)
    nodes.reverse()
    return tuple(nodes)
