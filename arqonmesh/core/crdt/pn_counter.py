"""PNCounter: a count that goes up and down, as the difference of two that only grow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from arqonmesh.core.crdt import g_counter
from arqonmesh.core.crdt.g_counter import GCounter, GCounterWire
from arqonmesh.ids import NodeId
from arqonmesh.wire.cbor import decode_as, encode

MAX_BYTES: Final = 2 * g_counter.MAX_BYTES + 8


class _Wire(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    ups: GCounterWire
    downs: GCounterWire


@dataclass(frozen=True, slots=True)
class PNCounter:
    """An immutable counter. `PNCounter()` is the bottom of the lattice."""

    ups: GCounter = field(default_factory=GCounter)
    downs: GCounter = field(default_factory=GCounter)

    @property
    def value(self) -> int:
        return self.ups.value - self.downs.value

    def add(self, identity: NodeId, epoch: int, amount: int) -> PNCounter:
        """The delta that counts `amount`, which may be negative, under this actor; errors as GCounter.add."""
        if amount >= 0:
            return PNCounter(ups=self.ups.add(identity, epoch, amount))
        return PNCounter(downs=self.downs.add(identity, epoch, -amount))

    def compact(self, identity: NodeId, floor: int) -> PNCounter:
        """The delta that folds the identity's epochs below `floor`; when that is sound, GCounter.compact says."""
        return PNCounter(self.ups.compact(identity, floor), self.downs.compact(identity, floor))

    def join(self, other: PNCounter) -> PNCounter:
        return PNCounter(self.ups.join(other.ups), self.downs.join(other.downs))

    def encode(self) -> bytes:
        return encode([self.ups.to_wire(), self.downs.to_wire()])

    @staticmethod
    def decode(data: bytes) -> PNCounter:
        """Raises DecodeError unless `data` is the one encoding of a counter within the bounds."""
        wire = decode_as(data, _Wire, max_bytes=MAX_BYTES)
        return PNCounter(GCounter.from_wire(wire.ups), GCounter.from_wire(wire.downs))
