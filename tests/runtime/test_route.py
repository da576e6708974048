"""`arqon mesh route` on real nodes: whom a node bans carries nothing for it, and the answer says so."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from arqonmesh.config.model import RoutingSettings
from arqonmesh.core.routing.core import Routing
from arqonmesh.runtime.control import Control
from arqonmesh.runtime.service import Service
from tests.runtime.test_service import linked, service
from tests.waiting import until


def routing(node: Service) -> Routing:
    assert node.node.plane is not None
    return node.node.plane.routing


@pytest.mark.requirement("R-PT-9")
async def test_a_hub_that_is_banned_carries_nothing_until_it_is_forgiven(tmp_path: Path) -> None:
    """Two spokes at one hub: no other way leads from one to the other, and a ban is no observation."""
    hub, one = service(tmp_path, "hq", "hub"), service(tmp_path, "store", "spoke")
    two = service(tmp_path, "factory", "spoke")
    nodes = (hub, one, two)
    for node in nodes:
        await node.open()
    try:
        await linked(hub, one)
        await Control(two).join_address("{}:{}".format(*hub.endpoint.address), "")
        await until(lambda: one.node.plane is not None and routing(one).route(two.key.node_id) is not None)
        control = Control(one)
        way = await control.route("factory")
        assert [hop.id for hop in way.hops] == [hub.key.node_id, two.key.node_id]
        assert (way.otherwise, way.policy, way.state) == ((), "prefer-trusted", "alive")
        assert all(hop.rtt_ms >= 0 and not hop.kept_off for hop in way.hops)

        await control.peer_ban(hub.key.node_id[:8], "strange")
        way = await control.route("factory")
        assert way.hops == ()
        assert [(hop.id, hop.kept_off) for hop in way.otherwise] == [
            (hub.key.node_id, "convicted"),
            (two.key.node_id, ""),
        ]
        assert [hop.id for hop in (await control.route("hq")).hops] == [hub.key.node_id], "it is still an end"
        await until(lambda: one.story.dropped.get(("routing", "untrusted-transit"), 0) > 0)

        config = one.node.config
        one.node.adopt(one.host.now(), msgspec.structs.replace(config, routing=RoutingSettings(transit="any")))
        assert [hop.id for hop in (await control.route("factory")).hops] == [hub.key.node_id, two.key.node_id]
        one.node.adopt(one.host.now(), config)
        assert (await control.route("factory")).hops == ()

        await control.peer_forgive(hub.key.node_id[:8], "")
        assert [hop.id for hop in (await control.route("factory")).hops] == [hub.key.node_id, two.key.node_id]
    finally:
        for node in nodes:
            await node.close()
