"""AddWinsMap: text to bytes, where a removal takes only the writes that it has seen. With empty values, an OR-Set.

Every write has a dot, (identity, epoch, seq), and a replica remembers which dots it has seen: a prefix and, of what
came early, the single ones (dotted version vectors, Preguica et al. 2012; as delta-state, Almeida et al. 2018). Seen
and not held means removed. Join keeps a write that both hold, or that one holds and the other has not seen; so of an
add and a concurrent removal the add stays.

Each write is at one of three steps, unseen, held, removed, and a join takes the higher; this is true also for an author
that gives one dot to two writes, which then lose each other, so nothing that anyone signs makes replicas differ.

Bounded without breaking that: only the newest `WINDOW` dots of an identity count, everything older is taken as seen and
removed; and an identity's newer epoch replaces its older one whole. Both thresholds only rise. `put` under a newer
epoch carries over what the identity still holds, which is all the compaction there is to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final

from msgspec import Meta, Struct

from arqonmesh.core.crdt.dots import WINDOW, Dots, Entry
from arqonmesh.core.crdt.form import check_ascending
from arqonmesh.errors import DecodeError
from arqonmesh.ids import NodeId
from arqonmesh.wire.cbor import decode_as, encode
from arqonmesh.wire.messages import U63, NodeText

MAX_IDENTITIES: Final = 64
MAX_KEY_CHARS: Final = 64
MAX_VALUE_BYTES: Final = 256
MAX_BYTES: Final = MAX_IDENTITIES * (64 + WINDOW * (9 + 16 + 4 * MAX_KEY_CHARS + MAX_VALUE_BYTES))

_Seq = Annotated[int, Meta(ge=1, le=0x7FFF_FFFF_FFFF_FFFF)]


class _Entry(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    seq: _Seq
    key: Annotated[str, Meta(max_length=MAX_KEY_CHARS)]
    value: Annotated[bytes, Meta(max_length=MAX_VALUE_BYTES)]


class _Part(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    identity: NodeText
    epoch: U63
    upto: U63
    early: Annotated[tuple[_Seq, ...], Meta(max_length=WINDOW)]
    held: Annotated[tuple[_Entry, ...], Meta(max_length=WINDOW)]


class _Wire(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    parts: Annotated[tuple[_Part, ...], Meta(max_length=MAX_IDENTITIES)]


@dataclass(frozen=True, slots=True)
class AddWinsMap:
    """An immutable map, its parts ascending by identity. `AddWinsMap()` is the bottom of the lattice."""

    parts: tuple[tuple[NodeId, Dots], ...] = ()

    def __iter__(self) -> Iterator[str]:
        """The keys, ascending."""
        return iter(sorted({entry.key: None for _, part in self.parts for entry in part.held}))

    def __contains__(self, key: str) -> bool:
        return bool(self.values(key))

    @property
    def full(self) -> bool:
        """At its bound: a join may leave out the highest identities from here on."""
        return len(self.parts) >= MAX_IDENTITIES

    def values(self, key: str) -> tuple[bytes, ...]:
        """The concurrent values of a key, ascending; usually one, none when the key is not there."""
        return tuple(sorted({e.value: None for _, part in self.parts for e in part.held if e.key == key}))

    def put(self, identity: NodeId, epoch: int, key: str, value: bytes = b"") -> AddWinsMap:
        """The delta that sets `key`, in place of every value that is seen here. Only the identity itself may say so.

        Raises ValueError for a key or value that is too long and for an epoch that is over: our bugs.
        """
        part = self._part(identity)
        if len(key) > MAX_KEY_CHARS or len(value) > MAX_VALUE_BYTES or epoch < part.epoch:
            raise ValueError(
                f"cannot put {len(value)} bytes under {len(key)} characters in epoch {epoch}; at most "
                f"{MAX_VALUE_BYTES} bytes, {MAX_KEY_CHARS} characters, epoch {part.epoch} or later"
            )
        if epoch == part.epoch:
            seen = [entry.seq for entry in part.held if entry.key == key]
            written = Dots.of(epoch, 0, (*seen, part.last + 1), (Entry(part.last + 1, key, value),))
        else:
            carried = [*((e.key, e.value) for e in part.held if e.key != key), (key, value)]
            entries = tuple(Entry(seq, *item) for seq, item in enumerate(carried, start=1))
            written = Dots.of(epoch, len(entries), (), entries)
        return AddWinsMap.of(((identity, written), *self._seen_of(key, but=identity)))

    def remove(self, key: str) -> AddWinsMap:
        """The delta that removes every write of `key` that is seen here; anyone may."""
        return AddWinsMap.of(self._seen_of(key))

    def join(self, other: AddWinsMap) -> AddWinsMap:
        """What both hold, and what one holds that the other has not seen."""
        if self.parts == other.parts or not other.parts:
            return self
        merged = dict(self.parts)
        for identity, part in other.parts:
            known = merged.get(identity)
            merged[identity] = part if known is None else known.join(part)
        return AddWinsMap.of(merged.items())

    @staticmethod
    def of(parts: Iterable[tuple[NodeId, Dots]]) -> AddWinsMap:
        return AddWinsMap(tuple(sorted(parts, key=lambda part: part[0])[:MAX_IDENTITIES]))

    def encode(self) -> bytes:
        return encode(
            [
                [
                    [identity, part.epoch, part.upto, part.early, [[e.seq, e.key, e.value] for e in part.held]]
                    for identity, part in self.parts
                ]
            ]
        )

    @staticmethod
    def decode(data: bytes) -> AddWinsMap:
        """Raises DecodeError unless `data` is the one encoding of a map within the bounds."""
        wire = decode_as(data, _Wire, max_bytes=MAX_BYTES)
        check_ascending((part.identity for part in wire.parts), "the identities of an AddWinsMap")
        return AddWinsMap(tuple((NodeId(part.identity), _dots_of(part)) for part in wire.parts))

    def _part(self, identity: NodeId) -> Dots:
        return dict(self.parts).get(identity, Dots())

    def _seen_of(self, key: str, but: NodeId | None = None) -> list[tuple[NodeId, Dots]]:
        """Per identity, the dots under which `key` is held here, as seen and not held."""
        found = [(node, part, [e.seq for e in part.held if e.key == key]) for node, part in self.parts if node != but]
        return [(node, Dots.of(part.epoch, 0, seqs, ())) for node, part, seqs in found if seqs]


def _dots_of(part: _Part) -> Dots:
    """Raises DecodeError when the part is not in the one form that its dots have."""
    held = tuple(Entry(entry.seq, entry.key, entry.value) for entry in part.held)
    dots = Dots.of(part.epoch, part.upto, part.early, held)
    check_ascending((entry.seq for entry in held), "the dots held in an AddWinsMap")
    if (dots.upto, dots.early, dots.held) != (part.upto, part.early, held):
        raise DecodeError("wire.not-canonical", "the dots of an AddWinsMap are not in their one form")
    return dots
