"""What the mesh knows of tickets: the invites, who withdrew them, and which nodes claim to have used them.

An invite counts when its author may invite: the founder, or a member whose role is hub or leader. It is revoked by a
newer invite of its author or by the founder's own statement about the same ticket, from the moment that is written in
it; whom it let in before stays. A claim is an admission that carries a signature by the ticket's key and keeps to the
ticket's terms. When there are more claims than uses (two halves of a divided mesh each let someone in), the first ones
in the order of a hash over ticket and node count and the rest is void: the same ones at every node, in whatever order
they were heard, and no member can choose whom it favours without grinding keys for a ticket that it holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from arqonmesh.ids import MeshId, NodeId
from arqonmesh.trust.tickets import redemption_bytes
from arqonmesh.wire.statement import Admission, Invite

Verify: TypeAlias = Callable[[bytes, bytes, bytes], bool]
"""(public key, message, signature) -> does it hold."""
INVITING_ROLES: Final = ("hub", "leader")


@dataclass(frozen=True, slots=True)
class TicketView:
    """One ticket as it stands."""

    ticket_id: str
    inviter: NodeId
    invite: Invite
    used: int
    revoked: bool


@dataclass(slots=True)
class _Offer:
    """One member's invite, and the nodes that claim a use of it, with how many of their admissions do."""

    invite: Invite
    claims: dict[NodeId, dict[NodeId, None]] = field(default_factory=dict)
    """Node, then the members that admitted it."""
    counted: dict[NodeId, None] | None = None
    """The nodes whose claim counts; worked out when asked."""


class Tickets:
    """Invites and claims. Whether an inviter may invite is the roster's to say."""

    def __init__(self, founder: NodeId, mesh_id: MeshId, verify: Verify) -> None:
        self._founder = founder
        self._mesh_id = mesh_id
        self._verify = verify
        self._offers: dict[str, dict[NodeId, _Offer]] = {}

    def ids(self) -> list[str]:
        """Ticket ids begin with their date: oldest first."""
        return sorted(self._offers)

    def invite(self, author: NodeId, ticket_id: str, invite: Invite) -> None:
        """Claims have to be made anew afterwards (`claim`)."""
        self._offers.setdefault(ticket_id, {})[author] = _Offer(invite)
        for offer in self._offers[ticket_id].values():  # the founder's word may have changed for all of them
            offer.claims, offer.counted = {}, None

    def claim(self, author: NodeId, node: NodeId, admission: Admission) -> tuple[NodeId, ...]:
        """The inviters under whose invites this admission keeps to the terms; its use is noted with them."""
        if not admission.ticket_id or not admission.signature:
            return ()
        inviters: list[NodeId] = []
        for inviter, offer in sorted(self._offers.get(admission.ticket_id, {}).items()):
            if self._keeps_terms(offer.invite, admission) and self.signed(offer.invite.public_key, admission):
                offer.claims.setdefault(node, {})[author] = None
                offer.counted = None
                inviters.append(inviter)
        return tuple(inviters)

    def unclaim(self, author: NodeId, node: NodeId, admission: Admission) -> None:
        """The admission by this member does not count any more."""
        for offer in self._offers.get(admission.ticket_id, {}).values():
            authors = offer.claims.get(node)
            if authors is not None and authors.pop(author, offer) is None:
                offer.counted = None
                if not authors:
                    del offer.claims[node]

    def withdraw(self, author: NodeId, ticket_id: str) -> None:
        """This member's invite does not count any more. Claims have to be made anew afterwards."""
        offers = self._offers.get(ticket_id, {})
        offers.pop(author, None)
        for offer in offers.values():
            offer.claims, offer.counted = {}, None
        if not offers:
            self._offers.pop(ticket_id, None)

    def signed(self, public_key: bytes, admission: Admission) -> bool:
        """Whether the joiner's signature in this admission is by that key."""
        message = redemption_bytes(
            self._mesh_id,
            admission.node_key,
            admission.cluster,
            admission.role,
            admission.ticket_id,
            admission.channel_binding,
        )
        return self._verify(public_key, message, admission.signature)

    def counts(self, ticket_id: str, inviter: NodeId, node: NodeId) -> bool:
        """Whether this node is among those that the ticket was good for."""
        offer = self._offers[ticket_id][inviter]
        if offer.counted is None:
            ranked = sorted(offer.claims, key=lambda claimant: _rank(ticket_id, claimant))
            offer.counted = dict.fromkeys(ranked[: offer.invite.uses])
        return node in offer.counted

    def lets_in(self, ticket_id: str, inviter: NodeId, author: NodeId, node: NodeId) -> bool:
        """Whether this author's admission of this node is a use of this inviter's ticket, and counts. A founder that
        revoked another's ticket did not make it."""
        offers = self._offers.get(ticket_id, {})
        offer = offers.get(inviter)
        if offer is None or author not in offer.claims.get(node, {}):
            return False
        if inviter == self._founder and offer.invite.revoked_ms > 0 and len(offers) > 1:
            return False
        return self.counts(ticket_id, inviter, node)

    def crowded(self, ticket_id: str) -> bool:
        """Whether more nodes claim the ticket than it was good for."""
        return any(len(offer.claims) > offer.invite.uses for offer in self._offers.get(ticket_id, {}).values())

    def users(self, ticket_id: str) -> dict[NodeId, None]:
        """The nodes that claim a use, under anyone's invite."""
        offers = self._offers.get(ticket_id, {})
        return {node: None for offer in offers.values() for node in offer.claims}

    def find(self, ticket_id: str, may_invite: Callable[[NodeId], bool]) -> Iterator[TicketView]:
        """The invites for this ticket id; more than one only when a member reused another's id."""
        offers = self._offers.get(ticket_id, {})
        word = offers.get(self._founder)
        withdrawn = word is not None and word.invite.revoked_ms > 0
        for inviter, offer in sorted(offers.items()):
            only_revokes = inviter == self._founder and withdrawn and len(offers) > 1
            if may_invite(inviter) and not only_revokes:
                revoked = withdrawn or offer.invite.revoked_ms > 0
                yield TicketView(ticket_id, inviter, offer.invite, len(offer.claims), revoked)

    def _keeps_terms(self, invite: Invite, admission: Admission) -> bool:
        """By the admission's own date: a member that dates back needs a ticket that was good then, and its holder."""
        word = self._offers[admission.ticket_id].get(self._founder)
        ends = [invite.expires_ms, invite.revoked_ms, 0 if word is None else word.invite.revoked_ms]
        in_time = admission.admitted_ms < min(end for end in ends if end > 0) if any(ends) else False
        return in_time and (admission.cluster, admission.role) == (invite.cluster, invite.role)


def _rank(ticket_id: str, node: NodeId) -> bytes:
    return hashlib.sha256(f"{ticket_id} {node}".encode()).digest()
