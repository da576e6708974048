"""What the benchmarks of the overlay hand to nodes before they measure, and that they can be run without it."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from arqonmesh.config.model import BroadcastSettings
from arqonmesh.core.events import MemberDescribed
from arqonmesh.core.overlay.core import Overlay
from bench import broadcast, overlay

NODES = 12


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Who was handed that somebody is a member, each time."""
    seen: list[int] = []
    listen = Overlay.on_event

    def counted(core: Overlay, now: int, event: object) -> object:
        if isinstance(event, MemberDescribed):
            seen.append(now)
        return listen(core, now, event)  # type: ignore[arg-type]

    monkeypatch.setattr(Overlay, "on_event", counted)
    yield seen
    gc.unfreeze()
    gc.enable()


@pytest.mark.parametrize("untold", [False, True])
def test_a_broadcast_is_measured_with_and_without_knowledge_of_the_members(handed: list[int], untold: bool) -> None:
    """Either way everyone is reached."""
    cost = broadcast.measure(NODES, 4, "single", 1, BroadcastSettings(), overlay=True, untold=untold)
    assert cost.missed == 0
    assert len(handed) == (0 if untold else NODES * (NODES - 1))


@pytest.mark.parametrize("untold", [False, True])
def test_a_mass_failure_is_measured_with_and_without_knowledge_of_the_members(
    handed: list[int], untold: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The head of the table says which."""
    arguments = ["--nodes", str(NODES), "--cycles", "2", "--kill", "20", "--carry", "--broadcasts", "120"]
    assert overlay.main(arguments + ["--untold"] * untold) == 0
    assert ("untold" in capsys.readouterr().out) is untold
    assert bool(handed) is not untold
