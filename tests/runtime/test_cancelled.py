"""A cancellation is never lost, also not one that comes in the turn in which what was waited for is there.

`asyncio.wait_for` of Python 3.11 returns the result then and swallows the cancellation, and whoever cancelled waits for
a task that goes on (https://github.com/python/cpython/issues/86296, mended in 3.12); `asyncio.timeout` does not.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import arqonmesh
import arqonmesh_cli
from arqonmesh.core.events import Applied
from arqonmesh.core.kernel import Event
from arqonmesh.runtime.authority import RosterAuthority
from arqonmesh.runtime.control import Control
from arqonmesh.trust.keys import NodeKey
from arqonmesh.wire.messages import JoinRequest
from arqonmesh.wire.statement import Kind
from tests.runtime.test_service import service


async def test_a_judgement_that_is_cancelled_as_its_admission_reaches_the_disk_ends(tmp_path: Path) -> None:
    """The endpoint cancels its tasks when it closes, and waits for them."""
    node = service(tmp_path, "hq", "hub")
    await node.open()
    try:
        await Control(node).seed("acme", "open", "")
        door = RosterAuthority(node.host)
        offer = door.join_offer()
        assert offer is not None
        key = NodeKey.generate()
        request = JoinRequest(offer.mesh_id, key.public, "store", "spoke", "", "", b"")
        judging = asyncio.create_task(door.admit(request, key.node_id, b""))

        def cancel(event: Event) -> None:
            assert isinstance(event, Applied)
            if event.kind == Kind.ADMISSION and event.key == key.node_id:
                judging.cancel()

        node.host.watch(Applied, cancel)
        with pytest.raises(asyncio.CancelledError):
            await judging
    finally:
        await node.close()


def test_nothing_of_a_node_waits_in_the_way_that_loses_cancellations() -> None:
    """In packages that run on Python 3.11."""
    folders = [Path(str(package.__file__)).parent for package in (arqonmesh, arqonmesh_cli)]
    sources = [path for folder in folders for path in folder.rglob("*.py")]
    assert len(sources) > 400
    assert [path.name for path in sources if "wait_for(" in path.read_text() and "asyncio" in path.read_text()] == []
