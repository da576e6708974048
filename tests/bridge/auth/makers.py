"""Keys and tokens for tests, made once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

SECRET = "0123456789abcdef0123456789abcdef"
NOW_S = 1_767_225_600
ED = Ed25519PrivateKey.generate()
RSA = generate_private_key(65_537, 2_048)


def pem(key: Ed25519PrivateKey | RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(key: Ed25519PrivateKey | RSAPrivateKey, kid: str, **more: Any) -> dict[str, Any]:
    if isinstance(key, Ed25519PrivateKey):
        made = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        made = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**made, "kid": kid, **more}


def claims(**changed: Any) -> dict[str, Any]:
    """Of a token that holds for a minute; a claim that is None is left out."""
    made = {"sub": "ann", "exp": NOW_S + 60, **changed}
    return {name: value for name, value in made.items() if value is not None}


def hs(secret: str = SECRET, **changed: Any) -> str:
    return jwt.encode(claims(**changed), secret, algorithm="HS256")


def ed(key: Ed25519PrivateKey = ED, kid: str = "", **changed: Any) -> str:
    return jwt.encode(claims(**changed), key, algorithm="EdDSA", headers={"kid": kid} if kid else None)


def rs(key: RSAPrivateKey = RSA, kid: str = "", **changed: Any) -> str:
    return jwt.encode(claims(**changed), key, algorithm="RS256", headers={"kid": kid} if kid else None)


def by_hand(header: dict[str, Any], payload: bytes, secret: bytes) -> str:
    """Signed with HMAC-SHA-256 over whatever these are, past every check of a library."""
    signed = b".".join(_b64(part) for part in (json.dumps(header).encode(), payload))
    return (signed + b"." + _b64(hmac.digest(secret, signed, hashlib.sha256))).decode()


def _b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
