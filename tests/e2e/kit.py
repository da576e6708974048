"""What these tests share: the `arqon` command run in this process, and a node's answers as plain data.

The nodes are processes of their own, started by `arqon node start --detach`. The commands that talk to them run here,
through the same entry point as the installed script, because an interpreter start for each would be most of the time.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from arqonmesh_testbed.loopback import CommandFailed, LoopbackMesh, LoopbackNode, loopback_mesh
from bench import inline
from bench.inline import Done

POLICY = """
federation:
  export: {allow: ["telemetry:*", "bench:*"], deny: ["telemetry:secret*"]}
  import: {allow: ["*"]}
"""


@contextlib.contextmanager
def nodes(config: str = POLICY) -> Iterator[LoopbackMesh]:
    """An empty mesh whose commands run here."""
    with loopback_mesh(config, inline.arqon) as mesh:
        yield mesh


@contextlib.contextmanager
def refused(exit_code: int, code: str) -> Iterator[None]:
    """The command in the block fails so, with an error object as scripts read it."""
    with pytest.raises(CommandFailed) as failed:
        yield
    error = failed.value.error
    assert (failed.value.code, error.get("code")) == (exit_code, code), failed.value
    assert error["message"], error
    assert error["hint"], error


def foreground(node: LoopbackNode, *, under: Sequence[str] = (), timeout_s: float = 20) -> Done:
    """`arqon node start --json` as a process of its own, to its end: for starts that are refused.

    `under`: a command that runs it, such as one that takes privileges away.
    """
    done = subprocess.run(
        [*under, sys.executable, "-m", "arqonmesh_cli", "node", "start", "--json", "--data-dir", str(node.data_dir)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    return Done(done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stdout + done.stderr)


def mesh_status(node: LoopbackNode) -> dict[str, Any]:
    status: dict[str, Any] = node("mesh", "status")
    return status


def state_of(node: LoopbackNode, cluster: str) -> str:
    """How `node` sees the member of that cluster; empty when it knows none."""
    return next((other["state"] for other in mesh_status(node)["nodes"] if other["cluster"] == cluster), "")


def links_up(node: LoopbackNode) -> list[dict[str, Any]]:
    """The links of the whole mesh that are up, as `node` sees them."""
    return [link for link in mesh_status(node)["links"] if link["state"] == "up"]


def healthy(*everyone: LoopbackNode) -> bool:
    """All of these see the mesh whole and have equal records."""
    seen = [mesh_status(node)["mesh"] for node in everyone]
    return all(mesh["health"] == "healthy" for mesh in seen) and len({mesh["root"] for mesh in seen}) == 1


def counters(node: LoopbackNode) -> dict[str, int]:
    counted: dict[str, int] = node("node", "status")["counters"]
    return counted


def events(node: LoopbackNode, kind: str) -> list[dict[str, Any]]:
    """The node's log lines of one kind: member, link, partition, mesh or node."""
    lines = (node.data_dir / "node.log").read_text().splitlines()
    entries = (json.loads(entry) for entry in lines if entry.startswith("{"))
    return [entry for entry in entries if entry.get("kind") == kind]
