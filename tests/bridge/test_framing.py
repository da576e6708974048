"""Server frames, read back by an independent implementation."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from websockets.frames import Frame
from websockets.streams import StreamReader

from arqonmesh.bridge.framing import append_text_frames


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
def test_frames_are_as_rfc_6455_has_them(size: int) -> None:
    """Unmasked text, in the shortest of the three length forms (section 5.2)."""
    parts: list[bytes] = []
    append_text_frames(parts, [b"x" * size, b"next"])
    reader = StreamReader()
    reader.feed_data(b"".join(parts))
    assert [read(reader).data, read(reader).data] == [b"x" * size, b"next"]


def read(reader: StreamReader) -> Frame:
    """websockets' sans-IO parser; masked frames and wasteful lengths are errors to it."""
    steps: Generator[None, None, Frame] = Frame.parse(reader.read_exact, mask=False)
    try:
        while True:
            next(steps)
    except StopIteration as done:
        frame = done.value
        assert isinstance(frame, Frame)
        assert frame.opcode == 1
        return frame
