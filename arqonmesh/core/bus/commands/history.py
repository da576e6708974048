"""history: what was published on a channel before, from memory or from the disk."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from msgspec import Raw

from arqonmesh.core.bus.commands.request import Command, Request
from arqonmesh.core.bus.envelope import legacy_of, parse_stored
from arqonmesh.core.bus.past import Page, Window, load_ring, page, plan, window_of, with_ring
from arqonmesh.core.bus.position import doubts
from arqonmesh.core.bus.tenants import outside
from arqonmesh.core.events import HistoryRead
from arqonmesh.core.kernel import Effect, HistoryQuery

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.clients import Client

HISTORY_DEFAULT: Final = 50
HISTORY_MAX: Final = 500


def _history(bus: Bus, request: Request) -> dict[str, Any] | None:
    name = request.target()
    bus.permissions.check(request.client.identity, "history", name)
    limit = request.limit(HISTORY_DEFAULT, HISTORY_MAX)
    window = window_of(request.args.since, request.args.before)
    found = plan(bus, name, limit, window)
    if isinstance(found, Page):
        return _told(bus, request.client, name, limit, window, found)
    then = partial(_read, bus, request.kept(), name, limit, window, found)
    request.effects.append(bus.reads.ask(found, then, request.client.id))
    return None


def _read(
    bus: Bus, request: Request, name: str, limit: int, window: Window, query: HistoryQuery, read: HistoryRead
) -> list[Effect]:
    if query.ranges is None and query.after_ms is None and query.before_ms is None and not read.failed:
        load_ring(bus, name, read.frames, read.more)
    if read.more and query.oldest:
        found = Page(list(read.frames), True)
    else:
        found = page(with_ring(bus, name, read.frames, query), limit, query.oldest)
        found = Page(found.frames, found.more or read.more or bool(read.failed))
    return request.answer(bus, _told(bus, request.client, name, limit, window, found))


def _told(bus: Bus, client: Client, name: str, limit: int, window: Window, found: Page) -> dict[str, Any]:
    channel = bus.channels.find(name)
    streams = channel.streams if channel is not None else bus.shelf.look(name)
    frames = found.frames
    if not client.canonical:
        stored = (parse_stored(frame) for frame in frames)
        frames = [legacy_of(message) for message in stored if message is not None]
    held = max(len(frames), 0 if channel is None else len(channel.ring.frames))
    answer: dict[str, Any] = {
        "channel": outside(name),
        "messages": [Raw(frame) for frame in frames],
        "returned": len(frames),
        "total": held,
        "truncated": found.more and len(frames) < limit,
        "more": found.more,
        "position": {} if streams is None else streams.position(),
    }
    if window.since is not None and streams is not None and (gaps := doubts(bus, streams, window.since)):
        answer["gaps"] = [gap._asdict() for gap in gaps]  # as a join with this `since` is told them
    return answer


HISTORY: Final = Command(
    "history",
    "What was published on a channel: the newest events, or those from `since` on, oldest of them first.",
    {
        "channel": "ROOM:CHANNEL",
        "limit": f"1 to {HISTORY_MAX}, default {HISTORY_DEFAULT}",
        "since": "milliseconds since 1970, ISO 8601, or a position {epoch: offset}: the first events from there on",
        "before": "the same forms: the last events before there",
    },
    _history,
    action="history",
    example={"type": "history", "channel": "telemetry:host", "limit": 10},
)
