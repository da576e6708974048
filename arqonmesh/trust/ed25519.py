"""Ed25519 with one strict rule of what verifies, so that all nodes agree on the validity of evidence.

Libraries differ on the edges ("Taming the many EdDSAs", Chalkias, Garillot, Nikolaenko, 2020). Ours: RFC 8032 as
libsodium checks it, without the cofactor, and in addition, whatever the library does, refused are

- public keys A and nonces R of small order: under them one signature fits many messages;
- encodings of A and R that are not canonical (y >= p): two byte strings would name one point;
- S >= L: anybody could turn one signature into a second (RFC 8032, 5.1.7).

Keys with a torsion component (neither small order nor in the prime-order group) still verify here, as in libsodium;
`check_public_key` refuses them in every handshake, so none ever links. Verdicts case by case are in
tests/trust/test_ed25519.py.
"""

from __future__ import annotations

from typing import Final

from nacl.bindings import (
    crypto_core_ed25519_is_valid_point,
    crypto_sign,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import BadSignatureError

from arqonmesh.errors import TrustError

KEY_BYTES: Final = 32
SEED_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_P: Final = 2**255 - 19
_L: Final = 2**252 + 27742317777372353535851937790883648493
_Y_MASK: Final = (1 << 255) - 1

_ORDER_8_Y: Final = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)
_SMALL_ORDER_Y: Final = frozenset({0, 1, _P - 1, _ORDER_8_Y, _P - _ORDER_8_Y})
"""The y coordinates of the eight points whose order divides the cofactor: order 4, 1, 2, 8 and 8."""


def sign(secret_key: bytes, message: bytes) -> bytes:
    """The signature, 64 bytes, by a libsodium secret key (seed and public key, 64 bytes)."""
    return crypto_sign(message, secret_key)[:SIGNATURE_BYTES]


def keypair(seed: bytes) -> tuple[bytes, bytes]:
    """(public key, libsodium secret key) of a seed of 32 bytes."""
    public, secret = crypto_sign_seed_keypair(seed)
    return bytes(public), bytes(secret)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is by the holder of `public_key` over `message`. Never raises."""
    if len(public_key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    if not (_is_sound(public_key) and _is_sound(signature[:32])):
        return False
    if signature[63] & 0xF0 and int.from_bytes(signature[32:], "little") >= _L:
        return False
    try:
        crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return False
    return True


def check_public_key(public_key: bytes) -> None:
    """Raise TrustError unless these are 32 bytes that name a point of the prime-order group, canonically.

    Codes: `trust.key-length`, `trust.small-order-key`, `trust.key-invalid`. To be asked once per handshake: 50 us.
    """
    if len(public_key) != KEY_BYTES:
        raise TrustError(
            "trust.key-length", f"an Ed25519 public key of {len(public_key)} bytes; it needs to be {KEY_BYTES}"
        )
    y = int.from_bytes(public_key, "little") & _Y_MASK
    if y % _P in _SMALL_ORDER_Y:
        raise TrustError(
            "trust.small-order-key", "a public key of small order, under which anything can be made to verify"
        )
    if y >= _P or not crypto_core_ed25519_is_valid_point(public_key):
        raise TrustError(
            "trust.key-invalid", "not a canonical Ed25519 public key in the prime-order group of the curve"
        )


def _is_sound(point: bytes) -> bool:
    """Canonical and not of small order; whether it is on the curve at all is left to libsodium."""
    y = int.from_bytes(point, "little") & _Y_MASK
    return y < _P and y not in _SMALL_ORDER_Y
