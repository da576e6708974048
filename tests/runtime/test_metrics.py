"""A running node's numbers under their catalogue names."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from arqonmesh.config.load import loads
from arqonmesh.core.kernel import Lane
from arqonmesh.ids import NodeId
from arqonmesh.observe.collectors import Exposition
from arqonmesh.observe.metrics import METRICS
from arqonmesh.runtime.control import Control
from arqonmesh.runtime.metrics import samples
from arqonmesh.runtime.service import Service
from arqonmesh.store.store import Store
from arqonmesh.trust.keys import NodeKey

SETTINGS = b"""
node: {cluster: hq, region: eu}
listen: {quic: "127.0.0.1:0", bus: "127.0.0.1:0", http: "127.0.0.1:0", telemetry: "127.0.0.1:0"}
"""


@pytest.mark.requirement("R-OB-2")
async def test_a_node_shows_itself_before_and_after_it_has_a_mesh(tmp_path: Path) -> None:
    """Every sample is in the catalogue; the mesh's numbers come with the mesh."""
    service = Service(loads(SETTINGS), NodeKey.generate(), Store.open(tmp_path / "mesh.db"), tmp_path)
    await service.open()
    try:
        exposition = Exposition(lambda: samples(service))
        before = {family.name for family in text_string_to_metric_families(exposition.render().decode())}
        await Control(service).seed("acme", "open", "")
        service.endpoint.send(NodeId("nobody"), Lane.BULK, b"x")
        service.endpoint.want(None, ("no address",))
        families = {family.name: family for family in text_string_to_metric_families(exposition.render().decode())}
    finally:
        await service.close()

    assert "arqon_mesh_members" not in before
    (info,) = families["arqon_node_info"].samples
    assert (info.labels["cluster"], info.labels["region"]) == ("hq", "eu")
    states = {sample.labels["state"]: sample.value for sample in families["arqon_mesh_members"].samples}
    assert sum(states.values()) == 1
    dropped = {(s.labels["where"], s.labels["reason"]): s.value for s in families["arqon_dropped"].samples}
    assert dropped["transport", "send.no-link"] == dropped["transport", "dial.bad-address"] == 1
    known = {metric.name.removesuffix("_total") for metric in METRICS}
    assert {name for name in families if name.startswith("arqon_")} <= known
