"""What the mesh knows of tickets: the invites, who revoked them, and which nodes have used them.

An invite counts when its author may invite: the founder, or a member whose role is hub or leader. It is revoked by
a newer invite of its author or by the founder's own statement about the same ticket. Uses are counted over the
redemptions of all members, each node once. Two halves of a divided mesh cannot see each other's redemptions, so
each may let in up to the ticket's uses; the count is right again after they meet, and nobody is put out for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from arqonmesh.core.admission.roster import Roster
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Invite, Redemption

INVITING_ROLES: Final = ("hub", "leader")


@dataclass(frozen=True, slots=True)
class TicketView:
    """One ticket as it stands."""

    ticket_id: str
    inviter: NodeId
    invite: Invite
    used: int
    revoked: bool


class Tickets:
    """Invites and redemptions, as far as their authors are entitled to them when asked."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._invites: dict[str, dict[NodeId, Invite]] = {}
        self._redemptions: dict[str, dict[NodeId, dict[NodeId, None]]] = {}
        """Ticket, then node that used it, then members that say so."""

    def invite(self, author: NodeId, ticket_id: str, invite: Invite) -> None:
        self._invites.setdefault(ticket_id, {})[author] = invite

    def redeem(self, author: NodeId, key: str, redemption: Redemption) -> None:
        if key == redemption_key(redemption.ticket_id, redemption.node_id):
            nodes = self._redemptions.setdefault(redemption.ticket_id, {})
            nodes.setdefault(NodeId(redemption.node_id), {})[author] = None

    def users(self, ticket_id: str) -> tuple[NodeId, ...]:
        """The nodes that have used this ticket, by any member's word."""
        members = self._roster.members
        nodes = self._redemptions.get(ticket_id, {})
        return tuple(sorted(node for node, authors in nodes.items() if any(author in members for author in authors)))

    def find(self, ticket_id: str) -> list[TicketView]:
        """The invites for this ticket id; more than one only when a member reused another's id."""
        used = len(self.users(ticket_id))
        word = self._invites.get(ticket_id, {}).get(self._roster.founder)
        withdrawn = word is not None and word.revoked
        return [
            TicketView(ticket_id, author, invite, used, withdrawn or invite.revoked)
            for author, invite in sorted(self._invites.get(ticket_id, {}).items())
            if self._may_invite(author) and not self._only_revokes(ticket_id, author)
        ]

    def all(self) -> tuple[TicketView, ...]:
        """Every ticket, oldest first (ticket ids begin with their date)."""
        return tuple(view for ticket_id in sorted(self._invites) for view in self.find(ticket_id))

    def _may_invite(self, author: NodeId) -> bool:
        member = self._roster.members.get(author)
        return author == self._roster.founder or (member is not None and member.role in INVITING_ROLES)

    def _only_revokes(self, ticket_id: str, author: NodeId) -> bool:
        """The founder's statement about another member's ticket is no invite of its own."""
        invites = self._invites[ticket_id]
        return author == self._roster.founder and invites[author].revoked and len(invites) > 1


def redemption_key(ticket_id: str, node: str) -> str:
    """The statement key of a redemption."""
    return f"{ticket_id}/{node}"
