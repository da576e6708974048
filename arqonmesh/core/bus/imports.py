"""Events of other nodes and clusters: to the members here, as they are.

Each belongs to a stream of the node that published it (streams.py). What this node has already is not taken again; what
it missed and gets late (its origin has a new link, and what it kept comes after what went another way; or a mate of the
cluster has it, cluster/fillup.py) goes to those who saw it missing (late.py), and into the durable history; the ring in
memory keeps to the order in which things came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from arqonmesh.core.bus.envelope import EVENT_KINDS, Stored, legacy_of, parse_stored
from arqonmesh.core.bus.keeping import keep, keep_late
from arqonmesh.core.bus.late import deliver_fetched, deliver_late, deliver_untold, note_passed
from arqonmesh.core.bus.names import resolve_target
from arqonmesh.core.bus.protocol.bounds import is_too_deep
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.bus.stamps import ms_of
from arqonmesh.core.bus.streams import Streams, life_of
from arqonmesh.core.bus.tenants import inside, is_tenant, outside, tenant_of
from arqonmesh.core.events import Dropped, Imported, Observed
from arqonmesh.core.kernel import Deliver, Effect, Emit
from arqonmesh.ids import ClientId, NodeId

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.channels import Channel


def take_imported(bus: Bus, event: Imported) -> list[Effect]:
    """Events of another node: to the members here, as they are, once it is sure that clients can read them."""
    return bring_in(bus, event.channel, event.frames, event.origin, ours=event.origin_cluster != bus.env.cluster)


def bring_in(
    bus: Bus, channel_name: str, frames: Sequence[bytes], origin: NodeId | None, *, ours: bool
) -> list[Effect]:
    """`origin`: who published them all; None when a node of our cluster passes on what it has of one stream."""
    readable = _read(frames, outside(channel_name), origin)
    effects: list[Effect] = []
    if refused := len(frames) - len(readable):
        bus.counters["import_refused"] += refused
        effects.append(Emit(Dropped("bus", "import-unreadable", refused, f"{origin or ''} {channel_name}")))
    if not readable:
        return effects
    try:
        channel = bus.channels.obtain(_checked(channel_name), bus.wall_ms)
    except Refusal as refusal:
        bus.counters["import_refused"] += len(readable)
        effects.append(Emit(Dropped("bus", refusal.code.removeprefix("bus."), len(readable), channel_name)))
        return effects
    if _follow(channel.streams, readable):
        fresh = readable
    else:
        fresh, late, untold, jumps = _sort(channel.streams, readable, from_publisher=origin is not None)
        if jumps:
            note_passed(bus, channel, jumps)
        bus.counters["import_known"] += len(readable) - len(fresh) - len(late) - len(untold)
        if untold:
            deliver_untold(bus, channel, untold, effects)
        if late:
            bus.counters["import_late"] += len(late)
            for epoch, first, low_ms, high_ms, run in _runs(late, bus.wall_ms):
                keep_late(bus, channel, run, epoch, first, low_ms, high_ms, effects, ours=ours)
            deliver_late(bus, channel, late, effects, fetched=origin is None)
        if not fresh:
            return effects
    if origin is None:
        deliver_fetched(bus, channel, fresh, effects)
    else:
        _deliver(bus, channel, fresh, effects)
    for epoch, first, low_ms, high_ms, run in _runs(fresh, bus.wall_ms):
        keep(bus, channel, run, epoch, first, low_ms, high_ms, effects, ours=ours)
        bus.analytics.note(channel.home, origin or "", run, bus.wall_ms)
    if channel.name in bus.observed:
        effects.append(Emit(Observed(channel.name, tuple([frame for frame, _ in fresh]))))
    bus.counters["imported"] += len(fresh)
    return effects


def _read(frames: Sequence[bytes], shown: str, origin: NodeId | None) -> list[tuple[bytes, Stored]]:
    """Those that clients can read, on the channel called so, and of streams that this origin may write."""
    room, _, leaf = shown.partition(":")
    readable: list[tuple[bytes, Stored]] = []
    own = ""
    for frame in frames:
        message = None if is_too_deep(frame) else parse_stored(frame)
        if message is None or message.channel != leaf or message.room != room or message.type not in EVENT_KINDS:
            continue
        epoch = message.epoch
        if epoch != own and origin is not None:
            if not _is_of(origin, epoch):
                continue
            own = epoch
        readable.append((frame, message))
    return readable


def _follow(streams: Streams, readable: list[tuple[bytes, Stored]]) -> bool:
    """Whether these are just what comes next of one stream without holes, as nearly all are; if so they are noted."""
    epoch = readable[0][1].epoch
    head = streams.heads.get(epoch)
    if head is None or epoch == streams.epoch or epoch in streams.holes:
        return False
    for _, message in readable:
        head += 1
        if message.offset != head or message.epoch != epoch:
            return False
    streams.heads[epoch] = head
    return True


def _sort(
    streams: Streams, readable: list[tuple[bytes, Stored]], *, from_publisher: bool
) -> tuple[
    list[tuple[bytes, Stored]], list[tuple[bytes, Stored]], list[tuple[bytes, Stored]], list[tuple[str, int, int]]
]:
    """What is new, what was missing among older ones, what a mate gave us before and nobody here has heard, and the
    stretches that are missing from now on. The rest is known."""
    fresh: list[tuple[bytes, Stored]] = []
    late: list[tuple[bytes, Stored]] = []
    untold: list[tuple[bytes, Stored]] = []
    jumps: list[tuple[str, int, int]] = []
    for event in readable:
        epoch, offset = event[1].epoch, event[1].offset
        if not epoch:
            fresh.append(event)
        elif epoch != streams.epoch:
            newest = streams.arrived(epoch, offset)
            if newest is None:
                if streams.untold and from_publisher and streams.tell(epoch, offset):
                    untold.append(event)
                continue
            (fresh if newest else late).append(event)
            if newest and streams.holes:
                holes = streams.holes.get(epoch)
                if holes and holes[-1][1] == offset - 1:
                    jumps.append((epoch, *holes[-1]))
    return fresh, late, untold, jumps


def _deliver(bus: Bus, channel: Channel, fresh: list[tuple[bytes, Stored]], effects: list[Effect]) -> None:
    audience = bus.channels.audience(channel)
    canonical, legacy = audience.canonical, audience.legacy
    if channel.ahead:
        apart = [client for client in channel.ahead if client in canonical or client in legacy]
        for client in apart:
            _deliver_unseen(bus, channel, client, fresh, effects)
        canonical = tuple(client for client in canonical if client not in apart)
        legacy = tuple(client for client in legacy if client not in apart)
    if canonical:
        effects.append(Deliver(canonical, tuple([frame for frame, _ in fresh])))
    if legacy:
        effects.append(Deliver(legacy, tuple([legacy_of(message) for _, message in fresh])))
    bus.counters["delivered"] += len(fresh) * (len(canonical) + len(legacy))


def _deliver_unseen(
    bus: Bus, channel: Channel, client: ClientId, fresh: list[tuple[bytes, Stored]], effects: list[Effect]
) -> None:
    """To one who has seen more of some streams, at another node, than has come here yet."""
    seen = channel.ahead[client]
    unseen = [event for event in fresh if event[1].offset > seen.get(event[1].epoch, 0) or not event[1].epoch]
    heads = channel.streams.heads
    for epoch in [epoch for epoch, offset in seen.items() if heads.get(epoch, 0) >= offset]:
        del seen[epoch]
    if not seen:
        del channel.ahead[client]
    if unseen:
        canonical = bus.clients[client].canonical
        frames = [frame if canonical else legacy_of(message) for frame, message in unseen]
        effects.append(Deliver((client,), tuple(frames)))
        bus.counters["delivered"] += len(frames)


def _runs(events: list[tuple[bytes, Stored]], wall_ms: int) -> list[tuple[str, int, int, int, list[bytes]]]:
    """Consecutive events of one stream together: (epoch, first, earliest and latest time, frames)."""
    runs: list[tuple[str, int, int, int, list[bytes]]] = []
    epoch, first, low_ms, high_ms, time = "", 0, 0, 0, ""
    frames: list[bytes] = []
    for frame, message in events:
        follows = message.epoch == epoch and (not epoch or message.offset == first + len(frames))
        if follows and frames and message.timestamp == time:
            frames.append(frame)
            continue
        time = message.timestamp
        at_ms = ms_of(time)
        if at_ms is None:
            at_ms = wall_ms
        if follows and frames:
            frames.append(frame)
            low_ms, high_ms = min(low_ms, at_ms), max(high_ms, at_ms)
            continue
        if frames:
            runs.append((epoch, first, low_ms, high_ms, frames))
        epoch, first, low_ms, high_ms, frames = message.epoch, message.offset, at_ms, at_ms, [frame]
    if frames:
        runs.append((epoch, first, low_ms, high_ms, frames))
    return runs


def _is_of(origin: NodeId, epoch: str) -> bool:
    """Whether this member may write that stream: its own, or none."""
    if not epoch:
        return True
    life = life_of(epoch)
    return life is not None and origin.startswith(life.node)


def _checked(channel: str) -> str:
    """The channel's name inside. Raises Refusal."""
    tenant = tenant_of(channel)
    name = inside(tenant, resolve_target("", outside(channel)))
    if name != channel or (tenant and not is_tenant(tenant)):
        raise Refusal("bus.channel-name", f"{channel[:160]!r} is not a channel of this bus", field="channel")
    return name
