"""The register: the last write wins on every replica, whatever came first."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.core.crdt.lww_register import MAX_CONTENT_BYTES, Register
from arqonmesh.errors import DecodeError
from arqonmesh.wire import cbor
from tests.core.crdt.values import NODES, VALUES

A, B = NODES[:2]


@given(st.lists(VALUES["Register"], min_size=1, max_size=6), st.data())
def test_the_highest_stamp_wins_whatever_came_first(writes: list[Register], data: st.DataObject) -> None:
    """Of many writes in any order the one with the highest (stamp, author, hash of the content) is left."""
    merged = Register()
    for write in data.draw(st.permutations(writes)):
        merged = merged.join(write)
    best = max(writes, key=lambda w: (w.stamp, w.author, hashlib.sha256(w.content or b"").digest()))

    assert merged == best


def test_two_contents_under_one_stamp_are_settled_by_their_hash() -> None:
    """An author that signs both makes no two replicas differ."""
    contents = sorted((b"yes", b"no"), key=lambda content: hashlib.sha256(content).digest())
    low, high = (Register.written(5, A, content) for content in contents)

    assert low.join(high) == high
    assert high.join(low) == high


def test_a_register_holds_so_much_and_no_more() -> None:
    """Ours is refused with a ValueError, a peer's with a DecodeError."""
    with pytest.raises(ValueError, match="holds 8192"):
        Register.written(1, A, bytes(MAX_CONTENT_BYTES + 1))
    with pytest.raises(DecodeError):
        Register.decode(cbor.encode([[[1, A, bytes(MAX_CONTENT_BYTES + 1)]]]))
