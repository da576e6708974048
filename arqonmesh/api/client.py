"""The control API's client. It is a NodeControl itself, so a script can do what the runtime offers."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.message import Message

from arqonmesh.api._generated import arqonmesh_pb2 as pb
from arqonmesh.api.convert import to_view
from arqonmesh.api.failures import QueueFull, error_of, not_running, takes_no_calls
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
from arqonmesh.api.methods import MESSAGE_BYTES_MAX, METHODS, target_of
from arqonmesh.api.node_views import (
    BusClientView,
    CertificateView,
    ConfigChangesView,
    NodeStatus,
    OwnLinkView,
    PolicyView,
)
from arqonmesh.api.probe import Listener, listener

CALL_TIMEOUT_S: Final = 10.0
JOIN_TIMEOUT_S: Final = 60.0
"""A join dials, shakes hands and waits for the admission to be on the other side's disk."""
QUEUE_PATIENCE_S: Final = 2.0
"""A node whose queue of calls is full is called again for so long, and then takes none."""
QUEUE_PAUSE_S: Final = 0.1
OPTIONS: Final = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", int(QUEUE_PAUSE_S * 1_000)),
    ("grpc.max_reconnect_backoff_ms", int(QUEUE_PAUSE_S * 1_000)),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
]


class NodeClient:
    """Speaks to the node behind one control socket.

        async with NodeClient(socket, start_hint="arqon node start") as node:
            status = await node.mesh_status()

    Every method raises the ArqonError that the node raised, NotRunning when none answers, TimedOut when
    it is late, and QueueFull, which is a TimedOut, when it takes no calls.
    """

    def __init__(self, socket: str | os.PathLike[str], *, start_hint: str = "arqon node start") -> None:
        self._socket = Path(socket)
        self._start_hint = start_hint
        self._target = target_of(socket)
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> NodeClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close(None)
            self._channel = None

    async def node_status(self) -> NodeStatus:
        return to_view(await self._call(pb.GetNodeStatusRequest()), NodeStatus)

    async def mesh_status(self) -> MeshStatus:
        return to_view(await self._call(pb.GetMeshStatusRequest()), MeshStatus)

    async def watch(self) -> AsyncIterator[MeshEvent]:
        method, told = METHODS["WatchMeshEvents"], False
        until_s = time.monotonic() + QUEUE_PATIENCE_S
        while True:
            channel = await self._connected(until_s)
            call = channel.unary_stream(
                method.path, request_serializer=method.encode, response_deserializer=method.decode_response
            )(pb.WatchMeshEventsRequest())
            try:
                async for message in call:
                    told = True
                    yield to_view(message, MeshEvent)
                return
            except grpc.aio.AioRpcError as failure:
                error = self._error(failure)
                if told or not isinstance(error, QueueFull) or time.monotonic() >= until_s:  # else as in `_call`
                    raise error from failure
            finally:
                call.cancel()
            await asyncio.sleep(QUEUE_PAUSE_S)

    async def seed(self, name: str, policy: str, key: str) -> MeshView:
        return to_view(await self._call(pb.SeedMeshRequest(name=name, policy=policy, key=key)), MeshView)

    async def join_ticket(self, ticket: str, *, timeout_s: float = JOIN_TIMEOUT_S) -> MeshView:
        """`timeout_s`: when it is over the node gives the join up."""
        return to_view(await self._call(pb.JoinMeshRequest(ticket=ticket), timeout_s), MeshView)

    async def join_address(self, address: str, key: str, *, timeout_s: float = JOIN_TIMEOUT_S) -> MeshView:
        """As `join_ticket`."""
        return to_view(await self._call(pb.JoinMeshRequest(address=address, key=key), timeout_s), MeshView)

    async def send_event(self, name: str, payload: bytes) -> UserEventSent:
        return to_view(await self._call(pb.SendUserEventRequest(name=name, payload=payload)), UserEventSent)

    async def leave(self) -> None:
        await self._call(pb.LeaveMeshRequest())

    async def link_add(self, address: str) -> OwnLinkView:
        return to_view(await self._call(pb.AddLinkRequest(address=address)), OwnLinkView)

    async def link_remove(self, address: str) -> None:
        await self._call(pb.DropLinkRequest(address=address))

    async def links(self) -> tuple[OwnLinkView, ...]:
        answer = await self._call(pb.ListLinksRequest())
        return tuple(to_view(link, OwnLinkView) for link in answer.links)

    async def peers(self) -> tuple[PeerView, ...]:
        answer = await self._call(pb.ListPeersRequest())
        return tuple(to_view(peer, PeerView) for peer in answer.peers)

    async def peer(self, prefix: str) -> PeerView:
        return to_view(await self._call(pb.GetPeerRequest(prefix=prefix)), PeerView)

    async def peer_ban(self, prefix: str, reason: str) -> PeerView:
        return to_view(await self._call(pb.BanPeerRequest(prefix=prefix, reason=reason)), PeerView)

    async def peer_forgive(self, prefix: str, reason: str) -> PeerView:
        return to_view(await self._call(pb.ForgivePeerRequest(prefix=prefix, reason=reason)), PeerView)

    async def matrix(self) -> MatrixView:
        return to_view(await self._call(pb.GetMatrixRequest()), MatrixView)

    async def route(self, prefix: str) -> RouteView:
        return to_view(await self._call(pb.GetRouteRequest(prefix=prefix)), RouteView)

    async def invite_new(self, cluster: str, role: str, expires_s: float, uses: int) -> tuple[str, InviteView]:
        request = pb.CreateInviteRequest(cluster=cluster, role=role, expires_s=expires_s, uses=uses)
        answer = await self._call(request, JOIN_TIMEOUT_S)  # it may wait for a quorum
        return answer.ticket, to_view(answer.invite, InviteView)

    async def invites(self) -> tuple[InviteView, ...]:
        answer = await self._call(pb.ListInvitesRequest())
        return tuple(to_view(invite, InviteView) for invite in answer.invites)

    async def invite_revoke(self, ticket_id: str) -> InviteView:
        return to_view(await self._call(pb.RevokeInviteRequest(ticket_id=ticket_id)), InviteView)

    async def bus_clients(self, slow: bool) -> tuple[tuple[BusClientView, ...], int]:
        answer = await self._call(pb.ListBusClientsRequest(slow=slow))
        return tuple(to_view(client, BusClientView) for client in answer.clients), answer.total

    async def certificate(self) -> CertificateView:
        return to_view(await self._call(pb.GetCertificateRequest()), CertificateView)

    async def certificate_rotate(self) -> CertificateView:
        return to_view(await self._call(pb.RotateCertificateRequest()), CertificateView)

    async def policy(self, channel: str = "", target: str = "") -> PolicyView:
        return to_view(await self._call(pb.GetPolicyRequest(channel=channel, target=target)), PolicyView)

    async def config_changes(self, apply: bool) -> ConfigChangesView:
        return to_view(await self._call(pb.ReloadConfigRequest(apply=apply)), ConfigChangesView)

    async def stop(self, *, patience_s: float = CALL_TIMEOUT_S) -> None:
        """`patience_s`: when it is over the node has not answered in time, if not before."""
        await self._call(pb.StopNodeRequest(), min(patience_s, CALL_TIMEOUT_S))

    async def _call(self, request: Message, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        until_s = time.monotonic() + QUEUE_PATIENCE_S
        while True:
            try:
                return await self._call_once(request, timeout_s, until_s)
            except QueueFull:  # it filled up between the question who listens and the call, which nobody has taken
                if time.monotonic() >= until_s:
                    raise
            await asyncio.sleep(QUEUE_PAUSE_S)

    async def _call_once(self, request: Message, timeout_s: float, until_s: float) -> Any:
        method = METHODS[request.DESCRIPTOR.name.removesuffix("Request")]
        channel = await self._connected(until_s)
        call = channel.unary_unary(
            method.path, request_serializer=method.encode, response_deserializer=method.decode_response
        )
        try:
            return await call(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as failure:
            raise self._error(failure) from failure

    async def _connected(self, until_s: float) -> grpc.aio.Channel:
        """`until_s`: when (time.monotonic) a full queue is reason enough to give up."""
        # Asking the kernel first answers at once where gRPC would back off and try again.
        while (found := listener(self._socket)) is Listener.FULL:
            if time.monotonic() >= until_s:
                raise takes_no_calls(str(self._socket))
            await asyncio.sleep(QUEUE_PAUSE_S)
        if found is Listener.NOBODY:
            raise not_running(str(self._socket), self._start_hint)
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self._target, options=OPTIONS)
        return self._channel

    def _error(self, failure: grpc.aio.AioRpcError) -> Exception:
        return error_of(failure, socket=str(self._socket), start_hint=self._start_hint)
