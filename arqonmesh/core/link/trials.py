"""Which links may be some that the overlay opened for a moment, and are told to nobody until that is known.

The overlay dials a spare member to see whether it is there, and more candidates than it has places: such a link lasts
a second or two. Any other link is here to stay and is told at once, or whoever is behind it could not be reached for as
long as its neighbours hesitate: an edge carries routes only when both its ends list it (core/routing/graph.py).

The end that dialled knows whose wish it was: cores say so (`LinkWanted`), and a dial that the overlay did not wish for
is somebody else's, an operator's too. The end that was dialled learns it from the other's record, which names it as
soon as the other knows. That record may be an old one: who was linked to us when it last spoke is linked again.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.core.events import LinkWanted, OverlayRuns
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Links as LinksRecord

OVERLAY_WISH: Final = "overlay"
"""The name of the overlay's wishes."""


class Trials:
    """Ask `includes` when a link begins. Wishes are bounded by what cores wish for, the rest by the members."""

    __slots__ = ("_me", "_naming", "_wishes", "running")

    def __init__(self, me: NodeId) -> None:
        self._me = me
        self.running = False
        """The overlay chooses the links."""
        self._wishes: dict[NodeId, dict[str, None]] = {}
        """By which cores a link is wished for."""
        self._naming: dict[NodeId, None] = {}
        """Peers whose newest record says that our link is up."""

    def runs(self, event: OverlayRuns) -> None:
        self.running = event.running
        for peer in event.inherited:
            self._wishes.setdefault(peer, {})[OVERLAY_WISH] = None

    def wanted(self, event: LinkWanted) -> bool:
        """A wish, or the end of one. Whether the link is here to stay on account of it."""
        if event.addresses:
            self._wishes.setdefault(event.peer, {})[event.by] = None
            return event.by != OVERLAY_WISH
        wishes = self._wishes.get(event.peer)
        if wishes is not None:
            wishes.pop(event.by, None)
            if not wishes:
                del self._wishes[event.peer]
        return False

    def named(self, author: NodeId, record: LinksRecord) -> bool:
        """A peer's newest record. Whether it says that our link is up."""
        for adjacency in record.adjacencies:
            if adjacency.peer == self._me and adjacency.state == "up":
                self._naming[author] = None
                return True
        self._naming.pop(author, None)
        return False

    def includes(self, peer: NodeId, *, outbound: bool) -> bool:
        """Whether this link may be one of them. `outbound`: we dialled."""
        if not self.running or peer in self._naming:
            return False
        wishes = self._wishes.get(peer)
        if wishes is None:
            return not outbound
        return len(wishes) == 1 and OVERLAY_WISH in wishes
