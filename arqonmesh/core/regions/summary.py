"""What a leader tells of its region."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import RegionSummary

CLUSTERS_MAX: Final = 64
SOFTWARE_MAX: Final = 16
NO_ROOT: Final = bytes(32)


class Resident(Struct, gc=False):
    """One member as its record describes it, and its state."""

    region: str
    role: str
    cluster: str
    software: str
    addresses: tuple[str, ...]
    state: str = ""


def summarise(
    term: int, leaders: tuple[NodeId, ...], residents: Iterable[Resident], root: bytes = NO_ROOT
) -> RegionSummary:
    """Counts over the region's members; who has left is not counted."""
    states = {"alive": 0, "suspect": 0, "dead": 0}
    clusters: dict[str, None] = {}
    software: dict[str, int] = {}
    for resident in residents:
        if resident.state in states:
            states[resident.state] += 1
            clusters[resident.cluster] = None
            software[resident.software] = software.get(resident.software, 0) + 1
    return RegionSummary(
        term=term,
        leaders=leaders,
        alive=states["alive"],
        suspect=states["suspect"],
        dead=states["dead"],
        clusters=tuple(sorted(clusters)[:CLUSTERS_MAX]),
        root=root,
        software=tuple(sorted(software.items(), key=lambda item: (-item[1], item[0]))[:SOFTWARE_MAX]),
    )


def root_of(heads: Iterable[tuple[NodeId, int, int]]) -> bytes:
    """SHA-256 over (author, epoch, seq) of each head, sorted by author: equal where the same statements are held."""
    digest = hashlib.sha256(b"arqonmesh/v1/region-root\x00")
    for author, epoch, seq in heads:
        digest.update(author.encode() + epoch.to_bytes(8, "big") + seq.to_bytes(8, "big"))
    return digest.digest()


def says_the_same(one: RegionSummary, other: RegionSummary) -> bool:
    """Equal but for the root, which moves with every statement of any member."""
    return replace(one, root=NO_ROOT) == replace(other, root=NO_ROOT)
