"""Messages and statements: every type goes out and comes back, and anything else is refused."""

from __future__ import annotations

from typing import get_args

import pytest
from msgspec import Struct, to_builtins
from msgspec.structs import replace

from arqonmesh.errors import DecodeError
from arqonmesh.wire.cbor import decode, encode
from arqonmesh.wire.codec import MESSAGE_TYPES, decode_message, encode_message
from arqonmesh.wire.messages import (
    MAX_DATAGRAM_BYTES,
    MAX_FRAME_BYTES,
    AnyMessage,
    BusBatch,
    Heartbeat,
    HeartbeatAck,
    Ping,
    PingReq,
    WireMessage,
)
from arqonmesh.wire.statement import (
    BODY_TYPES,
    DOMAIN,
    LINK_BYTES,
    MAX_STATEMENT_BYTES,
    Accusation,
    Adjacency,
    JoinPolicy,
    Kind,
    Links,
    Statement,
    decode_body,
    decode_statement,
    signed_part,
    statement_hash,
)
from tests.wire.examples import BODIES, KEY, MESSAGES, NODE, OTHER, SIGNATURE, STATEMENT


def refusal(data: bytes) -> str:
    with pytest.raises(DecodeError) as caught:
        decode_message(data)
    return caught.value.code


@pytest.mark.requirement("R-MB-7")
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_comes_back_as_it_went(message: WireMessage) -> None:
    """Same type, same fields, and the bytes are its one encoding."""
    encoded = encode_message(message)

    again = decode_message(encoded)

    assert again == message
    assert type(again) is type(message)
    assert encode_message(again) == encoded


def test_there_is_an_example_of_every_message_type() -> None:
    """So that no type is added without a round trip."""
    assert {type(message) for message in MESSAGES} == set(get_args(AnyMessage)) == set(MESSAGE_TYPES.values())


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_with_a_field_more_or_less_is_refused(message: WireMessage) -> None:
    """No optional tail, no ignored tail: two versions cannot understand one message differently."""
    encoded = encode_message(message)
    count = encoded[0] & 0x1F

    assert refusal(bytes((0x80 | count + 1,)) + encoded[1:] + b"\x00") == "wire.schema"
    tag = encoded[1:2] if encoded[1] < 24 else encoded[1:3]
    assert refusal(b"\x81" + tag if count > 1 else b"\x80") == "wire.schema"


@pytest.mark.parametrize("kind", [*MESSAGE_TYPES.values(), *BODY_TYPES.values(), Statement, Adjacency, Accusation])
def test_no_field_has_a_default(kind: type[Struct]) -> None:
    """A field with a default could be left out, and one message would have two encodings."""
    assert kind.__struct_defaults__ == ()


def test_what_is_not_a_message_is_refused_by_name() -> None:
    """Unknown tags apart from wrong shapes: the first is a newer peer, the second a broken one."""
    assert refusal(encode([99, 1])) == "wire.unknown-message"
    for shape in (7, [], ["10", 1], {"tag": 10}, [True, 1], [None], [[10], 1]):
        assert refusal(encode(shape)) == "wire.schema", shape
    assert refusal(b"") == "wire.truncated"
    assert refusal(encode([10, 2**32, -1])) == "wire.schema", "a field beyond its bound"
    assert refusal(encode([10, "1", -1])) == "wire.schema", "nothing is coerced"


def test_a_message_above_the_bound_is_refused_before_it_is_read() -> None:
    """The bound is the caller's, a megabyte when it says nothing."""
    batch = encode_message(BusBatch(1, (NODE,), 8, b"", SIGNATURE, (bytes(MAX_FRAME_BYTES),)))

    assert refusal(batch) == "wire.oversized"
    assert decode_message(batch, max_bytes=len(batch))


def test_messages_of_the_datagram_lane_fit_a_datagram() -> None:
    """Probes and heartbeats at their longest, with room to spare for a relay of the longest route."""
    for message in (Heartbeat(2**32 - 1, True, 2**32 - 1, 2**63 - 1, 2**32 - 1, 2**32 - 1), HeartbeatAck(2**32 - 1),
                    Ping(2**32 - 1, 2**63 - 1), PingReq(2**32 - 1, NODE)):  # fmt: skip
        assert len(encode_message(message)) < MAX_DATAGRAM_BYTES // 10


def test_a_statement_comes_back_and_signs_all_but_its_signature() -> None:
    """Domain, then the array without its last element."""
    encoded = STATEMENT.encode()

    assert decode_statement(encoded) == replace(STATEMENT, prev_hash=STATEMENT.prev_hash[:LINK_BYTES])
    assert STATEMENT.signed_bytes().startswith(DOMAIN + b"\x88")
    assert SIGNATURE not in STATEMENT.signed_bytes()
    assert STATEMENT.signed_bytes()[len(DOMAIN) + 1 :] == encoded[1 : -len(SIGNATURE) - 2]
    assert len(statement_hash(encoded)) == 32


def test_a_statement_of_the_first_version_is_read_and_verified_as_it_was_signed() -> None:
    """Its author cannot be asked to sign it anew: ids as text, the whole hash."""
    old = encode(to_builtins(STATEMENT, builtin_types=(bytes,)))

    assert decode_statement(old) == STATEMENT
    assert signed_part(old) == DOMAIN + b"\x88" + old[1 : -len(SIGNATURE) - 2]


def test_node_ids_travel_as_the_bytes_that_they_name() -> None:
    """20 instead of 34, in the head, the key and the body."""
    said = replace(STATEMENT, key=OTHER, body=BODIES[Kind.LINKS].encode())
    encoded = said.encode()

    assert NODE.encode() not in encoded and OTHER.encode() not in encoded
    assert decode_statement(encoded).key == OTHER and decode_statement(encoded).author == NODE
    with pytest.raises(ValueError, match="20"):
        JoinPolicy("key", bytes(20), KEY).encode()


def test_a_mesh_id_of_another_length_is_refused() -> None:
    """16 bytes are a ULID, 15 are nothing."""
    short = encode([bytes(15), *decode(STATEMENT.encode(), max_bytes=1_000)[1:]])
    with pytest.raises(DecodeError) as caught:
        decode_statement(short)
    assert caught.value.code == "wire.schema"


@pytest.mark.parametrize("transport", ["quic", "wss", "", "carrier pigeon", "-wss"])
@pytest.mark.parametrize("state", ["up", "down"])
def test_a_link_comes_back_whatever_carries_it(state: str, transport: str) -> None:
    """The known transports as a number, others by name."""
    links = Links((Adjacency(OTHER, state, transport, 9_000, 0), Adjacency(NODE, "up", "quic", 1, 1_000_000)))

    assert decode_body(Kind.LINKS, links.encode()) == links


@pytest.mark.parametrize("code", [4, -1, "quic", "+quic", True, None, b""])
def test_a_link_has_one_encoding(code: object) -> None:
    """A known transport by its name, or a number nobody gave, is refused."""
    with pytest.raises(DecodeError):
        decode_body(Kind.LINKS, encode([[OTHER, code, 1, 2]]))


@pytest.mark.parametrize("kind", BODY_TYPES)
def test_every_statement_body_comes_back_as_it_went(kind: Kind) -> None:
    """One example of each kind."""
    body = BODIES[kind]

    assert decode_body(kind, body.encode()) == body


def test_a_body_of_an_unknown_kind_is_not_understood_and_not_refused() -> None:
    """It is stored and passed on; a known kind with a wrong body is refused."""
    assert decode_body(200, b"\xff") is None
    with pytest.raises(DecodeError):
        decode_body(Kind.NODE, b"\xff")


def test_a_statement_above_its_bound_is_refused() -> None:
    """16 KiB."""
    with pytest.raises(DecodeError) as caught:
        decode_statement(bytes(MAX_STATEMENT_BYTES + 1))
    assert caught.value.code == "wire.oversized"
