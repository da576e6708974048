"""A bounded memory of what bytes decode to, and the frames that nodes of one process share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from arqonmesh.errors import DecodeError
from arqonmesh.wire.codec import decode_message, encode_message, remembered
from arqonmesh.wire.memo import Memo
from arqonmesh.wire.messages import GossipDelta


def counted(capacity: int) -> tuple[Memo[bytes, int], list[bytes]]:
    """A memo of lengths, and what was computed."""
    computed: list[bytes] = []

    def length(data: bytes) -> int:
        computed.append(data)
        if not data:
            raise DecodeError("test.empty", "nothing")
        return len(data)

    return Memo(length, capacity), computed


def test_what_is_remembered_is_not_computed_again_and_the_oldest_goes_first() -> None:
    """At most `capacity` results."""
    memo, computed = counted(2)
    assert [memo(data) for data in (b"a", b"bb", b"a", b"ccc", b"bb", b"a")] == [1, 2, 1, 3, 2, 1]
    assert computed == [b"a", b"bb", b"ccc", b"a"]
    assert memo.evicted == 2


def test_a_memo_of_capacity_0_remembers_nothing() -> None:
    """And works all the same."""
    memo, computed = counted(0)
    assert [memo(b"a"), memo(b"a")] == [1, 1]
    assert (len(computed), memo.evicted) == (2, 0)


def test_what_raises_is_not_remembered() -> None:
    """Nothing can be filled with rubbish."""
    memo, computed = counted(4)
    for _ in range(2):
        with pytest.raises(DecodeError):
            memo(b"")
    assert computed == [b"", b""]


@pytest.fixture
def shared() -> Iterator[None]:
    """As in a simulator of many nodes."""
    before, remembered.capacity = remembered.capacity, 8
    remembered.forget()
    yield
    remembered.capacity = before
    remembered.forget()


@pytest.mark.usefixtures("shared")
def test_nodes_that_share_their_frames_decode_a_delta_once_and_judge_it_each() -> None:
    """The size limit is each reader's own; rubbish is rubbish every time."""
    data = encode_message(GossipDelta(statements=(b"x" * 100,), bases=()))
    assert decode_message(data) is decode_message(data)
    with pytest.raises(DecodeError, match="at most 50"):
        decode_message(data, max_bytes=50)
    for _ in range(2):
        with pytest.raises(DecodeError):
            decode_message(data + b"\x00")


def test_a_node_alone_remembers_no_frames() -> None:
    """It is told each once. Asked of a process of its own: a simulation in this one may have shared frames."""
    program = "from arqonmesh.wire.codec import remembered; print(remembered.capacity)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
