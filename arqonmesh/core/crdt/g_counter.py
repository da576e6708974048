"""GCounter: a count that only grows, kept apart by actor.

An actor is an (identity, epoch): a node that restarts without its memory, or under a new key, counts on under the next
epoch and can never take back what it counted before. Epochs would pile up; once everybody has acknowledged an
identity's older epochs, `compact` folds them into one total under a floor. Floors only rise, and what lies below a
floor is not taken in again, so a replica that comes back late changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from arqonmesh.core.crdt.form import check_ascending
from arqonmesh.errors import DecodeError
from arqonmesh.ids import NodeId
from arqonmesh.wire.cbor import decode_as, encode
from arqonmesh.wire.messages import U63, NodeText

MAX_IDENTITIES: Final = 2_048
MAX_EPOCHS: Final = 8
"""Epochs of one identity above its floor; beyond, the lowest are left out. Compact before that."""
MAX_BYTES: Final = MAX_IDENTITIES * (56 + MAX_EPOCHS * 20)
COUNT_MAX: Final = (1 << 63) - 1
"""Counts saturate here."""

Counts: TypeAlias = tuple[tuple[int, int], ...]
"""(epoch, count), ascending by epoch."""


class _Share(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    identity: NodeText
    floor: U63
    total: U63
    counts: Annotated[tuple[tuple[U63, U63], ...], Meta(max_length=MAX_EPOCHS)]


class _Wire(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    shares: Annotated[tuple[_Share, ...], Meta(max_length=MAX_IDENTITIES)]


@dataclass(frozen=True, slots=True)
class Share:
    """What one identity counted: `total` in the epochs below `floor`, and the count of each epoch from it on."""

    floor: int = 0
    total: int = 0
    counts: Counts = ()

    def join(self, other: Share) -> Share:
        floor, total = max((self.floor, self.total), (other.floor, other.total))
        highest: dict[int, int] = {}
        for epoch, count in (*self.counts, *other.counts):
            if epoch >= floor and count > highest.get(epoch, -1):
                highest[epoch] = count
        return Share(floor, total, tuple(sorted(highest.items())[-MAX_EPOCHS:]))

    @property
    def value(self) -> int:
        return self.total + sum(count for _, count in self.counts)


@dataclass(frozen=True, slots=True)
class GCounter:
    """An immutable counter, its shares ascending by identity. `GCounter()` is the bottom of the lattice."""

    shares: tuple[tuple[NodeId, Share], ...] = ()

    @property
    def value(self) -> int:
        return sum(share.value for _, share in self.shares)

    @property
    def full(self) -> bool:
        """At its bound: a join may leave out the highest identities from here on."""
        return len(self.shares) >= MAX_IDENTITIES

    def share(self, identity: NodeId) -> Share:
        return dict(self.shares).get(identity, Share())

    def add(self, identity: NodeId, epoch: int, amount: int = 1) -> GCounter:
        """The delta that counts `amount` more under this actor. Only the identity itself may say so.

        Raises ValueError for a negative amount and for an epoch that was compacted: our bugs.
        """
        share = self.share(identity)
        if amount < 0 or epoch < share.floor:
            raise ValueError(f"cannot count {amount} in epoch {epoch}; amounts are >= 0, epochs >= {share.floor}")
        count = min(dict(share.counts).get(epoch, 0) + amount, COUNT_MAX)
        return GCounter(((identity, Share(share.floor, share.total, ((epoch, count),))),))

    def compact(self, identity: NodeId, floor: int) -> GCounter:
        """The delta that folds the identity's epochs below `floor` into its total.

        Sound once those epochs are over and everybody has acknowledged them: only then is the sum the same everywhere.
        """
        share = self.share(identity)
        if floor <= share.floor:
            return GCounter()
        folded = sum(count for epoch, count in share.counts if epoch < floor)
        return GCounter(((identity, Share(floor, min(share.total + folded, COUNT_MAX))),))

    def join(self, other: GCounter) -> GCounter:
        """The higher count of each actor."""
        if self.shares == other.shares or not other.shares:
            return self
        merged = dict(self.shares)
        for identity, share in other.shares:
            known = merged.get(identity)
            merged[identity] = share if known is None else known.join(share)
        return GCounter(tuple(sorted(merged.items(), key=lambda item: item[0])[:MAX_IDENTITIES]))

    def to_wire(self) -> list[object]:
        """The value as CBOR carries it; `from_wire` is the inverse for checked input."""
        return [[[node, share.floor, share.total, [list(c) for c in share.counts]] for node, share in self.shares]]

    def encode(self) -> bytes:
        return encode(self.to_wire())

    @staticmethod
    def from_wire(wire: GCounterWire) -> GCounter:
        """Raises DecodeError when the value is not in its one form."""
        check_ascending((share.identity for share in wire.shares), "the identities of a GCounter")
        for share in wire.shares:
            check_ascending((epoch for epoch, _ in share.counts), "the epochs of a GCounter")
            if share.counts and share.counts[0][0] < share.floor:
                raise DecodeError("wire.not-canonical", f"a count of epoch {share.counts[0][0]} below {share.floor}")
        return GCounter(tuple((NodeId(s.identity), Share(s.floor, s.total, s.counts)) for s in wire.shares))

    @staticmethod
    def decode(data: bytes) -> GCounter:
        """Raises DecodeError unless `data` is the one encoding of a counter within the bounds."""
        return GCounter.from_wire(decode_as(data, GCounterWire, max_bytes=MAX_BYTES))


GCounterWire: TypeAlias = _Wire
