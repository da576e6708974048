"""One strict rule of what verifies: RFC 8032 without the cofactor, and no small order, no second encoding."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.errors import TrustError
from arqonmesh.ids import node_id_of
from arqonmesh.trust import ed25519
from arqonmesh.trust.keys import NodeKey
from tests.wire import vectors

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
KEY = NodeKey(bytes(range(32)))

SPECCHECK = {
    # case of "Taming the many EdDSAs", table 5: (verifies, key admitted, why)
    0: (False, False, "small-order A and R, S = 0"),
    1: (False, False, "small-order A"),
    2: (False, False, "small-order R"),
    3: (True, False, "A and R with a torsion component; valid with and without the cofactor; never admitted"),
    4: (False, False, "valid only with the cofactor"),
    5: (False, False, "valid only with the cofactor, torsion in A alone"),
    6: (False, True, "S above L"),
    7: (False, True, "S far above L"),
    8: (False, False, "small-order R in a non-canonical encoding"),
    9: (False, False, "small-order R in a non-canonical encoding, hashed as reduced"),
    10: (False, False, "small-order A in a non-canonical encoding"),
    11: (False, False, "small-order A in a non-canonical encoding, hashed as reduced"),
}


def is_admitted(public_key: bytes) -> bool:
    try:
        ed25519.check_public_key(public_key)
    except TrustError:
        return False
    return True


def small_order_points() -> list[bytes]:
    """All encodings of the points whose order divides 8, canonical or not, worked out from the curve's equation."""
    square_roots_of_minus_one = pow(2, (P - 1) // 4, P)
    ys = {0, 1, P - 1}
    for root in (pow(1 + D, (P + 3) // 8, P), pow(1 + D, (P + 3) // 8, P) * square_roots_of_minus_one % P):
        if root * root % P != (1 + D) % P:
            continue
        for sign in (1, -1):
            square = (-1 + sign * root) * pow(D, -1, P) % P  # D y^4 + 2 y^2 - 1 = 0: twice the point has y = 0
            y = pow(square, (P + 3) // 8, P)
            for candidate in (y, y * square_roots_of_minus_one % P):
                if candidate * candidate % P == square:
                    ys |= {candidate, P - candidate}
    ys |= {y + P for y in ys if y + P < 2**255}
    return [(y | sign << 255).to_bytes(32, "little") for y in sorted(ys) for sign in (0, 1)]


@pytest.mark.parametrize("case", SPECCHECK)
def test_the_verdict_on_each_known_edge_case_is_ours(case: int) -> None:
    """The twelve cases of ed25519-speccheck, as SPECCHECK documents them."""
    vector = vectors.load("ed25519_speccheck_cases.json")[case]
    public_key, message, signature = (bytes.fromhex(vector[name]) for name in ("pub_key", "message", "signature"))

    verifies, admitted, why = SPECCHECK[case]

    assert ed25519.verify(public_key, message, signature) is verifies, why
    assert is_admitted(public_key) is admitted, why


def test_every_encoding_of_every_small_order_point_is_refused_as_key_and_as_nonce() -> None:
    """Five y coordinates, two of them with a second encoding, each with both signs."""
    points = small_order_points()
    signature = KEY.sign(b"m")

    assert len(points) == 14
    for point in points:
        with pytest.raises(TrustError) as caught:
            ed25519.check_public_key(point)
        assert caught.value.code == "trust.small-order-key"
        assert not ed25519.verify(point, b"m", signature)
        assert not ed25519.verify(KEY.public, b"m", point + signature[32:])
        assert not ed25519.verify(point, b"m", point + bytes(32)), "R = A, S = 0 would fit many messages"


def test_no_encoding_with_y_beyond_the_field_is_taken() -> None:
    """y = p ... 2^255 - 1, whatever point it would be."""
    for y in range(P, 2**255):
        point = y.to_bytes(32, "little")
        assert not is_admitted(point)
        assert not ed25519.verify(point, b"m", KEY.sign(b"m"))
        assert not ed25519.verify(KEY.public, b"m", point + KEY.sign(b"m")[32:])


def test_a_signature_has_no_second_form() -> None:
    """S + L would satisfy the equation too (RFC 8032, 5.1.7)."""
    signature = KEY.sign(b"m")
    s = int.from_bytes(signature[32:], "little")

    assert ed25519.verify(KEY.public, b"m", signature)
    for twin in range(s + L, 2**256, L):
        assert not ed25519.verify(KEY.public, b"m", signature[:32] + twin.to_bytes(32, "little"))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100), st.integers(0, 511), st.integers(0, 799))
def test_a_signature_holds_for_its_message_and_no_other(seed: bytes, message: bytes, bit: int, at: int) -> None:
    """RFC 8032 as an independent library reads it; one bit changed anywhere and it does not hold."""
    key = NodeKey(seed)
    signature = key.sign(message)
    Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)

    assert ed25519.verify(key.public, message, signature)
    broken = bytearray(signature)
    broken[bit // 8] ^= 1 << bit % 8
    assert not ed25519.verify(key.public, message, bytes(broken))
    other = bytearray(message + b"\x00")
    other[at % len(other)] ^= 1
    assert not ed25519.verify(key.public, bytes(other), signature)


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=80))
def test_rubbish_never_verifies_and_never_raises(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Any lengths."""
    assert ed25519.verify(public_key, message, signature) is False


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    """32 bytes, public or seed."""
    for attempt in (lambda: ed25519.check_public_key(bytes(length)), lambda: NodeKey(bytes(length))):
        with pytest.raises(TrustError) as caught:
            attempt()
        assert caught.value.code == "trust.key-length"


def test_a_node_key_is_its_seed_and_shows_no_secret() -> None:
    """The same seed is the same node; neither repr nor the id gives the seed away."""
    key = NodeKey.generate()

    assert NodeKey(key.seed).node_id == key.node_id == node_id_of(key.public)
    assert NodeKey.generate().public != key.public
    assert key.seed.hex() not in repr(key) and repr(key.seed) not in repr(key)
    assert is_admitted(key.public)
