"""Small messages that leave and come all the time, written and read without the steps between bytes and fields.

Nearly all frames of an idle mesh are heartbeats and the failure detector's, of 4 to 200 bytes. The general way (fields
as a list, ids packed, CBOR written; or CBOR read, proved canonical, ids unpacked, fields checked) walks over each of
them several times. Here a type's own fields say once, when the module is loaded, how each is written and read.

Writing gives what the general way gives. Reading gives the message that the general way gives, or None for whatever is
not plainly right: what is wrong with it, and whether, the general way says. So a peer can make us take the long way,
and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeAlias

from msgspec import Struct, inspect
from msgspec.structs import astuple

from arqonmesh.wire.cbor import array_head, bytes_head
from arqonmesh.wire.packing import NODE_BYTES, NODE_PATTERN, node_bytes, node_text

Write: TypeAlias = Callable[[Any], bytes]
"""One field's value as CBOR."""
Read: TypeAlias = Callable[[bytes, int], "tuple[Any, int]"]
"""One field's value and where the next one begins. Raises Unsure, or IndexError or struct.error where the bytes
end too soon."""

_ID_HEAD: Final = bytes_head(NODE_BYTES)
_ID_BYTES: Final = 1 + NODE_BYTES
_LIMIT: Final = 1 << 63


class Unsure(Exception):
    """Not plainly right: for the general way to judge."""


class Quick:
    """How one type of message is written and read. Its fields: integers below 2^63, byte strings, node ids and arrays
    of node ids."""

    __slots__ = ("_head", "_kind", "_readers", "_writers")

    def __init__(self, kind: type[Struct]) -> None:
        fields = _fields(kind)
        self._kind = kind
        self._head = _head(kind, len(fields))
        self._writers = [_writer(field.type) for field in fields]
        self._readers = [_reader(field.type) for field in fields]

    def write(self, message: Struct) -> bytes:
        """Its one encoding."""
        values = astuple(message)
        return self._head + b"".join([write(value) for write, value in zip(self._writers, values, strict=True)])

    def read(self, data: bytes) -> Any:
        """The message that `data` is the one encoding of, or None for the general way to judge."""
        if not data.startswith(self._head):
            return None
        at = len(self._head)
        values = []
        try:
            for read in self._readers:
                value, at = read(data, at)
                values.append(value)
        except (Unsure, IndexError, struct.error):
            return None
        return self._kind(*values) if at == len(data) else None


class Flat:
    """The same where all fields are integers and booleans, as in heartbeats: without a call for each."""

    __slots__ = ("_bounds", "_head", "_kind")

    def __init__(self, kind: type[Struct]) -> None:
        fields = _fields(kind)
        self._kind = kind
        self._head = _head(kind, len(fields))
        self._bounds = [_bounds(field.type) if isinstance(field.type, inspect.IntType) else None for field in fields]

    def write(self, message: Struct) -> bytes:
        """Its one encoding."""
        parts = [self._head]
        for value in astuple(message):
            if value is False:
                parts.append(b"\xf4")
            elif value is True:
                parts.append(b"\xf5")
            else:
                parts.append(_SHORT[value] if 0 <= value < 256 else _write_int(value))
        return b"".join(parts)

    def read(self, data: bytes) -> Any:
        """The message that `data` is the one encoding of, or None for the general way to judge."""
        if not data.startswith(self._head):
            return None
        at = len(self._head)
        values: list[int] = []
        try:
            for bounds in self._bounds:
                value = data[at]
                if bounds is None:
                    if value & 0xFE != 0xF4:
                        return None
                    values.append(value == 0xF5)
                    at += 1
                    continue
                if value < 24:
                    at += 1
                elif value == 25 and data[at + 1]:
                    value, at = data[at + 1] << 8 | data[at + 2], at + 3
                else:
                    value, at = _long_int(data, at)
                least, most = bounds
                if value < least or value > most:
                    return None
                values.append(value)
        except (Unsure, IndexError, struct.error):
            return None
        return self._kind(*values) if at == len(data) else None


def quick(kind: type[Struct]) -> Quick | Flat:
    """The one that fits its fields. Raises TypeError when none does."""
    flat = all(isinstance(field.type, inspect.IntType | inspect.BoolType) for field in _fields(kind))
    return Flat(kind) if flat else Quick(kind)


def _fields(kind: type[Struct]) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType), f"{kind.__name__} is no message"
    return info.fields


def _head(kind: type[Struct], fields: int) -> bytes:
    tag = kind.__struct_config__.tag
    assert isinstance(tag, int), f"{kind.__name__} has no number for a tag"
    return array_head(1 + fields) + _write_int(tag)


def _writer(type_: inspect.Type) -> Write:
    match type_:
        case inspect.IntType():
            return _write_int
        case inspect.BytesType():
            return _write_bytes
        case inspect.StrType(pattern=pattern) if pattern == NODE_PATTERN:
            return _write_id
        case inspect.VarTupleType(item_type=inspect.StrType(pattern=pattern)) if pattern == NODE_PATTERN:
            return _write_ids
    raise TypeError(f"no quick message has a field of {type_}")


def _reader(type_: inspect.Type) -> Read:
    match type_:
        case inspect.IntType():
            return _int_reader(*_bounds(type_))
        case inspect.BytesType():
            return _bytes_reader(type_.min_length or 0, type_.max_length)
        case inspect.StrType():
            return _read_id
        case inspect.VarTupleType():
            return _ids_reader(type_.min_length or 0, type_.max_length)
    raise TypeError(f"no quick message has a field of {type_}")


# --- integers -------------------------------------------------------------------------------------------------

_SHORT: Final = [bytes((n,)) if n < 24 else bytes((24, n)) for n in range(256)]
_TWO: Final = struct.Struct(">BH").pack
_FOUR: Final = struct.Struct(">BI").pack
_EIGHT: Final = struct.Struct(">BQ").pack
_read_two: Final = struct.Struct(">H").unpack_from
_read_four: Final = struct.Struct(">I").unpack_from
_read_eight: Final = struct.Struct(">Q").unpack_from


def _write_int(value: int) -> bytes:
    if value < 0:
        assert value >= -24, f"{value}: quick messages have no negative numbers but the smallest"
        return bytes((0x1F - value,))
    if value < 256:
        return _SHORT[value]
    if value < 0x1_0000:
        return _TWO(25, value)
    return _FOUR(26, value) if value < 0x1_0000_0000 else _EIGHT(27, value)


def _bounds(type_: inspect.IntType) -> tuple[int, int]:
    assert type_.ge is not None, "integers of quick messages have a bound below"
    most = type_.le if type_.lt is None else type_.lt - 1
    return type_.ge, _LIMIT - 1 if most is None else most


def _long_int(data: bytes, at: int) -> tuple[int, int]:
    """One that does not fit its head."""
    head = data[at]
    if head == 24:
        value, least, at = data[at + 1], 24, at + 2
    elif head == 25:
        value, least, at = _read_two(data, at + 1)[0], 0x100, at + 3
    elif head == 26:
        value, least, at = _read_four(data, at + 1)[0], 0x1_0000, at + 5
    elif head == 27:
        value, least, at = _read_eight(data, at + 1)[0], 0x1_0000_0000, at + 9
    elif 0x20 <= head < 0x38:
        return 0x1F - head, at + 1
    else:
        raise Unsure
    if value < least:  # it would have fitted a shorter one
        raise Unsure
    return value, at


def _int_reader(least: int, most: int) -> Read:
    def read(data: bytes, at: int) -> tuple[int, int]:
        value = data[at]
        if value < 24:
            at += 1
        else:
            value, at = _long_int(data, at)
        if value < least or value > most:
            raise Unsure
        return value, at

    return read


# --- the others -----------------------------------------------------------------------------------------------


def _write_bytes(value: bytes) -> bytes:
    return bytes_head(len(value)) + value


def _bytes_reader(least: int, most: int | None) -> Read:
    assert most is not None, "byte strings of quick messages have a bound"

    def read(data: bytes, at: int) -> tuple[bytes, int]:
        length = data[at] - 0x40
        at += 1
        if not 0 <= length < 24:
            if length == 24:
                length = data[at]
                at += 1
                if length < 24:
                    raise Unsure
            elif length == 25:
                length = data[at] << 8 | data[at + 1]
                at += 2
                if length < 256:
                    raise Unsure
            else:
                raise Unsure
        end = at + length
        if end > len(data) or length < least or length > most:
            raise Unsure
        return data[at:end], end

    return read


@lru_cache(maxsize=1_024)
def _write_id(node: str) -> bytes:
    return _ID_HEAD + node_bytes(node)


def _read_id(data: bytes, at: int) -> tuple[str, int]:
    end = at + _ID_BYTES
    if data[at] != 0x54 or end > len(data):
        raise Unsure
    return node_text(data[at + 1 : end]), end


@lru_cache(maxsize=256)
def _write_ids(nodes: tuple[str, ...]) -> bytes:
    return array_head(len(nodes)) + b"".join(map(_write_id, nodes))


def _ids_reader(least: int, most: int | None) -> Read:
    assert most is not None, "arrays of quick messages have a bound"
    assert most < 24, "the head of an array of quick messages is a byte"

    def read(data: bytes, at: int) -> tuple[tuple[str, ...], int]:
        count = data[at] - 0x80
        if count < least or count > most:
            raise Unsure
        at += 1
        end = at + count * _ID_BYTES
        if end > len(data) or data[at:end:_ID_BYTES] != _ID_HEAD * count:
            raise Unsure
        return _texts(data[at:end]), end

    return read


@lru_cache(maxsize=256)
def _texts(ids: bytes) -> tuple[str, ...]:
    """Of whole ids, each with its head. A route is read at each of its hops, and soon used again."""
    return tuple([node_text(ids[at + 1 : at + _ID_BYTES]) for at in range(0, len(ids), _ID_BYTES)])
