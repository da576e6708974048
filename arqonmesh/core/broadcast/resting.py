"""Links of which it is not known yet that they stay: they are in no tree, and are told everything meanwhile.

The overlay opens many that last a second (a look at a spare member, a candidate that was not the first to answer): each
would bring a second copy, take the place of a link that stays, and tear a hole when it goes. So while the overlay
chooses the links, a new one begins lazy, until it is known to stay: `NeighbourUp`, `LinkStays` (somebody else's wish,
told at once by who dialled), or `STAYS_US`. Announced is everything meanwhile, what was spread lately and whatever
comes, on more than a dozen links too: such a link may be the only way to its peer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from arqonmesh.core.kernel import SECOND, Instant
from arqonmesh.ids import NodeId

STAYS_US: Final = 5 * SECOND
"""A link that lasts so long is not one of those that the overlay opens for a moment."""


class Resting:
    """By peer, in the order in which the links came up. Bounded by the links."""

    def __init__(self) -> None:
        self.overlay = False
        """The overlay chooses the links, and says which of them are here to stay."""
        self.due: Instant | None = None
        """When the first of them has lasted."""
        self._until: dict[NodeId, Instant] = {}

    def __contains__(self, peer: NodeId) -> bool:
        return peer in self._until

    def begins(self, now: Instant, peer: NodeId) -> bool:
        """Whether this link, which comes up, rests for now."""
        if not self.overlay:
            return False
        self._until[peer] = now + STAYS_US
        self._rearm()
        return True

    def end(self, peer: NodeId) -> bool:
        """It is known to stay, or is down. False when it did not rest."""
        rested = self._until.pop(peer, None) is not None
        self._rearm()
        return rested

    def lasted(self, now: Instant) -> Sequence[NodeId]:
        """Take out those that have been up for so long that they stay."""
        if self.due is None or self.due > now:
            return ()
        lasted: list[NodeId] = []
        for peer, until in self._until.items():
            if until > now:
                break
            lasted.append(peer)
        for peer in lasted:
            del self._until[peer]
        self._rearm()
        return lasted

    def _rearm(self) -> None:
        self.due = next(iter(self._until.values()), None)
