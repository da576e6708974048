"""Everybody is short of processor time at once: nobody is called dead for it, and a death is known all the same."""

from __future__ import annotations

import pytest

from arqonmesh.core.kernel import SECOND
from arqonmesh.core.lull import Lull
from arqonmesh.sim.simulation import Simulation
from arqonmesh.sim.starved import Starver, Tally, standing, starve


@pytest.mark.parametrize(("nodes", "hubs", "for_s"), [(20, 1, 30), (8, 4, 15)])
def test_nobody_who_runs_is_called_dead(nodes: int, hubs: int, for_s: int) -> None:
    """Each stands still some three times a second, one time in twenty for up to a second, now and then for three."""
    with Simulation(3) as sim:
        assert starve(sim, nodes, hubs, for_s * SECOND).dead == []


def test_without_a_memory_for_what_ended_well_many_are_called_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is what the test above would see."""
    monkeypatch.setattr(Lull, "note", lambda *given: None)
    with Simulation(3) as sim:
        assert len(starve(sim, 20, 1, 30 * SECOND).dead) > 20


def test_who_dies_among_the_starved_is_known_to_be_dead_within_ten_seconds() -> None:
    """Patience has an end: a second and a half for the link, five seconds for who has lost all of his, and what the
    news takes from one starved node to the next."""
    with Simulation(5) as sim:
        standing(sim, 12, 1)
        tally, starver = Tally(sim), Starver(sim)
        starver.start()
        sim.run_for(10 * SECOND)
        assert tally.dead == []
        sim.crash("n07")
        sim.run_for(10 * SECOND)
        assert {about for _, _, about, _ in tally.dead} == {"n07"}
        assert {who for _, who, _, _ in tally.dead} == {process.name for process in sim.alive()}
