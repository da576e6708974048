"""What one test of the simulator leaves behind would change what the next one covers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from arqonmesh.sim.sharing import SHARING


@pytest.fixture(autouse=True)
def nothing_stays_shared() -> Iterator[None]:
    """Every simulation that shares memory of the process has ended with its test."""
    yield
    assert SHARING.users == 0, "close the simulation: `with Simulation(seed) as sim:`"
