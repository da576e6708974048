"""Links between the leaders of regions: what is said in one region crosses to the others at once.

Not only along the tree, which would lead over a third region; each copy is a wave of its own, as beside the tree.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.core.broadcast.cache import Known
from arqonmesh.core.events import LinkWanted
from arqonmesh.ids import NodeId

BRIDGE_WISH: Final = "regions"
"""The name of the wishes for such links."""
BRIDGE_ROUND_MAX: Final = 10
"""What a leader hears from inside its region within so many hops crosses."""


class Bridges:
    """Leaders of other regions to whom this one, a leader, keeps links."""

    def __init__(self) -> None:
        self.leaders: dict[NodeId, None] = {}

    def wanted(self, event: LinkWanted) -> None:
        """A wish for a link, or the end of one; not every wish is for a bridge."""
        if event.by != BRIDGE_WISH:
            return
        if event.addresses:
            self.leaders[event.peer] = None
        else:
            self.leaders.pop(event.peer, None)

    def crossed_by(self, known: Known) -> bool:
        """Whether it goes over all of them. What came over one goes over no other: the leader there has its own."""
        return known.round <= BRIDGE_ROUND_MAX and known.source not in self.leaders
