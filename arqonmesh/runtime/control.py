"""What a running node does for those who control it: `api.control.NodeControl` on top of the host.

Each method is one thing an operator asks for. Reading is in views.py; joining in joining.py; this file says what
happens in which order, and what is said when it cannot.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from typing import Final

import msgspec

from arqonmesh.api.mesh_views import (
    InviteView,
    MatrixView,
    MeshEvent,
    MeshStatus,
    MeshView,
    PeerView,
    RouteView,
    UserEventSent,
)
from arqonmesh.api.node_views import (
    BusClientView,
    CertificateView,
    ConfigChangesView,
    NodeStatus,
    OwnLinkView,
    PolicyView,
)
from arqonmesh.core.admission.tickets import INVITING_ROLES
from arqonmesh.core.events import Applied, LinkDown, PeerRuled, Publish
from arqonmesh.core.kernel import Event
from arqonmesh.core.plane import MeshIdentity, Plane
from arqonmesh.errors import Denied, NotFound, TimedOut, UsageError
from arqonmesh.ids import ClusterId, MeshId, NodeId, TicketId, encode_ulid, parse_cluster, parse_mesh_name, short
from arqonmesh.net.addresses import is_among, parse_address
from arqonmesh.runtime import link_views, views
from arqonmesh.runtime.bus_clients import client_views
from arqonmesh.runtime.governed import require_quorum
from arqonmesh.runtime.joining import Joined, Joiner, join_with_key, join_with_ticket
from arqonmesh.runtime.matrix import matrix_view
from arqonmesh.runtime.naming import named, named_or_only
from arqonmesh.runtime.policy_view import policy_view
from arqonmesh.runtime.reload import pending, reload
from arqonmesh.runtime.route import route_view
from arqonmesh.runtime.service import Service
from arqonmesh.runtime.status import mesh_status, node_status
from arqonmesh.trust import join_key, tickets
from arqonmesh.wire.statement import Genesis, Invite, JoinPolicy, Kind

PUBLISH_TIMEOUT_S: Final = 10.0
FAREWELL_S: Final = 0.5
"""Time for the farewell to reach the linked peers before the links close."""
REASON_MAX: Final = 200
"""Characters of an operator's reason that are kept."""
ROLES: Final = ("hub", "spoke", "leader")
POLICIES: Final = ("open", "key", "closed")


class Control:
    """Implements NodeControl."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._busy = asyncio.Lock()
        """Seed, join and leave change what the node is; one at a time."""

    # --- reading ------------------------------------------------------------------------------------------

    async def node_status(self) -> NodeStatus:
        return node_status(self._service)

    async def mesh_status(self) -> MeshStatus:
        return mesh_status(self._service)

    def watch(self) -> AsyncIterator[MeshEvent]:
        return self._service.log.watch()

    async def links(self) -> tuple[OwnLinkView, ...]:
        service = self._service
        return link_views.own_links(service.node, service.endpoint, service.operator_links, service.story.fallen)

    async def peers(self) -> tuple[PeerView, ...]:
        plane, node = self._plane(), self._service.node
        others = (member.node for member in plane.admission.members() if member.node != node.world.node_id)
        return tuple(views.peer_view(node, plane, other, self._service.host.now()) for other in others)

    async def peer(self, prefix: str) -> PeerView:
        """By its id (naming.py), or by the name of a cluster of which it is the only member beside this node."""
        return self._peer_view(
            named_or_only(self._plane(), self._service.node.world.node_id, prefix, "arqon peer show")
        )

    async def peer_ban(self, prefix: str, reason: str) -> PeerView:
        return self._ruled(prefix, reason, banned=True)

    async def peer_forgive(self, prefix: str, reason: str) -> PeerView:
        return self._ruled(prefix, reason, banned=False)

    async def matrix(self) -> MatrixView:
        return matrix_view(self._service.node, self._plane())

    async def route(self, prefix: str) -> RouteView:
        plane, node = self._plane(), self._service.node
        to = named_or_only(plane, node.world.node_id, prefix, "arqon mesh route")
        return route_view(node, plane, to, next((line for line in await self.links() if line.peer == to), None))

    def _ruled(self, prefix: str, reason: str, *, banned: bool) -> PeerView:
        """The operator's word on a peer, on disk with the same step."""
        host = self._service.host
        command = "arqon peer ban" if banned else "arqon peer forgive"
        peer = named(self._plane(), self._service.node.world.node_id, prefix, command)
        host.perform(host.node.event(host.now(), PeerRuled(peer, banned, reason[:REASON_MAX])))
        return self._peer_view(peer)

    def _peer_view(self, peer: NodeId) -> PeerView:
        return views.peer_view(self._service.node, self._plane(), peer, self._service.host.now())

    async def invites(self) -> tuple[InviteView, ...]:
        return views.invite_views(self._plane())

    async def certificate(self) -> CertificateView:
        return self._service.certificates.view()

    async def bus_clients(self, slow: bool) -> tuple[tuple[BusClientView, ...], int]:
        return client_views(self._service.node.bus, self._service.bus, slow=slow)

    async def config_changes(self, apply: bool) -> ConfigChangesView:
        return reload(self._service) if apply else pending(self._service)

    async def policy(self, channel: str = "", target: str = "") -> PolicyView:
        return policy_view(self._service.node, channel, target)

    # --- mesh ---------------------------------------------------------------------------------------------

    async def seed(self, name: str, policy: str, key: str) -> MeshView:
        async with self._busy:
            service = self._service
            self._refuse_second_mesh("seed another one")
            name = parse_mesh_name(name)
            if policy not in POLICIES:
                raise UsageError(
                    "mesh.policy", f"join policy {policy!r} does not exist; it needs to be one of {', '.join(POLICIES)}"
                )
            salt, public = b"", b""
            if key:
                salt = join_key.new_salt()
                public = join_key.public_half(await asyncio.to_thread(join_key.derive, key, salt))
            world, settings = service.node.world, service.node.config.node
            mesh_id = MeshId(encode_ulid(world.wall_ms(), int.from_bytes(os.urandom(10), "big")))
            mesh = MeshIdentity(mesh_id=mesh_id, founder=world.node_id)
            await service.enter(mesh)
            genesis = Genesis(
                name=name,
                created_ms=world.wall_ms(),
                founder_key=world.public_key,
                cluster=settings.cluster,
                role=settings.role,
            )
            await self._publish(
                Publish(Kind.GENESIS, "", genesis),
                Publish(Kind.JOIN_POLICY, "", JoinPolicy(policy=policy, key_salt=salt, key_public=public)),
            )
            service.log.add("mesh", f"mesh {name} is seeded, join policy {policy}", mesh=mesh_id)
            return views.mesh_view(self._plane())

    async def join_ticket(self, ticket: str) -> MeshView:
        async with self._busy:
            self._refuse_second_mesh("join one")
            parsed = tickets.parse(ticket)
            parsed.check_expiry(self._service.node.world.wall_ms())
            return await self._enter(await join_with_ticket(self._service.endpoint, self._joiner(), parsed))

    async def join_address(self, address: str, key: str) -> MeshView:
        async with self._busy:
            self._refuse_second_mesh("join one")
            address = address.removeprefix("quic://")
            return await self._enter(await join_with_key(self._service.endpoint, self._joiner(), address, key))

    async def send_event(self, name: str, payload: bytes) -> UserEventSent:
        self._plane()
        service = self._service
        lamport, effects = service.node.fire(service.host.now(), name, payload)
        service.host.perform(effects)
        return UserEventSent(author=service.node.world.node_id, lamport=lamport)

    async def leave(self) -> None:
        """Ended also when whoever asked for it has hung up: no member takes this node back that heard its farewell, and
        one that stays is listed as gone, asks nobody and is dialled by nobody."""
        async with self._busy:
            service, plane = self._service, self._plane()
            if plane.mesh.founder == service.node.world.node_id and len(plane.admission.members()) > 1:
                service.log.add("mesh", "the founder leaves: join policy and founder's revocations can change no more")
            await _to_its_end(self._go())

    async def _go(self) -> None:
        service = self._service
        service.host.watch(LinkDown, service.forget_fallen)
        try:
            service.host.perform(service.node.say_farewell(service.host.now()))
            await asyncio.sleep(FAREWELL_S)
            await service.leave_mesh()
        finally:
            service.host.unwatch(LinkDown, service.forget_fallen)

    async def _enter(self, joined: Joined) -> MeshView:
        service = self._service
        await service.enter(joined.mesh)
        service.host.perform(service.node.introduce(service.host.now(), joined.members))
        service.log.add("mesh", f"joined mesh {joined.name} as {joined.role}", mesh=joined.mesh.mesh_id)
        return views.mesh_view(self._plane())

    # --- links --------------------------------------------------------------------------------------------

    async def link_add(self, address: str) -> OwnLinkView:
        self._plane()
        parse_address(address)
        address = address.removeprefix("quic://")
        if is_among(address, self._service.own_addresses()):
            raise UsageError(
                "link.self",
                f"{address} is an address of this node itself; it needs to be another member's",
                hint="arqon peer ls",
            )
        await self._service.add_link(address)
        asked = [line for line in await self.links() if line.asked_by == "operator"]
        for line in asked:
            if line.address == address:
                return line
        if asked:
            return asked[-1]  # it stands already, and shows where the name led
        raise NotFound(
            "link.unknown",
            f"the link to {address} is already gone; it needs to be added again",
            hint=f"arqon link add quic://{address}",
        )

    async def link_remove(self, address: str) -> None:
        address = address.removeprefix("quic://")
        if not await self._service.remove_link(address):
            known = self._service.operator_links
            right = f"it needs to be one of {', '.join(known)}" if known else "nothing is left to take back"
            raise NotFound("link.unknown", f"no link to {address} was added by hand; {right}", hint="arqon link ls")

    # --- invites ------------------------------------------------------------------------------------------

    async def invite_new(self, cluster: str, role: str, expires_s: float, uses: int) -> tuple[str, InviteView]:
        service, plane = self._service, self._plane()
        if role not in ROLES:
            raise UsageError("invite.role", f"role {role!r} does not exist; it needs to be one of {', '.join(ROLES)}")
        addresses = service.addresses()
        if not addresses:
            raise UsageError(
                "invite.no-address",
                "this node does not know an address at which others reach it",
                hint='set listen.advertise: ["HOST:PORT"] in arqon.yaml, then arqon node stop, then arqon node start',
            )
        member = plane.admission.member(service.node.world.node_id)
        founder = plane.mesh.founder == service.node.world.node_id
        if not founder and (member is None or member.role not in INVITING_ROLES):
            raise Denied(
                "invite.not-allowed",
                f"this node is a {service.node.config.node.role}; hubs, leaders and the founder invite",
                hint="arqon invite new --cluster NAME    # on one of them: arqon mesh status",
            )
        await require_quorum(service.host, "invite anyone")
        now_ms = service.node.world.wall_ms()
        ticket = tickets.mint(
            service.key,
            mesh_id=plane.mesh.mesh_id,
            founder=plane.mesh.founder,
            addresses=addresses[: tickets.MAX_ADDRESSES],
            cluster=ClusterId(parse_cluster(cluster)),
            role=role,
            now_ms=now_ms,
            expires_ms=now_ms + int(expires_s * 1_000),
            uses=uses,
        )
        invite = Invite(
            public_key=ticket.public_key,
            cluster=ticket.cluster,
            role=role,
            expires_ms=ticket.expires_ms,
            uses=uses,
            revoked_ms=0,
        )
        await self._publish(Publish(Kind.INVITE, ticket.ticket_id, invite))
        return ticket.text, self._invite(TicketId(ticket.ticket_id))

    async def invite_revoke(self, ticket_id: str) -> InviteView:
        service, plane = self._service, self._plane()
        wanted = ticket_id.upper()
        found = next((ticket for ticket in plane.admission.invites() if ticket.ticket_id == wanted), None)
        if found is None:
            raise _unknown_ticket(ticket_id)
        if service.node.world.node_id not in (found.inviter, plane.mesh.founder):
            raise Denied(
                "invite.not-yours",
                f"ticket {wanted} was made by {short(found.inviter)}; its maker or the founder revokes it",
            )
        revoked = msgspec.structs.replace(found.invite, revoked_ms=max(1, service.node.world.wall_ms()))
        await self._publish(Publish(Kind.INVITE, wanted, revoked))
        return self._invite(TicketId(wanted))

    def _invite(self, ticket_id: TicketId) -> InviteView:
        for invite in views.invite_views(self._plane()):
            if invite.ticket_id == ticket_id:
                return invite
        raise _unknown_ticket(ticket_id)

    # --- certificates, end --------------------------------------------------------------------------------

    async def certificate_rotate(self) -> CertificateView:
        self._service.certificates.rotate()
        return self._service.certificates.view()

    async def stop(self) -> None:
        self._service.request_stop("asked by the control socket")

    # --- private ------------------------------------------------------------------------------------------

    def _plane(self) -> Plane:
        plane = self._service.node.plane
        if plane is None:
            raise UsageError(
                "mesh.none",
                "this node belongs to no mesh yet; it needs to make one, or to join one",
                hint="arqon mesh seed NAME, or arqon mesh join TICKET",
            )
        return plane

    def _refuse_second_mesh(self, wish: str) -> None:
        plane = self._service.node.plane
        if plane is not None:
            raise UsageError(
                "mesh.already",
                f"this node belongs to mesh {views.mesh_name(plane)}; it has to leave that before it can {wish}",
                hint="arqon mesh leave",
            )

    def _joiner(self) -> Joiner:
        service, settings = self._service, self._service.node.config.node
        return Joiner(key=service.key, cluster=settings.cluster, role=settings.role, region=settings.region)

    async def _publish(self, *statements: Publish) -> None:
        """Publish and wait until the last of them is on disk and applied."""
        host = self._service.host
        last = statements[-1]
        applied: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def note(event: Event) -> None:
            if (
                isinstance(event, Applied)
                and event.ours
                and (event.kind, event.key) == (last.kind, last.key)
                and event.body == last.body
                and not applied.done()
            ):
                applied.set_result(None)

        host.watch(Applied, note)
        try:
            host.perform(host.node.publish(host.now(), statements))
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                await applied
        except TimeoutError:
            raise TimedOut(
                "store.slow",
                f"the store did not confirm a statement in {PUBLISH_TIMEOUT_S:g} s",
                hint="arqon node logs",
            ) from None
        finally:
            host.unwatch(Applied, note)


async def _to_its_end(doing: Coroutine[None, None, None]) -> None:
    """What it does is done, also when who waits here is cancelled: that is told afterwards."""
    task, cancelled = asyncio.ensure_future(doing), None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None and not task.cancelled() and task.exception() is None:
        raise cancelled
    task.result()


def _unknown_ticket(ticket_id: str) -> NotFound:
    return NotFound(
        "invite.unknown",
        f"no ticket has the id {ticket_id!r}; it needs to be a whole id as listed",
        hint="arqon invite ls",
    )
