"""The plain listener that stands in for gRPC until somebody calls: real sockets, the real server behind."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from arqonmesh.api import client as client_module
from arqonmesh.api import doorstep as doorstep_module
from arqonmesh.api.client import NodeClient
from arqonmesh.api.control import NodeControl
from arqonmesh.api.doorstep import Doorstep, Server
from arqonmesh.api.failures import QueueFull
from arqonmesh.api.mesh_views import MeshEvent
from arqonmesh.api.probe import Listener, answers, listener
from arqonmesh.api.server import ApiServer
from arqonmesh.errors import ConfigError, NotRunning, UsageError
from tests.api.fake import FakeNode
from tests.waiting import until

FAILED = grpc.ChannelConnectivity.TRANSIENT_FAILURE


@pytest_asyncio.fixture
async def step(node: FakeNode, socket_path: Path) -> AsyncIterator[Doorstep]:
    step = Doorstep(node, socket_path)
    await step.start()
    yield step
    await step.close(0)


async def test_the_first_call_is_answered_and_later_ones_reach_the_server_itself(
    step: Doorstep, socket_path: Path
) -> None:
    """The first connection is carried over; after it the path is gRPC's."""
    assert not step.loaded
    async with NodeClient(socket_path) as first:
        assert (await first.node_status()).pid == 4242
        assert step.loaded
        async with NodeClient(socket_path) as second:
            assert (await second.node_status()).pid == 4242
        assert (await first.node_status()).pid == 4242


async def test_callers_who_come_while_it_loads_are_all_answered(step: Doorstep, socket_path: Path) -> None:
    """Ten at once on a cold socket."""
    clients = [NodeClient(socket_path) for _ in range(10)]
    try:
        answered = await asyncio.gather(*(client.node_status() for client in clients))
    finally:
        for client in clients:
            await client.close()
    assert [status.pid for status in answered] == [4242] * 10


async def test_who_only_looks_whether_somebody_listens_loads_nothing(step: Doorstep, socket_path: Path) -> None:
    """A probe connects and leaves; `arqon node start` and health checks do so all day."""
    for _ in range(3 * doorstep_module.CARRIED_MAX):
        assert answers(socket_path)
        await asyncio.sleep(0)
    await until(lambda: not step._carried)
    assert not step.loaded


async def test_a_silent_caller_is_sent_away(step: Doorstep, socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its place is somebody else's."""
    monkeypatch.setattr(doorstep_module, "FIRST_WORD_S", 0.05)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(os.fspath(socket_path))
        caller.setblocking(False)
        async with asyncio.timeout(5):
            assert await asyncio.get_running_loop().sock_recv(caller, 1) == b""
    assert not step.loaded


async def test_more_callers_than_places_wait_until_one_is_free(step: Doorstep, socket_path: Path) -> None:
    """Silent connections are bounded; who comes then is neither refused nor forgotten."""
    loop = asyncio.get_running_loop()
    silent = [socket.socket(socket.AF_UNIX) for _ in range(doorstep_module.CARRIED_MAX)]
    with socket.socket(socket.AF_UNIX) as late:
        try:
            for caller in (*silent, late):
                caller.setblocking(False)
                await loop.sock_connect(caller, os.fspath(socket_path))
                await asyncio.sleep(0)
            await until(lambda: len(step._carried) == doorstep_module.CARRIED_MAX)
            await loop.sock_sendall(late, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
            for _ in range(10):  # turns of the loop
                await asyncio.sleep(0)
            assert not step.loaded
        finally:
            for caller in silent:
                caller.close()
        async with asyncio.timeout(5):
            assert await loop.sock_recv(late, 9), "gRPC's own settings frame"
    async with NodeClient(socket_path) as client:
        assert (await client.node_status()).pid == 4242


def crowd(path: Path) -> list[socket.socket]:
    """Callers who fill the queue of whoever listens there."""
    callers: list[socket.socket] = []
    for _ in range(10 * doorstep_module.CARRIED_MAX):
        caller = socket.socket(socket.AF_UNIX)
        caller.setblocking(False)
        if caller.connect_ex(os.fspath(path)) == errno.EAGAIN:
            caller.close()
            break
        callers.append(caller)
    else:
        pytest.fail("there is room for everyone")
    return callers


async def test_a_call_that_finds_the_queue_full_is_made_again(step: Doorstep, socket_path: Path) -> None:
    """A busy moment of a healthy node: it takes who waits in its next turn, and the call then."""
    callers = crowd(socket_path)
    assert listener(socket_path) is Listener.FULL
    async with NodeClient(socket_path) as client:
        answer = asyncio.ensure_future(client.node_status())
        await asyncio.sleep(0)  # it has called, and nobody was taken in between
        for caller in callers:
            caller.close()
        assert (await answer).pid == 4242


async def test_who_wants_to_watch_and_finds_the_queue_full_waits_as_well(
    step: Doorstep, node: FakeNode, socket_path: Path
) -> None:
    """As any call."""
    callers = crowd(socket_path)
    async with NodeClient(socket_path) as client:
        events = client.watch()
        first = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        for caller in callers:
            caller.close()
        assert await first == node.events[0]
        await events.aclose()  # type: ignore[attr-defined]


async def test_a_queue_that_fills_up_just_before_the_call_is_no_node_that_does_not_run(
    step: Doorstep, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question whether somebody listens took the last place itself; gRPC's own connection finds none."""
    loop = asyncio.get_running_loop()
    assert step._listener is not None
    loop.remove_reader(step._listener)
    with monkeypatch.context() as patience:
        patience.setattr(client_module, "QUEUE_PATIENCE_S", 0.0)
        callers = crowd(socket_path)
        step._accept(1)
        async with NodeClient(socket_path) as client:
            with pytest.raises(QueueFull) as refused:
                await client.node_status()
    assert refused.value.code == "api.deadline"
    async with NodeClient(socket_path) as client:
        step._accept(2)
        loop.remove_reader(step._listener)
        answer = asyncio.ensure_future(client.node_status())
        await until(lambda: client._channel is not None and client._channel.get_state() is FAILED)
        for caller in callers:
            caller.close()
        step._listen()
        assert (await answer).pid == 4242


async def test_who_wants_to_watch_and_whose_call_finds_no_place_calls_again(
    step: Doorstep, node: FakeNode, socket_path: Path
) -> None:
    """As any call, as long as nothing was told; the queue fills up after the question whether somebody listens."""
    loop = asyncio.get_running_loop()
    assert step._listener is not None
    loop.remove_reader(step._listener)
    callers = crowd(socket_path)
    step._accept(1)
    async with NodeClient(socket_path) as client:
        events = client.watch()
        first = asyncio.ensure_future(anext(events))
        await until(lambda: client._channel is not None and client._channel.get_state() is FAILED)
        for caller in callers:
            caller.close()
        step._listen()
        assert await first == node.events[0]
        await events.aclose()  # type: ignore[attr-defined]


async def test_who_was_told_something_is_not_told_it_again(
    step: Doorstep, node: FakeNode, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that has begun and ends as if there were no place is not begun anew."""

    async def cut() -> AsyncIterator[MeshEvent]:
        node.watchers += 1
        yield node.events[0]
        raise QueueFull("api.deadline", "no place")

    monkeypatch.setattr(node, "watch", cut)
    async with NodeClient(socket_path) as client:
        events = client.watch()
        assert await anext(events) == node.events[0]
        with pytest.raises(QueueFull):
            await anext(events)
    assert node.watchers == 1


async def test_who_wants_to_watch_and_never_finds_a_place_gives_up(
    step: Doorstep, node: FakeNode, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its patience, as every call."""

    async def no_place() -> AsyncIterator[MeshEvent]:
        if node.events:
            raise QueueFull("api.deadline", "no place")
        yield node.events[0]

    monkeypatch.setattr(node, "watch", no_place)
    monkeypatch.setattr(client_module, "QUEUE_PATIENCE_S", 0.3)
    async with NodeClient(socket_path) as client, asyncio.timeout(10):
        with pytest.raises(QueueFull):
            await anext(client.watch())


async def test_a_connection_that_breaks_is_no_queue_that_is_full(socket_path: Path) -> None:
    """It was taken: whoever had it may have done what it was asked, and is not asked again."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(socket_path))
        server.listen(8)
        taken = 0

        def hang_up() -> None:
            nonlocal taken
            taken += 1
            server.accept()[0].close()

        asyncio.get_running_loop().add_reader(server, hang_up)
        async with NodeClient(socket_path) as client:
            with pytest.raises(NotRunning):
                await client.node_status()
        asyncio.get_running_loop().remove_reader(server)
        assert taken


WITHOUT_DESCRIPTORS = """
import asyncio, os, resource, sys, time
from pathlib import Path
from structlog.testing import capture_logs
from arqonmesh.api import doorstep
from arqonmesh.api.probe import answers
from tests.api.fake import FakeNode

async def main():
    doorstep.PAUSE_S = 0.05
    step = doorstep.Doorstep(FakeNode(), Path(sys.argv[1]))
    await step.start()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    free = os.dup(0)
    os.close(free)
    with capture_logs() as told:
        assert answers(Path(sys.argv[1]))  # waits in the backlog, and is taken in the next turn of the loop
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        before_s = time.process_time()
        await asyncio.sleep(0.4)
        spent_s = time.process_time() - before_s
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        async with asyncio.timeout(10):
            while step._pause is not None:
                await asyncio.sleep(0.01)
    print(len(told), spent_s < 0.1, step._pause is None)
    await step.close(0)

asyncio.run(main())
"""


def test_without_descriptors_the_node_rests_and_says_so_once(socket_path: Path) -> None:
    """RLIMIT_NOFILE, in a process of its own: a caller who waits neither spins the loop nor fills the log."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DESCRIPTORS, str(socket_path)],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=Path(__file__).parents[2],
    )
    assert (done.stderr, done.stdout.split()) == ("", ["1", "True", "True"])


async def test_the_socket_is_for_its_owner_alone_before_and_after(step: Doorstep, socket_path: Path) -> None:
    """Whoever may open the socket may stop the node."""
    for _ in range(2):
        mode = os.lstat(socket_path).st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
        async with NodeClient(socket_path) as client:
            await client.node_status()
    assert step.loaded
    assert [path.name for path in socket_path.parent.iterdir()] == [socket_path.name]


async def test_what_is_alive_or_no_socket_is_left_alone(step: Doorstep, node: FakeNode, socket_path: Path) -> None:
    """As with the server itself."""
    with pytest.raises(UsageError) as live:
        await Doorstep(node, socket_path).start()
    assert live.value.code == "api.already-running"
    precious = socket_path.with_name("precious")
    precious.write_text("x")
    with pytest.raises(ConfigError):
        await Doorstep(node, precious).start()
    with pytest.raises(ConfigError) as absent:
        await Doorstep(node, socket_path.parent / "absent" / "control.sock").start()
    assert absent.value.code == "api.socket-bind"


@pytest.mark.parametrize("called", [False, True])
async def test_the_end_leaves_no_file(node: FakeNode, socket_path: Path, called: bool) -> None:
    """Called or not."""
    step = Doorstep(node, socket_path)
    await step.start()
    async with NodeClient(socket_path) as client:
        if called:
            await client.node_status()
        await step.close(0)
        with pytest.raises(NotRunning):
            await client.node_status()
    assert not list(socket_path.parent.iterdir())


async def test_a_stop_as_the_first_call_is_answered(node: FakeNode, socket_path: Path) -> None:
    """`arqon node stop` must not report a broken connection as its result."""
    step = Doorstep(node, socket_path)
    await step.start()
    async with NodeClient(socket_path) as client:
        stopped = asyncio.create_task(client.stop())
        await node.stopped.wait()
        await step.close()
        await stopped


async def test_a_stop_while_the_server_loads_leaves_nothing_behind(node: FakeNode, socket_path: Path) -> None:
    """Neither a file nor a server that goes on; callers who wait for it do not load another."""
    loading, go_on = asyncio.Event(), asyncio.Event()
    servers: list[ApiServer] = []
    closed: list[float] = []

    class Slow(ApiServer):
        async def start(self) -> None:
            await super().start()
            loading.set()
            await go_on.wait()

        async def close(self, grace_s: float = 1.0) -> None:
            await super().close(grace_s)
            closed.append(grace_s)

    def make(control: NodeControl, path: Path) -> Server:
        servers.append(Slow(control, path))
        return servers[-1]

    step = Doorstep(node, socket_path, make)
    await step.start()
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
        for caller in (one, two):
            caller.setblocking(False)
            await loop.sock_connect(caller, os.fspath(socket_path))
            await loop.sock_sendall(caller, b"PRI * HTTP/2.0")
        await loading.wait()
        closing = asyncio.create_task(step.close(0))
        await asyncio.sleep(0)
        go_on.set()
        await closing
    assert (list(socket_path.parent.iterdir()), len(servers), closed) == ([], 1, [0])


async def test_a_load_that_is_broken_off_leaves_nothing_behind(node: FakeNode, socket_path: Path) -> None:
    """Whatever ends it."""

    class Broken(ApiServer):
        async def start(self) -> None:
            await super().start()
            raise asyncio.CancelledError

    step = Doorstep(node, socket_path, Broken)
    await step.start()
    with pytest.raises(asyncio.CancelledError):
        await step._load()
    assert [path.name for path in socket_path.parent.iterdir()] == [socket_path.name]
    await step.close(0)


async def test_a_server_that_does_not_start_is_tried_again_by_the_next_caller(
    node: FakeNode, socket_path: Path
) -> None:
    """The caller reads a closed connection; the node goes on."""
    tries = 0

    def make(control: NodeControl, path: Path) -> Server:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ImportError("no module named grpc")
        return ApiServer(control, path)

    step = Doorstep(node, socket_path, make)
    await step.start()
    try:
        with socket.socket(socket.AF_UNIX) as caller:
            caller.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(caller, os.fspath(socket_path))
            await loop.sock_sendall(caller, b"PRI * HTTP/2.0")
            assert await loop.sock_recv(caller, 1) == b""
        async with NodeClient(socket_path) as client:
            assert (await client.node_status()).pid == 4242
    finally:
        await step.close(0)
