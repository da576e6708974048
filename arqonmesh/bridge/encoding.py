"""What goes to clients that take something else than JSON in plain text frames: CBOR, compression, or both.

A message is converted once per encoding, however many clients share it (`BusServer` keeps the result per audience).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from arqonmesh.bridge.deflate import SMALLEST_BYTES, deflate
from arqonmesh.bridge.framing import header
from arqonmesh.core.bus.envelope import SUBPROTOCOL_CBOR
from arqonmesh.core.bus.protocol.cbor import from_json

_TEXT: Final = 0x81
_BINARY: Final = 0x82
_RSV1: Final = 0x40


@dataclass(frozen=True, slots=True)
class Encoding:
    """How frames are written to a client."""

    cbor: bool
    compressed: bool

    def frames(self, messages: Iterable[bytes]) -> bytes:
        """JSON messages of the bus, framed for the wire."""
        parts: list[bytes] = []
        for message in messages:
            payload = from_json(message) if self.cbor else message
            first = _BINARY if self.cbor else _TEXT
            if self.compressed and len(payload) >= SMALLEST_BYTES:
                payload = deflate(payload)
                first |= _RSV1
            parts.append(header(first, len(payload)))
            parts.append(payload)
        return b"".join(parts)


_ENCODINGS: Final = {(c, d): Encoding(c, d) for c in (False, True) for d in (False, True)}


def encoding_of(subprotocol: str, compressed: bool) -> Encoding | None:
    """None for JSON in plain text frames, which the server writes without a detour."""
    found = _ENCODINGS[subprotocol == SUBPROTOCOL_CBOR, compressed]
    return found if found.cbor or found.compressed else None
