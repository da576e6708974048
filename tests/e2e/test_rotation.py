"""Certificates that live for ten seconds, under traffic that lives longer."""

from __future__ import annotations

import pytest

from bench import rotation
from tests.e2e import kit


@pytest.mark.requirement("R-ID-4")
@pytest.mark.requirement("R-ID-5")
def test_rotation_under_traffic_loses_no_message_and_drops_no_link(capsys: pytest.CaptureFixture[str]) -> None:
    """A new leaf every 5 s for 20 s: links outlive the leaves they were made with, and a newcomer gets a fresh one."""
    with kit.nodes(rotation.config(every_s=5)) as mesh:
        done = rotation.run(mesh, seconds=20, rate_per_s=300)
    with capsys.disabled():
        print(f"\n  {done}")
    assert done.figures.flawless
    assert done.links_dropped == 0
    assert done.rotations >= 9
    assert done.links_after == 1
