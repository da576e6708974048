"""What is to be said of authors, cut into deltas that each explain themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from arqonmesh.core.gossip.log import Position, Record
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import GossipDelta

UNVOUCHED: Final[Position] = (0x7FFF_FFFF_FFFF_FFFF, 0x7FFF_FFFF_FFFF_FFFF)
"""The base of an author of whose statements the delta does not say that they are all: beyond everything."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What one delta says of one author: from `base` on, all of these and nothing else. No base: no such promise."""

    author: NodeId
    base: Position | None
    items: Sequence[tuple[Position, bytes]]


def segment_of(author: NodeId, base: Position | None, records: Sequence[Record]) -> Segment:
    """All that came after `base`; records that lie before it (a forgotten life of ours) go out without a promise."""
    vouched = base if base is not None and records and records[0].position > base else None
    return Segment(author, vouched, [(record.position, record.encoded) for record in records])


def directly_before(position: Position) -> Position:
    """The base that goes without saying, for an author whose first statement in a delta is this one: most pushes carry
    the one statement that follows what everybody has."""
    return position[0], position[1] - 1


def pack(
    segments: Sequence[Segment], *, budget: int, count_max: int, deltas_max: int | None
) -> tuple[list[GossipDelta], bool]:
    """Segments as deltas of at most `budget` bytes of statements (but at least one statement) each, at most
    `deltas_max` of them (None: as many as it takes). Returns the deltas, and whether something was left out.

    Cut only at the end of what was said of an author so far, so each delta keeps prefix closure: a segment that
    continues in the next delta continues there from the last statement of this one.
    """
    deltas: list[GossipDelta] = []
    statements: list[bytes] = []
    bases: dict[NodeId, Position | None] = {}
    """None where it goes without saying."""
    size = 0

    def close() -> None:
        nonlocal statements, bases, size
        deltas.append(
            GossipDelta(
                statements=tuple(statements),
                bases=tuple((author, *base) for author, base in sorted(bases.items()) if base is not None),
            )
        )
        statements, bases, size = [], {}, 0

    for segment in segments:
        base = segment.base
        for position, encoded in segment.items:
            if statements and (size + len(encoded) > budget or len(statements) >= count_max):
                close()
                if deltas_max is not None and len(deltas) >= deltas_max:
                    return deltas, True
            if segment.author not in bases:
                bases[segment.author] = None if base == directly_before(position) else base or UNVOUCHED
            if base is not None:
                base = position
            statements.append(encoded)
            size += len(encoded)
    if statements:
        close()
    return deltas, False
