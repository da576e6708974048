"""Who takes messages, by what becomes of members: who left takes none, unless it comes back."""

from __future__ import annotations

from arqonmesh.core.events import LinkDown, LinkUp, MemberChanged, MemberDescribed, MemberExpelled, TransportDown
from arqonmesh.core.federation.links import Links
from arqonmesh.core.federation.residency import Residency
from arqonmesh.core.kernel import Effect, Instant
from arqonmesh.ids import NodeId


class Partings:
    """Links that come and go, of members that come and go."""

    def __init__(self, links: Links, residency: Residency) -> None:
        self._links = links
        self._residency = residency
        self._left: dict[NodeId, bool] = {}
        """Members that left, and whether a link to them is up all the same: nothing is kept for them."""

    def link_up(self, now: Instant, event: LinkUp) -> list[Effect]:
        if event.peer in self._left:
            self._left[event.peer] = True
            return []
        return self._links.open(now, event.peer)

    def link_down(self, now: Instant, event: LinkDown | TransportDown) -> list[Effect]:
        if event.peer in self._left:
            self._left[event.peer] = False
        return self._links.down(now, event)

    def changed(self, now: Instant, event: MemberChanged) -> list[Effect]:
        """Who left takes no messages any more, unless it comes back."""
        if event.new != "left":
            return self._links.open(now, event.node) if self._left.pop(event.node, False) else []
        box = self._links.outboxes.get(event.node)
        self._left[event.node] = box is not None and box.up
        return self._links.close(now, event.node, "member-left")

    def described(self, now: Instant, event: MemberDescribed) -> list[Effect]:
        """Its region may be another one: what waits for it is judged again."""
        out: list[Effect] = []
        if self._residency.described(event.node, event.region):
            self._links.enforce(now, event.node, out)
        return out

    def expelled(self, now: Instant, event: MemberExpelled) -> list[Effect]:
        """It is in no region any more."""
        out: list[Effect] = []
        self._residency.forget(event.node)
        self._links.enforce(now, event.node, out)
        return out
