"""`arqon mesh route` on real nodes: whom a node bans carries nothing for it, and the answer says so."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from arqonmesh.config.model import RoutingSettings
from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.core.routing.core import Routing
from arqonmesh.runtime.control import Control
from arqonmesh.runtime.route import route_view
from arqonmesh.runtime.service import Service
from arqonmesh.sim.simulation import Simulation
from tests.runtime.pairs import opened
from tests.runtime.test_service import linked, service
from tests.waiting import until


def routing(node: Service) -> Routing:
    assert node.node.plane is not None
    return node.node.plane.routing


@pytest.mark.requirement("R-PT-9")
async def test_a_hub_that_is_banned_carries_nothing_until_it_is_forgiven(tmp_path: Path) -> None:
    """Two spokes at one hub: no other way leads from one to the other, and a ban is no observation."""
    hub, one, two = (service(tmp_path, *who) for who in (("hq", "hub"), ("store", "spoke"), ("factory", "spoke")))
    async with opened(hub, one, two):
        await linked(hub, one)
        await Control(two).join_address("{}:{}".format(*hub.endpoint.address), "")
        await until(lambda: one.node.plane is not None and routing(one).route(two.key.node_id) is not None)
        control = Control(one)
        way = await control.route("factory")
        assert [hop.id for hop in way.hops] == [hub.key.node_id, two.key.node_id]
        assert (way.otherwise, way.policy, way.state) == ((), "prefer-trusted", "alive")
        assert all(hop.rtt_ms is not None and not hop.kept_off for hop in way.hops)

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


def test_what_is_for_a_neighbour_leaves_on_its_link_though_another_way_is_shorter() -> None:
    """The answer is the way that messages take; the shorter one is named beside it, and goes with the link's lead."""
    sim = Simulation(1)
    for name in "abc":
        sim.add(name, role="hub")
    sim.found()
    sim.run_for(5 * SECOND)
    a, b, c = (sim.processes[name].node_id for name in "abc")
    node = sim.processes["a"].running
    assert node.plane is not None
    for ends in ((a, c), (c, a)):
        sim.network.path(*ends).delay_us = 40 * MILLISECOND
    sim.run_for(10 * SECOND)
    way = route_view(node, node.plane, c, None)
    assert node.plane.routing.route(c) == (a, b, c)
    assert [hop.id for hop in way.hops] == [c]
    assert [hop.id for hop in way.shorter] == [b, c]
    assert way.otherwise == ()

    for ends in ((a, c), (c, a)):
        sim.network.path(*ends).delay_us = MILLISECOND
    sim.run_for(10 * SECOND)
    assert route_view(node, node.plane, c, None).shorter == ()

    sim.cut(["a"], ["c"])
    sim.run_for(5 * SECOND)
    way = route_view(node, node.plane, c, None)
    assert [hop.id for hop in way.hops] == [b, c], "the link is gone"
    assert way.shorter == ()


async def test_a_member_that_is_reached_over_others_is_told_with_what_became_of_its_own_link(tmp_path: Path) -> None:
    """`arqon link ls` knows it: nobody wished one, or it was dialled and why it does not stand."""
    hub, one, two = (service(tmp_path, *who) for who in (("hq", "hub"), ("store", "spoke"), ("factory", "spoke")))
    async with opened(hub, one, two):
        await linked(hub, one)
        await Control(two).join_address("{}:{}".format(*hub.endpoint.address), "")
        await until(lambda: routing(one).route(two.key.node_id) is not None)
        way = await Control(one).route("factory")
        assert (way.link, way.link_why, len(way.hops)) == ("", "", 2)
        assert (await Control(one).route("hq")).link == "up"
        await Control(one).link_add("{}:{}".format(*two.endpoint.address))
        await until(lambda: one.node.is_neighbour(two.key.node_id))
        way = await Control(one).route("factory")
        assert [hop.id for hop in way.hops] == [two.key.node_id]
        assert way.link in ("opening", "up")
