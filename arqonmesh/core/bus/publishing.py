"""Publishing, the hot path: a client's events become canonical frames and leave for the channel's members.

Consecutive events of one client to one channel leave together. They go to the members, except their own publisher
unless `metadata.echo` asks for it (as ArqonBus does it), into the history, and out as `Published` for federation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from arqonmesh.core.bus import mesh_room
from arqonmesh.core.bus.answers import acknowledge, refuse
from arqonmesh.core.bus.channels import Audience
from arqonmesh.core.bus.clients import Client, Route
from arqonmesh.core.bus.commands import ALIASES
from arqonmesh.core.bus.dispatch import not_an_event
from arqonmesh.core.bus.envelope import (
    EVENT_KINDS,
    NO_HINTS,
    Dialect,
    Inbound,
    canonical_middle,
    dialect_of,
    extras,
    legacy_event,
    legacy_where,
    parse,
    parse_hints,
    unknown_json,
)
from arqonmesh.core.bus.flow import pause
from arqonmesh.core.bus.keeping import keep
from arqonmesh.core.bus.limits import within_rate
from arqonmesh.core.bus.names import is_pattern, resolve_target
from arqonmesh.core.bus.protocol.cbor import to_json
from arqonmesh.core.bus.protocol.examine import examine
from arqonmesh.core.bus.protocol.inbound import Extended
from arqonmesh.core.bus.refusal import Refusal, payload_missing, too_large
from arqonmesh.core.bus.tenants import inside
from arqonmesh.core.events import Observed, Published
from arqonmesh.core.kernel import Deliver, Effect, Emit, Instant
from arqonmesh.ids import ClientId

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus

_ROUTES_MAX: Final = 64
"""Addresses per client that are remembered worked out."""


class _Run:
    """Consecutive events of one client to one audience: they leave as one Deliver per dialect."""

    __slots__ = ("audience", "echo", "first", "frames", "legacy_frames", "offset", "route", "tail")

    def __init__(self, route: Route, audience: Audience, echo: bool, time: bytes) -> None:
        self.route = route
        self.audience = audience
        self.echo = echo
        self.tail = time + route.channel.stamp
        self.first = self.offset = route.channel.streams.offset + 1
        """Of the first event of the run, and of the next one."""
        self.frames: list[bytes] = []
        self.legacy_frames: list[bytes] = []


def take_frames(bus: Bus, now: Instant, client: ClientId, frames: Sequence[bytes]) -> list[Effect]:
    """Text frames of one client, in the order of their arrival. Whatever is in them, this returns."""
    sender = bus.clients.get(client)
    if sender is None or sender.closing:
        return []
    bus.look_at_the_clock(now)
    sender.last_active_ms = bus.wall_ms
    effects: list[Effect] = []
    if sender.limits is not None:
        frames = within_rate(bus, now, sender, sender.limits, frames, effects)

    stamps = bus.stamps
    latest, cbor = stamps.tomorrow, sender.cbor
    time = b',"timestamp":"%bZ"' % stamps.time
    legacy_time = stamps.time + b"+00:00"
    bytes_max = bus.settings.frame_bytes_max
    routes = sender.routes
    run: _Run | None = None
    message: Inbound | None
    for frame in frames:
        message = None
        try:
            if len(frame) > bytes_max:
                raise too_large(len(frame), bytes_max)
            if cbor:
                frame = to_json(frame, bytes_max)
            message = parse(frame, latest)
            if sender.dialect is Dialect.UNTOLD and (dialect := dialect_of(message)) is not Dialect.UNTOLD:
                sender.dialect = dialect
                bus.channels.client_changed(sender)
            kind = EVENT_KINDS.get(message.type)
            if kind is None or message.to or message.to_client:
                if run is not None:
                    _publish(bus, sender, run, effects)
                    run = None
                not_an_event(bus, now, sender, message, effects)
                sender.bad_in_a_row = 0
                continue

            payload = message.payload
            if not payload:
                raise payload_missing()
            hints, more = NO_HINTS, b""
            if message.metadata or message.correlation_id or type(message) is Extended:
                if message.metadata:
                    hints = parse_hints(message.metadata)
                more = extras(message.correlation_id, message.metadata) + unknown_json(message)
            route = routes.get((kind, message.room, message.channel))
            if run is not None and (run.route is not route or run.echo is not hints.echo):
                _publish(bus, sender, run, effects)  # before another channel may want the room of this one
                run = None
            if route is None or not route.channel.alive:
                route = _route(bus, sender, kind, message.room, message.channel)
            if run is None:
                run = _Run(route, bus.channels.audience(route.channel), hints.echo, time)
            id_ = stamps.next_id()
            offset = run.offset
            run.offset = offset + 1
            end = b'%d,"v":1}' % offset
            run.frames.append(b"".join((b'{"id":"', id_, route.middle, payload, more, run.tail, end)))
            if run.audience.legacy:
                run.legacy_frames.append(
                    legacy_event(id_, route.legacy_where, client, bytes(payload), more, legacy_time)
                )
            sender.bad_in_a_row = 0
            if hints.ack:
                reached = _publish(bus, sender, run, effects)
                run = None
                acknowledge(bus, sender, message, id_, reached, effects)
        except Refusal as refusal:
            if run is not None:
                _publish(bus, sender, run, effects)
                run = None
            if len(frame) <= bytes_max:
                refusal.problems = examine(frame, refusal, latest, (*bus.commands, *ALIASES))
            refuse(bus, sender, message, refusal, effects)
            if sender.closing:
                return effects
    if run is not None:
        _publish(bus, sender, run, effects)
    return effects


def _route(bus: Bus, sender: Client, kind: str, room: str, channel: str) -> Route:
    """Where an address of this client leads. Raises Refusal."""
    tenant = sender.identity.tenant
    if room or channel:
        name = inside(tenant, resolve_target(room, channel, bus.settings.names))
    elif kind == "telemetry":
        name = inside(tenant, bus.settings.names.telemetry)
    else:
        named = (name for name in sender.subscriptions if not is_pattern(name) and name != mesh_room.NAME)
        first = next(named, "")
        if not first:
            raise Refusal(
                "bus.channel-missing",
                "the event names no channel, and this client is in none that could be meant",
                field="channel",
                hint='{"type": "event", "channel": "telemetry:host", "payload": {"load": 0.5}}',
            )
        name = first
    if name == mesh_room.NAME:
        raise mesh_room.reserved()
    bus.permissions.check(sender.identity, "publish", name)
    alike = not is_pattern(name) or bus.permissions.unrestricted(sender.identity)
    if (
        not alike
    ):  # to a whole room: nobody, here or elsewhere, hears it by a channel in which this client may not speak
        room = name.partition(":")[0]
        for one in (*(here.name for here in bus.channels.in_room(room)), *bus.exchange.view.names(tenant, room)):
            bus.permissions.check(sender.identity, "publish", one)
    target = bus.channels.obtain(name, bus.wall_ms)
    route = Route(
        target,
        canonical_middle(kind, target.room, target.leaf, sender.id),
        legacy_where(target.room, target.leaf),
    )
    if alike:  # else the room may have another channel by the next event
        if len(sender.routes) >= _ROUTES_MAX:
            sender.routes.clear()
        sender.routes[kind, room, channel] = route
    return route


def _publish(bus: Bus, sender: Client, run: _Run, effects: list[Effect]) -> int:
    """Send a run on its way; how many clients of this node each of its events went to."""
    channel = run.route.channel
    frames = tuple(run.frames)
    audience = run.audience
    canonical, legacy = (audience.canonical, audience.legacy) if run.echo else audience.without(sender.id)
    if canonical:
        effects.append(Deliver(canonical, frames))
    if legacy:
        effects.append(Deliver(legacy, tuple(run.legacy_frames)))
    name, publisher = channel.name, sender.id
    effects.append(Emit(Published(name, frames, publisher)))
    streams, wall_ms = channel.streams, bus.wall_ms
    streams.offset += len(frames)
    keep(bus, channel, frames, streams.epoch, run.first, wall_ms, wall_ms, effects)
    count, reached = len(frames), len(canonical) + len(legacy)
    sender.published += count
    bus.analytics.note(channel.home, publisher, frames, bus.wall_ms)
    if name in bus.observed:
        effects.append(Emit(Observed(name, frames)))
    bus.counters["published"] += count
    bus.counters["delivered"] += count * reached
    if bus.backlogged and not sender.paused and bus.exported(name):
        pause(bus, sender, effects)
    return reached
