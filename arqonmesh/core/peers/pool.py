"""The peers that may be selected: the table under core/peers/strategies.py.

Adding, removing and testing are O(1), k random ones O(k), k nearest O(k) over a list kept sorted by latency: measured,
or else as coordinates have it. A guess never takes the place of a measurement.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence

from arqonmesh.core.kernel import Rng
from arqonmesh.core.peers.strategies import hybrid
from arqonmesh.ids import NodeId


class Pool:
    def __init__(self, rng: Rng, region_of: Callable[[NodeId], str] = lambda node: "") -> None:
        self._rng = rng
        self._region_of = region_of
        self._nodes: list[NodeId] = []
        self._place: dict[NodeId, int] = {}
        self._by_latency: list[tuple[int, NodeId]] = []
        self._latency: dict[NodeId, int] = {}
        self._guessed: dict[NodeId, None] = {}
        """Whose latency is a guess."""

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

    def latency_us(self, node: NodeId) -> int | None:
        """Measured or guessed; None when nothing is known."""
        return self._latency.get(node)

    def latencies(self) -> list[int]:
        """All that is known, ascending."""
        return [latency_us for latency_us, _ in self._by_latency]

    def guessed(self, node: NodeId, latency_us: int | None) -> None:
        """What coordinates say of a peer that was never measured; None takes an earlier guess back."""
        if node not in self._place or (node in self._latency and node not in self._guessed):
            return
        self._forget_latency(node)
        if latency_us is not None:
            self.measured(node, latency_us)
            self._guessed[node] = None

    def measured(self, node: NodeId, latency_us: int) -> None:
        self._guessed.pop(node, None)
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
        """Up to k with the lowest round trip; those of whom nothing is known are not near."""
        chosen: list[NodeId] = []
        excluded = dict.fromkeys(exclude)
        for _, node in self._by_latency:
            if len(chosen) >= k:
                break
            if node not in excluded:
                chosen.append(node)
        return chosen

    def hybrid(self, k: int, random_percent: int, exclude: Sequence[NodeId] = ()) -> list[NodeId]:
        return hybrid(self, k, random_percent, exclude)

    def regions(self) -> dict[str, list[NodeId]]:
        """All of them by region, O(n): regions sorted; in each the nearest first, then the others at random."""
        near = [node for _, node in self._by_latency]
        found: dict[str, list[NodeId]] = {}
        for node in (*near, *self.random(len(self._nodes), near)):
            found.setdefault(self._region_of(node), []).append(node)
        return {region: found[region] for region in sorted(found)}

    def _forget_latency(self, node: NodeId) -> None:
        self._guessed.pop(node, None)
        latency_us = self._latency.pop(node, None)
        if latency_us is not None:
            del self._by_latency[bisect_left(self._by_latency, (latency_us, node))]
