"""Identifiers as the bytes that they name: 20 instead of 32 characters, 16 instead of 26.

A member's record names its neighbours, its author, its mesh; in text they were most of it. A byte string of 20 in a
statement's key or body is a node id, so no field of a body may hold another one of that length (nonces have 16, keys
and hashes 32, signatures 64). Reading takes the text, too: statements of the first version are signed over it.
In messages (`Ids`) the type says where the ids are, and nothing else is taken for one.
"""

from __future__ import annotations

import re
from base64 import b32decode, b32encode
from collections.abc import Callable
from functools import lru_cache
from sys import intern
from typing import Annotated, Any, Final, TypeAlias, get_args, get_origin, get_type_hints

from msgspec import Meta, Struct, defstruct, inspect

from arqonmesh.errors import DecodeError

NODE_BYTES: Final = 20
MESH_BYTES: Final = 16
_NODE: Final = re.compile(r"[a-z2-7]{32}")
NODE_PATTERN: Final = f"^{_NODE.pattern}$"
"""As the types of messages say it of a field that is an id."""
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_DIGITS: Final = {digit: value for value, digit in enumerate(_CROCKFORD)}


def packed(value: Any) -> Any:
    """The same with each node id as its 20 bytes. Raises ValueError for another byte string of that length: our bug."""
    kind = type(value)
    if kind is str:
        return node_bytes(value) if len(value) == 32 and _NODE.fullmatch(value) else value
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
def node_bytes(node: str) -> bytes:
    """The 20 bytes that this id names."""
    return b32decode(node.upper())


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


Shape: TypeAlias = "bool | tuple[Shape, ...] | list[Shape]"
"""Where ids are: True is one, False has none, a tuple says it of each item, a list of one of all of them."""


class Ids:
    """Where one type of message, an array on the wire, names nodes."""

    __slots__ = ("_fields", "unpacked_type")

    def __init__(self, kind: type[Struct]) -> None:
        info = inspect.type_info(kind)
        assert isinstance(info, inspect.StructType), f"{kind.__name__} is no message"
        shapes = [(index, _shape(field.type)) for index, field in enumerate(info.fields, 1)]
        self._fields = tuple((index, shape) for index, shape in shapes if shape is not False)
        self.unpacked_type = _trusting(kind)
        """The type with all its constraints but the pattern of ids: what `unpacked` has made of 20 bytes is an id, and
        matching it again would be the largest part of reading a message that names several."""

    def __bool__(self) -> bool:
        return bool(self._fields)

    def packed(self, fields: list[Any]) -> list[Any]:
        """The same with ids as bytes, in place."""
        for index, shape in self._fields:
            fields[index] = _through(fields[index], shape, node_bytes)
        return fields

    def unpacked(self, fields: list[Any]) -> list[Any]:
        """The same with ids as text, in place. Raises DecodeError for what is none."""
        if len(fields) > self._fields[-1][0]:  # a shorter one is refused by its number of fields
            for index, shape in self._fields:
                fields[index] = _through(fields[index], shape, _text)
        return fields


def _trusting(kind: type[Struct]) -> type[Struct]:
    hints = get_type_hints(kind, include_extras=True)
    return defstruct(
        kind.__name__,
        [(name, _bare(hints[name])) for name in kind.__struct_fields__],
        tag=kind.__struct_config__.tag,
        array_like=True,
        frozen=True,
        forbid_unknown_fields=True,
    )


def _bare(hint: Any) -> Any:
    """The type without the pattern of ids, in the places that `_shape` finds."""
    if get_origin(hint) is Annotated:
        base, *notes = get_args(hint)
        if any(isinstance(note, Meta) and note.pattern == NODE_PATTERN for note in notes):
            return base
        return Annotated[(_bare(base), *notes)]
    if get_origin(hint) is tuple:
        return tuple[tuple(item if item is Ellipsis else _bare(item) for item in get_args(hint))]  # type: ignore[misc]
    return hint


def _shape(kind: inspect.Type) -> Shape:
    if isinstance(kind, inspect.StrType):
        return kind.pattern == NODE_PATTERN
    if isinstance(kind, inspect.VarTupleType):
        inner = _shape(kind.item_type)
        return False if inner is False else [inner]
    if isinstance(kind, inspect.TupleType):
        shapes = tuple(_shape(item) for item in kind.item_types)
        return shapes if any(shape is not False for shape in shapes) else False
    return False


def _through(value: Any, shape: Shape, turn: Callable[[Any], Any]) -> Any:
    if shape is True:
        return turn(value)
    if shape is False or type(value) not in (list, tuple):
        return value
    if type(shape) is list:
        inner = shape[0]
        return list(map(turn, value)) if inner is True else [_through(item, inner, turn) for item in value]
    if len(value) != len(shape):
        return value
    return [_through(item, inner, turn) for item, inner in zip(value, shape, strict=True)]


def _text(raw: Any) -> str:
    if type(raw) is not bytes or len(raw) != NODE_BYTES:
        raise DecodeError("wire.schema", f"a node id is a byte string of {NODE_BYTES}")
    return node_text(raw)
