"""MinMap: author to the lowest (epoch, seq) ever claimed of it; the lattice of fork verdicts.

Whoever proves a fork of an author at a point joins that point in. Of two proofs the lower point stands, so replicas
that saw the proofs in any order, some twice, agree on the verdict, and with it on which of the author's statements
count: those below the point.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from arqonmesh.core.crdt.form import check_ascending
from arqonmesh.ids import NodeId
from arqonmesh.wire.cbor import decode_as, encode
from arqonmesh.wire.messages import U63, NodeText

MAX_ENTRIES: Final = 4_096
"""Authors in one map: forked members, of which a mesh that works has none."""
MAX_BYTES: Final = MAX_ENTRIES * 56
"""An entry is an id of 34 bytes, two integers of at most 9, and a head."""

Point: TypeAlias = tuple[int, int]
"""(epoch, seq) in an author's sequence; points of one author are ordered as tuples are."""


class _Entry(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    author: NodeText
    epoch: U63
    seq: U63


class _Wire(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    entries: Annotated[tuple[_Entry, ...], Meta(max_length=MAX_ENTRIES)]


@dataclass(frozen=True, slots=True)
class MinMap:
    """An immutable map, its entries ascending by author. `MinMap()` is the bottom of the lattice."""

    entries: tuple[tuple[NodeId, Point], ...] = ()

    @staticmethod
    def of(points: Iterable[tuple[NodeId, Point]]) -> MinMap:
        """The join of single points, in any order, also several of one author."""
        lowest: dict[NodeId, Point] = {}
        for author, point in points:
            known = lowest.get(author)
            if known is None or point < known:
                lowest[author] = point
        return MinMap(tuple(sorted(lowest.items())[:MAX_ENTRIES]))

    @staticmethod
    def at(author: NodeId, epoch: int, seq: int) -> MinMap:
        """The delta that says: `author` forked at this point, or before."""
        return MinMap(((author, (epoch, seq)),))

    @property
    def full(self) -> bool:
        """At its bound: a join may leave out the highest authors from here on."""
        return len(self.entries) >= MAX_ENTRIES

    def join(self, other: MinMap) -> MinMap:
        """The pointwise minimum."""
        if self.entries == other.entries or not other.entries:
            return self
        return MinMap.of((*self.entries, *other.entries))

    def lowest(self, author: NodeId) -> Point | None:
        """The author's point, or None when nothing is claimed of it. Keep a dict of `entries` for hot paths."""
        return dict(self.entries).get(author)

    def encode(self) -> bytes:
        return encode([[[author, epoch, seq] for author, (epoch, seq) in self.entries]])

    @staticmethod
    def decode(data: bytes) -> MinMap:
        """Raises DecodeError unless `data` is the one encoding of a map within the bounds."""
        wire = decode_as(data, _Wire, max_bytes=MAX_BYTES)
        check_ascending((entry.author for entry in wire.entries), "the authors of a MinMap")
        return MinMap(tuple((NodeId(entry.author), (entry.epoch, entry.seq)) for entry in wire.entries))
