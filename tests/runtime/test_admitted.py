"""What `arqon config check` knows of a node's place in its mesh: what its next start would say, from files alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from arqonmesh.config.load import examine, loads
from arqonmesh.runtime.admitted import stored_admission
from arqonmesh.runtime.control import Control
from arqonmesh.runtime.preflight import refusals
from arqonmesh.runtime.service import Service
from arqonmesh.store.store import Store
from arqonmesh.trust.keystore import create_node_key
from tests.waiting import until

SETTINGS = """
node: {{cluster: {cluster}, role: {role}}}
listen: {{quic: "127.0.0.1:0", bus: "127.0.0.1:0", http: "", telemetry: ""}}
"""


def node(folder: Path, cluster: str, role: str) -> Service:
    folder.mkdir()
    settings = loads(SETTINGS.format(cluster=cluster, role=role).encode())
    return Service(settings, create_node_key(folder / "node.key"), Store.open(folder / "mesh.db"), folder)


def told(folder: Path, cluster: str, role: str) -> list[str]:
    """Setting and code of what a start would refuse with these settings."""
    seen = examine(SETTINGS.format(cluster=cluster, role=role).encode())
    assert seen.config is not None
    return [f"{problem.key} {problem.code}" for problem in refusals(seen.config, folder, seen)]


async def test_founder_and_joiner_are_known_while_they_run_and_afterwards(tmp_path: Path) -> None:
    """By their own files, of which none is made or changed; a node without a mesh may still be anything."""
    hub, spoke = node(tmp_path / "hub", "hq", "hub"), node(tmp_path / "spoke", "store", "spoke")
    await hub.open()
    await spoke.open()
    assert told(tmp_path / "hub", "else", "spoke") == []
    try:
        await Control(hub).seed("acme", "open", "")
        await Control(spoke).join_address("{}:{}".format(*hub.endpoint.address), "")
        await until(lambda: hub.node.plane is not None and hub.node.plane.links.is_up(spoke.key.node_id))
        assert told(tmp_path / "hub", "hq", "hub") == told(tmp_path / "spoke", "store", "spoke") == []
        assert told(tmp_path / "spoke", "store", "hub") == ["node.role config.other-role"]
    finally:
        await hub.close()
        await spoke.close()
    before = {path: path.read_bytes() for path in sorted((tmp_path / "hub").rglob("*"))}
    assert told(tmp_path / "hub", "else", "spoke") == [
        "node.cluster config.other-cluster",
        "node.role config.other-role",
    ]
    assert told(tmp_path / "spoke", "store", "leader") == ["node.role config.other-role"]
    assert {path: path.read_bytes() for path in sorted((tmp_path / "hub").rglob("*"))} == before


@pytest.mark.parametrize("content", [None, b"", b"no database", b"SQLite format 3\x00" + bytes(4_096)])
def test_a_database_that_says_nothing_is_left_to_the_start(content: bytes | None, tmp_path: Path) -> None:
    """Which tells what is wrong with it; a check of settings neither fails on it nor touches it."""
    create_node_key(tmp_path / "node.key")
    if content is not None:
        (tmp_path / "mesh.db").write_bytes(content)
    assert stored_admission(tmp_path) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mesh.db", "node.key"][content is None :]
