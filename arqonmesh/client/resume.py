"""What a client has seen, so that it can go on from there at any node of its cluster.

A channel is fed by one stream per publishing node. A stream has an `epoch` and counts its events of the channel from
1 without gaps (`offset`), in the order in which everybody receives them; so {epoch: highest offset} says exactly what
was seen. It is sent with `join_channel` when a lost connection has been replaced; the bus delivers what was missed,
before anything new, and says `recovered: true`, or which offsets nobody has any more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from arqonmesh.client.message import Message

CHANNELS_MAX: Final = 10_000
"""Channels whose position is remembered; beyond, the one that came first is forgotten (`forgotten` counts)."""
EPOCHS_MAX: Final = 64
"""Streams per channel: nodes that published there, and their restarts. As many as a node remembers."""
HOLES_MAX: Final = 32
"""Stretches per stream that did not come (what this client published itself is among them)."""


class Gap(Struct, frozen=True):
    """Events `first` to `last` of one stream that nobody has any more."""

    epoch: str
    first: int
    last: int | None = None
    """None: nobody knows how many there were, if any."""


class Resumed(Struct, frozen=True):
    """How it went on in one channel after a lost connection was replaced."""

    channel: str
    recovered: bool | None
    """True: nothing is missing. False: something is, see `gaps`. None: nothing was asked, or this node does not say."""
    gaps: tuple[Gap, ...] = ()
    missed: int = 0
    """Events that came after all, before anything new."""
    url: str = ""
    """The node that it goes on at."""


class _Stream:
    """What was received of one stream: all up to `head`, except the stretches in `holes`."""

    __slots__ = ("head", "holes")

    def __init__(self, head: int) -> None:
        self.head = head
        self.holes: list[tuple[int, int]] = []

    def add(self, offset: int) -> bool:
        """False when it was there before."""
        head = self.head
        if offset > head:
            if offset > head + 1:
                self.holes.append((head + 1, offset - 1))
                if len(self.holes) > HOLES_MAX:
                    del self.holes[0]
            self.head = offset
            return True
        for index, (first, last) in enumerate(self.holes):
            if first <= offset <= last:
                rest = [(first, offset - 1), (offset + 1, last)]
                self.holes[index : index + 1] = [(low, high) for low, high in rest if low <= high]
                return True
        return False


class Positions:
    """Per channel: the highest offset of each stream that was received."""

    def __init__(self) -> None:
        self.forgotten = 0
        self._seen: OrderedDict[str, dict[str, _Stream]] = OrderedDict()

    def advance(self, channel: str, message: Message) -> bool:
        """Note an event; False when it was there before. Events without an epoch are always new."""
        if not message.epoch:
            return True
        streams = self._seen.get(channel)
        if streams is None:
            streams = self._begin(channel)
        stream = streams.get(message.epoch)
        if stream is None:
            self._bound(streams)
            stream = streams[message.epoch] = _Stream(0)
        return stream.add(message.offset)

    def told(self, channel: str, position: Mapping[str, int]) -> None:
        """The bus says that this was seen, or is gone for good; never a step back."""
        streams = self._seen.get(channel)
        if streams is None:
            streams = self._begin(channel)
        for epoch, offset in position.items():
            stream = streams.get(epoch)
            if stream is None:
                self._bound(streams)
                streams[epoch] = _Stream(offset)
            else:
                stream.head = max(stream.head, offset)

    def set(self, channel: str, position: Mapping[str, int]) -> None:
        """Go on from here: what the application kept."""
        self.forget(channel)
        self._begin(channel)
        self.told(channel, position)

    def of(self, channel: str) -> dict[str, int]:
        return {epoch: stream.head for epoch, stream in self._seen.get(channel, {}).items()}

    def known(self, channel: str) -> bool:
        return channel in self._seen

    def under(self, pattern: str) -> list[str]:
        """The channels that a subscription to `room:*`, `*:channel` or `*` has brought."""
        return [channel for channel in self._seen if matches(pattern, channel) and not is_pattern(channel)]

    def gaps(self, channel: str, since: Mapping[str, int]) -> tuple[Gap, ...]:
        """What did not come above that position."""
        streams = self._seen.get(channel, {})
        return tuple(
            Gap(epoch, first, last)
            for epoch, offset in since.items()
            if epoch in streams
            for first, last in streams[epoch].holes
            if first > offset
        )

    def forget(self, channel: str) -> None:
        self._seen.pop(channel, None)

    def _begin(self, channel: str) -> dict[str, _Stream]:
        if len(self._seen) >= CHANNELS_MAX:
            self._seen.popitem(last=False)
            self.forgotten += 1
        streams: dict[str, _Stream] = {}
        self._seen[channel] = streams
        return streams

    def _bound(self, streams: dict[str, _Stream]) -> None:
        if len(streams) >= EPOCHS_MAX:
            del streams[next(iter(streams))]
            self.forgotten += 1


def is_pattern(name: str) -> bool:
    return "*" in name


def matches(pattern: str, channel: str) -> bool:
    """Whether a subscription to `room:*`, `*:channel` or `*` takes this channel."""
    room, _, leaf = pattern.partition(":")
    its_room, _, its_leaf = channel.partition(":")
    return room in ("*", its_room) and leaf in ("", "*", its_leaf)


def resumed_of(channel: str, url: str, told: Mapping[str, Any]) -> Resumed:
    """What the answer to a `join_channel` with `since` says; a node that keeps no count says nothing of it."""
    recovered = told.get("recovered")
    if not isinstance(recovered, bool):
        return Resumed(channel, None, url=url)
    gaps = msgspec.convert(told.get("gaps") or (), tuple[Gap, ...])
    return Resumed(channel, recovered, gaps, int(told.get("missed") or 0), url)
