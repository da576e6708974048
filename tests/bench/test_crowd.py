"""The clients of the benchmarks see what is on the wire, however it is cut."""

from __future__ import annotations

import socket

from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.bridge.framing import append_text_frames
from bench.bus_crowd import Member
from bench.peers.dialects import MARK, STAMP_BEFORE_MARK, STAMP_DIGITS, payload


@given(st.lists(st.sampled_from((0, 1, 125, 126, 300, 65_535, 65_536)), max_size=6), st.data())
def test_frames_are_found_wherever_the_reads_cut_them(sizes: list[int], data: st.DataObject) -> None:
    """RFC 6455, 5.2: every text frame once and whole, whatever its length's form, none before it is complete."""
    frames = [bytes((index,)) * size for index, size in enumerate(sizes)]
    parts: list[bytes] = []
    append_text_frames(parts, frames)
    wire = b"\x8a\x00" + b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    with socket.socket() as sock:
        member = Member(sock, 0)
        found: list[bytes] = []
        for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
            found += member.split(wire[start:end])
    assert found == frames
    assert member.left == b""


@given(st.integers(0, 10**19 - 1), st.integers(100, 400))
def test_a_payload_has_its_size_its_stamp_and_one_mark(stamp: int, size: int) -> None:
    """What is counted and timed stands where readers look for it."""
    data = payload(stamp, size)
    at = data.find(MARK) - STAMP_BEFORE_MARK
    assert (len(data), data.count(MARK), int(data[at : at + STAMP_DIGITS])) == (size, 1, stamp)
