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
"""Channels whose position is remembered; beyond, the one that was silent longest is forgotten (`forgotten` counts)."""
EPOCHS_MAX: Final = 256
"""Streams per channel: nodes that published there, and their restarts."""


class Gap(Struct, frozen=True):
    """Events `first` to `last` of one stream that nobody has any more."""

    epoch: str
    first: int
    last: int


class Resumed(Struct, frozen=True):
    """How it went on in one channel after a lost connection was replaced."""

    channel: str
    recovered: bool | None
    """True: nothing is missing. False: something is, see `gaps`. None: this node keeps no count of it."""
    gaps: tuple[Gap, ...] = ()
    url: str = ""
    """The node that it goes on at."""


class Positions:
    """Per channel: the highest offset of each stream that was received."""

    def __init__(self) -> None:
        self.forgotten = 0
        self._seen: OrderedDict[str, dict[str, int]] = OrderedDict()

    def advance(self, channel: str, message: Message) -> bool:
        """Note an event; False when it was there before. Events without an epoch are always new."""
        if not message.epoch:
            return True
        streams = self._seen.get(channel)
        if streams is None:
            streams = self._begin(channel)
        else:
            self._seen.move_to_end(channel)
        before = streams.pop(message.epoch, 0)  # put back at the end: the streams that are alive stay
        streams[message.epoch] = max(before, message.offset)
        if len(streams) > EPOCHS_MAX:
            del streams[next(iter(streams))]
            self.forgotten += 1
        return message.offset > before

    def set(self, channel: str, position: Mapping[str, int]) -> None:
        """Go on from here: what the application kept, or what the bus said at the join."""
        streams = self._begin(channel) if channel not in self._seen else self._seen[channel]
        streams.clear()
        streams.update(position)

    def of(self, channel: str) -> dict[str, int]:
        return dict(self._seen.get(channel, {}))

    def known(self, channel: str) -> bool:
        return channel in self._seen

    def under(self, pattern: str) -> list[str]:
        """The channels that a subscription to `room:*` or `*` has brought."""
        prefix = pattern[:-1]
        return [channel for channel in self._seen if channel.startswith(prefix)]

    def forget(self, channel: str) -> None:
        self._seen.pop(channel, None)

    def _begin(self, channel: str) -> dict[str, int]:
        if len(self._seen) >= CHANNELS_MAX:
            self._seen.popitem(last=False)
            self.forgotten += 1
        streams: dict[str, int] = {}
        self._seen[channel] = streams
        return streams


def resumed_of(channel: str, url: str, told: Mapping[str, Any]) -> Resumed:
    """What the answer to a `join_channel` with `since` says; a node that keeps no count says nothing of it."""
    recovered = told.get("recovered")
    if not isinstance(recovered, bool):
        return Resumed(channel, None, (), url)
    gaps = msgspec.convert(told.get("gaps") or (), tuple[Gap, ...])
    return Resumed(channel, recovered, gaps, url)
