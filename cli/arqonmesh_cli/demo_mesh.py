"""The demo's mesh: three node processes in a temporary directory, made with the same commands that people type."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from arqonmesh.api.client import NodeClient
from arqonmesh.api.node_views import NodeStatus
from arqonmesh.errors import ArqonError, TimedOut
from arqonmesh_cli import contexts
from arqonmesh_cli.connect import client_of
from arqonmesh_cli.processes import began, gone, listener_pid, wait_gone
from arqonmesh_cli.where import place_of

MESH: Final = "demo"
NODES: Final = (("hq", "hub"), ("factory", "spoke"), ("store", "spoke"))
EXPORTED: Final = "telemetry:host"
LOCAL: Final = "raw:proc"
READY_S: Final = 20.0
STOP_S: Final = 8.0


@dataclass(slots=True)
class DemoNode:
    """One node process and the connection to its control socket."""

    name: str
    role: str
    data_dir: Path
    client: NodeClient
    status: NodeStatus
    since: str
    """When its process began: with its number, which process it is."""


@dataclass(slots=True)
class DemoMesh:
    directory: Path
    nodes: list[DemoNode] = field(default_factory=list)

    def node(self, name: str) -> DemoNode:
        return next(node for node in self.nodes if node.name == name)

    def refuse_ended(self) -> None:
        """Raises ArqonError `demo.node-ended` when a node is there no more: what it would be asked next, and what
        would be advised then, means a directory that goes with the demo."""
        ended = [node.name for node in self.nodes if gone(node.status.pid, node.since)]
        if ended:
            raise ArqonError(
                "demo.node-ended",
                f"{' and '.join(ended)} of the demo ended by itself; everything else is stopped and removed",
                hint="arqon demo",
            )

    def to_try(self) -> tuple[str, ...]:
        """Lines to type while it runs."""
        hq = self.node("hq").status
        join = json.dumps({"command": "join_channel", "args": {"channel": EXPORTED}}, separators=(",", ":"))
        return (
            f"arqon sub {EXPORTED} --context hq      # what the policy lets out",
            f"arqon sub {LOCAL} --context factory       # what it keeps; at hq: nothing",
            "arqon pub telemetry:me hello --context store    # and what came of it at hq:",
            f"  curl '{hq.http}/history?channel=telemetry:me'",
            "arqon policy show --context factory        # which rule decided what",
            f"wscat -c {hq.bus}      # then type:",
            f"  {join}",
        )


@contextlib.asynccontextmanager
async def demo_mesh(say: Callable[[str], None]) -> AsyncIterator[DemoMesh]:
    """The mesh, linked and ready; at the end every process of it is gone and so is the directory. Raises UsageError
    `cli.context-taken` while another demo has the names, and `demo.node-ended` for what fails because a node died."""
    contexts.refuse_taken({name: Path() for name, _ in NODES})  # before anything is started in vain
    mesh = DemoMesh(Path(tempfile.mkdtemp(prefix="arqon-demo-")))
    directories = {name: mesh.directory / name for name, _ in NODES}
    starts: list[asyncio.Task[DemoNode]] = []
    try:
        say(f"starting hq, factory and store in {mesh.directory}")
        ports = iter(_free_ports(3 * len(NODES)))
        for name, role in NODES:
            listen = [f"127.0.0.1:{next(ports)}" for _ in range(3)]
            starts.append(asyncio.create_task(_start(name, role, directories[name], listen)))
        # Shielded: a start that is interrupted halfway would leave a process that nobody knows.
        mesh.nodes = list(await asyncio.shield(asyncio.gather(*starts)))
        contexts.claim(directories)
        await _form(mesh, say)
        yield mesh
    except ArqonError as error:
        mesh.refuse_ended()
        if str(mesh.directory) in error.hint:
            error.hint = "arqon demo"  # of what the hint speaks nothing is left
        raise
    finally:
        contexts.unregister(directories)
        await _finish(_end(starts, directories))
        shutil.rmtree(mesh.directory, ignore_errors=True)


async def _form(mesh: DemoMesh, say: Callable[[str], None]) -> None:
    hq = mesh.node("hq").client
    seeded = await hq.seed(MESH, "key", "")
    say(f"mesh {seeded.name} seeded: {seeded.id}")
    for node in mesh.nodes[1:]:
        ticket, _ = await hq.invite_new(node.name, node.role, 3_600.0, 1)
        await node.client.join_ticket(ticket)
        say(f"{node.name} joined with a ticket")
    deadline = time.monotonic() + READY_S
    while not all([await _complete(node) for node in mesh.nodes]):
        if time.monotonic() > deadline:
            raise TimedOut(
                "demo.not-linked",
                f"the three nodes did not link in {READY_S:.0f} s; they need loopback UDP between each other",
                hint="arqon demo, and meanwhile: arqon node logs --context hq",
            )
        await asyncio.sleep(0.05)
    say("three members, two links up")


async def _complete(node: DemoNode) -> bool:
    status = await node.client.mesh_status()
    up = sum(link.state == "up" for link in status.links)
    return sum(member.state == "alive" for member in status.nodes) == len(NODES) and up >= len(NODES) - 1


async def _start(name: str, role: str, data_dir: Path, listen: list[str]) -> DemoNode:
    at = ("--data-dir", str(data_dir))
    quic, bus, http = listen
    await _arqon(
        *("init", "--cluster", name, "--role", role, "--region", "here", *at),
        *("--quic", quic, "--bus", bus, "--http", http, "--telemetry", "127.0.0.1:0"),
        *("--export", "telemetry:*", "--keep", "telemetry:secret*"),
    )
    await _arqon("node", "start", "--detach", *at)
    client = client_of(place_of(data_dir, None))
    status = await client.node_status()
    return DemoNode(name, role, data_dir, client, status, began(status.pid))


async def _arqon(*words: str) -> Any:
    """Run this very command with --json, apart from our signals and our settings; its data."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ARQON_", "ARQONBUS_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "arqonmesh_cli", *words, "--json"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env=environment,
    )
    out, err = await process.communicate()
    try:
        answer = json.loads(out)
        error = None if answer["ok"] else answer["error"]
    except (ValueError, KeyError, TypeError):
        answer, error = {}, {"code": "demo.command", "message": (out + err).decode(errors="replace")[-500:], "hint": ""}
    if error is not None:
        raise ArqonError(error["code"], f"arqon {words[0]}: {error['message']}", hint=error["hint"])
    return answer["data"]


async def _finish(ending: Coroutine[Any, Any, None]) -> None:
    """Await to the end, also when Ctrl-C or a signal comes a second time."""
    task = asyncio.create_task(ending)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    task.result()


async def _end(starts: list[asyncio.Task[DemoNode]], directories: dict[str, Path]) -> None:
    """Stop every node that has begun, politely, then by signal."""
    begun = await asyncio.gather(*starts, return_exceptions=True)
    sockets = [place_of(directory, None).socket for directory in directories.values()]
    pids = {node.status.pid for node in begun if isinstance(node, DemoNode)}
    pids |= {pid for path in sockets if (pid := listener_pid(path)) is not None}
    for node in begun:
        if isinstance(node, DemoNode):
            with contextlib.suppress(ArqonError):
                await node.client.stop()
            await node.client.close()
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            if number is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        deadline = time.monotonic() + STOP_S
        gone = [await asyncio.to_thread(wait_gone, pid, deadline - time.monotonic()) for pid in pids]
        pids = {pid for pid, is_gone in zip(pids, gone, strict=True) if not is_gone}
        if not pids:
            return


def _free_ports(count: int) -> list[int]:
    """Loopback ports that are free now for TCP and UDP alike."""
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            tcp = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            udp = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            with contextlib.suppress(OSError):
                udp.bind(("127.0.0.1", port))
                ports.append(port)
        return ports
