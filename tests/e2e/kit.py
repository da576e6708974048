"""What these tests share: the `arqon` command run in this process, and a node's answers as plain data.

The nodes are processes of their own, started by `arqon node start --detach`. The commands that talk to them run here,
through the same entry point as the installed script, because an interpreter start for each would be most of the time.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from arqonmesh_cli.app import run
from arqonmesh_testbed.loopback import CommandFailed, LoopbackMesh, LoopbackNode, loopback_mesh

POLICY = """
federation:
  export: {allow: ["telemetry:*", "bench:*"], deny: ["telemetry:secret*"]}
  import: {allow: ["*"]}
"""


@dataclass(frozen=True)
class Done:
    """What one command line did."""

    code: int
    answer: dict[str, Any]
    text: str

    @property
    def data(self) -> Any:
        return self.answer["data"]

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.answer["error"]
        return error


def line(*args: str) -> Done:
    """Run `arqon ARGS --json` here."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(out):
        code = run((*args, "--json"))
    assert isinstance(out.buffer, io.BytesIO)
    text = out.buffer.getvalue().decode()
    return Done(code, json.loads(text) if text.count("\n") == 1 else {}, text)


def here(*args: str, timeout_s: float = 40) -> Any:
    """As `loopback.arqon`: the data of an answer, or CommandFailed. Exit code 7 (degraded) has data, too."""
    done = line(*args)
    if done.code not in (0, 7) or not done.answer.get("ok"):
        raise CommandFailed(args, done.code, done.answer.get("error", {}), done.text)
    return done.data


@contextlib.contextmanager
def nodes(config: str = POLICY) -> Iterator[LoopbackMesh]:
    """An empty mesh whose commands run here."""
    with loopback_mesh(config, here) as mesh:
        yield mesh


@contextlib.contextmanager
def refused(exit_code: int, code: str) -> Iterator[None]:
    """The command in the block fails so, with an error object as scripts read it."""
    with pytest.raises(CommandFailed) as failed:
        yield
    error = failed.value.error
    assert (failed.value.code, error.get("code")) == (exit_code, code), failed.value
    assert error["message"], error
    assert isinstance(error["hint"], str), error


def foreground(node: LoopbackNode, *, user: int | None = None, timeout_s: float = 20) -> Done:
    """`arqon node start --json` as a process of its own, to its end: for starts that are refused."""
    done = subprocess.run(
        [sys.executable, "-m", "arqonmesh_cli", "node", "start", "--json", "--data-dir", str(node.data_dir)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        user=user,
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
