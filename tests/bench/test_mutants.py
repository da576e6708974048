"""The catalogue of planted bugs: does each still fit the code that it would break?"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.mutants.catalogue import MUTANTS
from bench.mutants.mutant import Mutant

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_fits_the_code_and_names_tests_that_exist(mutant: Mutant) -> None:
    """One that does not is planted nowhere: its rule is not tried. Whoever changes the line changes the catalogue."""
    mutant.planted(ROOT)
    assert [test for test in mutant.tests if not (ROOT / test).exists()] == []


def test_no_two_planted_bugs_have_one_name() -> None:
    """They are chosen and told by it."""
    names = [mutant.name for mutant in MUTANTS]
    assert len(names) == len(set(names))
