"""What a running node does for those who control it. The gRPC service speaks to this and nothing else.

The runtime implements `NodeControl`; every method answers with plain data (mesh_views.py, node_views.py) and raises
ArqonError.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

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


class NodeControl(Protocol):
    """Implemented by runtime/control.py."""

    async def node_status(self) -> NodeStatus: ...
    async def mesh_status(self) -> MeshStatus: ...
    def watch(self) -> AsyncIterator[MeshEvent]:
        """The newest events first seen, then live ones; a slow reader loses the oldest (bounded queue)."""

    async def seed(self, name: str, policy: str, key: str) -> MeshView:
        """`policy`: open, key or closed. `key` empty under "key": only tickets let anyone in."""

    async def join_ticket(self, ticket: str) -> MeshView: ...
    async def join_address(self, address: str, key: str) -> MeshView: ...
    async def send_event(self, name: str, payload: bytes) -> UserEventSent:
        """To every node of the mesh; told at each as a MeshEvent of kind "event"."""

    async def leave(self) -> None: ...
    async def link_add(self, address: str) -> OwnLinkView: ...
    async def link_remove(self, address: str) -> None: ...
    async def links(self) -> tuple[OwnLinkView, ...]: ...
    async def peers(self) -> tuple[PeerView, ...]: ...
    async def peer(self, prefix: str) -> PeerView: ...
    async def peer_ban(self, prefix: str, reason: str) -> PeerView: ...
    async def peer_forgive(self, prefix: str, reason: str) -> PeerView: ...
    async def matrix(self) -> MatrixView: ...
    async def route(self, prefix: str) -> RouteView:
        """To one member, by the beginning of its id, or by the name of a cluster of which it is the only other one."""

    async def invite_new(self, cluster: str, role: str, expires_s: float, uses: int) -> tuple[str, InviteView]: ...
    async def invites(self) -> tuple[InviteView, ...]: ...
    async def invite_revoke(self, ticket_id: str) -> InviteView: ...
    async def certificate(self) -> CertificateView: ...
    async def certificate_rotate(self) -> CertificateView: ...
    async def policy(self, channel: str = "", target: str = "") -> PolicyView:
        """With a channel: may it go to `target`, the beginning of a member's id, a cluster or a region? Else to all."""
        ...

    async def config_changes(self, apply: bool) -> ConfigChangesView:
        """What differs between the running node and its file; `apply`: and take what can be taken. An invalid file
        raises, and nothing is changed."""

    async def bus_clients(self, slow: bool) -> tuple[tuple[BusClientView, ...], int]:
        """The busiest queues first, at most 1,000 of them, and how many are connected; `slow`: those alone."""

    async def stop(self) -> None:
        """Drain and end the process; answers before it is gone."""
