"""Real `arqon` processes on this machine's loopback: made, started, killed and stopped for tests and benchmarks.

Every node is driven as a user would, through the command with --json; nothing is shared with the caller but files.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arqonmesh.errors import Degraded
from arqonmesh_testbed.bytecode import write_bytecode


class CommandFailed(Exception):
    """An `arqon` command ended with an error; `code` is its exit code, `error` the object it printed."""

    def __init__(self, args: Sequence[str], code: int, error: dict[str, Any], output: str) -> None:
        super().__init__(f"arqon {' '.join(args)} exited {code}: {error or output}")
        self.code = code
        self.error = error


def arqon(*args: str, timeout_s: float = 40) -> Any:
    """Run the command with --json; its data. Raises CommandFailed."""
    done = subprocess.run(  # noqa: S603 -- our own program
        [sys.executable, "-m", "arqonmesh_cli", *args, "--json"], capture_output=True, text=True, timeout=timeout_s
    )
    try:
        answer = json.loads(done.stdout)
    except json.JSONDecodeError:
        answer = {}
    return data_of(args, done.returncode, answer, done.stdout + done.stderr)


def data_of(args: Sequence[str], code: int, answer: dict[str, Any], text: str) -> Any:
    """The data of an answer, or CommandFailed. Exit code 7 says that the mesh is not healthy, and has data, too."""
    if code not in (0, Degraded.exit_code) or not answer.get("ok"):
        raise CommandFailed(args, code, answer.get("error", {}), text)
    return answer["data"]


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port that was free a moment ago. It lies below the range from which the kernel hands ports to outgoing
    connections, and is not given twice by one process: between here and a node's start, nobody else takes it."""
    for port in _ports:
        with socket.socket(socket.AF_INET, kind) as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise AssertionError("the ports never end")


def _shuffled_ports() -> Iterator[int]:
    """Every process begins somewhere else; round and round."""
    low, high = 10_000, 32_000
    start = random.randrange(high - low)
    return (low + (start + step) % (high - low) for step in itertools.count())


_ports = _shuffled_ports()


def until(what: str, true: Callable[[], Any], timeout_s: float = 15.0, every_s: float = 0.05) -> Any:
    """Ask until the answer is true; what it was. Raises TimeoutError that says what did not happen."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = true()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen in {timeout_s:g} s")
        time.sleep(every_s)


@dataclass(slots=True)
class LoopbackNode:
    """One node: its directory, its ports, and its process while it runs."""

    name: str
    role: str
    data_dir: Path
    quic: int
    bus: int
    http: int
    command: Callable[..., Any] = arqon
    """Runs one command line; another one than `arqon` runs it without a process of its own."""
    pid: int = 0

    def __call__(self, *args: str, timeout_s: float = 40) -> Any:
        """`arqon ARGS` at this node."""
        return self.command(*args, "--data-dir", str(self.data_dir), timeout_s=timeout_s)

    def start(self) -> None:
        self.pid = int(self("node", "start", "--detach")["pid"])

    def stop(self) -> None:
        self("node", "stop")
        self.pid = 0

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        process = Path(f"/proc/{self.pid}")

        def gone() -> bool:
            """Its threads too: one that is writing to the disk ends later, and holds the files until then."""
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                return ") Z " in (process / "stat").read_text() and len(list((process / "task").iterdir())) <= 1
            return True

        until("the end of the process", gone, every_s=0.005)
        self.pid = 0

    def cpu_s(self) -> float:
        """CPU seconds used so far, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mib(self) -> float:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def links_up(self) -> int:
        return sum(link["state"] == "up" for link in self("link", "ls")["links"])

    def root(self) -> str:
        """Hash over all statements that it knows."""
        return str(self("mesh", "status")["mesh"]["root"])


@dataclass(slots=True)
class LoopbackMesh:
    """Nodes that share nothing but the loopback."""

    folder: Path
    config: str = ""
    """YAML appended to every arqon.yaml: sections that `arqon init` does not write by itself."""
    command: Callable[..., Any] = arqon
    nodes: dict[str, LoopbackNode] = field(default_factory=dict)

    def make(self, name: str, role: str = "spoke", *, config: str | None = None, cluster: str = "") -> LoopbackNode:
        """Initialise a node of its own cluster; not yet started."""
        ports = free_port(socket.SOCK_DGRAM), free_port(), free_port()
        node = LoopbackNode(name, role, self.folder / name, *ports, self.command)
        node(
            "init",
            *("--cluster", cluster or name, "--role", role),
            *("--quic", f"127.0.0.1:{node.quic}", "--bus", f"127.0.0.1:{node.bus}"),
            *("--http", f"127.0.0.1:{node.http}", "--telemetry", "127.0.0.1:0"),
        )
        path = node.data_dir / "arqon.yaml"
        path.write_text(merged(path.read_text(), self.config if config is None else config))
        self.nodes[name] = node
        return node

    def seed(self, name: str = "hq", *, config: str | None = None) -> LoopbackNode:
        """Make and start a hub that founds the mesh."""
        node = self.make(name, "hub", config=config)
        node.start()
        node("mesh", "seed", "test")
        return node

    def join(
        self, name: str, via: LoopbackNode, role: str = "spoke", *, config: str | None = None, cluster: str = ""
    ) -> LoopbackNode:
        """Make and start a node, of a cluster of its own unless one is named; let it join with a ticket, wait for its
        link."""
        node = self.make(name, role, config=config, cluster=cluster)
        node.start()
        ticket = via("invite", "new", "--cluster", cluster or name, "--role", role)["ticket"]
        node("mesh", "join", ticket)
        until(f"the link of {name}", node.links_up)
        return node

    def close(self) -> None:
        """End every process that is still there."""
        for node in self.nodes.values():
            if node.pid:
                with contextlib.suppress(CommandFailed, subprocess.TimeoutExpired):
                    node.stop()
            if node.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(node.pid, signal.SIGKILL)


@contextlib.contextmanager
def loopback_mesh(config: str = "", command: Callable[..., Any] = arqon) -> Iterator[LoopbackMesh]:
    """A mesh in a temporary directory; its processes are gone when the block ends, also by SIGTERM, or by SIGINT where
    a shell had it ignored."""
    write_bytecode()
    with _ended_by_signals(), tempfile.TemporaryDirectory(prefix="arqon-") as folder:
        mesh = LoopbackMesh(Path(folder), config, command)
        try:
            yield mesh
        finally:
            mesh.close()


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Signals that end the process raise SystemExit in the block; in the main thread alone, others cannot."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number, handler in before.items():
        if handler in (signal.SIG_DFL, signal.SIG_IGN):
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def merged(text: str, more: str) -> str:
    """The YAML text with the top-level sections of `more` in place of its own of the same name."""
    names = {line.split(":", 1)[0] for line in more.splitlines() if line[:1].isalpha()}
    kept, skipping = [], False
    for line in text.splitlines():
        if line[:1].isalpha():
            skipping = line.split(":", 1)[0] in names
        if not skipping:
            kept.append(line)
    return "\n".join(kept) + "\n" + more.strip("\n") + "\n"
