"""What happens in each room, and how long the bus takes: counted per run of messages and per command, never per frame.

The table of rooms is bounded: when it is full, the room that was quiet longest is added to `other`, so that sums stay
true. `roll`, called every few seconds, ends the span over which rates and publishers are told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from arqonmesh.core.histogram import Histogram

ROOMS_MAX: Final = 200
"""Rooms with figures of their own."""
QUIET_MS: Final = 60_000
"""A room that had a message within this time keeps its place; with none that is quieter, new rooms count as `other`."""
PUBLISHERS_MAX: Final = 1_000
"""Publishers per room and span that are told apart."""
OTHER: Final = "(other)"
"""The name of the sum of all others; no room can be called so."""


class RoomFigures:
    """One room since it was first heard of."""

    __slots__ = (
        "bytes",
        "bytes_marked",
        "first_ms",
        "last_ms",
        "messages",
        "messages_marked",
        "publishers",
        "span_bytes",
        "span_messages",
        "span_ms",
        "span_publishers",
    )

    def __init__(self, wall_ms: int) -> None:
        self.messages = 0
        """Published here, and imported from other nodes."""
        self.bytes = 0
        """Of the canonical frames."""
        self.first_ms = self.last_ms = wall_ms
        """Wall clock of the first and the newest message."""
        self.publishers: dict[str, None] = {}
        self.messages_marked = self.bytes_marked = 0
        self.span_ms = self.span_messages = self.span_bytes = self.span_publishers = 0
        """The last whole span: how long it was, and what there was in it."""

    def roll(self, lasted_ms: int) -> None:
        self.span_ms = lasted_ms
        self.span_messages = self.messages - self.messages_marked
        self.span_bytes = self.bytes - self.bytes_marked
        self.span_publishers = len(self.publishers)
        self.messages_marked, self.bytes_marked = self.messages, self.bytes
        self.publishers.clear()


class Analytics:
    """The figures of a node's bus."""

    def __init__(self) -> None:
        self.other = RoomFigures(0)
        self.commands: dict[str, Histogram] = {}
        """By command: from the frame to its answer, microseconds. As many as there are commands."""
        self._rooms: dict[str, RoomFigures] = {}
        self._full_at_ms = 0

    def __len__(self) -> int:
        return len(self._rooms)

    def rooms(self) -> Iterator[tuple[str, RoomFigures]]:
        """In the order in which they were first heard of."""
        return iter(self._rooms.items())

    def note(self, room: str, publisher: str, frames: Sequence[bytes], wall_ms: int) -> None:
        """A run of messages in this room; `publisher` is a client, or the node that they come from."""
        figures = self._rooms.get(room)
        if figures is None:
            figures = self._obtain(room, wall_ms)
        figures.messages += len(frames)
        figures.bytes += sum(map(len, frames))
        figures.last_ms = wall_ms
        publishers = figures.publishers
        if publisher not in publishers and len(publishers) < PUBLISHERS_MAX:
            publishers[publisher] = None

    def answered(self, command: str, took_ns: int) -> None:
        histogram = self.commands.get(command)
        if histogram is None:
            histogram = self.commands[command] = Histogram()
        histogram.record(took_ns // 1_000)

    def roll(self, lasted_ms: int) -> None:
        """A span of this many milliseconds is over."""
        for figures in self._rooms.values():
            figures.roll(lasted_ms)
        self.other.roll(lasted_ms)

    def _obtain(self, room: str, wall_ms: int) -> RoomFigures:
        if len(self._rooms) >= ROOMS_MAX and not self._make_room(wall_ms):
            return self.other
        figures = self._rooms[room] = RoomFigures(wall_ms)
        return figures

    def _make_room(self, wall_ms: int) -> bool:
        """Look for the quietest at most once a second: the table may be full of busy rooms."""
        if abs(wall_ms - self._full_at_ms) < 1_000:
            return False
        self._full_at_ms = wall_ms
        name, quietest = min(self._rooms.items(), key=lambda item: item[1].last_ms)
        if wall_ms - quietest.last_ms < QUIET_MS:
            return False
        del self._rooms[name]
        self.other.messages += quietest.messages
        self.other.bytes += quietest.bytes
        self.other.messages_marked += quietest.messages_marked
        self.other.bytes_marked += quietest.bytes_marked
        self.other.last_ms = max(self.other.last_ms, quietest.last_ms)
        return True
