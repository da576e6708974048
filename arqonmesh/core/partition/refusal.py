"""What is said when a governed write is refused: the code, and a sentence with all that an operator needs to see."""

from __future__ import annotations

from typing import Final

from arqonmesh.core.events import PartitionChanged
from arqonmesh.ids import short

READ_ONLY: Final = "mesh.read-only"
NAMED_MAX: Final = 5


def sentence_of(partition: PartitionChanged | None) -> str:
    """Why nothing that changes the membership or its rules is accepted here."""
    if partition is None:
        return "this node has not yet seen whether it is on the side of a quorum; try again in a moment"
    if partition.by_ignoring:
        named = ", ".join(short(node) for node in partition.ignored[:NAMED_MAX])
        return (
            f"this node is read-only because of whom it ignores: {partition.votes} of {partition.voters} votes count, "
            f"{partition.required} required (preset {partition.preset}); ignored here: {named}"
        )
    missing = [short(node) for node, _ in partition.missing[:NAMED_MAX]]
    more = len(partition.missing) - len(missing) + partition.missing_more
    names = f"; missing: {', '.join(missing)}{f' and {more} more' if more else ''}" if missing else ""
    return (
        f"this side of the mesh is read-only: {partition.votes} of {partition.voters} votes reachable, "
        f"{partition.required} required (preset {partition.preset}){names}"
    )
