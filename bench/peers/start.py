"""The peers that this machine has, started one at a time; those it has not are skipped by name.

nats-server     on the path, or where Debian's package puts it (`apt-get install nats-server`)
ws, socket.io   `npm install ws socket.io` in any folder, named by `ARQON_BENCH_NODE_MODULES` (its node_modules);
                without it, what clients/typescript has
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from arqonmesh_testbed.loopback import free_port, loopback_mesh
from bench import inline
from bench.peers import hubs
from bench.peers.dialects import ARQON, NATS, PLAIN, SOCKETIO, Dialect, open_websocket

_HUBS: Final = Path(next(iter(hubs.__path__)))
_ROOT: Final = Path(__file__).parents[2]
_NATS: Final = """
listen: "127.0.0.1:{port}"
websocket {{ listen: "127.0.0.1:{websocket}", no_tls: true, compression: false }}
"""


class Missing(Exception):
    """This machine has no such peer; the text says what would bring it."""


@dataclass(frozen=True, slots=True)
class Running:
    """A bus that listens."""

    dialect: Dialect
    port: int
    pid: int

    def cpu_s(self) -> float:
        """CPU seconds used so far, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


NAMES: Final = ("arqon", "arqon node", "nats", "picows", "ws", "socket.io", "websockets", "python-socketio")
"""`arqon` is the bus alone; `arqon node` is a whole node with its durable history."""


@contextlib.contextmanager
def running(name: str) -> Iterator[Running]:
    """The bus of this name, or of the checkout at this path; raises Missing."""
    match name:
        case "arqon":
            with _program(ARQON, [sys.executable, "-m", "bench.peers.hubs.arqon_bus"]) as peer:
                yield peer
        case "arqon node":
            with loopback_mesh(command=inline.arqon) as mesh:
                node = mesh.make("fan")
                node.start()
                yield Running(ARQON, node.bus, node.pid)
        case "nats":
            with _nats() as peer:
                yield peer
        case "picows" | "websockets":
            with _program(PLAIN, [sys.executable, str(_HUBS / f"{name}_hub.py")]) as peer:
                yield peer
        case "python-socketio":
            if not (importlib.util.find_spec("socketio") and importlib.util.find_spec("aiohttp")):
                raise Missing("pip install python-socketio aiohttp")
            with _program(SOCKETIO, [sys.executable, str(_HUBS / "python_socketio_hub.py")]) as peer:
                yield peer
        case "ws" | "socket.io":
            with _node(name) as peer:
                yield peer
        case _:
            checkout = Path(name)
            if not (checkout / "arqonmesh").is_dir():
                raise Missing(f"{name} is neither a peer ({', '.join(NAMES)}) nor a checkout")
            path = os.pathsep.join(str(checkout / part) for part in (".", "cli", "testbed"))
            program = [sys.executable, str(_HUBS / "arqon_bus.py")]
            with _program(ARQON, program, {"PYTHONPATH": path}) as peer:
                yield peer


@contextlib.contextmanager
def _program(dialect: Dialect, command: list[str], more: dict[str, str] | None = None) -> Iterator[Running]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **(more or {})})
    try:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        if not line.isdigit():
            raise Missing(f"{' '.join(command)} did not start")
        yield Running(dialect, int(line), process.pid)
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _node(name: str) -> Iterator[Running]:
    modules = Path(os.environ.get("ARQON_BENCH_NODE_MODULES", _ROOT / "clients" / "typescript" / "node_modules"))
    if shutil.which("node") is None:
        raise Missing("there is no node")
    if not (modules / name).is_dir():
        raise Missing(f"npm install {name}, and name its node_modules in ARQON_BENCH_NODE_MODULES")
    hub = _HUBS / f"{name.replace('.', '')}_hub.cjs"
    with _program(PLAIN if name == "ws" else SOCKETIO, ["node", str(hub)], {"NODE_PATH": str(modules)}) as peer:
        yield peer


@contextlib.contextmanager
def _nats() -> Iterator[Running]:
    found = shutil.which("nats-server", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/bin")
    if found is None:
        raise Missing("apt-get install nats-server")
    with tempfile.TemporaryDirectory() as folder:
        port, websocket = free_port(), free_port()
        config = Path(folder) / "nats.conf"
        config.write_text(_NATS.format(port=port, websocket=websocket))
        process = subprocess.Popen([found, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_for(websocket)
            yield Running(NATS, websocket, process.pid)
        finally:
            process.kill()
            process.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            open_websocket(port).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
