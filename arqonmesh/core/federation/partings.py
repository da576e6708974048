"""Who takes messages, by what becomes of members, and for whom nothing is kept any more.

An outbox whose link is down waits, for its peer will come back: unless it is known that it will not be heard, or not be
there. It is let go of, and what was in it counted as dropped under the reason:

    member-left      it said farewell, or membership tells that it was expelled; at once
    not-a-member     the roster does not name it (any more): it was put out while this node was down
    peer-convicted   it is ignored for good, by a proof or by the operator's ban

The latter two are looked for every minute, and only where the link is down; `not-a-member` only once links have been up
for a minute: rows of a roster can be lost with a disk, and only the others can say who is a member then. A member that
comes back, or is forgiven, gets a new outbox with its link.

The outbox of a member that is alive, and to which the overlay keeps no link any more, stays (bounded): other ways to it
may carry less, for every hop has rules of its own, and what it has not acknowledged has no other keeper.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from arqonmesh.core.events import (
    LinkDown,
    LinkUp,
    MemberChanged,
    MemberDescribed,
    MemberExpelled,
    MemberMoved,
    TransportDown,
)
from arqonmesh.core.federation.links import ClusterOf, Links
from arqonmesh.core.federation.residency import Residency
from arqonmesh.core.kernel import SECOND, Effect, Instant
from arqonmesh.ids import NodeId

DoubtOf: TypeAlias = Callable[[NodeId], str]
"""Why the roster does not vouch for a member's cluster; "" when it does."""
LOOK_EVERY_US: Final = 60 * SECOND
"""How often outboxes without a link are looked at, and how long some link has to be up before what the roster lacks is
believed: gossip has repaired it by then."""


class Partings:
    """Links that come and go, of members that come and go."""

    def __init__(
        self,
        links: Links,
        residency: Residency,
        *,
        cluster_of: ClusterOf,
        doubt_of: DoubtOf,
        convicted: Callable[[NodeId], bool],
    ) -> None:
        self._links = links
        self._residency = residency
        self._cluster_of = cluster_of
        self._doubt_of = doubt_of
        self._convicted = convicted
        self._left: dict[NodeId, bool] = {}
        """Members that left, and whether a link to them is up all the same: nothing is kept for them."""
        self._look_at: Instant | None = None
        self._linked_since: Instant | None = None
        """Since when at least one link has been up."""

    def has_left(self, node: NodeId) -> bool:
        return node in self._left

    def link_up(self, now: Instant, event: LinkUp) -> list[Effect]:
        if self._linked_since is None:
            self._linked_since = now
        if event.peer in self._left:
            self._left[event.peer] = True
            return []
        return self._links.open(now, event.peer)

    def link_down(self, now: Instant, event: LinkDown | TransportDown) -> list[Effect]:
        if event.peer in self._left:
            self._left[event.peer] = False
        effects = self._links.down(now, event.peer, landed=isinstance(event, TransportDown))
        if not any(box.up for box in self._links.outboxes.values()) and not any(self._left.values()):
            self._linked_since = None
        self.look_later(now)
        return effects

    def changed(self, now: Instant, event: MemberChanged) -> list[Effect]:
        """Who left takes no messages any more, unless it comes back."""
        if event.new != "left":
            return self._links.open(now, event.node) if self._left.pop(event.node, False) else []
        box = self._links.outboxes.get(event.node)
        self._left[event.node] = box is not None and box.up
        return self._links.close(now, event.node, "member-left")

    def described(self, now: Instant, event: MemberDescribed) -> list[Effect]:
        """Its region may be another one: what waits for it is judged again."""
        return self._told(now, event.node, event.region)

    def moved(self, now: Instant, event: MemberMoved) -> list[Effect]:
        """The region that it told may count now, or not any more."""
        if not self._residency.knows(event.node):
            return []
        return self._told(now, event.node, self._residency.claim_of(event.node).told)

    def _told(self, now: Instant, node: NodeId, region: str) -> list[Effect]:
        out: list[Effect] = []
        cluster, doubt = (self._cluster_of(node) or "", self._doubt_of(node)) if region else ("", "")
        if self._residency.described(node, region, cluster, doubt):
            self._links.enforce(now, node, out)
        return out

    def expelled(self, now: Instant, event: MemberExpelled) -> list[Effect]:
        """It is in no region any more."""
        out: list[Effect] = []
        self._residency.forget(event.node)
        self._links.enforce(now, event.node, out)
        return out

    # --- for whom nothing is kept ---------------------------------------------------------------------------

    def look_later(self, now: Instant) -> None:
        """An outbox may be without a link."""
        if self._look_at is None and self._waiting():
            self._look_at = now + LOOK_EVERY_US

    def next_deadline(self) -> Instant | None:
        return self._look_at

    def on_timer(self, now: Instant, out: list[Effect]) -> None:
        """Let go of outboxes that nobody will empty."""
        if self._look_at is None or self._look_at > now:
            return
        repaired = self._linked_since is not None and now - self._linked_since >= LOOK_EVERY_US
        for peer in self._waiting():
            if self._convicted(peer):
                out += self._links.close(now, peer, "peer-convicted")
            elif repaired and self._cluster_of(peer) is None:
                out += self._links.close(now, peer, "not-a-member")
        self._look_at = now + LOOK_EVERY_US if self._waiting() else None

    def _waiting(self) -> list[NodeId]:
        """Peers whose link is down and for whom an outbox is kept."""
        return [peer for peer, box in self._links.outboxes.items() if not box.up]
