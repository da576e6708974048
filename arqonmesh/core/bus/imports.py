"""Events of other nodes and clusters: to the members here, as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arqonmesh.core.bus.envelope import EVENT_KINDS, legacy_of, parse_stored
from arqonmesh.core.bus.names import resolve
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.bus.tenants import inside, is_tenant, outside, tenant_of
from arqonmesh.core.events import Dropped, Imported
from arqonmesh.core.kernel import Deliver, Effect, Emit

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus


def take_imported(bus: Bus, event: Imported) -> list[Effect]:
    """Events of another node: to the members here, as they are, once it is sure that clients can read them."""
    good: list[bytes] = []
    stored = []
    shown = outside(event.channel)
    for frame in event.frames:
        message = parse_stored(frame)
        if message is None or f"{message.room}:{message.channel}" != shown or message.type not in EVENT_KINDS:
            continue
        good.append(frame)
        stored.append(message)
    effects: list[Effect] = []
    if refused := len(event.frames) - len(good):
        bus.counters["import_refused"] += refused
        effects.append(Emit(Dropped("bus", "import-unreadable", refused, f"{event.origin} {event.channel}")))
    if not good:
        return effects
    try:
        channel = bus.channels.obtain(_checked(event.channel), bus.wall_ms)
    except Refusal as refusal:
        bus.counters["import_refused"] += len(good)
        effects.append(Emit(Dropped("bus", refusal.code.removeprefix("bus."), len(good), event.channel)))
        return effects
    audience = bus.channels.audience(channel)
    if audience.canonical:
        effects.append(Deliver(audience.canonical, tuple(good)))
    if audience.legacy:
        effects.append(Deliver(audience.legacy, tuple(map(legacy_of, stored))))
    bus.channels.keep_frames(channel, good)
    bus.counters["imported"] += len(good)
    bus.counters["delivered"] += len(good) * (len(audience.canonical) + len(audience.legacy))
    return effects


def _checked(channel: str) -> str:
    """The channel's name inside. Raises Refusal."""
    tenant = tenant_of(channel)
    name = inside(tenant, resolve("", outside(channel)))
    if name != channel or (tenant and not is_tenant(tenant)):
        raise Refusal("bus.channel-name", f"{channel[:160]!r} is not a channel of this bus", field="channel")
    return name
