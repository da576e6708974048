"""Each adversary, as many as f < n/3 allows: honest members withstand it, and would not without the defence."""

from __future__ import annotations

import pytest

from arqonmesh.sim.adversaries import TRIALS, Trial, face

PLAYED: dict[str, Trial] = {trial.adversary: trial for trial in TRIALS}
REQUIREMENTS = {
    "equivocator": ("R-ID-14", "R-CR-4"),
    "replayer": ("R-ID-6", "R-FE-6"),
    "slanderer": ("R-ID-6", "R-ID-14", "R-PS-4"),
    "framer": ("R-ID-6", "R-CR-4"),
    "broken-promise relay": ("R-ID-14", "R-PS-4"),
    "flooder": ("R-ID-15", "R-PS-4"),
    "eclipse joiner": ("R-ID-14",),
    "whitewasher": ("R-PS-4", "R-PS-5"),
    "on-off": ("R-PS-4", "R-PS-5"),
    "coordinate liar": ("R-ID-14",),
    "link-state liar": ("R-ID-14",),
    "pretender": ("R-ID-14",),
    "black hole": ("R-PT-9",),
    "ticket double-redeemer": ("R-ID-14", "R-PS-5"),
}


def of(adversary: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.requirement(*REQUIREMENTS[adversary])]


@pytest.mark.parametrize("trial", [pytest.param(trial, id=name, marks=of(name)) for name, trial in PLAYED.items()])
def test_honest_members_withstand(trial: Trial) -> None:
    """They agree, hear each other, are blamed for nothing; who can be contained is, in time; with a loss of power."""
    assert face(trial, trial.seed).broken == ""


@pytest.mark.parametrize("trial", [pytest.param(t, id=f"{t.adversary}: {t.defence}") for t in TRIALS])
def test_without_the_defence_they_do_not(trial: Trial) -> None:
    """The same trial, the same seed, one defence replaced by nothing: what is asserted can fail."""
    assert face(trial, trial.seed, defended=False).broken != ""


@pytest.mark.parametrize("seed", [2, 7, 8])
def test_a_framer_is_found_out_again_by_who_forgot_it(seed: int) -> None:
    """In these worlds a victim loses power, and with it what it had noted of the framer, half way."""
    assert face(PLAYED["framer"], seed).broken == ""


def test_every_adversary_of_the_library_has_its_trial() -> None:
    """Fourteen of them."""
    assert PLAYED.keys() == REQUIREMENTS.keys()
    assert len(PLAYED) == 14
