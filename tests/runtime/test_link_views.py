"""One link is one line, and one figure, on every screen."""

from __future__ import annotations

from pathlib import Path

from arqonmesh.runtime.control import Control
from tests.runtime.pairs import hub_and_spoke
from tests.waiting import until


async def test_a_link_that_the_operator_wishes_beside_the_mesh_is_one_line(tmp_path: Path) -> None:
    """Whether or not its dial has shown yet who is there; an address where nobody answers has a line of its own."""
    async with hub_and_spoke(tmp_path) as (hub, spoke):
        control, address = Control(spoke), "{}:{}".format(*hub.endpoint.address)
        await until(lambda: [dial.peer for dial in spoke.endpoint.dials()] == [hub.key.node_id])
        assert [line.asked_by for line in await control.links()] == ["mesh"]
        await control.link_add(address)
        [line] = await control.links()
        assert (line.peer, line.state, line.asked_by) == (hub.key.node_id, "up", "operator")
        await control.link_add("127.0.0.1:9")
        assert [(line.peer, line.address) for line in await control.links()] == [
            (hub.key.node_id, address),
            ("", "127.0.0.1:9"),
        ]
        [line] = await Control(hub).links()
        assert (line.peer, line.asked_by) == (spoke.key.node_id, "peer")


async def test_all_screens_tell_one_round_trip_of_a_link(tmp_path: Path) -> None:
    """The route's figures are no others than those of the links, also where a link has just come up."""
    async with hub_and_spoke(tmp_path) as (_, spoke):
        control = Control(spoke)
        [link], [hop] = await control.links(), (await control.route("hq")).hops
        [shown] = (await control.mesh_status()).links
        assert link.rtt_ms == hop.rtt_ms == shown.rtt_ms
