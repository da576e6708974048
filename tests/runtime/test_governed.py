"""Waiting for a quorum, and saying so."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from arqonmesh.core.events import PartitionChanged
from arqonmesh.errors import Degraded
from arqonmesh.net.endpoint import JOIN_S
from arqonmesh.runtime import governed
from arqonmesh.runtime.control import Control
from arqonmesh.runtime.joining import JOIN_TIMEOUT_S
from tests.runtime.test_service import service


def test_a_join_outlasts_the_wait_for_a_quorum_at_both_ends() -> None:
    """Else the joiner hears of a timeout and not of the reason."""
    assert governed.PATIENCE_S + 5 <= JOIN_TIMEOUT_S <= JOIN_S


async def test_a_refusal_says_how_long_a_quorum_was_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code stays what scripts match."""
    monkeypatch.setattr(governed, "PATIENCE_S", 0.05)
    node = service(tmp_path, "hq", "hub")
    await node.open()
    try:
        await Control(node).seed("acme", "open", "")
        monkeypatch.setattr(governed, "refusal", lambda host: "this side is read-only; missing: a")
        with pytest.raises(Degraded) as refused:
            await governed.require_quorum(node.host, "invite anyone")
    finally:
        await node.close()
    assert refused.value.code == "mesh.read-only"
    assert str(refused.value) == "this side is read-only, after 0.05 s of waiting; missing: a; it cannot invite anyone"


async def test_a_cut_that_has_lasted_is_answered_sooner(tmp_path: Path) -> None:
    """Who has been missing for long will not be back within the wait."""
    node = service(tmp_path, "hq", "hub")
    await node.open()
    try:
        await Control(node).seed("acme", "open", "")
        plane, wall_ms = node.host.node.plane, node.host.node.world.wall_ms()
        assert plane is not None
        for lasted_s, waits_s in ((9, governed.PATIENCE_S), (11, governed.PATIENCE_LATE_S)):
            missing = ((node.key.node_id, wall_ms - lasted_s * 1_000),)
            plane.partition._current = msgspec.structs.replace(plane.partition.view(), missing=missing)
            assert governed.patience_s(node.host) == waits_s
    finally:
        await node.close()


async def test_a_quorum_that_comes_in_time_ends_the_wait(tmp_path: Path) -> None:
    """A node that knows its mesh writes at once."""
    node = service(tmp_path, "hq", "hub")
    await node.open()
    try:
        await Control(node).seed("acme", "open", "")
        before = list(node.host._watchers[PartitionChanged])
        await governed.require_quorum(node.host, "invite anyone")
        assert node.host._watchers[PartitionChanged] == before
    finally:
        await node.close()
