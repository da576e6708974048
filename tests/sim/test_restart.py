"""A mesh from prepared disks, and a search that several processes share."""

from __future__ import annotations

from arqonmesh.core.kernel import SECOND, Delete, Put
from arqonmesh.sim.disk import Disk, Tables
from arqonmesh.sim.play import attempts
from arqonmesh.sim.scenarios import idle_graph
from arqonmesh.sim.simulation import Simulation
from arqonmesh.sim.world import World


def test_a_mesh_that_starts_again_settles_and_every_node_knows_every_other() -> None:
    """Through the ordinary start: rows are read, incarnations raised, links dialled, records compared."""
    sim = Simulation(1)
    idle_graph(sim, 12, 2 * SECOND)
    assert sim.world.handled < 2_500, "links that are as they were are not told again"
    for process in sim.processes.values():
        plane = process.running.plane
        assert plane is not None
        assert plane.membership.incarnation == 2
        assert len(plane.admission.members()) == 12
        assert len(plane.links.report()) == 6


def test_disks_share_a_base_and_change_only_their_own() -> None:
    """A row of the base that one disk replaces or deletes is still there for the other."""
    world = World(1)
    base: Tables = {"links": {("a",): ("a", "p", 1), ("b",): ("b", "p", 1)}}
    one, other = Disk(world, "one"), Disk(world, "other")
    one.lay_base(base)
    other.lay_base(base)
    one.write_now((Put("links", ("a", "q", 2)), Delete("links", ("b",))))
    assert one.durable()["links"] == [("a", "q", 2)]
    assert other.durable()["links"] == [("a", "p", 1), ("b", "p", 1)]
    one.write_now((Put("links", ("b", "r", 3)),))
    assert one.durable()["links"] == [("a", "q", 2), ("b", "r", 3)]


def test_seeds_come_in_their_order_and_alike_whoever_plays_them() -> None:
    """Two processes and one give the same traces in the same order."""
    alone = list(attempts("chaos", (3, 1, 2), 1))
    shared = list(attempts("chaos", (3, 1, 2), 2))
    assert [tried.seed for tried in shared] == [3, 1, 2]
    assert shared == alone
