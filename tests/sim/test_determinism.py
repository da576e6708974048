"""The same seed is the same world, whatever the interpreter's hash seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


def trace_of(seed: int, scenario: str, hash_seed: str) -> str:
    command = [sys.executable, "-m", "arqonmesh.sim", "run", "--seed", str(seed), "--scenario", scenario, "--json"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    return str(json.loads(out)["data"]["trace"])


@pytest.mark.parametrize("scenario", ["partition", "chaos", "swarm"])
def test_the_same_seed_leaves_the_same_trace(scenario: str) -> None:
    """Under PYTHONHASHSEED 0, 1 and random: byte for byte, every frame and every word of the story."""
    assert len({trace_of(4, scenario, hash_seed) for hash_seed in ("0", "1", "random")}) == 1


def test_another_seed_is_another_world() -> None:
    """The trace tells seeds apart."""
    assert trace_of(1, "partition", "0") != trace_of(2, "partition", "0")
