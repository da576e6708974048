"""Streams of channels that are not in the table at the moment: those of before the start, and those that made room.

What a channel has counted has to outlive it, or its next events would bear offsets that were given before. When the
shelf is full the record put there first goes; streams that begin after that are of a new generation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast

from arqonmesh.core.bus.streams import Streams, epoch_of, life_of
from arqonmesh.core.kernel import Row

CHANNELS_MAX: Final = 65_536
"""Channels remembered here: some 300 bytes each."""


class Shelf:
    """Name -> Streams, oldest first."""

    def __init__(self, node_id: str, boot_epoch: int, channels_max: int = CHANNELS_MAX) -> None:
        self.evicted = 0
        self._node_id = node_id
        self._boot_epoch = boot_epoch
        self._channels_max = channels_max
        self._generation = 0
        self._kept: dict[str, Streams] = {}
        self._crashed: set[int] = set()
        """Earlier lives of this node with a stream that was not ended in good order."""
        self._ended: set[int] = set()
        """Those of which the disk says that they were."""

    def __len__(self) -> int:
        return len(self._kept)

    def load(self, rows: Iterable[Row], ended_lives: Iterable[Row] = ()) -> None:
        """Rows of the history's table `streams`: (channel, epoch, head, holes, ended), oldest first."""
        self._ended.update(cast(int, boot) for (boot,) in ended_lives)
        own = life_of(epoch_of(self._node_id, 0))
        assert own is not None
        for channel, epoch, head, holes, ended in rows:
            name, stream = cast(str, channel), cast(str, epoch)
            streams = self._kept.get(name)
            if streams is None:
                streams = self._kept[name] = self.take(name)
            life = life_of(stream)
            ours = life is not None and life.node == own.node
            streams.restore(stream, cast(int, head), read_holes(cast(str, holes)), bool(ended) or not ours)
            if ours and life is not None:
                (self._ended if ended else self._crashed).add(life.boot)

    def ended_well(self, epoch: str) -> bool:
        """Whether the disk knows that all of this earlier life of the node came to it."""
        life = life_of(epoch)
        return life is not None and life.boot in self._ended and life.boot not in self._crashed

    @property
    def epoch(self) -> str:
        """What the names of all streams of this life begin with."""
        return epoch_of(self._node_id, self._boot_epoch)

    def names(self) -> list[str]:
        return list(self._kept)

    def look(self, name: str) -> Streams | None:
        return self._kept.get(name)

    def take(self, name: str) -> Streams:
        """The streams of a channel that enters the table."""
        return self._kept.pop(name, None) or Streams(epoch_of(self._node_id, self._boot_epoch, self._generation))

    def put(self, name: str, streams: Streams) -> None:
        """Those of one that leaves it."""
        if not streams.heads and not streams.offset and name not in self._kept:
            return
        self._kept[name] = streams
        while len(self._kept) > self._channels_max:
            forgotten = self._kept.pop(next(iter(self._kept)))
            self.evicted += 1
            if forgotten.offset:
                self._generation += 1


def read_holes(text: str) -> list[tuple[int, int]]:
    """`1-5,9-9` of a row."""
    pairs = (part.partition("-") for part in text.split(",") if part)
    return [(int(first), int(last)) for first, _, last in pairs]


def write_holes(holes: Iterable[tuple[int, int]]) -> str:
    return ",".join(f"{first}-{last}" for first, last in holes)
