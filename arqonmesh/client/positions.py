"""What a client has seen, channel by channel, so that it can go on from there at any node of its cluster.

A channel is fed by one stream per publishing node. A stream has an `epoch` and counts its events of the channel from
1 without gaps (`offset`), in the order in which everybody receives them; so {epoch: highest offset} says exactly what
was seen. Where offsets jumped, a position goes back to before the hole: what is asked for once more and was seen is
known, and not handed on again.

Once it is live, the stream of the node that the client is connected to jumps over what the client published itself,
and over nothing else unless the bus says so: no hole.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Iterable, Mapping
from typing import Final

from arqonmesh.client.message import Message
from arqonmesh.client.resume import Gap
from arqonmesh.client.streams import EPOCHS_MAX, HOLES_MAX, Seen, Stream, is_before_all, life

CHANNELS_MAX: Final = 10_000
"""Channels whose position is remembered; beyond, the one that came first is forgotten (`forgotten` counts)."""
NODE_LENGTH: Final = 10
"""Characters of a node's id that the names of its streams begin with."""


class Positions:
    """Per channel: how far each stream was received."""

    def __init__(self) -> None:
        self.forgotten = 0
        self._node = ""
        self._connection = 0
        self._seen: OrderedDict[str, Seen] = OrderedDict()

    def connected(self, node: str) -> None:
        """To the node with this id; what was missed comes first."""
        self._node = node[:NODE_LENGTH]
        self._connection += 1

    def advance(self, channel: str, message: Message) -> bool:
        """Note an event; False when it was there before. Events without an epoch are always new."""
        epoch, offset = message.epoch, message.offset
        if not epoch:
            return True
        seen = self._seen.get(channel) or self._begin(channel)
        stream = seen.streams.get(epoch)
        if stream is None:
            if seen.exact:
                self._note_node(seen, epoch)
            self._bound(seen)
            stream = seen.streams[epoch] = Stream(start=0 if seen.exact else offset - 1)
        own = bool(self._node) and epoch.startswith(self._node) and seen.live_at == self._connection
        fresh = stream.add(offset, own=own)
        if len(stream.holes) > HOLES_MAX:
            first, last = stream.holes.pop(0)
            if last > stream.start:
                seen.give_up(Gap(epoch, max(first, stream.start + 1), last))
            self.forgotten += 1
        return fresh

    def told(self, channel: str, position: Mapping[str, int]) -> None:
        """The bus says that this was seen; never a step back."""
        seen = self._seen.get(channel) or self._begin(channel)
        seen.exact = True
        seen.asked = None
        seen.live_at = self._connection
        for epoch, offset in position.items():
            stream = seen.streams.get(epoch)
            if stream is None:
                self._bound(seen)
                seen.streams[epoch] = Stream(offset)
            else:
                stream.head = max(stream.head, offset)
                stream.named = True

    def answered(self, channel: str, position: Mapping[str, int], gaps: Iterable[Gap]) -> tuple[Gap, ...]:
        """The bus has given what came after the position that was asked from, and has named what it has not got: up to
        this position nothing more is to be had. What of the gaps this client has not seen by another way."""
        seen = self._seen.get(channel) or self._begin(channel)
        unseen: list[Gap] = []
        for gap in gaps:
            stream = seen.streams.get(gap.epoch)
            if stream is None or gap.last is None:
                unseen.append(gap)
                continue
            stretches = [*stream.missing(), (stream.head + 1, gap.last)]
            parts = ((max(first, gap.first), min(last, gap.last)) for first, last in stretches)
            unseen += [Gap(gap.epoch, first, last) for first, last in parts if first <= last]
        for epoch, stream in seen.streams.items():
            if epoch in position:
                stream.settle(position[epoch])
            elif not is_before_all(epoch):
                stream.named = False
        self.told(channel, position)
        unseen += seen.gone
        seen.gone = []
        return tuple(unseen)

    def set(self, channel: str, position: Mapping[str, int]) -> None:
        """Go on from here: what the application kept."""
        self.forget(channel)
        self.told(channel, position)
        self._seen[channel].live_at = -1

    def of(self, channel: str) -> dict[str, int]:
        """{epoch: offset} up to which nothing is missing."""
        seen = self._seen.get(channel)
        if seen is None:
            return {}
        if seen.asked is not None:
            return dict(seen.asked)
        return {name: one.reach() for name, one in seen.streams.items() if one.named}

    def asking(self, channel: str) -> dict[str, int]:
        """The position to go on from. It stays the position until the answer is whole: what comes on the way names
        later lives of nodes, and who names those counts as told of what the answer would have said of earlier ones."""
        seen = self._seen.get(channel)
        if seen is None:
            return {}
        seen.asked = self.of(channel)
        return dict(seen.asked)

    def known(self, channel: str) -> bool:
        return channel in self._seen

    def is_live(self, channel: str) -> bool:
        """Whether all that was missed has come on this connection."""
        seen = self._seen.get(channel)
        return seen is not None and seen.live_at == self._connection

    def under(self, pattern: str) -> list[str]:
        """The channels that a subscription to `room:*`, `*:channel` or `*` has brought."""
        return [channel for channel in self._seen if matches(pattern, channel) and not is_pattern(channel)]

    def unsettle(self, channel: str) -> None:
        """Something may be missing from every stream from here on, until `miss_to`."""
        seen = self._seen.get(channel)
        if seen is not None:
            seen.live_at = -1

    def miss_to(self, channel: str, position: Mapping[str, int], doubts: Container[str] = ()) -> None:
        """All there is up to these heads has come: what is not here by now is missing, and what follows is live.
        `doubts`: streams of which a gap without an end was told; those that the bus has forgotten are named no more."""
        seen = self._seen.get(channel)
        if seen is None:
            return
        seen.live_at = self._connection
        for epoch, stream in seen.streams.items():
            stream.named = stream.named and (epoch not in doubts or epoch in position)
        for epoch, head in position.items():
            stream = seen.streams.get(epoch) or self._note_stream(seen, epoch, head)
            if head > stream.head:
                stream.holes.append((stream.head + 1, head))
                stream.head = head

    def go_on_blindly(self, channel: str) -> None:
        """Nobody could say what is missing up to here: the next event of each stream shows it. What follows is live."""
        seen = self._seen.get(channel)
        if seen is None:
            return
        seen.live_at = self._connection
        seen.asked = None
        for stream in seen.streams.values():
            stream.blind = True

    def close(self, channel: str, since: Mapping[str, int]) -> tuple[Gap, ...]:
        """What did not come above that position, and will not be asked for again."""
        seen = self._seen.get(channel)
        if seen is None:
            return ()
        gaps: list[Gap] = []
        for epoch, stream in seen.streams.items():
            low = since.get(epoch, stream.start)
            gaps += [Gap(epoch, first, last) for first, last in stream.missing() if first > low]
            stream.holes = [(first, last) for first, last in stream.holes if first <= low]
        gaps += seen.gone
        seen.gone = []
        seen.asked = None
        return tuple(gaps)

    def forget(self, channel: str) -> None:
        self._seen.pop(channel, None)

    def _begin(self, channel: str) -> Seen:
        if len(self._seen) >= CHANNELS_MAX:
            self._seen.popitem(last=False)
            self.forgotten += 1
        seen = self._seen[channel] = Seen(self._connection)
        return seen

    def _note_stream(self, seen: Seen, epoch: str, head: int) -> Stream:
        """One that an answer names first: owed, unless it was over before what is known of its node began."""
        node = epoch.partition("-")[0] + "-"
        lives = [life(other) for other in seen.streams if other.startswith(node)]
        owed = seen.exact and not (lives and life(epoch) < min(lives))
        self._bound(seen)
        stream = seen.streams[epoch] = Stream(0 if owed else head)
        return stream

    def _note_node(self, seen: Seen, epoch: str) -> None:
        """A node that the position does not name at all, heard in some life: the ones before it are owed too."""
        node, dash, _ = epoch.partition("-")
        if dash and not any(other.startswith(node + dash) for other in seen.streams):
            self._bound(seen)
            seen.streams[f"{node}-0"] = Stream()

    def _bound(self, seen: Seen) -> None:
        """The oldest life of a node that has had later ones goes first: nothing of it is sent again then."""
        while len(seen.streams) >= EPOCHS_MAX:
            by_node: dict[str, list[str]] = {}
            for epoch in seen.streams:
                by_node.setdefault(epoch.partition("-")[0], []).append(epoch)
            lives = max(by_node.values(), key=len)
            oldest = min(lives, key=life)
            stream = seen.streams.pop(oldest)
            if not is_before_all(oldest):
                seen.give_up(Gap(oldest, stream.reach() + 1, None))
            self.forgotten += 1


def is_pattern(name: str) -> bool:
    return "*" in name


def matches(pattern: str, channel: str) -> bool:
    """Whether a subscription to `room:*`, `*:channel` or `*` takes this channel."""
    room, _, leaf = pattern.partition(":")
    its_room, _, its_leaf = channel.partition(":")
    return room in ("*", its_room) and leaf in ("", "*", its_leaf)
