"""Nobody who floods a node with names and requests becomes all that it knows."""

from __future__ import annotations

import pytest

from arqonmesh.config.model import OverlaySettings
from arqonmesh.core.kernel import Core
from arqonmesh.ids import node_id_of
from arqonmesh.sim.adversaries.eclipser import Eclipser
from arqonmesh.sim.crypto import toy_key
from arqonmesh.sim.field import EnvOf
from tests.core.overlay.mesh import Mesh

HONEST, GANG, VICTIM = 20, 9, 5
"""As many adversaries as f < n/3 allows."""
DEFENDED = OverlaySettings(active_max=5, shuffle_interval_ms=10_000)
DEFENCELESS = OverlaySettings(active_max=5, shuffle_interval_ms=10_000, outbound_min=0, source_percent=100)


def eclipsed(settings: OverlaySettings, seed: int, seconds: int = 120) -> tuple[int, int]:
    """(seconds in which the victim's whole active view was the adversary's, adversaries in its passive view)."""
    mesh = Mesh(settings, seed)
    mesh.grow(HONEST)
    mesh.run(60)
    ids = [node_id_of(toy_key(f"field {HONEST + number}")) for number in range(GANG)]
    honest = [mesh.id(index) for index in range(HONEST) if index != VICTIM]

    def compose(env: EnvOf) -> tuple[Core, ...]:
        return (Eclipser(env("overlay"), ids, honest, mesh.id(VICTIM)),)

    for _ in range(GANG):
        mesh.field.add(compose)
    owned = 0
    for _ in range(seconds):
        mesh.run(1)
        owned += set(mesh.report(VICTIM).active) <= set(ids)
    return owned, len(set(mesh.report(VICTIM).passive) & set(ids))


@pytest.mark.parametrize("seed", [1, 2])
def test_an_adversary_that_floods_shuffles_and_joins_does_not_own_the_view(seed: int) -> None:
    """Neighbours of one's own choice are not pushed out, and names by others are bounded per source."""
    owned, _ = eclipsed(DEFENDED, seed)
    assert owned == 0


@pytest.mark.parametrize("seed", [1])
def test_without_quota_and_shares_it_would(seed: int) -> None:
    """The same adversary, the same mesh, the defence off."""
    owned, _ = eclipsed(DEFENCELESS, seed)
    assert owned > 100
