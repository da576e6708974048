"""One link is one line, and one figure, on every screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from arqonmesh.core.events import LinkDown, LinkUp, MemberExpelled
from arqonmesh.core.kernel import SECOND
from arqonmesh.ids import NodeId, short
from arqonmesh.observe.samples import Sample
from arqonmesh.runtime import event_story
from arqonmesh.runtime.control import Control
from arqonmesh.runtime.link_views import mesh_links
from arqonmesh.runtime.metrics import samples
from arqonmesh.runtime.service import Service
from arqonmesh.runtime.throughput import Throughput
from arqonmesh.sim.simulation import Simulation
from arqonmesh.store.store import Store
from tests.runtime import test_service
from tests.runtime.pairs import hub_and_spoke, opened
from tests.runtime.test_service import linked, service
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


async def test_a_link_that_fell_is_told_as_down_with_its_reason_at_who_waits_to_be_dialled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `mesh status` shows it; it is one line again when it stands again, and none of one that left the mesh."""
    probes = "membership: {{probe_interval_ms: 200, probe_timeout_ms: 100}}\n"
    monkeypatch.setattr(test_service, "SETTINGS", test_service.SETTINGS + probes)
    hub, spoke = service(tmp_path, "hq", "hub"), service(tmp_path, "store", "spoke")
    async with opened(hub):
        async with opened(spoke):
            await linked(hub, spoke)
            peer, control = spoke.key.node_id, Control(hub)
            [line] = await control.links()
            assert (line.state, line.last_error) == ("up", "")
            plane = hub.node.plane
            assert plane is not None
            await until(lambda: plane.membership.state_of(peer) == "alive")
        await until(lambda: plane.membership.state_of(peer) in ("suspect", "dead"))
        [line] = await control.links()
        assert (line.peer, line.state, line.asked_by, line.rtt_ms) == (peer, "down", "peer", None)
        assert line.last_error == "closed by the peer: the node stops"
        assert line.why == f"{line.last_error}; waiting for the other side to dial"
        assert (await control.route("store")).link_why == line.why
        folder = tmp_path / "store"
        again = Service(spoke.config, spoke.key, Store.open(folder / "mesh.db"), folder)
        async with opened(again):
            await until(lambda: bool(hub.endpoint.links()) and not hub.story.fallen)
            assert [line.peer for line in await control.links()] == [peer]
            await Control(again).leave()
            await until(lambda: plane.membership.state_of(peer) == "left")
            await until(lambda: not hub.endpoint.links())
            assert await control.links() == ()


async def test_reasons_of_links_that_fell_are_kept_of_the_last_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are counted, as what was dropped; what goes with a link, or with the membership, is not."""
    hub = service(tmp_path, "hq", "hub")
    monkeypatch.setattr(event_story, "FALLEN_MAX", 2)
    async with opened(hub):
        a, b, c = (NodeId(letter * 52) for letter in "abc")
        for peer in (a, b, a, c):
            hub.story._link_down(LinkDown(peer, f"{short(peer)} fell"))
        assert hub.story.fallen == {a: f"{short(a)} fell", c: f"{short(c)} fell"}
        assert Sample("arqon_dropped_total", 1, ("event-story", "fallen-full")) in list(samples(hub))
        [told] = hub.story.recorder.query(reason="event-story.fallen-full")
        assert told.detail == b
        hub.story._link_up(LinkUp(a, "quic"))
        hub.story._expelled(MemberExpelled(c, "by hand"))
        assert not hub.story.fallen
        assert hub.story.dropped["event-story", "fallen-full"] == 1


async def test_all_screens_tell_one_round_trip_of_a_link(tmp_path: Path) -> None:
    """The route's figures are no others than those of the links, also where a link has just come up."""
    async with hub_and_spoke(tmp_path) as (_, spoke):
        control = Control(spoke)
        [link], [hop] = await control.links(), (await control.route("hq")).hops
        [shown] = (await control.mesh_status()).links
        assert link.rtt_ms == hop.rtt_ms == shown.rtt_ms


def test_a_link_that_is_down_has_no_figures_at_its_ends_nor_elsewhere() -> None:
    """What was measured before it fell would pass for what is so now: as dashes on every screen, null as data."""
    sim = Simulation(1)
    for name in "abc":
        sim.add(name, role="hub")
    sim.found()
    sim.run_for(5 * SECOND)
    ends = sorted((sim.processes["a"].node_id, sim.processes["c"].node_id))

    def shown(name: str) -> tuple[str, float | None, float | None, float | None]:
        node = sim.processes[name].running
        assert node.plane is not None
        [link] = [link for link in mesh_links(node, node.plane, Throughput()) if [link.a, link.b] == ends]
        return link.state, link.rtt_ms, link.loss, link.bytes_per_s

    assert all(shown(name)[0] == "up" and None not in shown(name)[:3] for name in "abc")
    assert [shown(name)[3] for name in "abc"] == [0.0, None, 0.0], "the traffic of two others is not b's to see"
    sim.cut(["a"], ["c"])
    sim.run_for(10 * SECOND)
    assert [shown(name) for name in "abc"] == [("down", None, None, None)] * 3


def test_what_a_dead_member_last_said_of_its_links_has_no_figures() -> None:
    """Its record says up for ever, so that the link is one-way; no screen shows its round trip or loss as of now."""
    sim = Simulation(1)
    for name in "abc":
        sim.add(name, role="hub")
    sim.found()
    sim.run_for(5 * SECOND)
    dead = sim.processes["c"].node_id
    sim.crash("c")
    node = sim.processes["a"].running
    assert node.plane is not None
    states = set()
    for _ in range(30):
        sim.run_for(SECOND)
        if node.plane.membership.state_of(dead) != "dead":
            continue
        for link in mesh_links(node, node.plane, Throughput()):
            figures = (link.rtt_ms, link.loss, *((link.bytes_per_s,) if link.mine else ()))
            assert set(figures) == {None} if dead in (link.a, link.b) else None not in figures
            states.add((link.state, dead in (link.a, link.b)))
    assert ("one-way", True) in states and ("up", False) in states
