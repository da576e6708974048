"""What a node says of itself ends on other people's screens: nothing in it moves their cursor."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.errors import DecodeError
from arqonmesh.wire.codec import decode_message, encode_message
from arqonmesh.wire.messages import JoinRequest
from arqonmesh.wire.statement import Kind, NodeRecord, decode_body
from tests.wire.examples import BODIES, MESSAGES

RECORD = next(body for body in BODIES.values() if isinstance(body, NodeRecord))
REQUEST = next(message for message in MESSAGES if isinstance(message, JoinRequest))
NASTY = ["a\x1b[2Jb", "a\nb", "end\n", "\x00", "a\x9bb", "a\u202eb", "a\u2066b", "\u200b", "\ufeff"]


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("name", ["region", "cluster", "software"])
def test_a_record_with_control_characters_is_refused(name: str, text: str) -> None:
    """Region, cluster and software; as for any malformed body, its sender is at fault."""
    with pytest.raises(DecodeError):
        decode_body(Kind.NODE, msgspec.structs.replace(RECORD, **{name: text}).encode())


@pytest.mark.parametrize("text", NASTY)
def test_addresses_and_capabilities_are_held_to_the_same(text: str) -> None:
    """Each item of a list."""
    for name in ("addresses", "capabilities"):
        with pytest.raises(DecodeError):
            decode_body(Kind.NODE, msgspec.structs.replace(RECORD, **{name: ("fine:1", text)}).encode())


@pytest.mark.parametrize("text", [*NASTY, "x" * 65])
def test_a_join_request_with_such_a_region_is_refused(text: str) -> None:
    """Before anybody is admitted by it."""
    with pytest.raises(DecodeError):
        decode_message(encode_message(msgspec.structs.replace(REQUEST, region=text)))


def test_a_region_that_is_too_long_is_refused() -> None:
    """64 characters, as in the configuration."""
    long = msgspec.structs.replace(RECORD, region="ü" * 64)
    assert decode_body(Kind.NODE, long.encode()) == long
    with pytest.raises(DecodeError):
        decode_body(Kind.NODE, msgspec.structs.replace(RECORD, region="ü" * 65).encode())


@given(st.text(alphabet=st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=64))
def test_whatever_people_write_passes(text: str) -> None:
    """Letters of every script, marks, spaces, emoji."""
    said = msgspec.structs.replace(RECORD, region=text)
    assert decode_body(Kind.NODE, said.encode()) == said
