"""permessage-deflate (RFC 7692), without context takeover in either direction; off unless `bus.compression`.

Without context takeover every message is compressed by itself. So one compressed form serves all clients that agreed,
a connection keeps no window (32 KiB and more each), and a bomb is bounded by the size that a message may have.
"""

from __future__ import annotations

import zlib
from typing import Final

from arqonmesh.core.bus.refusal import too_large

NAME: Final = "permessage-deflate"
ANSWER: Final = f"{NAME}; server_no_context_takeover; client_no_context_takeover"
SMALLEST_BYTES: Final = 64
"""Less than this is sent as it is; it would only grow."""
_TAIL: Final = b"\x00\x00\xff\xff"
_RAW: Final = -15
_LEVEL: Final = 1


def accepts(offers: list[str]) -> bool:
    """Whether one of the offers of `Sec-WebSocket-Extensions` can be taken (section 7.1). One with a smaller window for
    the server cannot: what is compressed once has one window."""
    return any(_fits(offer) for offer in offers)


def _fits(offer: str) -> bool:
    name, *parameters = (part.strip() for part in offer.split(";"))
    if name != NAME or len(set(parameters)) != len(parameters):
        return False
    for parameter in parameters:
        key, equals, value = parameter.partition("=")
        window = value.strip('"')
        if key in ("server_no_context_takeover", "client_no_context_takeover") and not equals:
            continue
        if key == "client_max_window_bits" and (not equals or _is_window(window)):
            continue  # the client may use any window; ours, for reading, is the largest
        if key == "server_max_window_bits" and window == "15":
            continue
        return False
    return True


def _is_window(text: str) -> bool:
    return text in ("8", "9", "10", "11", "12", "13", "14", "15")


def deflate(message: bytes) -> bytes:
    """The payload of a compressed message."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW)
    return (packer.compress(message) + packer.flush(zlib.Z_SYNC_FLUSH))[: -len(_TAIL)]


def inflate(payload: bytes, bytes_max: int) -> bytes:
    """The message in a compressed payload. Raises Refusal `bus.frame-too-large` as soon as it is longer than
    `bytes_max`, and zlib.error when it is not DEFLATE."""
    unpacker = zlib.decompressobj(_RAW)
    message = unpacker.decompress(payload + _TAIL, bytes_max + 1)
    if len(message) > bytes_max:
        raise too_large(len(message), bytes_max)
    return message
