"""Register: the last write wins, by (hybrid clock stamp, author, hash of the content); never by what arrived last.

The hash decides only when an author signs two contents for one stamp, which an honest one never does; it makes
replicas agree all the same. The content is hashed here: a hash that is told is not believed. Check the stamp with
`hybrid_clock.judge` before a register of somebody else is joined in.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Final

from msgspec import Meta, Struct

from arqonmesh.ids import NodeId
from arqonmesh.wire.cbor import decode_as, encode
from arqonmesh.wire.messages import U63, NodeText

NOBODY: Final = NodeId("")
MAX_CONTENT_BYTES: Final = 8_192
MAX_BYTES: Final = MAX_CONTENT_BYTES + 64


class _Write(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    stamp: U63
    author: NodeText
    content: Annotated[bytes, Meta(max_length=MAX_CONTENT_BYTES)]


class _Wire(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    writes: Annotated[tuple[_Write, ...], Meta(max_length=1)]


@dataclass(frozen=True, slots=True)
class Register:
    """An immutable register. `Register()` was never written and is the bottom of the lattice."""

    stamp: int = -1
    """Of the hybrid clock; -1 when never written."""
    author: NodeId = NOBODY
    content: bytes | None = None

    @staticmethod
    def written(stamp: int, author: NodeId, content: bytes) -> Register:
        """The delta that writes `content`. Raises ValueError when it is too long: our bug."""
        if len(content) > MAX_CONTENT_BYTES:
            raise ValueError(f"content of {len(content)} bytes; a register holds {MAX_CONTENT_BYTES}")
        return Register(stamp, author, content)

    def join(self, other: Register) -> Register:
        """The later of the two writes."""
        mine, theirs = (self.stamp, self.author), (other.stamp, other.author)
        if mine != theirs:
            return self if mine > theirs else other
        return self if _digest(self.content) >= _digest(other.content) else other

    def encode(self) -> bytes:
        return encode([[] if self.content is None else [[self.stamp, self.author, self.content]]])

    @staticmethod
    def decode(data: bytes) -> Register:
        """Raises DecodeError unless `data` is the one encoding of a register within the bounds."""
        writes = decode_as(data, _Wire, max_bytes=MAX_BYTES).writes
        return Register(writes[0].stamp, NodeId(writes[0].author), writes[0].content) if writes else Register()


def _digest(content: bytes | None) -> bytes:
    return b"" if content is None else hashlib.sha256(content).digest()
