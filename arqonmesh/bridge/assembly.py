"""Messages that come in fragments or compressed, put together (RFC 6455, 5.4; RFC 7692).

Most messages are one plain frame and never come here: a connection has one of these from its first fragment on.
"""

from __future__ import annotations

import zlib
from typing import Final

from picows import WSCloseCode

from arqonmesh.bridge.deflate import inflate
from arqonmesh.core.bus.refusal import Refusal

FRAGMENTS_MAX: Final = 1_024
"""Frames per message: an empty fragment costs its sender a few bytes and us an entry."""


class BrokenRule(Exception):
    """The client broke a rule of the protocol: the reason that is counted, the close code, the sentence."""

    def __init__(self, reason: str, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.code = code
        self.sentence = sentence


class Assembly:
    """The message that a client is in the middle of."""

    __slots__ = ("_bytes", "_compressed", "_fragments")

    def __init__(self) -> None:
        self._fragments: list[bytes] = []
        self._bytes = 0
        self._compressed = False

    def __bool__(self) -> bool:
        return bool(self._fragments)

    def clear(self) -> None:
        self._fragments = []
        self._bytes = 0

    def add(self, data: bytes, *, continues: bool, compressed: bool, fin: bool, bytes_max: int) -> bytes | None:
        """The whole message once its last fragment is in. Raises BrokenRule."""
        if continues is not bool(self._fragments):
            raise BrokenRule("protocol-error", WSCloseCode.PROTOCOL_ERROR, "a fragment is out of place")
        if not self._fragments:
            self._compressed = compressed
        self._fragments.append(data)
        self._bytes += len(data)
        if self._bytes > bytes_max or len(self._fragments) > FRAGMENTS_MAX:
            sentence = "the message is more than bus.frame_bytes_max"
            raise BrokenRule("frame-too-large", WSCloseCode.MESSAGE_TOO_BIG, sentence)
        if not fin:
            return None
        whole = b"".join(self._fragments)
        self.clear()
        return _inflated(whole, bytes_max) if self._compressed else whole


def _inflated(data: bytes, bytes_max: int) -> bytes:
    try:
        return inflate(data, bytes_max)
    except Refusal as refusal:
        raise BrokenRule("frame-too-large", WSCloseCode.MESSAGE_TOO_BIG, refusal.sentence) from refusal
    except zlib.error as wrong:
        sentence = "a compressed message is not DEFLATE"
        raise BrokenRule("protocol-error", WSCloseCode.PROTOCOL_ERROR, sentence) from wrong
