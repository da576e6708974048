"""Identifiers in signed statements as the bytes that they name: 20 instead of 32 characters, 16 instead of 26.

A member's record names its neighbours, its author, its mesh; in text they were most of it. A byte string of 20 in a
statement's key or body is a node id, so no field of a body may hold another one of that length (nonces have 16, keys
and hashes 32, signatures 64). Reading takes the text, too: statements of the first version are signed over it.
"""

from __future__ import annotations

import re
from base64 import b32decode, b32encode
from functools import lru_cache
from sys import intern
from typing import Any, Final

from arqonmesh.errors import DecodeError

NODE_BYTES: Final = 20
MESH_BYTES: Final = 16
_NODE: Final = re.compile(r"[a-z2-7]{32}")
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_DIGITS: Final = {digit: value for value, digit in enumerate(_CROCKFORD)}


def packed(value: Any) -> Any:
    """The same with each node id as its 20 bytes. Raises ValueError for another byte string of that length: our bug."""
    kind = type(value)
    if kind is str:
        return b32decode(value.upper()) if len(value) == 32 and _NODE.fullmatch(value) else value
    if kind is list or kind is tuple:
        return [packed(item) for item in value]
    if kind is bytes and len(value) == NODE_BYTES:
        raise ValueError("a byte string of 20 in a statement is a node id; nothing else may have that length")
    return value


def unpacked(value: Any) -> Any:
    """The same with node ids as text, and one object for each text: every node is named by all its neighbours."""
    kind = type(value)
    if kind is str:
        return intern(value)
    if kind is bytes and len(value) == NODE_BYTES:
        return node_text(value)
    return [unpacked(item) for item in value] if kind is list else value


@lru_cache(maxsize=1_024)
def node_text(raw: bytes) -> str:
    """The id that these 20 bytes name."""
    return intern(b32encode(raw).decode().lower())


@lru_cache(maxsize=64)
def mesh_bytes(mesh_id: str) -> bytes:
    """The 128 bits of a ULID. Raises ValueError for what is none."""
    value = 0
    for digit in mesh_id:
        value = value << 5 | _DIGITS.get(digit, 1 << 130)
    if len(mesh_id) != 26 or value >> 128:
        raise ValueError(f"{mesh_id!r} is no ULID: 26 characters of {_CROCKFORD}, the first at most 7")
    return value.to_bytes(MESH_BYTES, "big")


@lru_cache(maxsize=64)
def mesh_text(raw: bytes) -> str:
    """The ULID of these 16 bytes. Raises DecodeError for another number of them."""
    if len(raw) != MESH_BYTES:
        raise DecodeError("wire.schema", f"a mesh id of {len(raw)} bytes; it has {MESH_BYTES}")
    value = int.from_bytes(raw, "big")
    return intern("".join(_CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5)))
