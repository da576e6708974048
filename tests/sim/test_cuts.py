"""A silent cut between two nodes heals: how soon does their link carry traffic again?"""

from __future__ import annotations

import pytest

from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.sim.checkers import wait_for_convergence
from arqonmesh.sim.cuts import Cuts
from arqonmesh.sim.link_model import LinkModel
from arqonmesh.sim.simulation import Simulation

SETTLE_US = 2 * SECOND
PATIENCE_US = 4 * SECOND


def back_after_ms(
    cut_ms: int, *, seed: int = 1, role: str = "spoke", one_way: bool = False, stopped: str = "", stop_ms: int = 500
) -> int:
    """`b` dials `a`, and `a` dials `b` where that is a hub, too. They are cut for so long, and one of them may be
    `stopped` during the cut; the time from the heal until both ends have their link for good."""
    sim = Simulation(seed)
    sim.add("a")
    sim.add("b", role="hub" if role == "hub" else "spoke")
    sim.found()
    wait_for_convergence(sim)
    sim.run_for(SETTLE_US + (cut_ms * 7 + seed * 13) % 97 * MILLISECOND)
    sim.cut(["a"], ["b"], one_way=one_way)
    if stopped:
        sim.pause(stopped)
        sim.world.after(stop_ms * MILLISECOND, sim.resume, stopped)
    sim.run_for(cut_ms * MILLISECOND)
    sim.heal()
    healed_at = linked_at = sim.world.now
    while sim.world.now - healed_at < PATIENCE_US:
        sim.run_for(5 * MILLISECOND)
        if not all(linked(sim, *ends) for ends in (("a", "b"), ("b", "a"))):
            linked_at = sim.world.now
    return (linked_at - healed_at) // MILLISECOND


def linked(sim: Simulation, here: str, there: str) -> bool:
    plane = sim.processes[here].running.plane
    assert plane is not None
    return plane.links.is_up(sim.processes[there].node_id)


@pytest.mark.parametrize("role", ["spoke", "hub"])
def test_after_a_short_cut_the_link_is_back_within_300_ms(role: str) -> None:
    """Its connection is still there at both ends."""
    took = {cut_ms: back_after_ms(cut_ms, role=role) for cut_ms in range(100, 1_300, 100)}
    assert {cut_ms: ms for cut_ms, ms in took.items() if ms > 300} == {}


@pytest.mark.parametrize(("stopped", "stop_ms"), [("a", 500), ("b", 500), ("b", 900)])
def test_so_it_is_where_the_ends_do_not_lose_their_link_at_the_same_moment(stopped: str, stop_ms: int) -> None:
    """One had no processor for a while and listens for longer. Whoever was dialled keeps the connection until the other
    end has surely given it up, and dials anew: or that one would speak to nobody for the rest of its time."""
    took = {cut_ms: back_after_ms(cut_ms, stopped=stopped, stop_ms=stop_ms) for cut_ms in range(1_000, 2_100, 100)}
    assert {cut_ms: ms for cut_ms, ms in took.items() if ms > 300} == {}


@pytest.mark.parametrize("one_way", [False, True])
def test_after_any_cut_the_link_is_back_within_a_dial(one_way: bool) -> None:
    """Dials come at most a second apart, and each says its first word every 200 ms for a second."""
    took = {cut_ms: back_after_ms(cut_ms, one_way=one_way) for cut_ms in (1_350, 1_500, 2_000, 2_400, 3_000, 5_000)}
    assert {cut_ms: ms for cut_ms, ms in took.items() if ms > 1_200} == {}


def test_sides_are_those_who_reach_each_other_over_others_too() -> None:
    """A way there and no way back makes no side."""
    paths: dict[tuple[str, str], LinkModel] = {}
    cuts = Cuts(lambda a, b: paths.setdefault((a, b), LinkModel()))
    assert cuts.sides("abc") == [["a", "b", "c"]]
    cuts.set("a", "c", True)
    assert cuts.sides("abc") == [["a", "b", "c"]], "a and c reach each other over b"
    cuts.set("c", "b", True)
    assert cuts.sides("abc") == [["a", "b"], ["c"]]
    assert [pair for pair, model in paths.items() if model.cut] == [("a", "c"), ("c", "b")]
    cuts.mend()
    assert cuts.sides("abc") == [["a", "b", "c"]]
    assert not any(model.cut for model in paths.values())
