"""The active view: the neighbours whose links this node keeps, each either chosen by us or given to us.

*Chosen* is a neighbour that we picked from what we knew; *given* one that came to us, by itself or by a newcomer's
walk. Whoever wants to surround a node can only be given to it, so `given_max` leaves room for chosen ones
(GossipSub v1.1 calls that the outbound quota).
"""

from __future__ import annotations

from typing import Final

from arqonmesh.core.kernel import Instant, Rng
from arqonmesh.ids import NodeId

SIZE_MIN: Final = 5
"""Of a growing view, as in the paper's evaluation; `active_max` may be less."""
E_TO_THE: Final = (1, 2, 7, 20, 54, 148, 403, 1_096, 2_980, 8_103, 22_026, 59_874, 162_754, 442_413, 1_202_604)
"""e to the power of the index, rounded down: so the core needs no logarithm of its own."""


def size_for(members: int, most: int) -> int:
    """Places that a view in a mesh of so many members has: ln(members) + 1, rounded up, but at least `SIZE_MIN` and at
    most `most`. So many links keep a random graph whole and its paths short (Leitao et al. 2007; with 5 links in a mesh
    of 1,000 a broadcast needs 16 hops to the last, with 8 fewer than 12)."""
    logarithm = sum(members > power for power in E_TO_THE)
    return min(most, max(SIZE_MIN, logarithm + 1))


class ActiveView:
    """At most `size` neighbours, at most `size - chosen_min` of them given."""

    __slots__ = ("_chosen_min", "_given", "_nodes", "given_max", "size")

    def __init__(self, size: int, chosen_min: int) -> None:
        self.size = size
        self._chosen_min = chosen_min
        self.given_max = size - chosen_min
        self._nodes: dict[NodeId, Instant] = {}
        """Neighbour to since when, in that order."""
        self._given: dict[NodeId, None] = {}

    def __contains__(self, node: NodeId) -> bool:
        return node in self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def grow(self, size: int) -> None:
        """More places, for given ones too. A view never shrinks: a link too many harms nobody."""
        if size > self.size:
            self.size, self.given_max = size, size - self._chosen_min

    @property
    def chosen(self) -> int:
        return len(self._nodes) - len(self._given)

    @property
    def given(self) -> int:
        return len(self._given)

    def nodes(self) -> tuple[NodeId, ...]:
        """All neighbours, oldest first."""
        return tuple(self._nodes)

    def is_chosen(self, node: NodeId) -> bool:
        return node in self._nodes and node not in self._given

    def has_room(self, *, chosen: bool, reserved: int = 0) -> bool:
        """Whether one more fits beside `reserved` others that may come."""
        if len(self._nodes) + reserved >= self.size:
            return False
        return chosen or len(self._given) < self.given_max

    def add(self, node: NodeId, now: Instant, *, chosen: bool) -> None:
        assert len(self._nodes) < self.size, f"{len(self._nodes)} neighbours are as many as fit"
        self._nodes[node] = now
        if not chosen:
            self._given[node] = None

    def choose(self, node: NodeId) -> None:
        """It came to us, and we had picked it, too."""
        self._given.pop(node, None)

    def remove(self, node: NodeId) -> bool:
        self._given.pop(node, None)
        return self._nodes.pop(node, None) is not None

    def victim(self, rng: Rng, chosen_min: int) -> NodeId | None:
        """Who goes when somebody must be let in: the newest of the given ones, so that a stream of newcomers pushes out
        one another and never who has been here long. A chosen one only where more than `chosen_min` are. Without a
        quota anyone may go, at random, as in the paper."""
        if chosen_min:
            for node in reversed(self._given):
                return node
        chosen = list(self._nodes)
        return chosen[rng.randrange(0, len(chosen))] if len(chosen) > chosen_min else None

    def sample(self, rng: Rng, count: int, exclude: tuple[NodeId, ...] = ()) -> list[NodeId]:
        """Up to `count` different neighbours, each as likely."""
        nodes = [node for node in self._nodes if node not in exclude]
        rng.shuffle(nodes)
        return nodes[:count]
