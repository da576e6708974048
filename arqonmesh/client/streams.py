"""What was received of one channel, stream by stream; `Positions` keeps one of these per channel."""

from __future__ import annotations

from typing import Final

from arqonmesh.client.resume import Gap

EPOCHS_MAX: Final = 256
"""Streams per channel: nodes that published there, and their restarts. As many as a bus takes in a position; of what
is forgotten beyond, the next answer to a join tells a gap."""
HOLES_MAX: Final = 32
"""Stretches per stream that did not come; beyond, the lowest is given up, and told as a gap."""


class Stream:
    """What was received of one stream: all up to `head`, except the stretches in `holes`."""

    __slots__ = ("blind", "head", "holes", "named", "start")

    def __init__(self, head: int = 0, start: int = 0) -> None:
        self.head = head
        self.start = start
        """What is missing up to here is taken when it comes, and not asked for."""
        self.holes: list[tuple[int, int]] = []
        self.named = True
        """Whether it is part of the position; a bus that has forgotten it has said so once."""
        self.blind = False
        """Something may be missing before its next event: what that jumps over is a hole, whoever published it."""

    def add(self, offset: int, *, own: bool) -> bool:
        """False when it was there before. `own`: what it jumps over is this client's own."""
        head = self.head
        if offset > head:
            if offset > head + 1 and (not own or self.blind):
                self.holes.append((head + 1, offset - 1))
            self.head = offset
            self.blind = False
            return True
        for index, (first, last) in enumerate(self.holes):
            if first <= offset <= last:
                rest = [(first, offset - 1), (offset + 1, last)]
                self.holes[index : index + 1] = [(low, high) for low, high in rest if low <= high]
                return True
        return False

    def missing(self) -> list[tuple[int, int]]:
        """The holes that are worth asking for."""
        return [(max(first, self.start + 1), last) for first, last in self.holes if last > self.start]

    def reach(self) -> int:
        """The highest offset up to which nothing is missing."""
        missing = self.missing()
        return min(missing[0][0] - 1, self.head) if missing else self.head

    def settle(self, upto: int) -> None:
        """The bus has given what there is up to here, or has named it."""
        self.head = max(self.head, upto)
        self.holes = [(first, last) for first, last in self.holes if last > upto]


class Seen:
    """The streams of one channel."""

    __slots__ = ("asked", "exact", "gone", "live_at", "streams")

    def __init__(self, live_at: int) -> None:
        self.live_at = live_at
        """The number of the connection on which all that was missed has come."""
        self.streams: dict[str, Stream] = {}
        self.asked: dict[str, int] | None = None
        """The position that the bus was asked to go on from, until it has answered."""
        self.exact = False
        """Whether an answer of the bus, or the application, said where it began; else the first events did."""
        self.gone: list[Gap] = []
        """What was forgotten of streams, and nobody has been told."""

    def give_up(self, gap: Gap) -> None:
        self.gone.append(gap)
        del self.gone[:-EPOCHS_MAX]


def life(epoch: str) -> tuple[int, int]:
    """Lives of one node, in their order: its boot epoch in base 36, and the generation behind a dot."""
    boot, _, generation = epoch.partition("-")[2].partition(".")
    try:
        return int(boot, 36), int(generation or 0)
    except ValueError:
        return 0, 0


def is_before_all(epoch: str) -> bool:
    """Life 0 of a node stands before all its lives."""
    return epoch.endswith("-0")
