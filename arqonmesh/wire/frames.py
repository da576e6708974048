"""Frames on a byte stream: each is a length of four bytes, big endian, and as many bytes.

The parser takes the stream in any cut and gives whole frames back. A length above the bound is refused when
its four bytes are in, before anything of the frame is kept, so a peer can make us hold one frame and no more.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.errors import DecodeError

LENGTH_BYTES: Final = 4


def frame(data: bytes) -> bytes:
    """`data` with its length in front."""
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


class FrameParser:
    """The frames of one stream. After a DecodeError the stream is lost and `feed` raises it again."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._held = 0
        self._wanted = LENGTH_BYTES
        """Bytes that have to be held before the next step is possible; the length field counts."""
        self._refusal: DecodeError | None = None

    @property
    def buffered(self) -> int:
        """Bytes held of a frame that is not whole yet: at most `max_bytes` and the length field."""
        return self._held

    def feed(self, data: bytes) -> list[bytes]:
        """The frames completed by `data`, in order.

        Raises DecodeError `wire.oversized` for a length above `max_bytes`; frames that the same `data`
        completed before it are given up with the stream.
        """
        if self._refusal is not None:
            raise self._refusal
        if self._held + len(data) < self._wanted:
            # A frame that trickles in byte by byte must not be joined again at each byte.
            self._parts.append(data)
            self._held += len(data)
            if len(self._parts) > 512:
                self._parts = [b"".join(self._parts)]
            return []
        if self._parts:
            self._parts.append(data)
            data = b"".join(self._parts)
        frames, rest = self._cut(data)
        self._parts = [rest] if rest else []
        self._held = len(rest)
        return frames

    def _cut(self, data: bytes) -> tuple[list[bytes], bytes]:
        frames: list[bytes] = []
        start, end = 0, len(data)
        self._wanted = LENGTH_BYTES
        while end - start >= LENGTH_BYTES:
            length = int.from_bytes(data[start : start + LENGTH_BYTES], "big")
            if length > self._max_bytes:
                raise self._refuse(length)
            stop = start + LENGTH_BYTES + length
            if stop > end:
                self._wanted = LENGTH_BYTES + length
                break
            frames.append(data[start + LENGTH_BYTES : stop])
            start = stop
        return frames, data[start:]

    def _refuse(self, length: int) -> DecodeError:
        self._parts, self._held = [], 0
        self._refusal = DecodeError(
            "wire.oversized", f"a frame of {length} bytes; at most {self._max_bytes} are taken here"
        )
        return self._refusal
