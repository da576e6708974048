"""The admission core: keeps the roster from the statements that gossip accepts, and judges who may join.

Applied(GENESIS, ADMISSION, INVITE, JOIN_POLICY) ──▶ roster ──▶ MemberAdmitted, MemberExpelled, MemberMoved
PartitionChanged ──▶ whether this side of the mesh may admit anyone at all
two admissions by one author with one single-use ticket ──▶ Fault(double-redemption), both as its proof
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from arqonmesh.core.admission.judge import Admit, Court, Judgement, Refuse
from arqonmesh.core.admission.roster import Change, Member, Roster
from arqonmesh.core.admission.tickets import TicketView
from arqonmesh.core.events import (
    Applied,
    Fault,
    MemberAdmitted,
    MemberExpelled,
    MemberMoved,
    PartitionChanged,
    Withdrawn,
)
from arqonmesh.core.kernel import Durable, Effect, Emit, Env, Event, Instant
from arqonmesh.core.partition.refusal import READ_ONLY, sentence_of
from arqonmesh.ids import NodeId
from arqonmesh.wire.cbor import encode
from arqonmesh.wire.messages import JoinOffer, JoinRequest, WireMessage
from arqonmesh.wire.statement import Admission as AdmissionBody
from arqonmesh.wire.statement import Genesis, Invite, JoinPolicy, Kind

PROMISES_MAX: Final = 1_024
"""Granted uses of tickets that are on their way to the disk; the oldest is forgotten (it is on disk by then)."""
SINGLE_USES_MAX: Final = 65_536
"""Redeemed single-use tickets that are remembered to catch their second use."""


class Admission:
    """Who is a member, and who may become one."""

    NAME: ClassVar[str] = "admission"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = ()
    EVENTS: ClassVar[tuple[type[Event], ...]] = (Applied, Withdrawn, PartitionChanged)
    KINDS: ClassVar[tuple[Kind, ...]] = (Kind.GENESIS, Kind.ADMISSION, Kind.INVITE, Kind.JOIN_POLICY)

    def __init__(self, env: Env, founder: NodeId) -> None:
        self._env = env
        self._roster = Roster(founder, env.mesh_id, env.crypto.verify)
        self._partition: PartitionChanged | None = None
        self._promised: dict[str, dict[NodeId, None]] = {}
        self._single: dict[tuple[NodeId, str], tuple[NodeId, bytes]] = {}
        """Single-use tickets by who redeemed them: for whom, and the statement that says so."""

    # --- queries ------------------------------------------------------------------------------------------------------

    @property
    def founder(self) -> NodeId:
        return self._roster.founder

    @property
    def mesh_name(self) -> str:
        """Empty until the genesis is known."""
        return "" if self._roster.genesis is None else self._roster.genesis.name

    @property
    def policy(self) -> JoinPolicy | None:
        return self._roster.policy

    def key_of(self, node: NodeId) -> bytes | None:
        """The public key of a member."""
        member = self._roster.members.get(node)
        return None if member is None else member.public_key

    def cluster_of(self, node: NodeId) -> str | None:
        """The cluster into which a member was admitted."""
        member = self._roster.members.get(node)
        return None if member is None else member.cluster

    def doubt_of(self, node: NodeId) -> str:
        """Why that cluster is not to be relied on, in words; "" when somebody who may vouches for it (vouching.py)."""
        return self._roster.doubt(node)

    def size(self) -> int:
        """How many members the roster has."""
        return len(self._roster.members)

    def member(self, node: NodeId) -> Member | None:
        return self._roster.members.get(node)

    def belongs(self, node: NodeId) -> bool:
        """Whether it is on the roster."""
        return node in self._roster.members

    def lineage(self, node: NodeId) -> tuple[tuple[NodeId, NodeId], ...]:
        """(admitter, admitted) from this member up to the founder: the chain by which it belongs."""
        members = self._roster.members
        chain: list[tuple[NodeId, NodeId]] = []
        while node in members and node != self.founder and len(chain) <= len(members):
            chain.append((members[node].admitted_by, node))
            node = members[node].admitted_by
        return tuple(chain)

    def members(self) -> tuple[Member, ...]:
        """The roster, sorted by node id."""
        members = self._roster.members
        return tuple(members[node] for node in sorted(members))

    def invites(self) -> tuple[TicketView, ...]:
        """Every ticket of the mesh with its uses, oldest first."""
        return tuple(view for ticket_id in self._roster.tickets.ids() for view in self._roster.ticket(ticket_id))

    def refuse(self, node: NodeId, public_key: bytes) -> str | None:
        """Why this node may not link, as a code of net/api.py's `Authority`; None when it may."""
        return None if self.key_of(node) == public_key else "unknown-key"

    def offer(self) -> JoinOffer | None:
        """What a joiner is told first; None while the genesis or the policy is not known here."""
        genesis, policy = self._roster.genesis, self._roster.policy
        if genesis is None or policy is None:
            return None
        return JoinOffer(
            mesh_id=self._env.mesh_id,
            mesh_name=genesis.name,
            founder=self._roster.founder,
            policy=policy.policy,
            key_salt=policy.key_salt,
        )

    def judge(self, now_wall_ms: int, request: JoinRequest, node: NodeId, channel_binding: bytes) -> Judgement:
        """Decide about a join request. An Admit is a promise: its ticket counts as used from now on, so that a second
        request cannot slip in before the admission is on disk."""
        refusal = None
        if self._partition is None or not self._partition.writable:
            refusal = Refuse(READ_ONLY, sentence_of(self._partition))
        court = Court(self._env.mesh_id, self._roster, self._promised, refusal, self._env.crypto.verify)
        judgement = court.judge(now_wall_ms, request, node, channel_binding)
        if isinstance(judgement, Admit) and judgement.publish and request.ticket_id:
            if len(self._promised) >= PROMISES_MAX:
                self._promised.pop(next(iter(self._promised)))
            self._promised.setdefault(request.ticket_id, {})[node] = None
        return judgement

    # --- the core protocol --------------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        """Nothing of our own is stored: gossip tells all of it again."""
        return []

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        raise AssertionError(f"admission speaks no messages, got {type(message).__name__}")

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        if isinstance(event, PartitionChanged):
            self._partition = event
        if isinstance(event, Withdrawn):
            return _told(self._roster.withdraw(event.author, event.kind, event.key))
        if not isinstance(event, Applied):
            return []
        match event.body:
            case Genesis():
                return _told(self._roster.found(event.author, event.body))
            case AdmissionBody():
                change = self._roster.admit(event.author, event.key, event.body)
                return _told(change) + self._second_use(event, event.body)
            case JoinPolicy():
                return _told(self._roster.set_policy(event.author, event.body))
            case Invite():
                return _told(self._roster.invite(event.author, event.key, event.body))
        return []

    def on_events(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        """A start tells all admissions at once, nearly all of them the founder's own word."""
        effects: list[Effect] = []
        for event in events:
            if isinstance(event, Applied) and isinstance(event.body, AdmissionBody) and not event.body.ticket_id:
                member = self._roster.enter(event.author, event.key, event.body)
                if member is not None:
                    effects.append(Emit(_admitted(member)))
                    continue
            effects += self.on_event(now, event)
        return effects

    def on_timer(self, now: Instant) -> list[Effect]:
        return []

    def next_deadline(self) -> Instant | None:
        return None

    # --- private ------------------------------------------------------------------------------------------------------

    def _second_use(self, event: Applied, admission: AdmissionBody) -> list[Effect]:
        """Two admissions by one author with one ticket, each saying that the ticket is good for one node: no two
        members have to be asked, and no invite, to see that one of them should not be."""
        if admission.uses != 1 or not admission.ticket_id:
            return []
        slot, node = (event.author, admission.ticket_id), NodeId(event.key)
        first = self._single.get(slot)
        if first is None:
            if len(self._single) < SINGLE_USES_MAX:
                self._single[slot] = (node, event.encoded)
            return []
        if first[0] == node or event.author == self._env.node_id:
            return []
        return [Emit(Fault(event.author, "double-redemption", encode([first[1], event.encoded])))]


def _told(change: Change) -> list[Effect]:
    expelled: list[Effect] = [Emit(MemberExpelled(node, "admission-void")) for node in change.expelled]
    entered: list[Effect] = [Emit(_admitted(member)) for member in change.entered]
    return expelled + entered + [Emit(MemberMoved(node)) for node in change.moved]


def _admitted(member: Member) -> MemberAdmitted:
    inviter = None if member.admitted_by == member.node else member.admitted_by
    return MemberAdmitted(member.node, member.public_key, member.cluster, member.role, inviter)
