"""The control socket, spoken to by the real client over a real Unix socket."""

# ruff: noqa: ASYNC240  # a test may look at its own temporary files
from __future__ import annotations

import asyncio
import socket
import stat
import tempfile
from pathlib import Path

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from arqonmesh.api.client import NodeClient
from arqonmesh.api.methods import SERVICE, target_of
from arqonmesh.api.probe import answers
from arqonmesh.api.server import ApiServer
from arqonmesh.errors import ArqonError, ConfigError, Denied, NotRunning, UsageError
from tests.api.fake import FACTORY, FakeNode


async def test_every_answer_is_the_one_the_node_gave(client: NodeClient, node: FakeNode) -> None:
    """The client is a NodeControl: the same call on both sides gives the same value."""
    assert await client.node_status() == await node.node_status()
    assert await client.mesh_status() == await node.mesh_status()
    assert await client.seed("acme", "key", "secret") == await node.seed("acme", "key", "secret")
    assert await client.join_ticket("t") == await node.join_ticket("t")
    assert await client.join_address("h:1", "k") == await node.join_address("h:1", "k")
    assert await client.link_add("h:1") == await node.link_add("h:1")
    assert await client.links() == await node.links()
    assert await client.peers() == await node.peers()
    assert await client.peer(FACTORY[:4]) == await node.peer(FACTORY[:4])
    assert await client.peer_ban(FACTORY[:4], "why") == await node.peer_ban(FACTORY[:4], "why")
    assert await client.peer_forgive(FACTORY[:4], "") == await node.peer_forgive(FACTORY[:4], "")
    assert await client.matrix() == await node.matrix()
    assert await client.route("store") == await node.route("store")
    assert await client.invite_new("factory", "spoke", 3600.0, 1) == await node.invite_new(
        "factory", "spoke", 3600.0, 1
    )
    assert await client.invites() == await node.invites()
    assert await client.invite_revoke("01") == await node.invite_revoke("01")
    assert await client.certificate() == await node.certificate()
    assert await client.certificate_rotate() == await node.certificate_rotate()
    assert await client.policy() == await node.policy()
    assert await client.send_event("deploy", b"\x00v1") == await node.send_event("deploy", b"\x00v1")
    await client.link_remove("h:1")
    await client.leave()


async def test_arguments_arrive_as_they_were_given(client: NodeClient, node: FakeNode) -> None:
    """What the operator typed reaches the node, non-ASCII included."""
    await client.seed("Straße ☂", "key", "schlüssel")
    await client.invite_new("factory", "spoke", 0.5, 3)
    assert ("seed", ("Straße ☂", "key", "schlüssel")) in node.calls
    assert ("invite_new", ("factory", "spoke", 0.5, 3)) in node.calls


async def test_a_watcher_gets_the_newest_events_and_its_end_reaches_the_node(
    client: NodeClient, node: FakeNode
) -> None:
    """A screen that is closed must not leave a stream open in the node."""
    seen = []
    events = client.watch()
    async for event in events:
        seen.append(event)
        if len(seen) == 2:
            break
    await events.aclose()  # type: ignore[attr-defined]
    assert seen == node.events
    await asyncio.wait_for(node.watch_ended.wait(), 5)


async def test_the_socket_is_for_its_owner_alone(server: ApiServer, socket_path: Path) -> None:
    """Whoever may open the socket may stop the node: mode 0600."""
    mode = socket_path.lstat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


async def test_a_path_with_odd_characters_works(node: FakeNode) -> None:
    """Spaces, percent signs and letters beyond ASCII are ordinary in a directory's name."""
    with tempfile.TemporaryDirectory(prefix="a %20é#?") as directory:
        path = Path(directory) / "control.sock"
        server = ApiServer(node, path)
        await server.start()
        try:
            async with NodeClient(path) as client:
                assert (await client.node_status()).pid == 4242
        finally:
            await server.close(0)
        assert not path.exists()


async def test_a_second_server_on_a_live_socket_is_refused(
    server: ApiServer, node: FakeNode, socket_path: Path
) -> None:
    """One data directory is one node; the first one stays reachable."""
    with pytest.raises(UsageError) as caught:
        await ApiServer(node, socket_path).start()
    assert caught.value.code == "api.already-running"
    assert answers(socket_path)


async def test_a_socket_that_is_another_users_is_not_taken_for_a_dead_one(
    node: FakeNode, server: ApiServer, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told to start what runs, and nobody's socket is taken away."""

    def refuse(of: socket.socket, address: str) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(socket.socket, "connect", refuse)
        with pytest.raises(Denied) as caught:
            await NodeClient(socket_path).mesh_status()
        assert caught.value.code == "api.denied"
        with pytest.raises(Denied):
            await ApiServer(node, socket_path).start()
    assert answers(socket_path)


async def test_a_socket_that_a_dead_process_left_is_taken_over(node: FakeNode, socket_path: Path) -> None:
    """After kill -9 the file remains; the next start must not need a hand."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_path))
    assert socket_path.exists()
    server = ApiServer(node, socket_path)
    await server.start()
    assert answers(socket_path)
    await server.close(0)


async def test_a_file_that_is_not_a_socket_is_never_removed(node: FakeNode, socket_path: Path) -> None:
    """Somebody's file under our name is somebody's file."""
    socket_path.write_text("precious")
    with pytest.raises(ConfigError) as caught:
        await ApiServer(node, socket_path).start()
    assert caught.value.code == "api.socket-bind"
    assert socket_path.read_text() == "precious"


async def test_a_missing_directory_is_an_error_that_says_so(node: FakeNode, socket_path: Path) -> None:
    """The bind's failure comes as our error, with the directory to look at."""
    with pytest.raises(ConfigError) as caught:
        await ApiServer(node, socket_path.parent / "absent" / "control.sock").start()
    assert caught.value.code == "api.socket-bind"
    assert "absent" in caught.value.hint


def test_a_path_too_long_for_the_kernel_is_refused_before_anything_happens() -> None:
    """unix(7): 108 bytes with the terminator."""
    assert target_of("/" + "a" * 106).startswith("unix:/a")
    with pytest.raises(ConfigError) as caught:
        target_of("/" + "a" * 107)
    assert caught.value.code == "api.socket-path"


async def test_without_a_node_the_client_says_not_running(socket_path: Path) -> None:
    """Exit code 3, with the command that starts it; no waiting for a connection that will not come."""
    async with NodeClient(socket_path, start_hint="arqon node start --data-dir /x") as client:
        with pytest.raises(NotRunning) as caught:
            await client.mesh_status()
        assert caught.value.exit_code == 3
        assert caught.value.hint == "arqon node start --data-dir /x"


async def test_a_client_outlives_the_node_and_finds_its_successor(node: FakeNode, socket_path: Path) -> None:
    """The live screen stays open while the node restarts."""
    first = ApiServer(node, socket_path)
    await first.start()
    async with NodeClient(socket_path) as client:
        await client.node_status()
        await first.close(0)
        with pytest.raises(NotRunning):
            await client.node_status()
        second = ApiServer(node, socket_path)
        await second.start()
        assert (await client.node_status()).pid == 4242
        await second.close(0)


async def test_stopping_answers_before_the_server_is_gone(
    client: NodeClient, server: ApiServer, node: FakeNode
) -> None:
    """`arqon node stop` must not report a broken connection as its result."""
    await client.stop()
    assert node.stopped.is_set()


async def test_health_and_reflection_are_served(server: ApiServer, socket_path: Path) -> None:
    """Standard tools (grpcurl, grpc_health_probe) work on the socket."""
    async with grpc.aio.insecure_channel(target_of(socket_path)) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service=SERVICE))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING

        async def ask() -> object:
            yield reflection_pb2.ServerReflectionRequest(list_services="")

        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        async for answer in stub.ServerReflectionInfo(ask()):
            names = {service.name for service in answer.list_services_response.service}
            break
    assert {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} <= names


async def test_an_unforeseen_failure_is_told_briefly_and_does_not_end_the_server(
    client: NodeClient, node: FakeNode
) -> None:
    """A bug in one answer is logged in the node and costs nobody else anything."""
    node.failure = ZeroDivisionError("division by zero")
    with pytest.raises(ArqonError) as caught:
        await client.links()
    assert caught.value.code == "api.internal"
    assert "ZeroDivisionError" in caught.value.sentence
    node.failure = None
    assert await client.links() == await node.links()
