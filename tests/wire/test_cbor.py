"""Deterministic CBOR: one value, one encoding, and nothing else is accepted (RFC 8949)."""

from __future__ import annotations

import tracemalloc
from typing import Annotated, Any

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from arqonmesh.errors import DecodeError
from arqonmesh.wire.cbor import MAX_ITEMS, decode, decode_as, encode
from tests.wire import vectors

INTEGERS = st.integers(-(2**64), 2**64 - 1)
SCALARS = INTEGERS | st.binary(max_size=300) | st.text(max_size=300) | st.booleans() | st.none()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=30), inner, max_size=8),
    max_leaves=40,
)


def code_of(data: bytes, **bounds: int) -> str:
    """The code with which `data` is refused."""
    with pytest.raises(DecodeError) as caught:
        decode(data, **{"max_bytes": 1 << 20, **bounds})
    return caught.value.code


def nested(depth: int) -> bytes:
    return b"\x81" * depth + b"\x00"


# --- one encoding -----------------------------------------------------------------------------------------


@given(VALUES)
@example([2**64 - 1, -(2**64), 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, -24, -25, -256, -257])
def test_what_is_encoded_decodes_to_the_same(value: Any) -> None:
    """decode(encode(v)) == v over the whole subset, and booleans stay booleans."""
    again = decode(encode(value), max_bytes=1 << 20)

    assert again == value
    assert repr(again) == repr(value) or isinstance(value, dict) or "{" in repr(value)


@given(VALUES)
def test_the_encoding_is_that_of_an_independent_implementation(value: Any) -> None:
    """cbor2 in canonical mode writes the same bytes."""
    assert encode(value) == cbor2.dumps(value, canonical=True)


@given(st.binary(max_size=60))
@example(bytes.fromhex("d81c8100"))
@example(bytes.fromhex("82d81c80d81d00"))
@example(bytes.fromhex("9a00100000"))
def test_bytes_are_the_one_encoding_of_a_value_or_refused(data: bytes) -> None:
    """Any bytes: either decoding gives a value whose encoding is exactly these bytes, or DecodeError."""
    try:
        value = decode(data, max_bytes=64)
    except DecodeError:
        return
    assert encode(value) == data


@given(VALUES, st.data())
def test_a_changed_byte_gives_another_value_or_is_refused(value: Any, data: st.DataObject) -> None:
    """No two byte strings decode to the same value: signatures would not know which one they cover."""
    original = encode(value)
    position = data.draw(st.integers(0, len(original) - 1))
    changed = bytearray(original)
    changed[position] ^= data.draw(st.integers(1, 255))
    try:
        other = decode(bytes(changed), max_bytes=1 << 20)
    except DecodeError:
        return
    assert encode(other) == bytes(changed)


def test_tuples_are_written_as_arrays_and_maps_by_their_encoded_keys() -> None:
    """RFC 8949, 4.2.1: bytewise order of the encoded keys, so the shorter key comes first."""
    assert encode((1, (2,))) == encode([1, [2]])
    assert encode({"b": 1, "aa": 2, "a": 3}).hex() == "a3616103616201626161" + "02"


@pytest.mark.parametrize("value", [1.5, {1: 2}, {"a": {b"k": 1}}, object(), bytearray(b"x"), {1}, [1, [2.0]]])
def test_encoding_outside_the_subset_is_our_own_bug(value: Any) -> None:
    """TypeError and not DecodeError: no peer can cause it."""
    with pytest.raises(TypeError):
        encode(value)


@pytest.mark.parametrize("value", [2**64, -(2**64) - 1])
def test_integers_beyond_64_bits_are_not_written(value: int) -> None:
    """They would need tags 2 and 3."""
    with pytest.raises(ValueError, match="65 bits"):
        encode(value)


# --- RFC 8949, appendix A ---------------------------------------------------------------------------------


def in_subset(case: dict[str, Any]) -> bool:
    """Whether an example of appendix A uses only what the mesh uses: no float, tag, simple value or integer key."""
    encoded = bytes.fromhex(case["hex"])
    outside = {0xA2: encoded[1:2] == b"\x01", 0xF6: False, 0xF5: False, 0xF4: False}
    return not outside.get(encoded[0], encoded[0] >= 0xC0)


def test_appendix_a_is_read_where_it_is_in_the_subset_and_refused_elsewhere() -> None:
    """All 82 examples: preferred encodings of our types decode to the value given; all others are refused."""
    cases = vectors.load("cbor_appendix_a.json")
    accepted = 0
    for case in cases:
        encoded = bytes.fromhex(case["hex"])
        if case["roundtrip"] and in_subset(case):
            value = decode(encoded, max_bytes=100)
            if case["hex"] not in ("40", "4401020304"):
                assert value == case["decoded"], case
            assert encode(value) == encoded
            accepted += 1
        else:
            with pytest.raises(DecodeError):
                decode(encoded, max_bytes=100)
    assert (len(cases), accepted) == (82, 36)


# --- RFC 8949, appendix F: bytes that are not well-formed -------------------------------------------------

NOT_WELL_FORMED = {
    "end of input in a head": (
        "18 19 1a 1b 1901 1a0102 1b01020304050607 38 58 78 98 9a01ff00 b8 d8 f8 f900 fa0000 fb000000"
    ),
    "definite-length strings with short data": (
        "41 61 5affffffff00 5bffffffffffffffff010203 7affffffff00 7b7fffffffffffffff010203"
    ),
    "definite-length maps and arrays not closed with enough items": (
        "81 818181818181818181 8200 a1 a20102 a100 a2000000"
    ),
    "tag number not followed by tag content": "c0",
    "indefinite-length strings not closed by a break": "5f4100 7f6100",
    "indefinite-length maps and arrays not closed by a break": (
        "9f 9f0102 bf bf01020102 819f 9f8000 9f9f9f9f9fffffffff 9f819f819f9fffffff"
    ),
    "reserved additional information values": (
        "1c 1d 1e 3c 3d 3e 5c 5d 5e 7c 7d 7e 9c 9d 9e bc bd be dc dd de fc fd fe"
    ),
    "reserved two-byte encodings of simple values": "f800 f801 f818 f81f",
    "indefinite-length string chunks not of the correct type": (
        "5f00ff 5f21ff 5f6100ff 5f80ff 5fa0ff 5fc000ff 5fe0ff 7f4100ff"
    ),
    "indefinite-length string chunks not definite length": "5f5f4100ffff 7f7f6100ffff",
    "break occurring on its own": "ff",
    "break in a definite-length array, map or tag": (
        "81ff 8200ff a1ff a1ff00 a100ff a20000ff 9f81ff 9f829f819f9fffffffff"
    ),
    "break in an indefinite-length map in place of a value": "bf00ff bf000000ff",
    "major types 0, 1 and 6 with additional information 31": "1f 3f df",
}


@pytest.mark.parametrize("case", NOT_WELL_FORMED)
def test_what_is_not_well_formed_is_refused(case: str) -> None:
    """Every class of RFC 8949, appendix F, alone and as the last element of an array."""
    for text in NOT_WELL_FORMED[case].split():
        encoded = bytes.fromhex(text)
        for data in (encoded, b"\x82\x00" + encoded):
            assert code_of(data) in (
                "wire.truncated", "wire.malformed", "wire.not-canonical", "wire.type", "wire.trailing"
            ), text  # fmt: skip


# --- well-formed, and still not ours ----------------------------------------------------------------------


@pytest.mark.parametrize("major", range(6))
@pytest.mark.parametrize(("argument", "longer"), [(1, 24), (1, 25), (1, 26), (1, 27), (200, 25), (200, 27)])
def test_a_head_longer_than_needed_is_refused(major: int, argument: int, longer: int) -> None:
    """RFC 8949, 4.2.1: the argument in the shortest form, for every major type of the subset."""
    head = bytes((major << 5 | longer,)) + argument.to_bytes(1 << (longer - 24), "big")
    content = {
        2: bytes(argument),
        3: b"a" * argument,
        4: bytes(argument),
        5: b"".join(encode(key) + b"\x00" for key in sorted(f"{n:03}" for n in range(argument))),
    }.get(major, b"")

    assert code_of(head + content) == "wire.not-canonical"


def test_a_longer_head_cannot_be_paid_for_by_a_shared_reference() -> None:
    """Tags 28 and 29 repeat a value at no cost in bytes, so the sum of lengths could be made to fit again."""
    encoded = bytes.fromhex("84" + "d81c" + "83000000" + "d81d00" + "1b0000000000000001" + "1801")

    assert code_of(encoded) == "wire.type"


@pytest.mark.parametrize("tag", [0, 1, 2, 3, 4, 25, 28, 29, 30, 35, 37, 256, 258, 260, 999, 55799, 2**64 - 1])
def test_every_tag_is_refused(tag: int) -> None:
    """Also the bignum that would fit, and the self-describing prefix."""
    head = bytes.fromhex(cbor2.dumps(cbor2.CBORTag(tag, 0)).hex())

    assert code_of(head) == "wire.type"
    assert code_of(b"\x82\x00" + head) == "wire.type"


@pytest.mark.parametrize("encoded", ["f90000", "f97e00", "fa47c35000", "fb3ff199999999999a", "f7", "f0", "e0", "f8ff"])
def test_floats_undefined_and_simple_values_are_refused(encoded: str) -> None:
    """NaN has many encodings and no order; none of them decides anything here."""
    assert code_of(bytes.fromhex(encoded)) == "wire.type"
    assert code_of(bytes.fromhex("81" + encoded)) == "wire.type"


def test_map_keys_must_be_text_sorted_and_single() -> None:
    """RFC 8949, 4.2.1 and 5.6."""
    assert decode(bytes.fromhex("a2616101616202"), max_bytes=10) == {"a": 1, "b": 2}
    assert code_of(bytes.fromhex("a2616202616101")) == "wire.not-canonical"
    assert code_of(bytes.fromhex("a262616101616202")) == "wire.not-canonical", "longer keys come last"
    assert code_of(bytes.fromhex("a2616101616102")) == "wire.not-canonical", "a repeated key"
    assert code_of(bytes.fromhex("a10000")) == "wire.type"


@pytest.mark.parametrize("text", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe6\xb0"])
def test_text_must_be_utf8(text: bytes) -> None:
    """Overlong forms, surrogates, beyond U+10FFFF, cut short."""
    assert code_of(bytes((0x60 | len(text),)) + text) == "wire.malformed"


def test_long_text_is_utf8_across_every_read_boundary() -> None:
    """Characters of several bytes at the places where a reader might cut (64 KiB)."""
    for shift in range(4):
        text = "a" * shift + "\N{GRINNING FACE}" * 40_000
        assert decode(encode(text), max_bytes=1 << 20) == text


def test_exactly_one_item_is_taken() -> None:
    """Nothing, and one item and a byte, are both refused."""
    assert code_of(b"") == "wire.truncated"
    assert code_of(b"\x01\x01") == "wire.trailing"
    assert code_of(encode([1, "a"]) + b"\x00") == "wire.trailing"


def test_the_bounds_on_bytes_and_depth_are_exact() -> None:
    """At the bound is well, one above is refused; too many bytes before any is read."""
    assert decode(nested(16), max_bytes=17) is not None
    assert code_of(nested(17)) == "wire.too-deep"
    assert code_of(nested(60_000)) == "wire.too-deep"
    assert code_of(nested(3), max_depth=2) == "wire.too-deep"
    assert decode(b"\x43abc", max_bytes=4) == b"abc"
    assert code_of(b"\xff" * 5, max_bytes=4) == "wire.oversized"


@pytest.mark.parametrize("head", ["9a7fffffff", "9b00000000ffffffff", "5a7fffffff", "7a7fffffff", "ba7fffffff616100"])
def test_a_length_that_the_bytes_do_not_keep_costs_no_memory(head: str) -> None:
    """2 GiB announced in five bytes: refused with less than 1 MiB taken."""
    tracemalloc.start()
    try:
        assert code_of(bytes.fromhex(head)) == "wire.truncated"
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("item", ["80", "00", "a0", "6161", "40"])
def test_a_frame_of_very_many_small_items_is_refused_before_it_is_made(item: str) -> None:
    """A megabyte of them would become 64; the bound on items is exact."""
    few, many = MAX_ITEMS - 1, (1 << 20) // len(bytes.fromhex(item)) - 5
    tracemalloc.start()
    try:
        assert code_of(b"\x9a" + many.to_bytes(4, "big") + bytes.fromhex(item) * many) == "wire.too-many-items"
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    for count, fits in ((few, True), (few + 1, False)):
        encoded = b"\x9a" + count.to_bytes(4, "big") + bytes.fromhex(item) * count
        if fits:
            assert len(decode(encoded, max_bytes=1 << 20)) == count
        else:
            assert code_of(encoded) == "wire.too-many-items"


def test_the_largest_messages_are_within_the_bound_on_items() -> None:
    """A gossip digest of 16,384 authors, the most that its type allows."""
    heads = [["a" * 32, 1, n] for n in range(16_384)]

    assert len(decode(encode([41, heads, True]), max_bytes=1 << 20)[1]) == 16_384


@pytest.mark.parametrize("rubbish", ["1c", "5f", "1b", "5bffffffffffffffff", "ff"])
def test_counting_items_first_changes_no_verdict(rubbish: str) -> None:
    """In more bytes than are decoded without counting, what is wrong is still found, and by the same name."""
    content = bytes.fromhex(rubbish)
    assert code_of(b"\x82" + encode(bytes(MAX_ITEMS)) + content) == code_of(b"\x82" + encode(b"") + content)


# --- typed ------------------------------------------------------------------------------------------------


class Point(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    x: Annotated[int, Meta(ge=0)]
    label: Annotated[bytes, Meta(max_length=4)]


def test_a_typed_value_is_checked_field_by_field() -> None:
    """Nothing is coerced, nothing is left over, constraints hold."""
    assert decode_as(encode([1, b"a"]), Point, max_bytes=100) == Point(1, b"a")
    for wrong in ([1], [1, b"a", 2], [-1, b"a"], [1, b"aaaaa"], ["1", b"a"], [True, b"a"], [1, "a"], {"x": 1}, 7):
        with pytest.raises(DecodeError) as caught:
            decode_as(encode(wrong), Point, max_bytes=100)
        assert caught.value.code == "wire.schema", wrong
