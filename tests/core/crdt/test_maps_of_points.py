"""MinMap and MaxMap: one point per author, and room for a bounded number of authors."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.core.crdt import max_map, min_map
from arqonmesh.core.crdt.max_map import MaxMap
from arqonmesh.core.crdt.min_map import MinMap
from arqonmesh.errors import DecodeError
from arqonmesh.ids import NodeId
from arqonmesh.wire import cbor
from tests.core.crdt.values import NODES, nodes

A, B = NODES[:2]


def node(number: int) -> NodeId:
    return NodeId(base64.b32encode(number.to_bytes(20, "big")).decode().lower())


@given(st.lists(st.tuples(nodes, st.integers(0, 9), st.integers(0, 9)), min_size=1))
def test_of_all_proofs_against_an_author_the_earliest_stands(claims: list[tuple[NodeId, int, int]]) -> None:
    """The point is the lowest (epoch, seq), epochs first."""
    verdicts = MinMap()
    for author, epoch, seq in claims:
        verdicts = verdicts.join(MinMap.at(author, epoch, seq))

    for author in NODES:
        points = [(epoch, seq) for who, epoch, seq in claims if who == author]
        assert verdicts.lowest(author) == (min(points) if points else None)


@given(st.lists(st.tuples(nodes, st.integers(0, 9)), min_size=1))
def test_an_offset_never_goes_back(claims: list[tuple[NodeId, int]]) -> None:
    """The offset is the highest that was ever claimed; all of some have reached the lowest of theirs."""
    offsets = MaxMap()
    for author, offset in claims:
        offsets = offsets.join(MaxMap.at(author, offset))

    for author in NODES:
        assert offsets.highest(author) == max((o for who, o in claims if who == author), default=None)
    assert offsets.lowest_of(NODES) == min(offsets.highest(author) or 0 for author in NODES)


def test_a_full_map_keeps_the_lowest_authors_in_whatever_order_they_come() -> None:
    """What is left out is a function of the authors, so two full replicas still agree."""
    one = MinMap.of((node(n), (1, n)) for n in range(min_map.MAX_ENTRIES))
    other = MinMap.of((node(n), (0, n)) for n in range(2_000, 2_000 + min_map.MAX_ENTRIES))

    assert one.full
    assert one.join(other) == other.join(one)
    assert len(one.join(other).entries) == min_map.MAX_ENTRIES
    assert MinMap.decode(one.join(other).encode()) == one.join(other)
    many = MaxMap.of((node(n), n) for n in range(max_map.MAX_ENTRIES + 9))
    assert many.full
    assert MaxMap.decode(many.encode()) == many


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        ([[[B, 1, 1], [A, 1, 1]]], "wire.not-canonical"),
        ([[[A, 1, 1], [A, 1, 2]]], "wire.not-canonical"),
        ([[[A, -1, 1]]], "wire.schema"),
        ([[[A, 1]]], "wire.schema"),
        ([[["nobody", 1, 1]]], "wire.schema"),
        ([], "wire.schema"),
    ],
)
def test_another_form_of_a_map_is_refused(wire: list[object], code: str) -> None:
    """One value, one encoding: authors ascend, each once, with points that fit."""
    with pytest.raises(DecodeError) as caught:
        MinMap.decode(cbor.encode(wire))

    assert caught.value.code == code
