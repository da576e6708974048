"""Real `arqon` processes, each in its namespace, controlled by the same commands that a person types."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import msgspec

from arqonmesh.config.datadir import DataDir
from arqonmesh.errors import ArqonError, TimedOut
from arqonmesh_testbed import namespaces
from arqonmesh_testbed.processes import MARK, Process
from arqonmesh_testbed.state import LabFiles
from arqonmesh_testbed.topology import LOCAL_BUS, LOCAL_HTTP, QUIC_PORT, Topology

COMMAND_TIMEOUT_S: Final = 60.0
JOIN_TRIES: Final = 3


class Nodes:
    """The nodes of one lab."""

    def __init__(self, files: LabFiles, topology: Topology) -> None:
        self._files = files
        self._topology = topology
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith(("ARQON", "PYTEST"))}
        self._environ[MARK] = files.name
        for setting, value in topology.settings.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            self._environ["ARQON_" + setting.upper().replace(".", "__")] = text
        if topology.dial == "links":
            self._environ["ARQON_LINKS__AUTO"] = "none"

    def namespace(self, node: str) -> str:
        return namespaces.name_of(self._files.name, node)

    def data_dir(self, node: str) -> Path:
        return self._files.node(node)

    def control_socket(self, node: str) -> Path:
        return DataDir(self.data_dir(node)).control_socket

    def command(self, node: str, *arguments: str) -> Any:
        """Run `arqon ARGUMENTS` for a node, inside its namespace; its data. Raises ArqonError as the command did."""
        line = [sys.executable, "-m", "arqonmesh_cli", *arguments, "--data-dir", str(self.data_dir(node)), "--json"]

        def run() -> subprocess.CompletedProcess[bytes]:
            return subprocess.run(  # noqa: S603  # our own program
                line,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=COMMAND_TIMEOUT_S,
                check=False,
            )

        shown = f"arqon {' '.join(arguments)}"
        try:
            done = namespaces.inside(self.namespace(node), run)
        except subprocess.TimeoutExpired:
            raise TimedOut("lab.command", f"{shown} on {node} did not end in {COMMAND_TIMEOUT_S:g} s") from None
        try:
            answer = msgspec.json.decode(done.stdout)
        except msgspec.DecodeError:
            said = (done.stderr or done.stdout).decode("utf-8", "replace").strip()[-400:]
            raise ArqonError(
                "lab.command", f"{shown} on {node} gave no answer (exit {done.returncode}): {said}"
            ) from None
        if answer["ok"]:
            return answer["data"]
        error = answer["error"]
        raise ArqonError(error["code"], f"{shown} on {node}: {error['message']}", hint=error["hint"])

    def start(self) -> tuple[dict[str, Process], dict[str, str]]:
        """Make and start all nodes; their processes and node ids."""
        with ThreadPoolExecutor(max_workers=8) as pool:
            statuses = dict(zip(self._topology.nodes, pool.map(self._start_one, self._topology.nodes), strict=True))
        processes = {}
        for node, status in statuses.items():
            process = Process.of(status["pid"])
            if process is None:
                raise ArqonError("lab.node-ended", f"{node} ended right after its start: {self.last_words(node)}")
            processes[node] = process
        return processes, {node: status["node_id"] for node, status in statuses.items()}

    def join(self, mesh: str) -> None:
        """The first node seeds the mesh; the others join through neighbours, with tickets."""
        first = next(iter(self._topology.nodes))
        self.command(first, "mesh", "seed", mesh)
        for node, inviter in self._topology.joining_order():
            spec = self._topology.nodes[node]
            uses = ("--cluster", spec.cluster, "--role", spec.role, "--uses", "1")
            ticket = self.command(inviter, "invite", "new", *uses)["ticket"]
            self._join_one(node, ticket)
            if self._topology.dial == "links":
                self.command(node, "link", "add", self._quic(inviter))
        if self._topology.dial == "links":
            inviters = set(self._topology.joining_order())
            for link in self._topology.links:
                a, b = link.between
                if (a, b) not in inviters and (b, a) not in inviters:
                    self.command(a, "link", "add", self._quic(b))

    def last_words(self, node: str) -> str:
        """The end of a node's log."""
        try:
            lines = DataDir(self.data_dir(node)).log.read_text(errors="replace").splitlines()
        except OSError:
            return "no log"
        return " | ".join(lines[-5:]) or "an empty log"

    def _start_one(self, node: str) -> Any:
        spec = self._topology.nodes[node]
        arguments = ["init", "--cluster", spec.cluster, "--role", spec.role, "--quic", self._quic(node)]
        arguments += ["--bus", LOCAL_BUS, "--http", LOCAL_HTTP]
        if spec.region:
            arguments += ["--region", spec.region]
        for pattern in spec.export:
            arguments += ["--export", pattern]
        self.command(node, *arguments)
        return self.command(node, "node", "start", "--detach")

    def _join_one(self, node: str, ticket: str) -> None:
        """On a link that loses packets, a join may fail for good reasons; the ticket is good until it is used."""
        for attempt in range(1, JOIN_TRIES + 1):
            try:
                self.command(node, "mesh", "join", ticket)
                return
            except ArqonError:
                if attempt == JOIN_TRIES:
                    raise
                time.sleep(0.5 * attempt)

    def _quic(self, node: str) -> str:
        return f"{self._topology.address(node)}:{QUIC_PORT}"
