"""The roster: who belongs to the mesh, and why. A chain of admissions that begins at the founder.

An admission counts when its author is a member, the admitted key hashes to the admitted id, and either the author is
the founder or the admission carries the joiner's own proof: a signature by the key of a ticket that a member which may
invite has made (tickets.py), or by the join key, or none at all where the mesh is open. So no member can let anyone
into a cluster or role that nobody offered: its word alone moves nothing.

Statements come in any order, so an admission waits for its author, and for the inviter behind it, to be members. Where
several members admitted one node, the one nearest to the founder says cluster and role, and among equally near ones the
earliest by its own date, then by the admitter's id: a choice that does not depend on the order of arrival. Distance
goes before the date because a date is whatever its author writes.

Growing is done on the spot. Whatever might take someone out (a ticket claimed more often than it allows, an invite that
changed, a nearer admitter) is worked out anew from the founder, level by level, and the difference is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from msgspec import Struct

from arqonmesh.core.admission import vouching
from arqonmesh.core.admission.tickets import INVITING_ROLES, Tickets, TicketView, Verify
from arqonmesh.ids import MeshId, NodeId, node_id_of
from arqonmesh.wire.statement import Admission, Genesis, Invite, JoinPolicy, Kind


class Member(Struct, frozen=True, gc=False):
    """One entry of the roster. A Struct that the collector need not look at: there is one for each member."""

    node: NodeId
    public_key: bytes
    cluster: str
    role: str
    admitted_by: NodeId
    admitted_ms: int
    distance: int
    """How many admissions lie between it and the founder; 0 is the founder."""


_Grounds: TypeAlias = tuple[tuple[NodeId, tuple[NodeId, ...]], ...]
"""(who admitted, on whose offers) of one node."""


@dataclass(frozen=True, slots=True)
class Change:
    """Who is a member from now on, who is none any more, and who is one as before, but of another cluster, or of one
    that is vouched for now, or not any more (vouching.py)."""

    entered: tuple[Member, ...] = ()
    expelled: tuple[NodeId, ...] = ()
    moved: tuple[NodeId, ...] = ()


NOTHING: Final = Change()


class Roster:
    """Bounded by the store that feeds it: one entry per admission and invite that it holds."""

    def __init__(self, founder: NodeId, mesh_id: MeshId, verify: Verify) -> None:
        self.founder = founder
        self.genesis: Genesis | None = None
        self.policy: JoinPolicy | None = None
        self.members: dict[NodeId, Member] = {}
        self.vouched: dict[NodeId, None] = {}
        """The members whose cluster is more than their own word (vouching.py)."""
        self.tickets = Tickets(founder, mesh_id, verify)
        self._admissions: dict[NodeId, dict[NodeId, Admission]] = {}
        """By author, then by admitted node."""
        self._admitters: dict[NodeId, _Grounds] = {}
        """By admitted node: who admitted it, and the members on whose offer that rests (any one is enough)."""
        self._founders_word: dict[NodeId, _Grounds] = {}
        """By author, the grounds of all whom it alone let in on an offer of the founder: nearly everyone, and an object
        for each would be one of the largest parts of a member."""
        self._rests_on: dict[NodeId, dict[NodeId, None]] = {}
        """By who made the offer: the nodes that came in by it."""
        self._by_ticket: dict[str, dict[tuple[NodeId, NodeId], None]] = {}

    # --- what is said -------------------------------------------------------------------------------------------------

    def found(self, author: NodeId, genesis: Genesis) -> Change:
        """Take the founder's genesis. Nothing changes when it is not the founder's."""
        if author != self.founder or node_id_of(genesis.founder_key) != author:
            return NOTHING
        self.genesis = genesis
        return self._rebuild()

    def enter(self, author: NodeId, key: str, admission: Admission) -> Member | None:
        """What `admit` comes to when the founder, on its own word, lets in somebody of whom nothing is known yet: it is
        a member, and nobody else becomes one by that. None, and nothing has happened, in any other case."""
        node = node_id_of(admission.node_key)
        if (
            author != self.founder
            or author not in self.members
            or admission.ticket_id
            or node != key
            or node == author
            or node in self._admitters
            or node in self._admissions
            or node in self._rests_on
        ):
            return None
        self._admissions.setdefault(author, {})[node] = admission
        self._admitters[node] = self._founders_word.setdefault(author, ((author, (author,)),))
        member = self.members[node] = Member(
            node, admission.node_key, admission.cluster, admission.role, author, admission.admitted_ms, 1
        )
        return member

    def admit(self, author: NodeId, key: str, admission: Admission) -> Change:
        """Take an admission: nobody enters by it, this node, or a whole chain behind it."""
        node = node_id_of(admission.node_key)
        if node != key or node in (author, self.founder):
            return NOTHING
        ticket = admission.ticket_id
        if self._admissions.get(author, {}).get(node) == admission:
            return NOTHING
        replaced = self._retract(author, node)
        self._admissions.setdefault(author, {})[node] = admission
        if ticket:
            self._by_ticket.setdefault(ticket, {})[author, node] = None
        self._prove(author, node)
        if replaced or (ticket and self.tickets.crowded(ticket)):
            return self._rebuild()
        held, best = self.members.get(node), self._best(node, self.members)
        if best is None:
            return NOTHING
        if best == held:
            return self._moved(self.members) if ticket and node not in self.vouched else NOTHING
        if held is not None or node in self._admissions or node in self._rests_on:
            return self._rebuild()
        self.members[node] = best
        if ticket and vouching.vouches(node, self.founder, self.members, self.vouched, self._inviters_of):
            self.vouched[node] = None
        return Change((best,))

    def set_policy(self, author: NodeId, policy: JoinPolicy) -> Change:
        """The founder's word on how one gets in without a ticket."""
        if author != self.founder or policy == self.policy:
            return NOTHING
        self.policy = policy
        waiting = [(by, node) for by, some in self._admissions.items() for node, a in some.items() if not a.ticket_id]
        for by, node in waiting:
            self._prove(by, node)
        return self._rebuild() if waiting else NOTHING

    def invite(self, author: NodeId, ticket_id: str, invite: Invite) -> Change:
        """Take an invite, or what has become of one."""
        self.tickets.invite(author, ticket_id, invite)
        claims = self._by_ticket.get(ticket_id, {})
        for by, node in claims:
            self._prove(by, node)
        return self._rebuild() if claims else NOTHING

    def withdraw(self, author: NodeId, kind: int, key: str) -> Change:
        """What this member said of this does not count any more. The founder's genesis stays: it holds the key by which
        everything else is judged."""
        if kind == Kind.ADMISSION:
            return self._rebuild() if self._retract(author, NodeId(key)) else NOTHING
        if kind == Kind.INVITE:
            self.tickets.withdraw(author, key)
            for by, node in self._by_ticket.get(key, {}):
                self._prove(by, node)
            return self._rebuild()
        if kind == Kind.JOIN_POLICY and author == self.founder and self.policy is not None:
            self.policy = None
            for by, some in self._admissions.items():
                for node in [node for node, admission in some.items() if not admission.ticket_id]:
                    self._prove(by, node)
            return self._rebuild()
        return NOTHING

    # --- queries ------------------------------------------------------------------------------------------------------

    def may_invite(self, node: NodeId) -> bool:
        member = self.members.get(node)
        return member is not None and (node == self.founder or member.role in INVITING_ROLES)

    def ticket(self, ticket_id: str) -> list[TicketView]:
        return list(self.tickets.find(ticket_id, self.may_invite))

    def doubt(self, node: NodeId) -> str:
        """Why the cluster of this member is not to be relied on; "" when it is vouched for."""
        return "" if node in self.vouched else vouching.doubt(node, self.members, self._inviters_of)

    # --- who is in ----------------------------------------------------------------------------------------------------

    def _retract(self, author: NodeId, node: NodeId) -> bool:
        """Forget this author's admission of this node, with the use of the ticket that it claims; whether there was
        one."""
        admission = self._admissions.get(author, {}).pop(node, None)
        if admission is None:
            return False
        self._rest(node, author, None)
        claims = self._by_ticket.get(admission.ticket_id, {})
        claims.pop((author, node), None)
        if not claims:
            self._by_ticket.pop(admission.ticket_id, None)
        self.tickets.unclaim(author, node, admission)
        return True

    def _rest(self, node: NodeId, author: NodeId, offers: tuple[NodeId, ...] | None) -> None:
        """The node's admission by this author rests on these offers from now on; None: there is none any more."""
        others = tuple(ground for ground in self._admitters.get(node, ()) if ground[0] != author)
        grounds = others if offers is None else (*others, (author, offers))
        if not others and offers == (self.founder,):
            grounds = self._founders_word.setdefault(author, grounds)
        if grounds:
            self._admitters[node] = grounds
        else:
            self._admitters.pop(node, None)

    def _prove(self, author: NodeId, node: NodeId) -> None:
        """On whose offer does this admission rest? On the founder's own for its word and the join policy."""
        admission = self._admissions[author][node]
        offers: tuple[NodeId, ...] = ()
        if author == self.founder:
            offers = (self.founder,)
        if admission.ticket_id:
            offers = self.tickets.claim(author, node, admission) + offers
        elif self.policy is not None and not offers:
            by_key = bool(admission.signature) and bool(self.policy.key_public)
            if self.policy.policy == "open" or (by_key and self.tickets.signed(self.policy.key_public, admission)):
                offers = (self.founder,)
        self._rest(node, author, offers)
        for inviter in offers:
            if inviter != self.founder:
                self._rests_on.setdefault(inviter, {})[node] = None

    def _best(self, node: NodeId, members: dict[NodeId, Member]) -> Member | None:
        """The node by the admission that counts, as far as these members prove it; None when none does."""
        best: tuple[int, int, NodeId] | None = None
        for author, offers in self._admitters.get(node, ()):
            admitter = members.get(author)
            if admitter is None:
                continue
            admission = self._admissions[author][node]
            behind = [d for offer in offers if (d := self._distance(offer, node, admission, author, members)) >= 0]
            if behind:
                rank = (max(admitter.distance, min(behind)) + 1, admission.admitted_ms, author)
                best = rank if best is None else min(best, rank)
        if best is None:
            return None
        distance, admitted_ms, author = best
        admission = self._admissions[author][node]
        return Member(node, admission.node_key, admission.cluster, admission.role, author, admitted_ms, distance)

    def _distance(
        self, offer: NodeId, node: NodeId, admission: Admission, author: NodeId, members: dict[NodeId, Member]
    ) -> int:
        """How far from the founder the offer is; -1 when it does not stand."""
        if offer == self.founder and (author == self.founder or not admission.ticket_id):
            return 0
        inviter = members.get(offer)
        if inviter is None or not (offer == self.founder or inviter.role in INVITING_ROLES):
            return -1
        return inviter.distance if self.tickets.counts(admission.ticket_id, offer, node) else -1

    def _rebuild(self) -> Change:
        """From the founder, level by level: whoever enters at one level is known to all of the next."""
        if self.genesis is None:
            return NOTHING
        genesis, founder = self.genesis, self.founder
        members = {
            founder: Member(founder, genesis.founder_key, genesis.cluster, genesis.role, founder, genesis.created_ms, 0)
        }
        level = [founder]
        while level:
            touched: dict[NodeId, None] = {}
            for node in level:
                touched.update(dict.fromkeys(self._admissions.get(node, ())))
                touched.update(self._rests_on.get(node, {}))
            found = [best for node in sorted(touched) if node not in members and (best := self._best(node, members))]
            level = [member.node for member in found]
            members.update((member.node, member) for member in found)
        before, self.members = self.members, members
        return Change(
            tuple(member for node, member in members.items() if node not in before),
            tuple(node for node in before if node not in members),
            self._moved(before).moved,
        )

    def _moved(self, before: dict[NodeId, Member]) -> Change:
        """Work out anew who is vouched for: who was a member before, and is of another cluster, or on other word."""
        members, were = self.members, self.vouched
        self.vouched = vouching.vouched_for(
            self.founder, members, self._inviters_of, lambda inviter: self._rests_on.get(inviter, ())
        )
        moved = (
            node
            for node, member in members.items()
            if (held := before.get(node)) is not None
            and (held.cluster != member.cluster or (node in were) != (node in self.vouched))
        )
        return Change(moved=tuple(moved))

    def _inviters_of(self, node: NodeId) -> Iterator[NodeId]:
        """Whose tickets let this member into its cluster: of each admission that says the same cluster and stands."""
        cluster = self.members[node].cluster
        for author, offers in self._admitters.get(node, ()):
            admission = self._admissions[author][node]
            if author not in self.members or admission.cluster != cluster or not admission.ticket_id:
                continue
            for inviter in offers:
                if self.may_invite(inviter) and self.tickets.lets_in(admission.ticket_id, inviter, author, node):
                    yield inviter
