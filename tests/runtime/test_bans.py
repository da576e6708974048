"""What a node tells of those whom its operator banned."""

from __future__ import annotations

from pathlib import Path

from arqonmesh.runtime.control import Control
from tests.runtime.pairs import hub_and_spoke
from tests.waiting import until


async def test_whom_a_node_bans_it_names_with_the_reason_and_calls_nothing_partitioned(tmp_path: Path) -> None:
    """Of two votes one is left: read-only, because of the ban; the network is whole and says so."""
    async with hub_and_spoke(tmp_path) as (hub, spoke):
        control, plane = Control(hub), hub.node.plane
        assert plane is not None
        seen = plane.partition.view
        await until(lambda: seen().voters == 2 and seen().writable and seen().phase == "healthy")
        await control.peer_ban(spoke.key.node_id, "floods us")
        await until(lambda: not seen().writable)
        status = await control.mesh_status()
        banned = {node.id: node.ignored for node in status.nodes}[spoke.key.node_id]
        assert banned is not None and banned.at_ms
        assert (banned.cause, banned.reason) == ("banned", "floods us")
        quorum = status.partition
        assert quorum is not None
        assert (quorum.phase, quorum.votes, quorum.votes_ignored, quorum.by_ignoring) == ("healthy", 1, 1, True)
        assert [missed.node for missed in quorum.missing] == [spoke.key.node_id]
        assert "missing: store/" in hub.log.newest[-1].text and "(ignored)" in hub.log.newest[-1].text

        await control.peer_forgive(spoke.key.node_id, "")
        await until(lambda: seen().writable)
        assert [node.ignored for node in (await control.mesh_status()).nodes] == [None, None]
