"""The whole suite of the TypeScript client, in Node and in headless Chromium, each against real nodes."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from tests.sdk.kit import TYPESCRIPT, run


def _suite(name: str, node: str = "node") -> None:
    """Run one file of tests; its failures are ours, and if all of it is skipped, so is this, with its reason."""
    env = {**os.environ, "ARQON_COMMAND": json.dumps([sys.executable, "-m", "arqonmesh_cli"])}
    done = run(node, "--test", "--test-reporter=tap", f"build/test/{name}.test.js", env=env)
    counts = {key: int(value) for key, value in re.findall(r"^# (tests|pass|skipped) (\d+)$", done.stdout, re.M)}
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    if counts["skipped"]:
        reason = re.search(r"# SKIP (.*)", done.stdout)
        pytest.skip(reason[1] if reason else "skipped")
    assert counts["pass"] == counts["tests"] > 0


@pytest.mark.requirement("R-SD-1")
def test_the_parts_that_need_no_bus(typescript_tests: Path) -> None:
    """Addresses, back-off, positions; and the committed types are those that the schema gives."""
    _suite("units")
    _suite("positions")


@pytest.mark.requirement("R-SD-2")
def test_what_is_live_waits_behind_what_was_missed(typescript_tests: Path) -> None:
    """Refused, cut off, dropped, left meanwhile: each hold has one owner, and ends once."""
    _suite("holds")


@pytest.mark.requirement("R-SD-2")
@pytest.mark.process
def test_the_client_in_node_against_a_real_node(typescript_tests: Path) -> None:
    """Join, publish, request, history, presence; cut off, frozen, failed over, and nothing missing."""
    _suite("bus")


@pytest.mark.requirement("R-SD-2")
@pytest.mark.process
def test_the_client_over_the_websocket_that_newer_nodes_have_built_in(typescript_tests: Path) -> None:
    """Node 22 and later; ARQON_TEST_NODES names their programs, divided by colons."""
    nodes = [node for node in os.environ.get("ARQON_TEST_NODES", "").split(":") if node]
    if not nodes:
        pytest.skip("ARQON_TEST_NODES names no node of version 22 or later")
    for node in nodes:
        assert run(node, "--print", "typeof globalThis.WebSocket").stdout.strip() == "function", node
        _suite("bus", node)


@pytest.mark.requirement("R-SD-1")
@pytest.mark.process
def test_the_client_in_a_browser_against_a_real_node(typescript_tests: Path) -> None:
    """The same sources, over the WebSocket of headless Chromium."""
    _suite("browser")


@pytest.mark.requirement("R-SD-1")
def test_the_package_builds_and_is_found_by_its_name(typescript: Path) -> None:
    """ES modules with their types, as `npm install` would bring them."""
    program = 'const m = await import("@arqonmesh/client"); console.log(Object.keys(m).join())'
    found = run("node", "--input-type=module", "--eval", program)
    assert "connect" in found.stdout.strip().split(","), found.stderr
    assert (typescript / "dist" / "index.d.ts").exists()


@pytest.mark.requirement("R-SD-1")
def test_the_lock_file_names_no_registry() -> None:
    """Whoever installs it takes the registry of their own npm."""
    lock = (TYPESCRIPT / "package-lock.json").read_text()
    assert "resolved" not in lock
    assert "http" not in lock
