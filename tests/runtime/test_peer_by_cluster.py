"""`arqon peer show CLUSTER`: people know clusters by name and nodes by sight."""

from __future__ import annotations

from pathlib import Path

import pytest

from arqonmesh.errors import CATALOGUE, NotFound, UsageError
from arqonmesh.runtime.control import Control
from tests.runtime.test_service import linked, service
from tests.waiting import until


async def test_a_clusters_only_node_is_shown_by_the_clusters_name(tmp_path: Path) -> None:
    """Of several the message names them; a ban always takes a node; what is neither id nor cluster is unknown."""
    hub, one = service(tmp_path, "hq", "hub"), service(tmp_path, "store", "spoke")
    (tmp_path / "more").mkdir()
    two = service(tmp_path / "more", "store", "spoke")
    nodes = (hub, one, two)
    for node in nodes:
        await node.open()
    try:
        control = Control(hub)
        await linked(hub, one)
        assert (await control.peer("store")).id == one.key.node_id
        assert (await control.peer(one.key.node_id[:8])).id == one.key.node_id
        with pytest.raises(UsageError) as ban:
            await control.peer_ban("store", "")
        assert ban.value.code == "peer.is-cluster" and ban.value.code in CATALOGUE
        await Control(two).join_address("{}:{}".format(*hub.endpoint.address), "")
        plane = hub.node.plane
        assert plane is not None
        await until(lambda: len(plane.admission.members()) == 3)
        with pytest.raises(UsageError) as several:
            await control.peer("store")
        for node in (one, two):
            assert node.key.node_id[:8] in str(several.value)
        with pytest.raises(NotFound):
            await control.peer("hq")
    finally:
        for node in nodes:
            await node.close()
