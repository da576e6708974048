"""Clocks of simulated machines: offsets, drift and steps, and which commit a replay line names."""

from __future__ import annotations

from pathlib import Path

import pytest

from arqonmesh.core.kernel import SECOND
from arqonmesh.sim.checkout import commit
from arqonmesh.sim.scenarios import star
from arqonmesh.sim.simulation import Simulation
from arqonmesh.sim.world import EPOCH_MS


@pytest.mark.parametrize("ppm", [-500, 500])
def test_a_drifting_clock_is_off_by_half_a_second_after_a_thousand(ppm: int) -> None:
    """Both clocks, from the moment on at which it begins, and without a step."""
    sim = Simulation(1)
    process = sim.add("one")
    sim.run_for(100 * SECOND)
    before, wall = process.now(), process.wall_ms()
    process.drift(ppm)
    assert process.now() == before
    sim.run_for(1_000 * SECOND)
    assert process.now() - before - 1_000 * SECOND == pytest.approx(ppm * 1_000, abs=2)
    assert process.wall_ms() - wall - 1_000_000 == pytest.approx(1_100 * ppm / 1_000, abs=2)


def test_a_mesh_with_drifting_and_stepping_clocks_suspects_nobody() -> None:
    """500 ppm apart, walls minutes apart: timers fire, nobody is slandered."""
    sim = Simulation(2)
    star(sim, 2)
    for process, ppm in zip(sim.processes.values(), (-500, 500, 0), strict=True):
        process.drift(ppm)
    sim.processes["hub"].wall_offset_ms += 300_000
    sim.run_for(20 * SECOND)
    assert not [what for _, _, what in sim.world.trace.story if "suspect" in what or "is down" in what]
    assert sim.processes["hub"].wall_ms() > EPOCH_MS + 300_000


def test_the_commit_is_read_from_the_checkout(tmp_path: Path) -> None:
    """A branch, a packed branch, a bare commit; nothing outside of a checkout."""
    digits = "0123456789abcdef" * 2
    assert commit(tmp_path) == ""
    git = tmp_path / ".git"
    (git / "refs/heads").mkdir(parents=True)
    (git / "HEAD").write_text(digits)
    assert commit(tmp_path) == digits[:12]
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "packed-refs").write_text(f"# pack-refs\n{digits} refs/heads/main\n")
    assert commit(tmp_path) == digits[:12]
    (git / "refs/heads/main").write_text("f" * 40)
    assert commit(tmp_path) == "f" * 12
