"""How many copies a node may send beside the tree, so that a payload has few hops to go.

A tree that serves every source is deep: in a random graph of 1,000 nodes with 5 links each some node is 18 to 23 hops
from some other, though 7 links would do. GossipSub v1.1 sends its own messages to all its peers ("flood publishing");
here the same is done on the first hops, so that the payload enters the tree at many places at once and every node is
near one of them. Each copy beside the tree costs one payload that comes twice, at one node or where two waves meet, so
the price is known beforehand: at most `percent` payloads per 100 members. Where payloads come many a second each node
stints (`Purse`), and most of them go by the tree alone, some hops longer.

Each copy begins a *wave* of its own. Where two waves meet, a payload comes twice without any cycle in the tree: what
comes of that is the tree's matter (tree.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arqonmesh.core.broadcast.cache import Known
from arqonmesh.core.kernel import SECOND, Instant
from arqonmesh.ids import NodeId

COPY_US: Final = 2 * SECOND
"""A node earns one copy beside the tree in so long."""
COPIES_SAVED: Final = 100
"""Copies that it can have saved: what each node's share of 500 payloads at once is at 20 percent."""
PLAIN_ONE_IN: Final = 32
"""One payload in so many goes by the tree alone. A cycle in the tree shows when one wave comes round it; cycles in
which always two waves meet would stay for ever."""


ROOTED_AFTER: Final = 3
"""After so many payloads in a row from one direction a node sends no more copies beside the tree for the next ones from
there: a tree that serves one source has grown from it, and needs none."""


def is_plain(id_: bytes) -> bool:
    """Every node finds the same for one payload."""
    return id_[-1] % PLAIN_ONE_IN == 0


def copies_allowed(members: int, links: int, round_: int, percent: int) -> int:
    """Copies that one node at `round_` (0: the source) may send beside the tree. Every node computes it for itself: the
    budget goes to the first rounds, shared evenly among the nodes that a round can have with so many links each."""
    budget, nodes, width = members * percent // 100, 1, links
    for _ in range(round_):
        budget -= nodes * width
        if budget <= 0:
            return 0
        nodes, width = nodes * width, max(1, links - 1)
    return min(width, budget // nodes)


class Purse:
    """What a node may spend on copies beside the tree. One update now and then is worth the bytes; at 15 a second the
    copies would be a fifth of all that a node sends."""

    def __init__(self) -> None:
        self._spent_until: Instant = -COPIES_SAVED * COPY_US
        """When all that was spent will have been earned."""

    def spend(self, now: Instant, wanted: int) -> int:
        """How many of these copies there is enough for; they are paid with that."""
        begun = max(self._spent_until, now - COPIES_SAVED * COPY_US)
        copies = min(wanted, (now - begun) // COPY_US)
        self._spent_until = begun + copies * COPY_US
        return copies


class FanOut:
    """How many copies of each payload this node sends beside the tree."""

    def __init__(self, members: Callable[[], int], percent: int) -> None:
        """`members` tells how many nodes the mesh has."""
        self._members = members
        self._percent = percent
        self._settled = False
        """A payload has gone by the tree alone: what it proved redundant is pruned."""
        self._direction: NodeId | None = None
        self._in_a_row = 0
        """Payloads that came from the same direction (None: ours) as the one before."""
        self.purse = Purse()

    def copies(self, now: Instant, id_: bytes, known: Known, *, links: int, lazy: int) -> int:
        """For the payload that is passed on now, over `links` of which so many are `lazy`; they are paid with that."""
        self._in_a_row = self._in_a_row + 1 if known.source == self._direction else 0
        self._direction = known.source
        settled, self._settled = self._settled, True
        if not settled or self._in_a_row >= ROOTED_AFTER or is_plain(id_):
            return 0
        allowed = copies_allowed(self._members(), links, known.round, self._percent)
        return self.purse.spend(now, min(allowed, lazy))
