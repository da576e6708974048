"""The quick way of small messages: it writes and reads what the general way writes and reads, or says nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple

from arqonmesh.errors import DecodeError
from arqonmesh.wire.cbor import encode
from arqonmesh.wire.codec import OFTEN, decode_message, encode_message, general_encoding, general_message
from arqonmesh.wire.messages import Heartbeat, HistoryWanted, Ping, Relay, SignedAck, WireMessage
from arqonmesh.wire.packing import node_bytes, node_text
from arqonmesh.wire.quick import Flat, Quick, quick

NODES = st.binary(min_size=20, max_size=20).map(node_text)
U32 = st.one_of(st.sampled_from((0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1)), st.integers(0, 2**32 - 1))
U63 = st.one_of(U32, st.sampled_from((2**32, 2**63 - 1)), st.integers(0, 2**63 - 1))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "seq": U32,
    "accused": st.one_of(st.just(-1), U63),
    "poll": st.booleans(),
    "echo": U32,
    "held_us": U63,
    "missed": U32,
    "every_ms": U32,
    "target": NODES,
    "asker": NODES,
    "signature": st.binary(min_size=64, max_size=64),
    "route": st.lists(NODES, min_size=2, max_size=16).map(tuple),
    "hop": st.integers(0, 15),
    "lane": st.integers(0, 1),
    "inner": st.one_of(st.binary(max_size=300), st.sampled_from((b"", b"x" * 65_535, b"x" * 65_536))),
    "link_seq": U63,
}
MESSAGES = st.sampled_from(OFTEN).flatmap(
    lambda kind: st.builds(kind, **{name: VALUES[name] for name in kind.__struct_fields__})
)


def way_of(message: WireMessage) -> Quick | Flat:
    return quick(type(message))


def generally(data: bytes) -> WireMessage | None:
    try:
        return general_message(data)
    except DecodeError:
        return None


@given(MESSAGES)
def test_both_ways_write_the_same_and_read_it_again(message: WireMessage) -> None:
    """One encoding, whoever writes it."""
    encoded = way_of(message).write(message)

    assert encoded == general_encoding(message) == encode_message(message)
    assert general_message(encoded) == message
    again = way_of(message).read(encoded)
    assert again == message or len(encoded) > 65_536
    assert again is None or list(map(type, astuple(again))) == list(map(type, astuple(message)))


@settings(max_examples=400)
@given(MESSAGES.filter(lambda message: len(encode_message(message)) < 1_000), st.data())
def test_whatever_is_changed_in_the_bytes_is_read_as_the_general_way_reads_it_or_not_at_all(
    message: WireMessage, data: st.DataObject
) -> None:
    """Bytes replaced, taken away, put in: never a message that the general way refuses, nor another one."""
    encoded = bytearray(encode_message(message))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(encoded)))
        encoded[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    found = way_of(message).read(bytes(encoded))

    assert found is None or found == generally(bytes(encoded))


@pytest.mark.parametrize("kind", OFTEN, ids=lambda kind: kind.__name__)
def test_every_head_that_is_longer_than_needed_is_left_to_the_general_way(kind: type[WireMessage]) -> None:
    """Which refuses it: one value, one encoding."""
    example = {
        "accused": -1,
        "poll": True,
        "target": node_text(b"t" * 20),
        "asker": node_text(b"a" * 20),
        "signature": b"s" * 64,
        "route": (node_text(b"t" * 20), node_text(b"a" * 20)),
        "hop": 1,
        "lane": 0,
        "inner": b"inner",
    }
    message = kind(**{name: example.get(name, 7) for name in kind.__struct_fields__})
    plain = [kind.__struct_config__.tag, *astuple(message)]
    whole = encode_message(message)
    at = len(whole)
    for value in reversed(plain[1:]):
        written = encode(_packed(value))
        at -= len(written)
        if type(value) is bool:
            continue
        argument = (
            len(value)
            if isinstance(value, bytes | tuple)
            else 20
            if isinstance(value, str)
            else abs(value) - (value < 0)
        )
        for width in (1, 2, 4, 8):
            longer = bytes((written[0] & 0xE0 | 23 + width.bit_length(),)) + argument.to_bytes(width, "big")
            short = 1 if argument < 24 else 2
            changed = whole[:at] + longer + whole[at + short :]
            if changed != whole:
                assert quick(kind).read(changed) is None, (value, width)
                with pytest.raises(DecodeError):
                    decode_message(changed)


def _packed(value: Any) -> Any:
    if isinstance(value, str):
        return node_bytes(value)
    return [node_bytes(node) for node in value] if isinstance(value, tuple) else value


def test_no_byte_of_a_route_can_be_another_one_and_be_read_otherwise_than_generally() -> None:
    """Each byte of it, each other value: also the heads between the ids, which are looked at all at once."""
    relay = Relay((node_text(b"t" * 20), node_text(b"a" * 20)), 1, 0, b"in")
    encoded, way = bytearray(encode_message(relay)), way_of(relay)
    for at, before in enumerate(encoded):
        for value in range(256):
            encoded[at] = value
            found = way.read(bytes(encoded))
            assert found is None or found == generally(bytes(encoded)), (at, value)
        encoded[at] = before


@pytest.mark.parametrize(
    "fields",
    [
        [10, 2**32, -1],
        [10, 1, -2],
        [20, 1, 0, 1, 1, 1, 1],
        [20, True, True, 1, 1, 1, 1],
        [20, 1, True, 1, 2**63, 1, 1],
        [30, [b"a" * 20], 1, 0, b""],
        [30, [b"a" * 20] * 17, 1, 0, b""],
        [30, [b"a" * 20, b"b" * 19], 1, 0, b""],
        [30, [b"a" * 20, b"b" * 20], 16, 0, b""],
        [30, [b"a" * 20, b"b" * 20], 1, 2, b""],
        [14, b"t" * 20, b"a" * 20, 7, b"s" * 63],
    ],
)
def test_what_is_out_of_bounds_is_refused_as_ever(fields: list[Any]) -> None:
    """The quick way knows each bound of its types' fields."""
    with pytest.raises(DecodeError) as caught:
        decode_message(encode(fields))
    assert caught.value.code == "wire.schema"


def test_the_bounds_themselves_are_read() -> None:
    """The least and the most of each."""
    ids = tuple(node_text(bytes((n,)) * 20) for n in range(16))
    for message in (
        Ping(2**32 - 1, -1),
        Ping(0, 2**63 - 1),
        Heartbeat(2**32 - 1, True, 2**32 - 1, 2**63 - 1, 2**32 - 1, 2**32 - 1),
        Relay(ids, 15, 1, b"x" * 65_535),
        Relay(ids[:2], 0, 0, b""),
        SignedAck(ids[0], ids[1], 0, b"s" * 64),
    ):
        assert way_of(message).read(encode_message(message)) == message


def test_a_type_with_other_fields_has_no_quick_way() -> None:
    """Said when it is asked for, not when it is read."""
    with pytest.raises(TypeError, match="no quick message"):
        quick(HistoryWanted)


def test_no_type_with_text_other_than_ids_is_taken_for_one() -> None:
    """A string field is an id only where its type says so."""

    class Named(msgspec.Struct, tag=99, array_like=True, frozen=True):
        name: str

    with pytest.raises(TypeError, match="no quick message"):
        quick(Named)
