"""Who among those connected hears an event that comes late, and who has had it elsewhere.

Two kinds come late. What fills a hole below the newest event of its stream goes to those who were there when the stream
went past the hole: they saw its offsets jump, and everybody who came since has seen it elsewhere or was told of it by
name. What a mate of the cluster adds at a stream's end goes to those who joined with `since` and have not seen it, and
to those who were connected for a while already when it was published; the others hear it when the publisher's own copy
comes, which a link that was down only holds back. Nobody hears anything twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from arqonmesh.core.bus.envelope import Stored, legacy_of
from arqonmesh.core.bus.stamps import ms_of
from arqonmesh.core.bus.streams import is_over, oldest_lives
from arqonmesh.core.bus.tenants import inside
from arqonmesh.core.kernel import Deliver, Effect
from arqonmesh.ids import ClientId

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.channels import Audience, Channel
    from arqonmesh.core.bus.clients import Client

PASSED_MAX: Final = 32
"""Holes per channel of which it is known who was there; of an older one, history alone hears what comes late."""

CLOCKS_APART_MS: Final = 60_000
"""An event counts as published after a client came when the publishing node's clock says so by that much."""

Event = tuple[bytes, Stored]


class Passed(NamedTuple):
    """A stretch of a stream that live events went past."""

    epoch: str
    first: int
    last: int
    audience: Audience
    """Who was there."""
    seen: Mapping[ClientId, int]
    """Who of them had seen how much of the stream at another node."""


def is_owed(since: Mapping[str, int], epoch: str, offset: int) -> bool:
    """Whether somebody who has seen `since` is to have this event."""
    if not epoch:
        return True
    if epoch not in since:
        return not is_over(epoch, oldest_lives(since))
    return offset > since[epoch]


def note_passed(bus: Bus, channel: Channel, jumps: Sequence[tuple[str, int, int]]) -> None:
    """These stretches were jumped over just now."""
    audience = bus.channels.audience(channel)
    for epoch, first, last in jumps:
        seen = {client: heads[epoch] for client, heads in channel.ahead.items() if epoch in heads}
        channel.passed.append(Passed(epoch, first, last, audience, seen))
    del channel.passed[:-PASSED_MAX]


def deliver_late(bus: Bus, channel: Channel, late: Sequence[Event], effects: list[Effect], *, fetched: bool) -> None:
    """What fills holes: to those who were there when its stream went past. `fetched`: a mate adds it; a bus that keeps
    nothing on the disk cannot tell whether its earlier life has delivered that, so it only goes into the history."""
    if fetched and not bus.env.durable:
        for _, message in late:
            channel.streams.keep_untold(message.epoch, message.offset, message.offset)
        return
    audience = bus.channels.audience(channel)
    here = dict.fromkeys((*audience.canonical, *audience.legacy))
    by_hole: dict[int, list[Event]] = {}
    for event in late:
        epoch, offset = event[1].epoch, event[1].offset
        for index, passed in enumerate(channel.passed):
            if passed.epoch == epoch and passed.first <= offset <= passed.last:
                by_hole.setdefault(index, []).append(event)
                break
    for index, events in by_hole.items():
        passed = channel.passed[index]
        for client in (*passed.audience.canonical, *passed.audience.legacy):
            if client in here:
                seen = passed.seen.get(client, 0)
                _hand(bus, client, [event for event in events if event[1].offset > seen], effects)


def deliver_fetched(bus: Bus, channel: Channel, events: Sequence[Event], effects: list[Effect]) -> None:
    """What a mate added at the end of one stream, in its order. Who is not handed it now may hear it from its publisher
    (`deliver_untold`)."""
    epoch, first, last = events[0][1].epoch, events[0][1].offset, events[-1][1].offset
    channel.streams.keep_untold(epoch, first, last)
    _prune_told(bus, channel)
    times = [ms_of(message.timestamp) or 0 for _, message in events]
    low_ms, high_ms = min(times), max(times)
    for id_ in _members(bus, channel):
        since = channel.owed.get(id_)
        if since is not None:
            if is_owed(since, epoch, last):
                seen = since.get(epoch, 0)
                _hand(bus, id_, events if seen < first else [one for one in events if one[1].offset > seen], effects)
            continue
        if not bus.env.durable:
            continue
        came_ms = _came_ms(bus.clients[id_], channel) + CLOCKS_APART_MS
        if came_ms <= high_ms:
            mine = events if came_ms <= low_ms else [e for e, at in zip(events, times, strict=True) if at >= came_ms]
            _hand(bus, id_, mine, effects)
            told = channel.told.setdefault(id_, {})
            told[epoch] = (told.get(epoch, (mine[0][1].offset, 0))[0], last)


def deliver_untold(bus: Bus, channel: Channel, events: Sequence[Event], effects: list[Effect]) -> None:
    """What a mate gave us comes from its publisher, too: to all members but those who joined with `since`, who had it
    from the history or when the mate gave it, those who were handed it then, and those who saw it at another node."""
    for id_ in _members(bus, channel):
        if id_ in channel.owed:
            continue
        seen, told = channel.ahead.get(id_, {}), channel.told.get(id_, {})
        fresh = []
        for event in events:
            epoch, offset = event[1].epoch, event[1].offset
            low, high = told.get(epoch, (1, 0))
            if offset > seen.get(epoch, 0) and not low <= offset <= high:
                fresh.append(event)
        _hand(bus, id_, fresh, effects)


def _came_ms(client: Client, channel: Channel) -> int:
    """Since when this member hears the channel, by its own name or by a pattern."""
    names = (
        channel.name,
        f"{channel.home}:*",
        inside(channel.tenant, f"*:{channel.leaf}"),
        inside(channel.tenant, "*"),
    )
    return min((client.subscriptions[name] for name in names if name in client.subscriptions), default=0)


def _prune_told(bus: Bus, channel: Channel) -> None:
    """Of clients that have gone, and of streams of which nothing is untold any more, nobody asks."""
    untold = channel.streams.untold
    for client, ranges in list(channel.told.items()):
        kept = {epoch: handed for epoch, handed in ranges.items() if epoch in untold}
        if client in bus.clients and kept:
            channel.told[client] = kept
        else:
            del channel.told[client]


def _members(bus: Bus, channel: Channel) -> tuple[ClientId, ...]:
    audience = bus.channels.audience(channel)
    return (*audience.canonical, *audience.legacy)


def _hand(bus: Bus, id_: ClientId, events: Sequence[Event], effects: list[Effect]) -> None:
    if not events:
        return
    canonical = bus.clients[id_].canonical
    frames = tuple([frame if canonical else legacy_of(message) for frame, message in events])
    last = effects[-1] if effects else None
    if isinstance(last, Deliver) and canonical and last.frames == frames:
        effects[-1] = Deliver((*last.clients, id_), last.frames)
    else:
        effects.append(Deliver((id_,), frames))
    bus.counters["delivered"] += len(frames)
