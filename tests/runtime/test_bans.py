"""What a node tells of those whom its operator banned."""

from __future__ import annotations

from pathlib import Path

from arqonmesh.api.mesh_views import IgnoredView
from arqonmesh.core.events import Fault
from arqonmesh.runtime.control import Control
from arqonmesh.runtime.views import _ignored_view
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
        line = [event for event in hub.log.newest if event.kind == "partition"][-1].text
        assert "missing: store/" in line and "(ignored)" in line
        assert "1 of 2 count, " in line, "it could be reached"

        await control.peer_forgive(spoke.key.node_id, "")
        await until(lambda: seen().writable)
        assert [node.ignored for node in (await control.mesh_status()).nodes] == [None, None]


async def test_a_ban_that_was_forgiven_is_no_cause_of_what_is_ignored_later(tmp_path: Path) -> None:
    """The timeline keeps what was pardoned; told is what was seen since. Convicted without a cause that is kept, one is
    ignored for something that is forgotten."""
    async with hub_and_spoke(tmp_path) as (hub, spoke):
        control, plane, node = Control(hub), hub.node.plane, spoke.key.node_id
        assert plane is not None

        def told() -> IgnoredView:
            return _ignored_view(plane, node)

        await control.peer_ban(node, "floods us")
        assert (told().cause, told().reason) == ("banned", "floods us")
        await control.peer_forgive(node, "repaired")
        assert told().cause == "forgotten"
        plane.peers.on_event(hub.host.now(), Fault(node, "wrong-cluster"))
        assert [cause.cause for cause in plane.peers.causes(node)] == ["banned", "pardoned", "wrong-cluster"]
        assert told().cause == "wrong-cluster"
        await control.peer_ban(node, "again")
        assert (told().cause, told().reason) == ("banned", "again")
        kept = plane.peers._peers[node].file
        assert kept is not None
        kept.changes.pop()
        assert told().cause == "forgotten", "nothing that was only seen convicts"
