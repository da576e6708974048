"""A mesh from prepared disks, and a search that several processes share."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.core.kernel import SECOND, Delete, Lane, Put, Send
from arqonmesh.sim.broken import Broken
from arqonmesh.sim.disk import Disk, Tables, in_order
from arqonmesh.sim.play import attempts, play
from arqonmesh.sim.scenarios import SCENARIOS, Scenario, idle_graph
from arqonmesh.sim.sharing import SHARED, SHARING
from arqonmesh.sim.simulation import Simulation
from arqonmesh.sim.world import World
from arqonmesh.wire.codec import remembered
from arqonmesh.wire.messages import BroadcastHave, GossipRoot, WireMessage


def test_a_mesh_that_starts_again_settles_and_every_node_knows_every_other() -> None:
    """Through the ordinary start: rows are read, incarnations raised, links dialled, records compared."""
    with Simulation(1) as sim:
        idle_graph(sim, 12, 2 * SECOND)
        assert sim.world.handled < 2_500, "links that are as they were are not told again"
        for process in sim.processes.values():
            plane = process.running.plane
            assert plane is not None
            assert plane.membership.incarnation == 2
            assert len(plane.admission.members()) == 12
            assert len(plane.links.report()) == 6


def test_a_mesh_that_has_heard_of_its_start_says_nothing_twice() -> None:
    """Each node signs just what the others hold of it already: nothing is news to anyone, and nobody forks."""
    with Simulation(1) as sim:
        idle_graph(sim, 12, 2 * SECOND, settled=True)
        assert not sim.observer.forks
        for process in sim.processes.values():
            plane = process.running.plane
            assert plane is not None
            assert plane.membership.incarnation == 2
            assert plane.gossip.counters.get("merged", 0) == 0
            assert plane.gossip.counters["published"] == 1
            assert len(plane.links.report()) == 6


def state(sim: Simulation) -> dict[str, object]:
    """What each node knows and concludes; not since when."""
    known: dict[str, object] = {}
    for name, process in sim.processes.items():
        plane = process.running.plane
        assert plane is not None
        known[name] = (
            plane.gossip.root(),
            [(m.node, m.state, m.incarnation, m.addresses, m.accusers) for m in plane.membership.report()],
            plane.admission.members(),
            plane.partition.view(),
            (plane.partition.electorate.settled, plane.partition.electorate.latest),
            plane.routing.reachable(),
            plane.regions.leaders("sim"),
            sorted(link.peer for link in plane.links.report()),
        )
    return known


def test_a_mesh_that_starts_settled_is_where_one_that_settles_comes_to() -> None:
    """The same roots, members, voters, routes and leaders at every node as when all have heard that all started."""
    with Simulation(1) as told, Simulation(1) as quiet:
        idle_graph(told, 14, 5 * SECOND)
        idle_graph(quiet, 14, 5 * SECOND, settled=True)
        assert told.world.handled > quiet.world.handled + 14 * 13, "one of them has heard of every start"
        assert state(told) == state(quiet)


@pytest.mark.parametrize("settled", [False, True])
def test_what_the_nodes_of_a_process_share_changes_nothing_that_happens(
    monkeypatch: pytest.MonkeyPatch, settled: bool
) -> None:
    """Frames decoded once, logs restored once: the same trace as when every node does all of it for itself."""

    def trace() -> str:
        with Simulation(3) as sim:
            idle_graph(sim, 36, 3 * SECOND, settled=settled)
            sim.crash("node-0007")
            sim.run_for(3 * SECOND)
            return sim.world.trace.digest()

    shared = trace()
    for memo in SHARED:
        monkeypatch.setattr(memo, "capacity", 0)
    monkeypatch.setattr(SHARING, "_memos", {})
    assert trace() == shared


@pytest.mark.parametrize("bad", [GossipRoot(root=b"short"), BroadcastHave(have=((b"xx", -3, -1),))])
def test_what_a_node_says_is_decoded_by_who_hears_it_also_where_frames_are_shared(bad: WireMessage) -> None:
    """A field out of bounds, of a message packed or not, is refused by every reader as on a real link."""
    with Simulation(1) as sim:
        idle_graph(sim, 12, SECOND, settled=True)
        speaker = sim.processes["node-0000"]
        peers = [sim.names[link.peer] for link in speaker.running.plane.links.report()]  # type: ignore[union-attr]
        speaker.perform([Send(sim.processes[name].node_id, Lane.CONTROL, bad) for name in peers])
        sim.run_for(SECOND)
        assert sim.observer.faults == {(name, "node-0000", "malformed"): 1 for name in peers}


def held() -> list[tuple[int, int]]:
    """Of each memory that is shared: what it can hold, and what it holds."""
    return [(memo.capacity, len(memo)) for memo in SHARED]


def test_what_is_shared_is_given_back_by_the_last_who_shares_it() -> None:
    """Capacities as before and nothing left of these meshes: no story depends on one that was told before it, and no
    memory outlives its mesh."""
    before = [(memo.capacity, 0) for memo in SHARED]
    with Simulation(1) as one:
        idle_graph(one, 12, SECOND, settled=True)
        with Simulation(2) as other:
            idle_graph(other, 12, SECOND, settled=True)
        assert [capacity for capacity, _ in held()] == list(SHARED.values())
        assert all(count for _, count in held())
        frozen = gc.get_freeze_count()
        assert frozen
    assert held() == before
    assert gc.get_freeze_count() == 0
    one.run_for(SECOND)
    assert len(remembered) == 0, "it goes on, each node for itself"


@pytest.mark.parametrize("broken", [False, True])
def test_a_story_that_was_played_shares_nothing_any_more(monkeypatch: pytest.MonkeyPatch, broken: bool) -> None:
    """However it ended."""

    def story(sim: Simulation) -> None:
        idle_graph(sim, 12, SECOND, settled=True)
        assert SHARING.users == 1
        if broken:
            raise Broken("rule", "said so")

    monkeypatch.setitem(SCENARIOS, "short", Scenario("short", "A short one", story))
    assert bool(play("short", 1)[0].broken) == broken
    assert SHARING.users == 0


def test_who_is_dropped_shares_nothing_any_more() -> None:
    """Without a word, as soon as it is collected."""
    sim = Simulation(1)
    sim.ends.enter_context(SHARING.held())
    assert SHARING.users == 1
    del sim
    gc.collect()
    assert SHARING.users == 0


@given(
    st.dictionaries(st.sampled_from("bdfh"), st.integers(0, 9)),
    st.lists(st.tuples(st.sampled_from("abcdefghi"), st.none() | st.integers(0, 9))),
)
def test_what_a_disk_has_changed_stands_in_its_place(
    laid: dict[str, int], changes: list[tuple[str, int | None]]
) -> None:
    """Put into the ordered base row by row, or sorted with it: the same rows in the same order."""
    base: Tables = {"links": {(key,): (key, "p", at) for key, at in laid.items()}}
    ordered, plain = Disk(World(1), "ordered"), Disk(World(1), "plain")
    ordered.lay_base(base, {"links": in_order(base["links"])})
    plain.lay_base(base)
    for disk in (ordered, plain):
        for key, at in changes:
            disk.write_now((Delete("links", (key,)) if at is None else Put("links", (key, "p", at)),))
    assert ordered.durable() == plain.durable()


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
