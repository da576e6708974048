"""The admission core: keeps the roster from the statements that gossip accepts, and judges who may join.

Applied(GENESIS, ADMISSION) ──▶ roster ──▶ MemberAdmitted, once per node
Applied(JOIN_POLICY, INVITE, REDEMPTION) ──▶ what `judge` goes by
"""

from __future__ import annotations

from typing import ClassVar

from arqonmesh.core.admission.judge import Admit, Court, Judgement
from arqonmesh.core.admission.roster import Member, Roster
from arqonmesh.core.admission.tickets import Tickets, TicketView, redemption_key
from arqonmesh.core.events import Applied, MemberAdmitted
from arqonmesh.core.kernel import Durable, Effect, Emit, Env, Event, Instant
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import JoinOffer, JoinRequest, WireMessage
from arqonmesh.wire.statement import Admission as AdmissionBody
from arqonmesh.wire.statement import Genesis, Invite, JoinPolicy, Redemption


class Admission:
    """Who is a member, and who may become one."""

    NAME: ClassVar[str] = "admission"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = ()
    EVENTS: ClassVar[tuple[type[Event], ...]] = (Applied,)

    def __init__(self, env: Env, founder: NodeId) -> None:
        self._env = env
        self._roster = Roster(founder)
        self._tickets = Tickets(self._roster)
        self._policy: JoinPolicy | None = None

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
        return self._policy

    def key_of(self, node: NodeId) -> bytes | None:
        """The public key of a member."""
        member = self._roster.members.get(node)
        return None if member is None else member.public_key

    def cluster_of(self, node: NodeId) -> str | None:
        """The cluster into which a member was admitted."""
        member = self._roster.members.get(node)
        return None if member is None else member.cluster

    def member(self, node: NodeId) -> Member | None:
        return self._roster.members.get(node)

    def members(self) -> tuple[Member, ...]:
        """The roster, sorted by node id."""
        members = self._roster.members
        return tuple(members[node] for node in sorted(members))

    def invites(self) -> tuple[TicketView, ...]:
        """Every ticket of the mesh with its uses, oldest first."""
        return self._tickets.all()

    def refuse(self, node: NodeId, public_key: bytes) -> str | None:
        """Why this node may not link, as a code of net/api.py's `Authority`; None when it may."""
        return None if self.key_of(node) == public_key else "unknown-key"

    def offer(self) -> JoinOffer | None:
        """What a joiner is told first; None while the genesis or the policy is not known here."""
        genesis, policy = self._roster.genesis, self._policy
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
        request cannot slip in before the redemption is on disk."""
        court = Court(self._env.mesh_id, self._roster, self._tickets, self._policy, self._env.crypto.verify)
        judgement = court.judge(now_wall_ms, request, node, channel_binding)
        if isinstance(judgement, Admit) and judgement.publish and request.ticket_id:
            redemption = Redemption(ticket_id=request.ticket_id, node_id=node)
            self._tickets.redeem(self._env.node_id, redemption_key(request.ticket_id, node), redemption)
        return judgement

    # --- the core protocol --------------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        """Nothing of our own is stored: gossip tells all of it again."""
        return []

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        raise AssertionError(f"admission speaks no messages, got {type(message).__name__}")

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        if not isinstance(event, Applied):
            return []
        match event.body:
            case Genesis():
                return _admitted(self._roster.found(event.author, event.body))
            case AdmissionBody():
                return _admitted(self._roster.admit(event.author, event.key, event.body))
            case JoinPolicy() if event.author == self._roster.founder:
                self._policy = event.body
            case Invite():
                self._tickets.invite(event.author, event.key, event.body)
            case Redemption():
                self._tickets.redeem(event.author, event.key, event.body)
        return []

    def on_timer(self, now: Instant) -> list[Effect]:
        return []

    def next_deadline(self) -> Instant | None:
        return None


def _admitted(members: list[Member]) -> list[Effect]:
    return [Emit(MemberAdmitted(m.node, m.public_key, m.cluster, m.role)) for m in members]
