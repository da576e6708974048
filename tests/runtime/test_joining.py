"""Whom a newcomer dials first."""

from __future__ import annotations

import pytest

from arqonmesh.config.model import LinkSettings
from arqonmesh.core.plane import MeshIdentity
from arqonmesh.ids import MeshId, NodeId
from arqonmesh.runtime.joining import Joined, Told, first_links

HUB = Told(NodeId("h" * 32), "hub", ("192.0.2.1:9130",))
LEADER = Told(NodeId("l" * 32), "leader", ("192.0.2.2:9130",))
SPOKE = Told(NodeId("s" * 32), "spoke", ("192.0.2.3:9130",))


def _joined(*members: Told) -> Joined:
    mesh = MeshIdentity(mesh_id=MeshId("01ARZ3NDEKTSV4RRFFQ69G5FAV"), founder=HUB.node)
    return Joined(mesh, "test", "spoke", members)


@pytest.mark.parametrize(
    ("settings", "told", "dialled"),
    [
        (LinkSettings(), (HUB, SPOKE, LEADER), (HUB, LEADER)),
        (LinkSettings(auto="full"), (HUB, SPOKE, LEADER), (HUB, SPOKE, LEADER)),
        (LinkSettings(auto="none"), (HUB, SPOKE), ()),
        (LinkSettings(auto_max=1), (HUB, SPOKE, LEADER), (HUB,)),
        (LinkSettings(), (SPOKE,), (SPOKE,)),
    ],
)
def test_a_newcomer_dials_as_links_auto_says(
    settings: LinkSettings, told: tuple[Told, ...], dialled: tuple[Told, ...]
) -> None:
    """Spokes are not dialled by spokes; where there is no hub, somebody has to be the first link."""
    assert first_links(_joined(*told), settings) == dialled
