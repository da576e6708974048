"""RFC 6455 frames as a server sends them: unmasked, so that the same bytes may go to every client."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_SHORT: Final = tuple(bytes((0x81, size)) for size in range(126))


def text_header(size: int) -> bytes:
    """The header of an unfragmented text frame with this many bytes of payload (section 5.2)."""
    if size < 126:
        return _SHORT[size]
    if size < 0x1_0000:
        return b"\x81\x7e" + size.to_bytes(2, "big")
    return b"\x81\x7f" + size.to_bytes(8, "big")


def header(first: int, size: int) -> bytes:
    """As `text_header`, with another first byte (FIN, RSV, opcode)."""
    if size < 126:
        return bytes((first, size))
    if size < 0x1_0000:
        return bytes((first, 126)) + size.to_bytes(2, "big")
    return bytes((first, 127)) + size.to_bytes(8, "big")


def append_text_frames(parts: list[bytes], frames: Iterable[bytes]) -> None:
    """Append header and payload of each frame; the caller joins the parts once."""
    for frame in frames:
        parts.append(text_header(len(frame)))
        parts.append(frame)
