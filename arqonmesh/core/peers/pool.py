"""The peers that may be selected: the table under core/peers/strategies.py.

Adding, removing and testing are O(1), k random ones O(k). Nearest is who has the lowest latency: measured, or else as
coordinates have it; a guess never takes the place of a measurement. Only measurements are kept. Coordinates move all
the time and somebody asks for all of them every 100 rounds, so what they guess is worked out then (`ranked`), and not
remembered of every member.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from arqonmesh.core.kernel import Rng
from arqonmesh.core.peers.strategies import hybrid
from arqonmesh.ids import NodeId


class Pool:
    def __init__(
        self,
        rng: Rng,
        region_of: Callable[[NodeId], str] = lambda node: "",
        guess: Callable[[NodeId], int | None] = lambda node: None,
    ) -> None:
        """`guess`: the round trip to one that was never measured, microseconds; None when nothing is known."""
        self._rng = rng
        self._region_of = region_of
        self._guess = guess
        self._nodes: list[NodeId] = []
        self._place: dict[NodeId, int] = {}
        self._latency: dict[NodeId, int] = {}
        """As measured."""
        self._ranking: list[tuple[int, NodeId]] | None = None
        """Inside `held`."""

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
        self._latency.pop(node, None)

    def latency_us(self, node: NodeId) -> int | None:
        """Measured or guessed; None when nothing is known."""
        measured = self._latency.get(node)
        return self._guess(node) if measured is None and node in self._place else measured

    def measured(self, node: NodeId, latency_us: int) -> None:
        if node in self._place:
            self._latency[node] = latency_us

    def ranked(self) -> list[tuple[int, NodeId]]:
        """(latency in microseconds, node) of all of whom something is known, the nearest first. O(n log n), but inside
        `held`; not to be changed."""
        if self._ranking is not None:
            return self._ranking
        known = ((self.latency_us(node), node) for node in self._nodes)
        return sorted((latency_us, node) for latency_us, node in known if latency_us is not None)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Several questions about one moment: who is how far is worked out once. Nobody comes, goes or is measured in
        here."""
        self._ranking = self.ranked()
        try:
            yield
        finally:
            self._ranking = None

    def latencies(self) -> list[int]:
        """All that is known, ascending."""
        return [latency_us for latency_us, _ in self.ranked()]

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
        for _, node in self.ranked():
            if len(chosen) >= k:
                break
            if node not in excluded:
                chosen.append(node)
        return chosen

    def hybrid(self, k: int, random_percent: int, exclude: Sequence[NodeId] = ()) -> list[NodeId]:
        return hybrid(self, k, random_percent, exclude)

    def regions(self) -> dict[str, list[NodeId]]:
        """All of them by region, O(n): regions sorted; in each the nearest first, then the others at random."""
        near = [node for _, node in self.ranked()]
        found: dict[str, list[NodeId]] = {}
        for node in (*near, *self.random(len(self._nodes), near)):
            found.setdefault(self._region_of(node), []).append(node)
        return {region: found[region] for region in sorted(found)}
