"""The join key: a secret phrase that lets nodes in under policy `key`, of which the mesh keeps only a hash.

scrypt turns phrase and salt into the seed of an Ed25519 key (RFC 7914). The mesh keeps salt and public half
(`JoinPolicy`), the joiner signs `tickets.redemption_bytes` with the private half: the phrase is never sent, and what
members hold lets nobody in. A member can still try phrases against the public half, at the price of one scrypt
each (about 0.1 s and 32 MiB), so a phrase should not be a word.
"""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from typing import Final

from arqonmesh.errors import TrustError
from arqonmesh.trust import ed25519

SALT_BYTES: Final = 16
MIN_KEY_CHARACTERS: Final = 8
MAX_KEY_CHARACTERS: Final = 256

_COST: Final = 1 << 15
_BLOCK: Final = 8
_MEMORY_BYTES: Final = 64 << 20
"""Allowed to OpenSSL, whose own limit is just below the 32 MiB that cost and block need."""


def new_salt() -> bytes:
    """A fresh salt for `derive`."""
    return secrets.token_bytes(SALT_BYTES)


def derive(key: str, salt: bytes) -> bytes:
    """The Ed25519 seed, 32 bytes, of a join key. Takes about 0.1 s of CPU: not for the event loop.

    The key is normalised (NFKC) and stripped, so that it does not depend on the keyboard it was typed on.
    Raises TrustError `trust.join-key-length` for a key that no mesh would take, `trust.join-key-salt`.
    """
    phrase = unicodedata.normalize("NFKC", key).strip()
    if not MIN_KEY_CHARACTERS <= len(phrase) <= MAX_KEY_CHARACTERS:
        raise TrustError(
            "trust.join-key-length",
            f"a join key of {len(phrase)} characters; it needs {MIN_KEY_CHARACTERS} to {MAX_KEY_CHARACTERS}",
        )
    if not 8 <= len(salt) <= 32:
        raise TrustError("trust.join-key-salt", f"a salt of {len(salt)} bytes; it needs 8 to 32")
    return hashlib.scrypt(
        phrase.encode("utf-8", "surrogatepass"),
        salt=salt,
        n=_COST,
        r=_BLOCK,
        p=1,
        maxmem=_MEMORY_BYTES,
        dklen=ed25519.SEED_BYTES,
    )


def public_half(seed: bytes) -> bytes:
    """What the mesh keeps of a derived seed: the Ed25519 public key, 32 bytes."""
    return ed25519.keypair(seed)[0]
