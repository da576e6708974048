"""Frames on a byte stream: whole, byte by byte, with trailing data, and never more memory than one frame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.errors import DecodeError
from arqonmesh.wire.frames import FrameParser, frame

PAYLOADS = st.lists(st.binary(max_size=60), max_size=10)


@given(PAYLOADS)
def test_frames_come_out_as_they_went_in(payloads: list[bytes]) -> None:
    """All in one piece."""
    parser = FrameParser(60)

    assert parser.feed(b"".join(map(frame, payloads))) == payloads
    assert parser.buffered == 0


@given(PAYLOADS)
def test_frames_come_out_byte_by_byte(payloads: list[bytes]) -> None:
    """Each frame with its last byte and not before."""
    parser = FrameParser(60)
    for payload in payloads:
        *early, last = (parser.feed(bytes((byte,))) for byte in frame(payload))
        assert not any(early)
        assert last == [payload]


@given(PAYLOADS, st.data())
def test_frames_come_out_of_any_cut(payloads: list[bytes], data: st.DataObject) -> None:
    """Cut at random places, with empty pieces between."""
    stream = b"".join(map(frame, payloads))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    parser = FrameParser(60)
    out: list[bytes] = []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        out += parser.feed(stream[start:stop])
    assert out == payloads


def test_trailing_data_waits_for_its_frame() -> None:
    """A whole frame, and the beginning of the next."""
    parser = FrameParser(100)

    assert parser.feed(frame(b"one") + frame(b"second")[:6]) == [b"one"]
    assert parser.buffered == 6
    assert parser.feed(frame(b"second")[6:]) == [b"second"]


def test_an_oversized_frame_is_refused_at_its_length() -> None:
    """The fourth byte is enough, and the stream stays refused."""
    parser = FrameParser(10)
    parser.feed(b"\x00\x00\x00")
    for more in (b"\x0b", b"", frame(b"fine")):
        with pytest.raises(DecodeError) as caught:
            parser.feed(more)
        assert caught.value.code == "wire.oversized"
    assert parser.buffered == 0


def test_a_frame_at_the_bound_is_taken() -> None:
    """Exactly `max_bytes`."""
    assert FrameParser(10).feed(frame(bytes(10))) == [bytes(10)]


def test_a_frame_that_trickles_in_is_held_once() -> None:
    """A megabyte in single bytes: never more than the frame is held, and joining stays linear in all but 512 steps."""
    parser = FrameParser(1 << 16)
    for byte in frame(bytes(1 << 16))[:-1]:
        assert parser.feed(bytes((byte,))) == []
        assert parser.buffered <= (1 << 16) + 4
    assert parser.feed(b"\x00") == [bytes(1 << 16)]
