"""The same seed is the same world, whatever the interpreter's hash seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import arqonmesh

OTHERS = "ARQON_TEST_PYTHONS"
"""Other interpreters, joined as in PATH, each with the project's dependencies installed."""


def trace_of(seed: int, scenario: str, hash_seed: str, python: str = sys.executable) -> str:
    command = [python, "-m", "arqonmesh.sim", "run", "--seed", str(seed), "--scenario", scenario, "--json"]
    here = str(Path(arqonmesh.__file__).parent.parent)
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": here}
    out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    return str(json.loads(out)["data"]["trace"])


@pytest.mark.parametrize("scenario", ["partition", "chaos", "swarm"])
def test_the_same_seed_leaves_the_same_trace(scenario: str) -> None:
    """Under PYTHONHASHSEED 0, 1 and random: byte for byte, every frame and every word of the story."""
    assert len({trace_of(4, scenario, hash_seed) for hash_seed in ("0", "1", "random")}) == 1


def test_the_same_seed_leaves_the_same_trace_on_other_versions_of_python() -> None:
    """A run that failed on one machine is replayed on any other."""
    others = [python for python in os.environ.get(OTHERS, "").split(os.pathsep) if python]
    if not others:
        pytest.skip(f"{OTHERS} names no other interpreter")
    ours = trace_of(4, "swarm", "0")
    assert {python: trace_of(4, "swarm", "random", python) for python in others} == dict.fromkeys(others, ours)


def test_another_seed_is_another_world() -> None:
    """The trace tells seeds apart."""
    assert trace_of(1, "partition", "0") != trace_of(2, "partition", "0")
