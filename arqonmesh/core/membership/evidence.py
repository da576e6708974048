"""What the members' link records say about one of them: does anybody still have a link to it?

A link that fell silent is evidence of its own kind: somebody who exchanged heartbeats with the member ten times a
second signs that they stopped. When everyone who had a link says so, and nobody who may vouch still has one, the member
is *severed*: no probe can reach it, no refutation of its own could come, and asking others again adds nothing.

    severed(t)  =  no living member's newest record lists t as up,  and one at least lists it as down

Our own links count as they are at this moment, those of others as their newest LINKS records (signed) say. A dead
member's record vouches for nobody: it is as old as its death.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arqonmesh.core.kernel import SECOND, Instant
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Adjacency

FRESH_US: Final = 10 * SECOND
"""A link that was lost longer ago says nothing about what happens now."""


class Evidence:
    """Bounded by the store of statements: one record per author, at most 128 links in each."""

    def __init__(self, own: NodeId) -> None:
        self._own = own
        self.links: dict[NodeId, None] = {}
        """Our own, right now."""
        self._says: dict[NodeId, dict[NodeId, bool]] = {}
        self._about: dict[NodeId, dict[NodeId, tuple[bool, Instant]]] = {}
        """Member to author to (up, since when)."""

    def link_up(self, now: Instant, peer: NodeId) -> None:
        self.links[peer] = None
        self._about.setdefault(peer, {})[self._own] = (True, now)

    def link_down(self, now: Instant, peer: NodeId) -> None:
        self.links.pop(peer, None)
        self._about.setdefault(peer, {})[self._own] = (False, now)

    def advertised(self, now: Instant, author: NodeId, adjacencies: tuple[Adjacency, ...]) -> list[NodeId]:
        """An author's present record; the members about whom it says something else than before, sorted."""
        before = self._says.get(author, {})
        present = {NodeId(adjacency.peer): adjacency.state == "up" for adjacency in adjacencies}
        if present == before:
            return []
        self._says[author] = present
        changed = [peer for peer in sorted(before.keys() | present.keys()) if before.get(peer) != present.get(peer)]
        for peer in changed:
            up = present.get(peer)
            about = self._about.setdefault(peer, {})
            if up is None:
                about.pop(author, None)
            else:
                about[author] = (up, now)
        return changed

    def vouched_by(self, author: NodeId) -> list[NodeId]:
        """Whom this author lists as up, sorted."""
        return sorted(peer for peer, up in self._says.get(author, {}).items() if up)

    def severed(self, target: NodeId, vouches: Callable[[NodeId], bool]) -> bool:
        lost = False
        for author, (up, _) in self._about.get(target, {}).items():
            if author != self._own and not vouches(author):
                continue
            if up:
                return False
            lost = True
        return lost

    def witnesses(self, now: Instant, target: NodeId) -> list[NodeId]:
        """Who lost a link to it a moment ago, sorted; ourselves included."""
        about = self._about.get(target, {})
        return sorted(author for author, (up, since) in about.items() if not up and now - since <= FRESH_US)
