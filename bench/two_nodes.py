"""Two real nodes on this machine, seeded, joined and linked, for benchmarks; gone when the block ends."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class BenchNode:
    name: str
    data_dir: Path
    bus_port: int
    http_port: int
    quic_port: int
    pid: int

    def cpu_s(self) -> float:
        """CPU seconds used so far, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mib(self) -> float:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def free_ports(count: int, kind: int = socket.SOCK_STREAM) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = []
    for _ in range(count):
        sock = socket.socket(socket.AF_INET, kind)
        sock.bind(("127.0.0.1", 0))
        sockets.append(sock)
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def arqon(*args: str, timeout_s: float = 30) -> Any:
    """Run the command with --json and return its data. Raises RuntimeError with what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "arqonmesh_cli", *args, "--json"], capture_output=True, text=True, timeout=timeout_s
    )
    if done.returncode != 0:
        raise RuntimeError(f"arqon {' '.join(args)} exited {done.returncode}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)["data"]


@contextlib.contextmanager
def linked_pair(policy: str) -> Iterator[tuple[BenchNode, BenchNode]]:
    """Hub `a` and spoke `b` with this federation policy (YAML) in both; the link is up."""
    with tempfile.TemporaryDirectory(prefix="arqon-bench-") as folder, contextlib.ExitStack() as stack:
        a = _start(stack, Path(folder), "a", "hub", policy)
        b = _start(stack, Path(folder), "b", "spoke", policy)
        arqon("mesh", "seed", "bench", "--data-dir", str(a.data_dir))
        ticket = arqon("invite", "new", "--cluster", "b", "--role", "spoke", "--data-dir", str(a.data_dir))["ticket"]
        arqon("mesh", "join", ticket, "--data-dir", str(b.data_dir))
        deadline = time.monotonic() + 15
        while not any(link["state"] == "up" for link in arqon("link", "ls", "--data-dir", str(b.data_dir))["links"]):
            if time.monotonic() > deadline:
                raise RuntimeError("the link did not come up in 15 s")
        yield a, b


def _start(stack: contextlib.ExitStack, folder: Path, name: str, role: str, policy: str) -> BenchNode:
    data_dir = folder / name
    bus, http = free_ports(2)
    (quic,) = free_ports(1, socket.SOCK_DGRAM)
    where = ["--data-dir", str(data_dir)]
    listen = ["--quic", f"127.0.0.1:{quic}", "--bus", f"127.0.0.1:{bus}", "--http", f"127.0.0.1:{http}"]
    arqon("init", "--cluster", name, "--role", role, *listen, *where)
    config = data_dir / "arqon.yaml"
    config.write_text(_without_federation(config.read_text()) + policy)
    started = arqon("node", "start", "--detach", *where)
    node = BenchNode(name, data_dir, bus, http, quic, int(started["pid"]))
    stack.callback(_stop, node)
    return node


def _without_federation(text: str) -> str:
    """The configuration less its `federation:` block."""
    kept, skipping = [], False
    for line in text.splitlines(keepends=True):
        if line.startswith("federation:"):
            skipping = True
        elif skipping and line[:1] not in (" ", "#", "\n"):
            skipping = False
        if not skipping:
            kept.append(line)
    return "".join(kept)


def _stop(node: BenchNode) -> None:
    with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
        arqon("node", "stop", "--data-dir", str(node.data_dir))
