"""Signatures for a world without attackers: a hash over the public key. Same seed, same bytes, and fast."""

from __future__ import annotations

import hashlib


class ToyCrypto:
    """Fits core.kernel.Crypto. Whoever knows a public key could forge; nodes of the simulator do not."""

    def __init__(self, public_key: bytes) -> None:
        self._public_key = public_key

    def sign(self, message: bytes) -> bytes:
        return hashlib.sha512(self._public_key + message).digest()

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        return hashlib.sha512(public_key + message).digest() == signature


def toy_key(name: str) -> bytes:
    """The public key of a node of this name."""
    return hashlib.sha256(b"sim node " + name.encode()).digest()
