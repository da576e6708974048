"""Who among those connected hears an event that comes late, and who has had it elsewhere.

Two kinds come late. What fills a hole below the newest event of its stream goes to those who were there when the stream
went past the hole: they saw its offsets jump, and everybody who came since has seen it elsewhere or was told of it by
name. What a mate of the cluster adds at a stream's end goes to those who joined with `since` and have not seen it, and
to those who were connected for a while already when it was published. Nobody hears anything twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from arqonmesh.core.bus.envelope import Stored, legacy_of
from arqonmesh.core.bus.stamps import ms_of
from arqonmesh.core.bus.streams import is_past, newest_lives
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
        return not is_past(epoch, newest_lives(since))
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
    """What a mate added at the end of one stream, in its order."""
    epoch = events[0][1].epoch
    times = [ms_of(message.timestamp) or 0 for _, message in events]
    low_ms, high_ms = min(times), max(times)
    audience = bus.channels.audience(channel)
    for id_ in (*audience.canonical, *audience.legacy):
        client = bus.clients[id_]
        since = channel.owed.get(id_)
        if since is not None:
            if is_owed(since, epoch, events[-1][1].offset):
                seen = since.get(epoch, 0)
                rest = events if seen < events[0][1].offset else [one for one in events if one[1].offset > seen]
                _hand(bus, id_, rest, effects)
            continue
        if not bus.env.durable:
            continue
        came_ms = _came_ms(client, channel) + CLOCKS_APART_MS
        if came_ms <= low_ms:
            _hand(bus, id_, events, effects)
        elif came_ms <= high_ms:
            _hand(bus, id_, [one for one, at_ms in zip(events, times, strict=True) if at_ms >= came_ms], effects)


def _came_ms(client: Client, channel: Channel) -> int:
    """Since when this member hears the channel, by its own name or by a pattern."""
    names = (
        channel.name,
        f"{channel.home}:*",
        inside(channel.tenant, f"*:{channel.leaf}"),
        inside(channel.tenant, "*"),
    )
    return min((client.subscriptions[name] for name in names if name in client.subscriptions), default=0)


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
