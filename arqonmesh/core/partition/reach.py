"""Whom can we reach? The connected part of the link graph that contains us.

Our own links count as the link core sees them, this moment. A link between two others counts when both advertise it, as
in OSPF's and IS-IS's two-way check, so that one side's word is enough to take it out: a cut is visible as soon as one
of its ends says so, long before the failure detector comes to a verdict.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from arqonmesh.ids import NodeId


class Reach:
    def __init__(self, own: NodeId) -> None:
        self._own = own
        self._links: dict[NodeId, None] = {}
        self._says: dict[NodeId, tuple[NodeId, ...]] = {}

    @property
    def isolated(self) -> bool:
        """Not a single link of our own."""
        return not self._links

    def link_up(self, peer: NodeId) -> None:
        self._links[peer] = None

    def link_down(self, peer: NodeId) -> None:
        self._links.pop(peer, None)

    def advertised(self, author: NodeId, up: tuple[NodeId, ...]) -> bool:
        """An author's present links; whether they are others than before."""
        before = self._says.get(author, ())
        if up:
            self._says[author] = up
        else:
            self._says.pop(author, None)
        return before != up and dict.fromkeys(before).keys() != dict.fromkeys(up).keys()

    def component(self, usable: Callable[[NodeId], bool]) -> dict[NodeId, None]:
        """Ourselves and everyone with a path to us through `usable` nodes alone."""
        found: dict[NodeId, None] = {self._own: None}
        queue: deque[NodeId] = deque((self._own,))
        while queue:
            node = queue.popleft()
            neighbours = self._links if node == self._own else self._says.get(node, ())
            for other in neighbours:
                if other in found or not usable(other):
                    continue
                if node == self._own or node in self._says.get(other, ()):
                    found[other] = None
                    queue.append(other)
        return found
