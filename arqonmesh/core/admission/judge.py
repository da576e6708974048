"""Shall this node come in? One pure decision, its reasons as data.

| policy | without a ticket                            | with a ticket   |
|--------|---------------------------------------------|-----------------|
| open   | yes                                         | as the ticket says |
| key    | when the request is signed with the join key | as the ticket says |
| closed | no                                          | no              |

A member that asks again is told yes again, whatever the policy, and uses nothing up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from arqonmesh.core.admission.roster import Roster
from arqonmesh.core.admission.tickets import TicketView, Verify
from arqonmesh.core.events import Publish
from arqonmesh.errors import ConfigError
from arqonmesh.ids import MeshId, NodeId, node_id_of, parse_cluster
from arqonmesh.trust.tickets import redemption_bytes
from arqonmesh.wire.messages import JoinRequest
from arqonmesh.wire.statement import Admission, JoinPolicy, Kind

ROLES: Final = ("hub", "spoke", "leader")


@dataclass(frozen=True, slots=True)
class Admit:
    """Yes. `publish` has to be published, in order, before the node is told; empty when it was a member already."""

    publish: tuple[Publish, ...]
    cluster: str
    role: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """No, with a stable code and a sentence for the person at the other end."""

    code: str
    sentence: str


Judgement: TypeAlias = Admit | Refuse


@dataclass(frozen=True, slots=True)
class Court:
    """What a judgement is based on."""

    mesh_id: MeshId
    roster: Roster
    promised: dict[str, dict[NodeId, None]]
    """Tickets whose use is granted and not yet on disk, and to whom."""
    refusal: Refuse | None
    """Why this side of the mesh admits nobody at all; None when it may."""
    verify: Verify

    def judge(self, now_wall_ms: int, request: JoinRequest, node: NodeId, channel_binding: bytes) -> Judgement:
        """`node` is the id under which the other side authenticated; `now_wall_ms` decides about expiry alone."""
        refusal = self._check_identity(request, node)
        if refusal is not None:
            return refusal
        member = self.roster.members.get(node)
        if member is not None:
            return Admit((), member.cluster, member.role)
        refusal = self._check_form(request)
        if refusal is not None:
            return refusal
        policy = self.roster.policy
        if policy is None:
            return Refuse(
                "admission.no-policy",
                "this member does not know the mesh's join policy yet; try again in a moment, or at another member",
            )
        if policy.policy == "closed":
            return Refuse("admission.closed", "this mesh is closed; nobody joins until its founder opens it")
        signed = redemption_bytes(
            self.mesh_id, request.node_key, request.cluster, request.role, request.ticket_id, channel_binding
        )
        uses = 0
        if request.ticket_id:
            checked = self._check_ticket(now_wall_ms, request, node, signed)
            if isinstance(checked, Refuse):
                return checked
            uses = checked.invite.uses
        elif policy.policy == "key":
            refusal = self._check_key(policy, request, signed)
        refusal = refusal if refusal is not None else self.refusal
        if refusal is not None:
            return refusal
        return _admit(now_wall_ms, request, node, uses, channel_binding)

    def _check_identity(self, request: JoinRequest, node: NodeId) -> Refuse | None:
        if request.mesh_id != self.mesh_id:
            return Refuse(
                "admission.wrong-mesh",
                f"this node belongs to mesh {self.mesh_id}, and the request is for mesh {request.mesh_id}",
            )
        if node_id_of(request.node_key) != node:
            return Refuse("admission.key-mismatch", "the node key in the request is not the key of this connection")
        return None

    def _check_form(self, request: JoinRequest) -> Refuse | None:
        try:
            parse_cluster(request.cluster)
        except ConfigError as error:
            return Refuse("admission.cluster-name", error.sentence)
        if request.role not in ROLES:
            return Refuse("admission.unknown-role", f"role {request.role!r}; it needs to be one of {', '.join(ROLES)}")
        return None

    def _check_key(self, policy: JoinPolicy, request: JoinRequest, signed: bytes) -> Refuse | None:
        if not policy.key_public:
            return Refuse("admission.ticket-needed", "this mesh has no join key; it needs a ticket (arqon invite new)")
        if not request.signature:
            return Refuse("admission.key-needed", "this mesh needs its join key or a ticket")
        if not self.verify(policy.key_public, signed, request.signature):
            return Refuse("admission.wrong-key", "the join key is not the one of this mesh")
        return None

    def _check_ticket(self, now_ms: int, request: JoinRequest, node: NodeId, signed: bytes) -> TicketView | Refuse:
        views = self.roster.ticket(request.ticket_id)
        if not views:
            return Refuse(
                "admission.ticket-unknown",
                f"no invite for ticket {request.ticket_id} is known here; if it is new, try again in a moment",
            )
        view = next((v for v in views if self.verify(v.invite.public_key, signed, request.signature)), None)
        if view is None:
            return Refuse("admission.ticket-signature", "the request is not signed with this ticket's one-time key")
        used_by = self.roster.tickets.users(request.ticket_id) | self.promised.get(request.ticket_id, {})
        return _check_terms(now_ms, view, request, used_by=used_by, node=node) or view


def _check_terms(
    now_ms: int, view: TicketView, request: JoinRequest, *, used_by: dict[NodeId, None], node: NodeId
) -> Refuse | None:
    invite = view.invite
    if view.revoked:
        return Refuse("admission.ticket-revoked", f"ticket {view.ticket_id} was revoked")
    if now_ms >= invite.expires_ms:
        late_s = (now_ms - invite.expires_ms) // 1_000
        late = f"{late_s} s" if late_s else "less than a second"
        return Refuse("admission.ticket-expired", f"ticket {view.ticket_id} expired {late} ago")
    if request.cluster != invite.cluster:
        return Refuse(
            "admission.ticket-cluster",
            f"the ticket is for cluster {invite.cluster!r}, and this node is of cluster {request.cluster!r}",
        )
    if request.role != invite.role:
        return Refuse(
            "admission.ticket-role",
            f"the ticket is for the role {invite.role!r}, and this node asks for {request.role!r}",
        )
    if node not in used_by and len(used_by) >= invite.uses:
        return Refuse(
            "admission.ticket-used-up",
            f"ticket {view.ticket_id} was good for {invite.uses} node(s) and has let in {len(used_by)}",
        )
    return None


def _admit(now_wall_ms: int, request: JoinRequest, node: NodeId, uses: int, channel_binding: bytes) -> Admit:
    admission = Admission(
        node_key=request.node_key,
        cluster=request.cluster,
        role=request.role,
        ticket_id=request.ticket_id,
        uses=uses,
        admitted_ms=max(0, now_wall_ms),
        channel_binding=channel_binding if request.signature else b"",
        signature=request.signature,
    )
    return Admit((Publish(Kind.ADMISSION, node, admission),), request.cluster, request.role)
