"""The passive view: members to turn to when a neighbour fails, and who told us of each.

An attacker that floods us with names must not own what we choose from. So every entry has a source, the link peer from
which it came, and no source holds more than its share; the sources that we did not choose ourselves hold together at
most twice that. A name beyond a share takes the place of another name of the same share, so a flood only drives out
itself. What we know from our own experience (who was our neighbour) counts for nobody's share.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from arqonmesh.core.kernel import Rng
from arqonmesh.ids import NodeId


@dataclass(frozen=True, slots=True)
class Origin:
    """Who named a member; "" is our own experience."""

    source: str
    chosen: bool
    """We had chosen that source ourselves."""


OURS = Origin("", chosen=True)


class PassiveView:
    """At most `size` members in O(1) per operation, except where a share is full."""

    __slots__ = (
        "_by_source",
        "_from_given",
        "_nodes",
        "_origin",
        "_place",
        "given_max",
        "refused",
        "size",
        "source_max",
    )

    def __init__(self, size: int, source_percent: int) -> None:
        self.size = size
        self.source_max = max(1, size * source_percent // 100)
        self.given_max = max(1, min(size, size * 2 * source_percent // 100))
        self.refused = 0
        """Names that a share had no room for, or that took the place of another of that share."""
        self._nodes: list[NodeId] = []
        self._place: dict[NodeId, int] = {}
        self._origin: dict[NodeId, Origin] = {}
        self._by_source: dict[str, int] = {}
        self._from_given = 0

    def __contains__(self, node: NodeId) -> bool:
        return node in self._place

    def __len__(self) -> int:
        return len(self._nodes)

    def nodes(self) -> tuple[NodeId, ...]:
        return tuple(self._nodes)

    def held_by(self, source: str) -> int:
        """How many entries came from this source."""
        return self._by_source.get(source, 0)

    def from_given(self) -> int:
        """How many entries came from sources that we did not choose."""
        return self._from_given

    def add(self, node: NodeId, origin: Origin, rng: Rng, expendable: Iterable[NodeId] = ()) -> None:
        """Take a member in. In a full view it takes the place of one of `expendable` (what a shuffle sent away), else
        of a random one."""
        if node in self._place:
            return
        if origin.source and not self._make_room_in_share(origin, rng):
            self.refused += 1
            return
        if len(self._nodes) >= self.size:
            gone = next((old for old in expendable if old in self._place), None)
            self.remove(self._nodes[rng.randrange(0, len(self._nodes))] if gone is None else gone)
        self._place[node] = len(self._nodes)
        self._nodes.append(node)
        self._origin[node] = origin
        if origin.source:
            self._by_source[origin.source] = self._by_source.get(origin.source, 0) + 1
            self._from_given += not origin.chosen

    def remove(self, node: NodeId) -> bool:
        place = self._place.pop(node, None)
        if place is None:
            return False
        last = self._nodes.pop()
        if last != node:
            self._nodes[place] = last
            self._place[last] = place
        origin = self._origin.pop(node)
        if origin.source:
            left = self._by_source[origin.source] - 1
            if left:
                self._by_source[origin.source] = left
            else:
                del self._by_source[origin.source]
            self._from_given -= not origin.chosen
        return True

    def sample(self, rng: Rng, count: int, exclude: tuple[NodeId, ...] = ()) -> list[NodeId]:
        """Up to `count` different members, each as likely."""
        nodes = [node for node in self._nodes if node not in exclude]
        rng.shuffle(nodes)
        return nodes[:count]

    def _make_room_in_share(self, origin: Origin, rng: Rng) -> bool:
        """Whether the source's share has room, after one of its own entries made way if need be."""
        if self.held_by(origin.source) >= self.source_max:
            return self._drop_one([n for n in self._nodes if self._origin[n].source == origin.source], rng)
        if not origin.chosen and self._from_given >= self.given_max:
            return self._drop_one([n for n in self._nodes if not self._origin[n].chosen], rng)
        return True

    def _drop_one(self, nodes: list[NodeId], rng: Rng) -> bool:
        if not nodes:
            return False
        self.refused += 1
        return self.remove(nodes[rng.randrange(0, len(nodes))])
