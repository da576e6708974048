"""Deterministic CBOR (RFC 8949, 4.2): one value, one encoding, and nothing else is accepted.

The subset: integers of -2^64 to 2^64 - 1, byte strings, text, arrays, maps with text keys, true, false, null.
Refused in both directions: floats, tags, undefined and other simple values. Refused on the way in besides:
longer heads than needed, indefinite lengths, unsorted or repeated map keys, invalid UTF-8, trailing bytes,
too many bytes, too much nesting.

Encoding is our own, because what we send is mostly byte strings and joining parts copies them once; cbor2 is
the oracle in the tests. Decoding is cbor2's, tags and indefinite lengths switched off, and one walk over the
result.

Why the walk proves that the input was canonical, without encoding again: with tags and indefinite lengths
refused, every item of the input became exactly one value of the result. Each item is a head and its content;
the content's length is that of the value, and a head is as long as the shortest one or longer. So if the
shortest heads and the contents add up to the length of the input, every head was the shortest and no byte was
left over. Only the order of map keys remains, and the walk compares it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final, TypeAlias, TypeVar

import cbor2
import msgspec

from arqonmesh.errors import DecodeError

Value: TypeAlias = Any
"""int | bytes | str | bool | None | list or tuple of Value | dict of text to Value."""

MAX_DEPTH: Final = 16
"""How deeply arrays and maps may nest."""
MAX_ITEMS: Final = 70_000
"""How many items one encoding may hold; the longest gossip digest has 65,540. Without it, a megabyte of empty
arrays would be taken in at 64 times its size and hold the event loop for a second."""

T = TypeVar("T")

_LIMIT: Final = 1 << 64


def encode(value: Value) -> bytes:
    """The one encoding of `value`. Tuples are written as arrays, maps sorted by key.

    Raises TypeError for a value outside the subset, ValueError for an integer outside 64 bits: our bugs.
    """
    parts: list[bytes] = []
    _encode_items((value,), parts)
    return b"".join(parts)


def decode(data: bytes, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> Value:
    """The value that `data` is the one encoding of; arrays come back as lists.

    Raises DecodeError, and nothing else, for anything else: `wire.oversized` before a byte is read,
    `wire.too-many-items` before a value is made, `wire.truncated`, `wire.too-deep`, `wire.malformed`,
    `wire.not-canonical`, `wire.trailing` or `wire.type`.
    """
    if len(data) > max_bytes:
        raise DecodeError("wire.oversized", f"{len(data)} bytes; at most {max_bytes} are taken here")
    if len(data) > MAX_ITEMS:  # an item takes a byte at least
        _check_item_count(data)
    try:
        value = cbor2.loads(
            data,
            max_depth=max_depth,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            semantic_decoders=EVERY_TAG_REFUSED,
        )
        length = _canonical_length((value,))
    except DecodeError:
        raise
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, MemoryError, RecursionError) as error:
        raise _refusal(error, max_depth) from None
    if length != len(data):
        raise _not_canonical(value, data, length)
    return value


def decode_as(data: bytes, type_: type[T], *, max_bytes: int) -> T:
    """`data` decoded and checked against `type_`, a msgspec Struct with its field constraints.

    Raises DecodeError as `decode` does, and with `wire.schema` when the value does not fit the type.
    """
    return convert(decode(data, max_bytes=max_bytes), type_)


def convert(value: Value, type_: type[T]) -> T:
    """A decoded value as `type_`; nothing is coerced. Raises DecodeError with `wire.schema`."""
    try:
        return msgspec.convert(value, type_, strict=True, builtin_types=(bytes,))
    except (msgspec.ValidationError, OverflowError, RecursionError) as error:
        raise DecodeError("wire.schema", f"not a valid {type_.__name__}: {error}") from None


# --- encoding ---------------------------------------------------------------------------------------------


def _short_heads(major: int) -> list[bytes]:
    """All heads of one and two bytes of a major type, by argument."""
    return [bytes((major << 5 | n,)) if n < 24 else bytes((major << 5 | 24, n)) for n in range(256)]


_UINT, _NINT, _BYTES, _TEXT, _ARRAY, _MAP = (_short_heads(major) for major in range(6))


def _long_head(major: int, argument: int) -> bytes:
    """A head of three, five or nine bytes."""
    if argument < 0x1_0000:
        return ((major << 5 | 25) << 16 | argument).to_bytes(3, "big")
    if argument < 0x1_0000_0000:
        return ((major << 5 | 26) << 32 | argument).to_bytes(5, "big")
    if argument < _LIMIT:
        return ((major << 5 | 27) << 64 | argument).to_bytes(9, "big")
    raise ValueError(f"integer of {argument.bit_length()} bits; CBOR without tags carries 64")


def array_head(length: int) -> bytes:
    """What an array of so many items begins with."""
    return _ARRAY[length] if length < 256 else _long_head(4, length)


def bytes_head(length: int) -> bytes:
    """What a string of so many bytes begins with."""
    return _BYTES[length] if length < 256 else _long_head(2, length)


def _encode_items(items: Sequence[Value], parts: list[bytes]) -> None:
    append = parts.append
    for value in items:
        kind = type(value)
        if kind is bytes:
            length = len(value)
            append(_BYTES[length] if length < 256 else _long_head(2, length))
            append(value)
        elif kind is str:
            text = value.encode()
            length = len(text)
            append(_TEXT[length] if length < 256 else _long_head(3, length))
            append(text)
        elif kind is int:
            if value >= 0:
                append(_UINT[value] if value < 256 else _long_head(0, value))
            else:
                append(_NINT[-1 - value] if value >= -256 else _long_head(1, -1 - value))
        elif kind is list or kind is tuple:
            length = len(value)
            append(_ARRAY[length] if length < 256 else _long_head(4, length))
            _encode_items(value, parts)
        elif value is True:
            append(b"\xf5")
        elif value is False:
            append(b"\xf4")
        elif value is None:
            append(b"\xf6")
        elif kind is dict:
            length = len(value)
            append(_MAP[length] if length < 256 else _long_head(5, length))
            for key in sorted(value, key=_key_order):
                _encode_items((key, value[key]), parts)
        else:
            raise TypeError(f"{kind.__name__} is outside the CBOR subset of the mesh")


def _key_order(key: Value) -> tuple[int, bytes]:
    """RFC 8949, 4.2.1: the bytewise order of the encoded keys, which for text is length first."""
    if type(key) is not str:
        raise TypeError(f"map key of type {type(key).__name__}; keys are text")
    text = key.encode()
    return len(text), text


# --- decoding ---------------------------------------------------------------------------------------------


def _refuse_tag(_decoder: object, _immutable: bool) -> Value:
    raise ValueError("tags are refused")


class _EveryTag(dict[int, Callable[[Any, bool], Any]]):
    """Gives every tag a decoder that refuses, also those that cbor2 knows by itself (shared references).

    A dict, because cbor2 takes 0.3 us longer to recognise any other mapping, at each call.
    """

    def __missing__(self, tag: int) -> Callable[[Any, bool], Any]:
        return _refuse_tag


EVERY_TAG_REFUSED: Final = _EveryTag()
_ONLY_BYTES: Final = {bytes}


def _check_item_count(data: bytes) -> None:
    """Step from head to head over at most MAX_ITEMS of them; what else is wrong with the bytes is not said here."""
    position, end = 0, len(data)
    for allowed in range(MAX_ITEMS, 0, -1):
        if end - position <= allowed:
            return
        head = data[position]
        if head == 0x59 and position + 2 < end:  # byte strings of 256 bytes to 64 KiB: nearly all of what is long
            position += 3 + (data[position + 1] << 8 | data[position + 2])
            continue
        argument = head & 0x1F
        position += 1
        if argument > 23:
            if argument > 27:
                return  # reserved or indefinite: the decoder refuses it when it comes to it
            width = 1 << (argument - 24)
            argument = int.from_bytes(data[position : position + width], "big")
            position += width
        if head >> 5 in (2, 3):
            position += argument
    if position < end:
        raise DecodeError("wire.too-many-items", f"more than {MAX_ITEMS} CBOR items in {end} bytes")


def _canonical_length(items: Sequence[Value]) -> int:
    """The bytes that `encode` would give for the items together. Raises DecodeError outside the subset."""
    if len(items) >= 16 and set(map(type, items)) == _ONLY_BYTES:  # frames of a section, as nearly all that is long
        lengths = list(map(len, items))
        if min(lengths) >= 0x100 and max(lengths) < 0x1_0000:
            return sum(lengths) + 3 * len(lengths)
    total = 0
    for value in items:
        kind = type(value)
        if kind is bytes:
            argument = len(value)
            total += argument
        elif kind is str:
            argument = len(value) if value.isascii() else len(value.encode())
            total += argument
        elif kind is int:
            argument = value if value >= 0 else -1 - value
        elif kind is list:
            argument = len(value)
            total += _canonical_length(value)
        elif value is True or value is False or value is None:
            total += 1
            continue
        elif kind is dict:
            argument = len(value)
            if value:
                _check_keys(list(value))
                total += _canonical_length(list(value)) + _canonical_length(list(value.values()))
        else:
            raise DecodeError("wire.type", f"a CBOR item of type {kind.__name__}, which the mesh does not use")
        total += (
            1 if argument < 24
            else 2 if argument < 0x100
            else 3 if argument < 0x1_0000
            else 5 if argument < 0x1_0000_0000
            else 9
        )  # fmt: skip
    return total


def _check_keys(keys: list[Value]) -> None:
    """Map keys are text and strictly ascending in the order of their encodings."""
    for key in keys:
        if type(key) is not str:
            raise DecodeError("wire.type", f"a map key of type {type(key).__name__}; keys are text")
    orders = [_key_order(key) for key in keys]
    if any(left >= right for left, right in pairwise(orders)):
        raise DecodeError("wire.not-canonical", "map keys are not in the order of their encodings")


def _refusal(error: Exception, max_depth: int) -> DecodeError:
    """cbor2's complaint under our code."""
    reason = str(error)
    if isinstance(error, cbor2.CBORDecodeEOF):
        return DecodeError("wire.truncated", "the bytes end within a CBOR item")
    if "nesting depth" in reason:
        return DecodeError("wire.too-deep", f"arrays nested deeper than {max_depth}")
    if "semantic tag" in reason:
        return DecodeError("wire.type", "a tagged CBOR item, which the mesh does not use")
    if "indefinite length" in reason or "Duplicate map key" in reason:
        return DecodeError("wire.not-canonical", f"not deterministic CBOR: {reason[:120]}")
    return DecodeError("wire.malformed", f"not CBOR: {reason[:120]}")


def _not_canonical(value: Value, data: bytes, length: int) -> DecodeError:
    if data.startswith(encode(value)):
        return DecodeError("wire.trailing", f"{len(data) - length} bytes after the CBOR item of {length}")
    return DecodeError("wire.not-canonical", f"{len(data)} bytes for what takes {length}: a head is longer than needed")
