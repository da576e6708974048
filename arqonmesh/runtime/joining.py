"""Joining a mesh from the joiner's side: by ticket, or by address and key.

Nothing that a member says is believed before it is checked: the statements of a JoinAccept must prove a roster from the
founder's genesis down to us. With a ticket the founder is known beforehand; by address the first contact is trusted for
which mesh this is, as with any address typed by hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from arqonmesh.core.admission.proof import proof, roster_from
from arqonmesh.core.plane import MeshIdentity
from arqonmesh.errors import ArqonError, Degraded, Denied, PeerError, TimedOut, TrustError, UsageError
from arqonmesh.ids import MeshId, NodeId
from arqonmesh.net.api import Endpoint
from arqonmesh.trust import ed25519, join_key
from arqonmesh.trust.keys import NodeKey
from arqonmesh.trust.tickets import Ticket, redemption_bytes, sign_redemption
from arqonmesh.wire.messages import JoinAccept, JoinOffer, JoinRequest

JOIN_TIMEOUT_S = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Joiner:
    """Who wants in. `role` is asked for without a ticket; a ticket decides it."""

    key: NodeKey
    cluster: str
    role: str
    region: str


@dataclass(frozen=True, slots=True)
class Joined:
    mesh: MeshIdentity
    name: str
    role: str
    members: tuple[tuple[NodeId, tuple[str, ...]], ...]
    """Where members are said to listen."""


class _SaltNeeded(Exception):
    """The join key's salt is known now; derive the key off the loop and dial again."""

    def __init__(self, salt: bytes) -> None:
        super().__init__()
        self.salt = salt


async def join_with_ticket(endpoint: Endpoint, joiner: Joiner, ticket: Ticket) -> Joined:
    """Try the ticket's addresses in turn. Raises Denied, TimedOut, PeerError or TrustError; the last one seen."""
    if ticket.cluster != joiner.cluster:
        raise UsageError(
            "join.other-cluster",
            f"this ticket lets a node of cluster {ticket.cluster!r} in, and this node is of {joiner.cluster!r}",
            hint=f"arqon invite new --cluster {joiner.cluster} (on a member of the mesh)",
        )
    if ticket.role != joiner.role:
        raise UsageError(
            "join.other-role",
            f"this ticket is for role {ticket.role!r}, and arqon.yaml says {joiner.role!r}",
            hint=f"arqon invite new --cluster {joiner.cluster} --role {joiner.role} (on a member of the mesh)",
        )

    def build(offer: JoinOffer, channel_binding: bytes) -> JoinRequest:
        if offer.mesh_id != ticket.mesh_id or offer.founder != ticket.founder:
            raise TrustError(
                "trust.other-mesh", f"the ticket is for mesh {ticket.mesh_id}, and {offer.mesh_id} answered here"
            )
        redemption = redemption_bytes(
            ticket.mesh_id, joiner.key.public, joiner.cluster, ticket.role, ticket.ticket_id, channel_binding
        )
        return _request(joiner, offer, ticket.role, ticket.ticket_id, sign_redemption(ticket.seed, redemption))

    failure: ArqonError = TimedOut("join.no-address", "the ticket names no address")
    for address in ticket.addresses:
        try:
            offer, accept = await endpoint.join(address, build, timeout_s=JOIN_TIMEOUT_S)
        except Denied:
            raise
        except (TimedOut, PeerError, TrustError, Degraded) as error:  # another member may be on the side of a quorum
            failure = error
            continue
        return _checked(joiner, offer, accept)
    raise failure


async def join_with_key(endpoint: Endpoint, joiner: Joiner, address: str, key: str) -> Joined:
    """Join through the member at `address`; `key` may be empty for an open mesh."""
    seeds: dict[bytes, bytes] = {}

    def build(offer: JoinOffer, channel_binding: bytes) -> JoinRequest:
        if offer.policy == "open" or not key:
            return _request(joiner, offer, joiner.role, "", b"")
        if not offer.key_salt:
            raise Denied(
                "join.no-key-set",
                f"mesh {offer.mesh_name!r} has no join key; only a ticket lets anyone in",
                hint=f"arqon invite new --cluster {joiner.cluster} (on a member of the mesh)",
            )
        seed = seeds.get(offer.key_salt)
        if seed is None:
            raise _SaltNeeded(offer.key_salt)
        redemption = redemption_bytes(
            offer.mesh_id, joiner.key.public, joiner.cluster, joiner.role, "", channel_binding
        )
        return _request(joiner, offer, joiner.role, "", sign_redemption(seed, redemption))

    try:
        offer, accept = await endpoint.join(address, build, timeout_s=JOIN_TIMEOUT_S)
    except _SaltNeeded as needed:
        seeds[needed.salt] = await asyncio.to_thread(join_key.derive, key, needed.salt)
        offer, accept = await endpoint.join(address, build, timeout_s=JOIN_TIMEOUT_S)
    return _checked(joiner, offer, accept)


def _request(joiner: Joiner, offer: JoinOffer, role: str, ticket_id: str, signature: bytes) -> JoinRequest:
    return JoinRequest(
        mesh_id=offer.mesh_id,
        node_key=joiner.key.public,
        cluster=joiner.cluster,
        role=role,
        region=joiner.region,
        ticket_id=ticket_id,
        signature=signature,
    )


def _checked(joiner: Joiner, offer: JoinOffer, accept: JoinAccept) -> Joined:
    """Believe the acceptance only when its statements prove it."""
    mesh_id, founder = MeshId(offer.mesh_id), NodeId(offer.founder)
    statements: Sequence[bytes] = accept.statements
    roster = roster_from(statements, founder, mesh_id, ed25519.verify)
    own = roster.members.get(joiner.key.node_id)
    if own is None:
        raise TrustError(
            "trust.unproven-admission",
            f"the member at the other end says that we are in, but its statements do not prove it "
            f"({len(roster.members)} members proven from the founder {founder})",
        )
    if (own.cluster, own.role) != (joiner.cluster, joiner.role):
        raise Denied(
            "join.known-otherwise",
            f"the mesh knows this node's key as a {own.role} of cluster {own.cluster!r}, and arqon.yaml says "
            f"{joiner.role} of {joiner.cluster!r}; a key keeps the cluster and role that it was admitted with",
            hint=f"set node.cluster: {own.cluster} and node.role: {own.role}, "
            "or arqon init --cluster NAME --data-dir DIR",
        )
    mesh = MeshIdentity(mesh_id=mesh_id, founder=founder, bootstrap=proof(statements, roster))
    members = tuple((NodeId(node), tuple(addresses)) for node, addresses in accept.members)
    return Joined(mesh, offer.mesh_name, own.role, members)
