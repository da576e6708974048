"""The peers that may be selected, and three ways to select: at random, by latency, or some of both.

Random selection resists an attacker who makes himself look near; near ones are faster. Adding, removing and testing are
O(1), k random ones O(k), k nearest O(k) over a list kept sorted by measured latency.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

from arqonmesh.core.kernel import Rng
from arqonmesh.ids import NodeId


class Pool:
    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._nodes: list[NodeId] = []
        self._place: dict[NodeId, int] = {}
        self._by_latency: list[tuple[int, NodeId]] = []
        self._latency: dict[NodeId, int] = {}

    def __contains__(self, node: NodeId) -> bool:
        return node in self._place

    def __len__(self) -> int:
        return len(self._nodes)

    def add(self, node: NodeId, latency_us: int | None) -> None:
        if node not in self._place:
            self._place[node] = len(self._nodes)
            self._nodes.append(node)
        if latency_us is not None:
            self.measured(node, latency_us)

    def remove(self, node: NodeId) -> None:
        place = self._place.pop(node, None)
        if place is None:
            return
        last = self._nodes.pop()
        if last != node:
            self._nodes[place] = last
            self._place[last] = place
        self._forget_latency(node)

    def measured(self, node: NodeId, latency_us: int) -> None:
        if node in self._place and self._latency.get(node) != latency_us:
            self._forget_latency(node)
            self._latency[node] = latency_us
            insort(self._by_latency, (latency_us, node))

    def random(self, k: int, exclude: Sequence[NodeId] = ()) -> list[NodeId]:
        """Up to k different ones, each choice equally likely: a shuffle of Fisher and Yates, cut short."""
        moved: dict[int, NodeId] = {}
        chosen: list[NodeId] = []
        excluded = dict.fromkeys(exclude)
        for start in range(len(self._nodes)):
            if len(chosen) >= k:
                break
            place = self._rng.randrange(start, len(self._nodes))
            node = moved.get(place, self._nodes[place])
            moved[place] = moved.get(start, self._nodes[start])
            if node not in excluded:
                chosen.append(node)
        return chosen

    def nearest(self, k: int, exclude: Sequence[NodeId] = ()) -> list[NodeId]:
        """Up to k with the lowest measured round trip; those never measured are not near."""
        chosen: list[NodeId] = []
        for _, node in self._by_latency:
            if len(chosen) >= k:
                break
            if node not in exclude:
                chosen.append(node)
        return chosen

    def hybrid(self, k: int, random_percent: int, exclude: Sequence[NodeId] = ()) -> list[NodeId]:
        """The nearest, and `random_percent` of k (rounded up) at random; random ones also fill what is not measured."""
        far = -(-k * random_percent // 100)
        near = self.nearest(k - far, exclude)
        return near + self.random(k - len(near), (*exclude, *near))

    def _forget_latency(self, node: NodeId) -> None:
        latency_us = self._latency.pop(node, None)
        if latency_us is not None:
            del self._by_latency[bisect_left(self._by_latency, (latency_us, node))]
