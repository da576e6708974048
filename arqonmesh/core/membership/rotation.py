"""Whom to probe next: round robin over a random permutation, shuffled anew at each wrap (SWIM, DSN 2002, 4.3).

Every member is probed within 2n - 1 periods, and on average soon. Joiners enter at a random place, so a burst of them
is not probed in a burst. Urgent members (someone accuses them, or our link to them fell) go first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arqonmesh.core.kernel import Rng
from arqonmesh.ids import NodeId

URGENT_MAX: Final = 64


class Rotation:
    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._order: list[NodeId] = []
        self._at = 0
        self._urgent: dict[NodeId, None] = {}

    def add(self, node: NodeId) -> None:
        place = self._rng.randrange(0, len(self._order) + 1)
        self._order.insert(place, node)
        if place < self._at:
            self._at += 1

    def remove(self, node: NodeId) -> None:
        """It has left, or is no member any more: nobody probes it, and no pass steps over it for ever."""
        self._urgent.pop(node, None)
        if node in self._order:
            place = self._order.index(node)
            del self._order[place]
            if place < self._at:
                self._at -= 1

    def __len__(self) -> int:
        return len(self._order)

    def hurry(self, node: NodeId) -> None:
        """Probe this one first. More than 64 at once are left to the round robin."""
        if len(self._urgent) < URGENT_MAX:
            self._urgent[node] = None

    def next(self, wanted: Callable[[NodeId], bool]) -> NodeId | None:
        """The next one that is `wanted`; None when nobody is."""
        while self._urgent:
            node = next(iter(self._urgent))
            del self._urgent[node]
            if wanted(node):
                return node
        for _ in range(2 * len(self._order)):  # a wrap in between must not hide anyone
            if self._at >= len(self._order):
                self._rng.shuffle(self._order)
                self._at = 0
            node = self._order[self._at]
            self._at += 1
            if wanted(node):
                return node
        return None

    def some(self, count: int, wanted: Callable[[NodeId], bool]) -> list[NodeId]:
        """Up to `count` different random ones that are `wanted`, without a pass over everyone when few are needed."""
        chosen: dict[NodeId, None] = {}
        tries = 8 * count + 16
        while tries > 0 and len(chosen) < count and len(self._order) > 8:
            tries -= 1
            node = self._order[self._rng.randrange(0, len(self._order))]
            if node not in chosen and wanted(node):
                chosen[node] = None
        if len(chosen) < count:
            others = [node for node in self._order if node not in chosen and wanted(node)]
            self._rng.shuffle(others)
            chosen.update(dict.fromkeys(others[: count - len(chosen)]))
        return list(chosen)
