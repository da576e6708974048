"""Whole meshes from one seed. `python -m arqonmesh.sim explore` searches more of them than a test run may take."""

from __future__ import annotations

from typing import Any

import pytest

from arqonmesh.core.admission.core import Admission as AdmissionCore
from arqonmesh.core.admission.judge import Judgement
from arqonmesh.core.events import PartitionChanged
from arqonmesh.core.federation.batch import Head
from arqonmesh.core.federation.imports import Imports
from arqonmesh.core.kernel import SECOND, Effect
from arqonmesh.ids import NodeId
from arqonmesh.sim.__main__ import main
from arqonmesh.sim.broken import Broken
from arqonmesh.sim.checkers import TwoSides
from arqonmesh.sim.disk import Disk
from arqonmesh.sim.play import play
from arqonmesh.sim.scenarios import idle, star
from arqonmesh.sim.simulation import Simulation
from arqonmesh.wire.messages import BusBatch

Places = tuple[dict[int, None], dict[int, None]]
"""Of a batch's sections those that are new here, and those that have not been passed on."""


@pytest.mark.requirement("R-FE-6")
@pytest.mark.parametrize("scenario", ["partition", "one-way", "churn", "power"])
def test_every_rule_holds(scenario: str) -> None:
    """Once, in order, complete, nowhere it may not be; no fork, no slander, one writing side; all agree afterwards."""
    result, _ = play(scenario, 42)
    assert result.broken == ""
    assert result.heard > result.said > 0


@pytest.mark.parametrize("seed", [2, 4, 6, 7, 8, 14])
def test_any_trouble_ends_well(seed: int) -> None:
    """Random meshes, random trouble, then peace."""
    result, _ = play("chaos", seed)
    assert result.broken == "", result.replay


@pytest.mark.requirement("R-PA-10")
@pytest.mark.parametrize("seed", [4, 5, 7])
def test_governed_writes_are_accepted_on_one_side_at_most(seed: int) -> None:
    """Admissions and invites attempted everywhere during random cuts; one roster and one electorate afterwards."""
    result, sim = play("splits", seed)
    assert result.broken == "", result.replay
    assert any("governed writes accepted" in what for _, _, what in sim.world.trace.story)


def test_a_side_that_takes_governed_writes_without_a_quorum_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """With admission deaf to the partition core, the checker sees both sides admit."""
    monkeypatch.setattr(AdmissionCore, "judge", judge_anyway)
    result, _ = play("splits", 4)
    assert "two sides accepted governed writes" in result.broken


def judge_anyway(core: AdmissionCore, *request: Any) -> Judgement:
    core._partition = PartitionChanged("healthy", True, 9, 1, 9, "crash")
    return honest_judge(core, *request)


honest_judge = AdmissionCore.judge


def test_an_idle_mesh_suspects_nobody() -> None:
    """Ten nodes, twenty seconds, no trouble: nobody is even suspected."""
    sim = Simulation(7)
    idle(sim, 10, 20 * SECOND)
    assert not [what for _, _, what in sim.world.trace.story if "suspect" in what or "dead" in what]


def test_a_cut_is_noticed_and_told_by_both_sides() -> None:
    """Within half a second both ends say that the link is down, and the small side that it is read-only."""
    sim = Simulation(3)
    star(sim, 2)
    sim.run_for(2 * SECOND)
    cut_at = sim.world.now
    sim.cut(["spoke-1"], ["hub", "spoke-2"])
    sim.run_for(SECOND // 2)

    told = [(who, what) for at, who, what in sim.world.trace.story if at > cut_at]
    assert {who for who, what in told if "is down" in what} == {"hub", "spoke-1"}
    assert sim.observer.writable == {"hub": True, "spoke-1": False, "spoke-2": True}


# --- the checkers can fail ---------------------------------------------------------------------------------------


def forget_what_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what was passed on everyone remembers that it was: else a batch would go round and round."""
    unseen = Imports._unseen

    def forgetful(self: Imports, origin: NodeId, head: Head, batch: BusBatch, out: list[Effect]) -> Places:
        _, unforwarded = unseen(self, origin, head, batch, out)
        return {index: None for index, section in enumerate(batch.sections) if section}, unforwarded

    monkeypatch.setattr(Imports, "_unseen", forgetful)


def test_a_mesh_that_forgets_what_it_has_seen_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the inbox, what comes over two ways is delivered twice."""
    forget_what_was_seen(monkeypatch)
    assert "heard twice" in play("chaos", 3)[0].broken


def test_a_disk_that_lies_about_sync_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """When what was promised safe is not, a node uses its numbers again, and contradicts itself."""

    def lose_everything(disk: Disk) -> None:
        disk._tail.clear()
        disk._forget_waiting()

    monkeypatch.setattr(Disk, "_done", lambda self, writes, *, sync: self._tail.append(writes))
    monkeypatch.setattr(Disk, "power_lost", lose_everything)
    assert play("power", 42)[0].broken.startswith("fork")


def test_two_writing_sides_are_caught() -> None:
    """The checker's own rule, with sides that say so."""
    sim = Simulation(1)
    star(sim, 1)
    sim.cut(["hub"], ["spoke-1"])
    checker = TwoSides()
    checker.look(sim)
    sim.run_for(10 * SECOND)
    sim.observer.writable.update({"hub": True, "spoke-1": True})
    with pytest.raises(Broken, match="two sides may write"):
        checker.look(sim)


# --- the command line --------------------------------------------------------------------------------------------


def test_the_story_ends_with_its_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    """Readable lines with times and names, then figures, trace and outcome."""
    assert main(["run", "--seed", "42"]) == 0
    out = capsys.readouterr().out
    assert "silently cut: spoke-1 <-/-> hub spoke-2" in out
    assert "outcome   every rule held" in out


def test_a_failure_prints_the_line_that_replays_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that nobody has to guess how to see it again."""
    forget_what_was_seen(monkeypatch)
    assert main(["explore", "--seeds", "1", "--first", "3", "--scenario", "chaos"]) == 1
    assert "replay: python -m arqonmesh.sim run --seed 3 --scenario chaos" in capsys.readouterr().out
