"""Messages that name nodes are checked in everything but what an id is made of: that the 20 bytes say."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import inspect

from arqonmesh.errors import DecodeError
from arqonmesh.wire.cbor import encode
from arqonmesh.wire.codec import IDS, MESSAGE_TYPES, decode_message

NODE_PATTERN = "^[a-z2-7]{32}$"


def plain(kind: Any) -> Any:
    """The constraints of a field, those of ids left out."""
    if isinstance(kind, inspect.StrType):
        return inspect.StrType() if kind.pattern == NODE_PATTERN else kind
    if isinstance(kind, inspect.VarTupleType):
        return ("many", plain(kind.item_type), kind.min_length, kind.max_length)
    if isinstance(kind, inspect.TupleType):
        return ("tuple", tuple(plain(item) for item in kind.item_types))
    return kind


@pytest.mark.parametrize("tag", [tag for tag, ids in IDS.items() if ids])
def test_only_the_pattern_of_ids_is_not_checked_twice(tag: int) -> None:
    """Bounds, lengths, order and number of the fields are those of the message; and ids are where they were."""
    kind, read = inspect.type_info(MESSAGE_TYPES[tag]), inspect.type_info(IDS[tag].unpacked_type)
    assert isinstance(kind, inspect.StructType) and isinstance(read, inspect.StructType)
    assert [(f.name, plain(f.type)) for f in read.fields] == [(f.name, plain(f.type)) for f in kind.fields]
    assert (read.tag, read.array_like, read.forbid_unknown_fields) == (tag, True, True)


@pytest.mark.parametrize(
    "route", [[b"a" * 20, b"b" * 19], [b"a" * 20, "b" * 32], [b"a" * 20, 7], [b"a" * 20], [b"a" * 20] * 300, b"a" * 20]
)
def test_a_relay_whose_route_is_none_is_refused(route: object) -> None:
    """An id that is not 20 bytes, too few of them or too many, or no list."""
    with pytest.raises(DecodeError):
        decode_message(encode([30, route, 1, 0, b"x"]))
