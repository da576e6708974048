"""The control API on a Unix socket: gRPC in front, a NodeControl behind. It decides nothing."""

# ruff: noqa: N802  # the methods are named as the rpcs in arqonmesh.proto
from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from arqonmesh.api._generated import arqonmesh_pb2 as pb
from arqonmesh.api.control import NodeControl
from arqonmesh.api.convert import fill, to_message
from arqonmesh.api.failures import TEXT_MAX, metadata_of, status_of
from arqonmesh.api.methods import MESSAGE_BYTES_MAX, METHODS, SERVICE, Method, target_of
from arqonmesh.api.socket_file import clear_the_way, making
from arqonmesh.errors import ArqonError, ConfigError

OPTIONS: Final = [
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_concurrent_streams", 64),
]

_log = structlog.get_logger(__name__)


class MeshService:
    """One method per rpc of arqonmesh.proto: request in, NodeControl asked, response out."""

    def __init__(self, control: NodeControl) -> None:
        self._control = control

    async def GetMeshStatus(self, request: pb.GetMeshStatusRequest) -> pb.MeshStatus:
        return to_message(await self._control.mesh_status(), pb.MeshStatus)

    async def WatchMeshEvents(self, request: pb.WatchMeshEventsRequest) -> AsyncIterator[pb.MeshEvent]:
        events = self._control.watch()
        try:
            async for event in events:
                yield to_message(event, pb.MeshEvent)
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()

    async def SeedMesh(self, request: pb.SeedMeshRequest) -> pb.Mesh:
        return to_message(await self._control.seed(request.name, request.policy, request.key), pb.Mesh)

    async def JoinMesh(self, request: pb.JoinMeshRequest) -> pb.Mesh:
        if bool(request.ticket) == bool(request.address):
            raise ConfigError(
                "api.join-request",
                "a join names a ticket or an address; it needs exactly one of them",
                hint="arqon mesh join TICKET",
            )
        if request.ticket:
            return to_message(await self._control.join_ticket(request.ticket), pb.Mesh)
        return to_message(await self._control.join_address(request.address, request.key), pb.Mesh)

    async def SendUserEvent(self, request: pb.SendUserEventRequest) -> pb.UserEventSent:
        return to_message(await self._control.send_event(request.name, request.payload), pb.UserEventSent)

    async def LeaveMesh(self, request: pb.LeaveMeshRequest) -> pb.LeaveMeshResponse:
        await self._control.leave()
        return pb.LeaveMeshResponse()

    async def AddLink(self, request: pb.AddLinkRequest) -> pb.OwnLink:
        return to_message(await self._control.link_add(request.address), pb.OwnLink)

    async def DropLink(self, request: pb.DropLinkRequest) -> pb.DropLinkResponse:
        await self._control.link_remove(request.address)
        return pb.DropLinkResponse()

    async def ListLinks(self, request: pb.ListLinksRequest) -> pb.ListLinksResponse:
        links = await self._control.links()
        return pb.ListLinksResponse(links=[to_message(link, pb.OwnLink) for link in links])

    async def ListBusClients(self, request: pb.ListBusClientsRequest) -> pb.ListBusClientsResponse:
        clients, total = await self._control.bus_clients(request.slow)
        return pb.ListBusClientsResponse(clients=[to_message(one, pb.BusClient) for one in clients], total=total)

    async def ListPeers(self, request: pb.ListPeersRequest) -> pb.ListPeersResponse:
        peers = await self._control.peers()
        return pb.ListPeersResponse(peers=[to_message(peer, pb.Peer) for peer in peers])

    async def GetPeer(self, request: pb.GetPeerRequest) -> pb.Peer:
        return to_message(await self._control.peer(request.prefix), pb.Peer)

    async def BanPeer(self, request: pb.BanPeerRequest) -> pb.Peer:
        return to_message(await self._control.peer_ban(request.prefix, request.reason), pb.Peer)

    async def ForgivePeer(self, request: pb.ForgivePeerRequest) -> pb.Peer:
        return to_message(await self._control.peer_forgive(request.prefix, request.reason), pb.Peer)

    async def GetMatrix(self, request: pb.GetMatrixRequest) -> pb.Matrix:
        return to_message(await self._control.matrix(), pb.Matrix)

    async def GetRoute(self, request: pb.GetRouteRequest) -> pb.Route:
        return to_message(await self._control.route(request.prefix), pb.Route)

    async def CreateInvite(self, request: pb.CreateInviteRequest) -> pb.CreateInviteResponse:
        ticket, invite = await self._control.invite_new(request.cluster, request.role, request.expires_s, request.uses)
        return pb.CreateInviteResponse(ticket=ticket, invite=to_message(invite, pb.Invite))

    async def ListInvites(self, request: pb.ListInvitesRequest) -> pb.ListInvitesResponse:
        invites = await self._control.invites()
        return pb.ListInvitesResponse(invites=[to_message(invite, pb.Invite) for invite in invites])

    async def RevokeInvite(self, request: pb.RevokeInviteRequest) -> pb.Invite:
        return to_message(await self._control.invite_revoke(request.ticket_id), pb.Invite)

    async def GetCertificate(self, request: pb.GetCertificateRequest) -> pb.Certificate:
        return to_message(await self._control.certificate(), pb.Certificate)

    async def RotateCertificate(self, request: pb.RotateCertificateRequest) -> pb.Certificate:
        return to_message(await self._control.certificate_rotate(), pb.Certificate)

    async def GetPolicy(self, request: pb.GetPolicyRequest) -> pb.Policy:
        policy = await self._control.policy(request.channel, request.target)
        message = to_message(policy, pb.Policy)
        del message.decisions[:]
        for decision in policy.decisions:
            fill(message.decisions.add(), decision)
        return message

    async def ReloadConfig(self, request: pb.ReloadConfigRequest) -> pb.ConfigChanges:
        return to_message(await self._control.config_changes(request.apply), pb.ConfigChanges)

    async def GetNodeStatus(self, request: pb.GetNodeStatusRequest) -> pb.NodeStatus:
        return to_message(await self._control.node_status(), pb.NodeStatus)

    async def StopNode(self, request: pb.StopNodeRequest) -> pb.StopNodeResponse:
        await self._control.stop()
        return pb.StopNodeResponse()


class ApiServer:
    """`start()` binds the socket, `close()` lets calls in flight finish. One per process."""

    def __init__(self, control: NodeControl, socket: str | os.PathLike[str]) -> None:
        self._socket = Path(socket)
        self._target = target_of(socket)
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # not in the stubs
        service = MeshService(control)
        handlers = {name: _handler(method, getattr(service, name)) for name, method in METHODS.items()}
        self._server = grpc.aio.server(options=OPTIONS)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)

    async def start(self) -> None:
        """Serve. Raises UsageError when another process serves here, ConfigError when nobody could."""
        clear_the_way(self._socket)
        with making(self._socket):
            self._server.add_insecure_port(self._target)
        await self._server.start()
        for name in ("", SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def close(self, grace_s: float = 1.0) -> None:
        """Refuse new calls, give those in flight `grace_s`, remove the socket."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)
        self._socket.unlink(missing_ok=True)


def _handler(method: Method, call: Callable[[Any], Any]) -> grpc.RpcMethodHandler[Any, Any]:
    if method.streams:

        async def answer_stream(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                async with contextlib.aclosing(call(request)) as messages:
                    async for message in messages:
                        yield message
            except Exception as error:
                await _fail(context, method.name, error)

        return grpc.unary_stream_rpc_method_handler(
            answer_stream,
            request_deserializer=method.decode_request,
            response_serializer=method.encode,
        )

    async def answer(request: Any, context: Any) -> Any:
        try:
            return await call(request)
        except Exception as error:
            await _fail(context, method.name, error)

    return grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=method.decode_request, response_serializer=method.encode
    )


async def _fail(context: Any, method: str, error: Exception) -> None:
    """End the call with the error's status. What was not raised on purpose is a bug: logged whole."""
    if not isinstance(error, ArqonError):
        _log.error("control call failed", method=method, exc_info=error)
        error = ArqonError(
            "api.internal",
            f"{method} failed inside the node: {type(error).__name__}: {error}",
            hint="arqon node logs",
        )
    await context.abort(status_of(error), error.sentence[:TEXT_MAX], metadata_of(error))
