"""MaxMap: author to the highest offset ever claimed by it; the lattice of acknowledged positions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final

from msgspec import Meta, Struct

from arqonmesh.core.crdt.form import check_ascending
from arqonmesh.ids import NodeId
from arqonmesh.wire.cbor import decode_as, encode
from arqonmesh.wire.messages import U63, NodeText

MAX_ENTRIES: Final = 16_384
"""Authors in one map."""
MAX_BYTES: Final = MAX_ENTRIES * 48


class _Entry(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    author: NodeText
    offset: U63


class _Wire(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    entries: Annotated[tuple[_Entry, ...], Meta(max_length=MAX_ENTRIES)]


@dataclass(frozen=True, slots=True)
class MaxMap:
    """An immutable map, its entries ascending by author. `MaxMap()` is the bottom of the lattice."""

    entries: tuple[tuple[NodeId, int], ...] = ()

    @staticmethod
    def of(offsets: Iterable[tuple[NodeId, int]]) -> MaxMap:
        """The join of single offsets, in any order, also several of one author."""
        highest: dict[NodeId, int] = {}
        for author, offset in offsets:
            if offset > highest.get(author, -1):
                highest[author] = offset
        return MaxMap(tuple(sorted(highest.items())[:MAX_ENTRIES]))

    @staticmethod
    def at(author: NodeId, offset: int) -> MaxMap:
        """The delta that says: `author` has come this far, at least."""
        return MaxMap(((author, offset),))

    @property
    def full(self) -> bool:
        """At its bound: a join may leave out the highest authors from here on."""
        return len(self.entries) >= MAX_ENTRIES

    def join(self, other: MaxMap) -> MaxMap:
        """The pointwise maximum."""
        if self.entries == other.entries or not other.entries:
            return self
        return MaxMap.of((*self.entries, *other.entries))

    def highest(self, author: NodeId) -> int | None:
        """The author's offset, or None. Keep a dict of `entries` for hot paths."""
        return dict(self.entries).get(author)

    def lowest_of(self, authors: Iterable[NodeId]) -> int:
        """The offset that all of these have reached; 0 when one of them is not in the map, or none is asked for."""
        known = dict(self.entries)
        return min((known.get(author, 0) for author in authors), default=0)

    def encode(self) -> bytes:
        return encode([[[author, offset] for author, offset in self.entries]])

    @staticmethod
    def decode(data: bytes) -> MaxMap:
        """Raises DecodeError unless `data` is the one encoding of a map within the bounds."""
        wire = decode_as(data, _Wire, max_bytes=MAX_BYTES)
        check_ascending((entry.author for entry in wire.entries), "the authors of a MaxMap")
        return MaxMap(tuple((NodeId(entry.author), entry.offset) for entry in wire.entries))
