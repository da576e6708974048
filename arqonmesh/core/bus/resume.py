"""A client comes back to a channel and says what it has seen of it: what it missed comes first, then what is live.

    {"type": "join", "channel": "a:b", "since": {"7f2ckd3atu-1tz0ab": 41}}
    ◀ 42, 43, 44 ...                                   every event that it missed, in the order of their arrival here
    ◀ {"type": "response", "payload": {"recovered": true, "missed": 3, "position": {...}, ...}}
    ◀ 45 ...                                           live

What the ring does not hold is read from the disk; what is published meanwhile gathers in a `Tail`, so that nothing
falls in between. From the answer on, `position` is what the client has seen, or has been told is gone (`gaps`); what it
has seen and nobody here has, though the life of its node is over, is `lost`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from arqonmesh.core.bus import replays
from arqonmesh.core.bus.answers import refuse
from arqonmesh.core.bus.envelope import Stored, legacy_of, parse_stored
from arqonmesh.core.bus.history import cut
from arqonmesh.core.bus.late import is_owed
from arqonmesh.core.bus.position import crowded_out, doubts, living, position_now
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.bus.streams import gaps_in
from arqonmesh.core.events import HistoryRead
from arqonmesh.core.kernel import Deliver, Effect, HistoryQuery, Range

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.channels import Channel
    from arqonmesh.core.bus.clients import Client
    from arqonmesh.core.bus.commands.request import Request

REPLAY_MAX: Final = 10_000
"""Events that one client is sent again at a time; older ones are told as a gap, and `history` has them."""
REPLAY_BYTES_MAX: Final = 4 << 20
"""Never more than half of what may wait for a client before it counts as slow (`replay_bytes_max`)."""
TAIL_BYTES_MAX: Final = 4 << 20
"""What is published while one client's past is read; beyond it the client is told of a gap."""

Enter = Callable[[], tuple[dict[str, Any], list[Effect]]]
"""Subscribes; the plain join's answer, and what goes with it. Raises Refusal."""
Event = tuple[bytes, Stored]


class Tail:
    """What came on a channel since one client asked for its past, and which the client does not hear live."""

    __slots__ = ("_bytes", "channel", "frames", "lost", "since", "wanted")

    def __init__(self, channel: Channel, since: dict[str, int]) -> None:
        self.channel = channel
        self.since = since
        self.frames: list[bytes] = []
        self.lost = 0
        """Events that there was no room for."""
        self.wanted: list[Range] | None = None
        """What the client had missed when it began to hear the channel live, by another name; None: it does not."""
        self._bytes = 0

    def add(self, frames: Sequence[bytes]) -> None:
        if self.wanted is not None:
            return
        for frame in frames:
            self._bytes += len(frame)
            if self.lost or self._bytes > TAIL_BYTES_MAX:
                self.lost += 1
            else:
                self.frames.append(frame)


def resume(bus: Bus, request: Request, channel: Channel, since: dict[str, int], enter: Enter) -> None:
    """Join with `since`: the answer is sent from here, at once or when the disk has answered. Raises Refusal."""
    wanted = channel.streams.missed(since)
    frames, complete = channel.ring.select(wanted)
    bytes_max = replay_bytes_max(bus)
    short = len(frames) <= REPLAY_MAX and sum(map(len, frames)) <= bytes_max
    if (complete and short) or not bus.env.durable:
        request.effects.extend(_finish(bus, request, channel, since, enter, frames, None))
        return
    tail = Tail(channel, since)
    query = HistoryQuery(channel.name, REPLAY_MAX, bytes_max, ranges=tuple(wanted))
    then = partial(_read, bus, request.kept(), channel, since, enter, tail)
    request.effects.append(bus.reads.ask(query, then, request.client.id))
    channel.tails = (*channel.tails, tail)
    request.client.tails = (*request.client.tails, tail)
    replays.reading(request.client, True)
    hear_live(bus, request.client)


def replay_bytes_max(bus: Bus) -> int:
    """Of what one client is sent again at a time: more, and who comes back would be cut off as slow each time."""
    return min(REPLAY_BYTES_MAX, bus.settings.buffer_bytes_max // 2)


def hear_live(bus: Bus, client: Client) -> None:
    """A client that waits for the past of channels has subscribed to something: what comes live has not to wait."""
    for tail in client.tails:
        if tail.wanted is None and _listens(bus, client, tail.channel):
            tail.wanted = tail.channel.streams.missed(tail.since)


def _read(
    bus: Bus,
    request: Request,
    channel: Channel,
    since: dict[str, int],
    enter: Enter,
    tail: Tail,
    read: HistoryRead,
) -> list[Effect]:
    channel.tails = tuple(other for other in channel.tails if other is not tail)
    request.client.tails = tuple(other for other in request.client.tails if other is not tail)
    if bus.clients.get(request.client.id) is not request.client:
        bus.channels.let_go(channel)
        return []
    replays.reading(request.client, False)
    effects: list[Effect] = []
    try:
        effects += _finish(bus, request, channel, since, enter, read.frames, tail)
    except Refusal as refusal:
        bus.channels.let_go(channel)
        refuse(bus, request.client, request.message, refusal, effects)
    replays.go_on(bus, request.client, effects)
    return effects


def _finish(
    bus: Bus,
    request: Request,
    channel: Channel,
    since: dict[str, int],
    enter: Enter,
    frames: Sequence[bytes],
    tail: Tail | None,
) -> list[Effect]:
    """What was missed up to now, the answer, and the subscription: all within one input, so nothing falls between."""
    client, streams = request.client, channel.streams
    live = tail is not None and tail.wanted is not None and _listens(bus, client, channel)
    wanted = streams.missed(since)
    if live:
        assert tail is not None
        wanted = tail.wanted or []
    events = _parsed(frames)
    have = {(message.epoch, message.offset) for _, message in events}
    if tail is not None:
        late = [
            (frame, message)
            for frame, message in _parsed(tail.frames)
            if (message.epoch, message.offset) not in have
            and is_owed(since, message.epoch, message.offset)  # it may be ahead of this node
        ]
        events += late
        have.update((message.epoch, message.offset) for _, message in late)
    missing = [(gap.epoch, gap.first, gap.last or gap.first) for gap in gaps_in(wanted, have)]
    if missing:  # the disk did not get it, or the tail was full: the ring may have it
        rest = _parsed(channel.ring.select(missing)[0])
        events += rest
    events = _newest(_in_order(events), replay_bytes_max(bus))
    have = {(message.epoch, message.offset) for _, message in events}
    ahead = streams.ahead(since)
    answer, beside = enter()
    if client.id in channel.members:
        channel.owed[client.id] = since
        if ahead:
            channel.ahead[client.id] = ahead
    position = position_now(bus, streams, since)
    gaps = [*gaps_in(wanted, have), *doubts(bus, streams, since), *crowded_out(position, streams, since)]
    answer["recovered"] = not gaps
    answer["missed"] = len(events)
    if gaps:
        answer["gaps"] = [gap._asdict() for gap in gaps]
    if lost := streams.lost(since, living(bus)):
        answer["lost"] = [gap._asdict() for gap in lost]
    answer["position"] = position
    bus.counters["resumed" if not gaps else "resumed_with_gaps"] += 1
    effects: list[Effect] = []
    if events:
        rendered = [frame if client.canonical else legacy_of(message) for frame, message in events]
        effects.append(Deliver(client.only, tuple(rendered)))
    effects.extend(request.answer(bus, answer))
    effects.extend(beside)
    replays.sent(bus, client, sum(len(frame) for frame, _ in events), effects)
    return effects


def _in_order(events: list[Event]) -> list[Event]:
    """Each stream in its own order, in the places that its events have: what came late stands where it belongs."""
    streams: dict[str, list[Event]] = {}
    for event in events:
        streams.setdefault(event[1].epoch, []).append(event)
    ordered = {epoch: iter(sorted(stream, key=_offset)) for epoch, stream in streams.items()}
    return [next(ordered[message.epoch]) for _, message in events]


def _newest(events: list[Event], bytes_max: int) -> list[Event]:
    """The last of these, as many as one replay has room for."""
    count = len(cut((frame for frame, _ in reversed(events)), REPLAY_MAX, bytes_max))
    return events[len(events) - count :]


def _offset(event: Event) -> int:
    return event[1].offset


def _parsed(frames: Sequence[bytes]) -> list[Event]:
    parsed = ((frame, parse_stored(frame)) for frame in frames)
    return [(frame, message) for frame, message in parsed if message is not None]


def _listens(bus: Bus, client: Client, channel: Channel) -> bool:
    """Whether the client gets the channel's events already, as its member or by a pattern."""
    if not client.subscriptions:
        return False
    audience = bus.channels.audience(channel)
    return client.id in (audience.canonical if client.canonical else audience.legacy)
