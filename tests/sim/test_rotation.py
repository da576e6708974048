"""Certificates with dates in the simulated handshake. `arqon sim run rotation` is the hour."""

from __future__ import annotations

import pytest

from arqonmesh.core.kernel import SECOND
from arqonmesh.sim.broken import Broken
from arqonmesh.sim.checkers import ending, wait_for_convergence, watched
from arqonmesh.sim.rotation import WRONG_CLOCK_MS, four, rotation
from arqonmesh.sim.simulation import Simulation
from arqonmesh.trust import certificates


@pytest.mark.requirement("R-ID-5")
def test_certificates_are_renewed_under_trouble_and_nothing_is_lost() -> None:
    """A minute of it: no message lost, nothing expired accepted, no fork."""
    sim = Simulation(1)
    rotation(sim, 60 * SECOND)
    assert sim.witness is not None and sim.witness.rotations >= 4 and sim.witness.accepted > 0


def wrong_clock(sim: Simulation) -> None:
    four(sim)
    sim.found()
    wait_for_convergence(sim)
    sim.trouble()
    sim.processes["node-3"].wall_offset_ms = -WRONG_CLOCK_MS
    watched(sim, 65 * SECOND, every_us=SECOND)  # it renews at once, into the past
    assert sim.processes["node-3"].endpoint is not None
    assert sim.processes["node-3"].endpoint.ends, "links that stand keep what they were made with"
    sim.cut(["node-3"], ["node-0", "node-1", "node-2"])
    watched(sim, 2 * SECOND)
    sim.heal()
    watched(sim, 5 * SECOND)


def test_an_expired_certificate_makes_no_link_until_the_clock_is_right() -> None:
    """Links that stand stay; the next handshake is refused; with the right time all comes right."""
    sim = Simulation(1)
    wrong_clock(sim)
    assert sim.witness is not None and sim.witness.refused["trust.expired-leaf"] > 0
    assert sim.processes["node-3"].endpoint is not None and not sim.processes["node-3"].endpoint.ends
    sim.processes["node-3"].wall_offset_ms = 0
    ending(sim)


def test_a_net_that_looks_at_no_dates_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The witness judges by the dates alone, beside the code that real nodes use."""
    monkeypatch.setattr(certificates, "_check_window", lambda leaf, now_ms, skew_ms: None)
    with pytest.raises(Broken, match=r"credentials: node-. accepted a leaf"):
        wrong_clock(Simulation(1))
