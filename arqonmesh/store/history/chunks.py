"""Chunks: consecutive events of one stream of one channel, one row of the file.

A row per event would cost the writer thread more than the events themselves (an index entry and a hand-over of the
interpreter's lock each); a channel that is busy needs a row per 256 events, one that is quiet a row per event. `frames`
is a JSON array, so that `sqlite3 history.db` and json_each() read it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, cast

import msgspec

from arqonmesh.core.bus.stamps import ms_of
from arqonmesh.core.kernel import KeepFrames

FRAMES_MAX: Final = 256
BYTES_MAX: Final = 64 << 10
"""A chunk is closed once it has so many; a single event may be larger."""
OVERHEAD_BYTES: Final = 160
"""What a row costs beside its frames, roughly: its columns and its entries in two indexes."""

_raws: Final = msgspec.json.Decoder(list[msgspec.Raw])


class _Stamp(msgspec.Struct, gc=False):
    timestamp: str = ""
    epoch: str = ""
    offset: int = 0


_stamp: Final = msgspec.json.Decoder(_Stamp)


class Chunk:
    __slots__ = ("bytes", "channel", "epoch", "first", "frames", "high_ms", "low_ms", "ours")

    def __init__(self, kept: KeepFrames, first: int) -> None:
        self.channel = kept.channel
        self.epoch = kept.epoch
        self.first = first
        self.low_ms = kept.low_ms
        self.high_ms = kept.high_ms
        self.ours = kept.ours
        self.frames: list[bytes] = []
        self.bytes = 0

    @property
    def last(self) -> int:
        return self.first + len(self.frames) - 1 if self.epoch else 0


def gather(effects: Iterable[KeepFrames]) -> list[Chunk]:
    """Join what is consecutive, in the order of arrival within each channel."""
    chunks: list[Chunk] = []
    newest: dict[str, Chunk] = {}
    for kept in effects:
        chunk = newest.get(kept.channel)
        offset = kept.first
        fits = chunk is not None and chunk.epoch == kept.epoch and chunk.ours is kept.ours
        if not fits or (kept.epoch and cast(Chunk, chunk).last + 1 != offset):
            chunk = None
        for frame in kept.frames:
            if chunk is None or len(chunk.frames) >= FRAMES_MAX or chunk.bytes + len(frame) > BYTES_MAX:
                chunk = newest[kept.channel] = Chunk(kept, offset)
                chunks.append(chunk)
            chunk.frames.append(frame)
            chunk.bytes += len(frame)
            offset += 1 if kept.epoch else 0
            if kept.low_ms < chunk.low_ms:
                chunk.low_ms = kept.low_ms
            if kept.high_ms > chunk.high_ms:
                chunk.high_ms = kept.high_ms
    return chunks


def encode(frames: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(frames) + b"]"


def decode(stored: bytes) -> list[bytes]:
    """The frames, byte for byte. Raises msgspec.DecodeError."""
    return [bytes(raw) for raw in _raws.decode(stored)]


def within(frame: bytes, after_ms: int | None, before_ms: int | None) -> bool:
    """Whether the event's own time lies there."""
    at_ms = ms_of(_stamp.decode(frame).timestamp)
    if at_ms is None:
        return False
    return (after_ms is None or at_ms >= after_ms) and (before_ms is None or at_ms < before_ms)


class Placed(NamedTuple):
    """Where an event stands, as it says itself; epoch "" and offset 0: in no stream."""

    epoch: str
    offset: int
    at_ms: int
    """Its timestamp, milliseconds since 1970; 0 when it has none."""


def placed(frame: bytes) -> Placed:
    """Raises msgspec.DecodeError."""
    stamp = _stamp.decode(frame)
    return Placed(stamp.epoch, stamp.offset, ms_of(stamp.timestamp) or 0)


def place_of(frame: bytes) -> tuple[str, int]:
    """(epoch, offset) as the event itself says."""
    stamp = _stamp.decode(frame)
    return stamp.epoch, stamp.offset
