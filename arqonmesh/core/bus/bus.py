"""The bus core: frames of clients and of other clusters in, deliveries out.

A client's event becomes one canonical frame (envelope.py). It goes to the channel's members, except its own
publisher unless `metadata.echo` asks for it (as ArqonBus does it), into the history, and out as `Published` for
federation. What the bus itself says (welcome, notices, answers, errors) and private messages stay on this node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from arqonmesh.config.model import BusSettings
from arqonmesh.core.bus import mesh_room
from arqonmesh.core.bus.channels import Audience, Channels
from arqonmesh.core.bus.clients import Client, ClientInfo, Route
from arqonmesh.core.bus.commands import ALIASES, REGISTRY, Command, Request
from arqonmesh.core.bus.envelope import (
    CommandArgs,
    Dialect,
    Hints,
    Inbound,
    PayloadCommand,
    canonical_middle,
    canonical_private,
    decode_part,
    dialect_of,
    extras,
    from_bus,
    is_object,
    legacy_event,
    legacy_of,
    legacy_where,
    parse,
    parse_hints,
    parse_stored,
    targets_of,
    text,
)
from arqonmesh.core.bus.history import History
from arqonmesh.core.bus.names import is_pattern, resolve
from arqonmesh.core.bus.presence import notices, to_each_dialect
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.bus.stamps import Stamps
from arqonmesh.core.events import Backlog, Dropped, Imported, PartitionChanged, Published, UserEvent
from arqonmesh.core.kernel import (
    CloseClient,
    Deliver,
    Durable,
    Effect,
    Emit,
    Event,
    Instant,
    Rng,
    Throttle,
)
from arqonmesh.ids import ClientId, ClusterId, NodeId
from arqonmesh.wire.messages import WireMessage

UNREADABLE_IN_A_ROW_MAX: Final = 100
"""Frames that make no sense, one after the other, after which a client is cut off (1008)."""
POLICY_VIOLATION: Final = 1008
TRY_AGAIN_LATER: Final = 1013

_ROUTES_MAX: Final = 64
"""Addresses per client that are remembered worked out."""
_KINDS: Final = {"event": "event", "message": "event", "telemetry": "telemetry"}
"""Types that go to a channel, and what they become."""
_TELEMETRY_CHANNEL: Final = "integriguard:telemetry-stream"
_UNREADABLE: Final = frozenset(
    ("bus.invalid-json", "bus.invalid-field", "bus.unknown-type", "bus.unknown-command", "bus.frame-too-large")
)
_DEFAULT_HINTS: Final = Hints()
_COUNTERS: Final = (
    "clients",
    "published",
    "delivered",
    "imported",
    "private",
    "commands",
    "refused",
    "rate_limited",
    "import_refused",
    "throttled",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BusEnv:
    """What the bus needs of its node; known before the node belongs to a mesh."""

    node_id: NodeId
    cluster: ClusterId
    rng: Rng
    wall_ms: Callable[[], int]


class _Run:
    """Consecutive events of one client to one audience: they leave as one Deliver per dialect."""

    __slots__ = ("audience", "echo", "frames", "legacy_frames", "route")

    def __init__(self, route: Route, audience: Audience, echo: bool) -> None:
        self.route = route
        self.audience = audience
        self.echo = echo
        self.frames: list[bytes] = []
        self.legacy_frames: list[bytes] = []


class Bus:
    """One node's bus. `exported(channel)` says whether federation would carry that channel anywhere."""

    NAME: ClassVar[str] = "bus"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = ()
    EVENTS: ClassVar[tuple[type[Event], ...]] = (Imported, Backlog, PartitionChanged, UserEvent)

    def __init__(
        self,
        env: BusEnv,
        settings: BusSettings,
        exported: Callable[[str], bool] = lambda channel: True,
        cluster_of: mesh_room.ClusterOf = lambda node: None,
    ) -> None:
        self.env = env
        self.settings = settings
        self.exported = exported
        self.cluster_of = cluster_of
        self.stamps = Stamps(env.rng)
        self.history = History(settings.history)
        self.channels = Channels(settings.channels_max, self.history)
        self.commands: Mapping[str, Command] = REGISTRY
        self.partition: PartitionChanged | None = None
        self.wall_ms = 0
        self.counters: dict[str, int] = dict.fromkeys(_COUNTERS, 0)
        self._clients: dict[ClientId, Client] = {}
        self._paused: dict[ClientId, Client] = {}
        self._backlogged: dict[NodeId, None] = {}

    # --- Core ------------------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        return []

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        return []

    def on_timer(self, now: Instant) -> list[Effect]:
        return []

    def next_deadline(self) -> Instant | None:
        return None

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        self._look_at_the_clock()
        match event:
            case Imported():
                return self._imported(event)
            case Backlog():
                return self._backlog(event)
            case PartitionChanged():
                return self._partition_changed(event)
            case UserEvent():
                return self._to_mesh_room(mesh_room.event_payload(event, self.cluster_of))
        return []

    # --- clients ---------------------------------------------------------------------------------------------

    def new_client_id(self) -> ClientId:
        """An id for a connection that is about to be announced with `client_connected`."""
        self._look_at_the_clock()
        return ClientId(self.stamps.next_id().decode())

    def client_connected(self, now: Instant, client: ClientId, info: ClientInfo) -> list[Effect]:
        """Welcome a client, or close it with 1013 when there are `clients_max` already."""
        self._look_at_the_clock()
        if client in self._clients:
            return []
        if len(self._clients) >= self.settings.clients_max:
            reason = f"{len(self._clients)} clients are connected, which is all that bus.clients_max allows"
            dropped = Dropped("bus", "clients-max", 1, info.address)
            return [CloseClient(client, TRY_AGAIN_LATER, reason), Emit(dropped)]
        connected = Client(now, self.wall_ms, client, info, self.settings.rate_per_s)
        self._clients[client] = connected
        self.counters["clients"] += 1
        payload = {
            "welcome": "Connected to ArqonMesh",
            "client_id": client,
            "node": self.env.node_id,
            "cluster": self.env.cluster,
        }
        kind = "system" if connected.canonical else "message"
        return [self._say(connected, kind, payload)]

    def client_disconnected(self, now: Instant, client: ClientId) -> list[Effect]:
        """Forget a client, and tell those who shared its channels. Repeats are harmless."""
        gone = self._clients.pop(client, None)
        if gone is None:
            return []
        self._look_at_the_clock()
        self._paused.pop(client, None)
        effects: list[Effect] = []
        for name in list(gone.subscriptions):
            channel = None if is_pattern(name) else self.channels.find(name)
            self.channels.unsubscribe(gone, name)
            if channel is not None and channel.alive:
                effects.extend(notices(self.stamps, channel, gone, "left"))
        return effects

    def client_frames(self, now: Instant, client: ClientId, frames: Sequence[bytes]) -> list[Effect]:
        """Text frames of one client, in the order of their arrival. Whatever is in them, this returns."""
        sender = self._clients.get(client)
        if sender is None or sender.closing:
            return []
        self._look_at_the_clock()
        effects: list[Effect] = []
        if sender.bucket is not None:
            frames = self._within_rate(now, sender, frames, effects)

        stamps = self.stamps
        tail = b',"timestamp":"%bZ","v":1}' % stamps.time
        legacy_time = stamps.time + b"+00:00"
        bytes_max = self.settings.frame_bytes_max
        routes = sender.routes
        run: _Run | None = None
        message: Inbound | None
        for frame in frames:
            message = None
            try:
                if len(frame) > bytes_max:
                    raise _too_large(len(frame), bytes_max)
                message = parse(frame)
                if sender.dialect is Dialect.UNTOLD and (dialect := dialect_of(message)) is not Dialect.UNTOLD:
                    sender.dialect = dialect
                    self.channels.dialect_changed(sender)
                kind = _KINDS.get(message.type)
                if kind is None or message.to or message.to_client:
                    if run is not None:
                        self._publish(sender, run, effects)
                        run = None
                    self._not_an_event(now, sender, message, effects)
                    sender.bad_in_a_row = 0
                    continue

                payload = message.payload
                if not payload:
                    raise _payload_missing()
                hints, more = _DEFAULT_HINTS, b""
                if message.metadata or message.correlation_id:
                    if message.metadata:
                        hints = parse_hints(message.metadata)
                    more = extras(message.correlation_id, message.metadata)
                route = routes.get((kind, message.room, message.channel))
                if route is None or not route.channel.alive:
                    route = self._route(sender, kind, message.room, message.channel)
                if run is not None and (run.route is not route or run.echo is not hints.echo):
                    self._publish(sender, run, effects)
                    run = None
                    if not route.channel.alive:
                        route = self._route(sender, kind, message.room, message.channel)
                if run is None:
                    run = _Run(route, self.channels.audience(route.channel), hints.echo)
                id_ = stamps.next_id()
                run.frames.append(b"".join((b'{"id":"', id_, route.middle, payload, more, tail)))
                if run.audience.legacy:
                    run.legacy_frames.append(
                        legacy_event(id_, route.legacy_where, client, bytes(payload), more, legacy_time)
                    )
                sender.bad_in_a_row = 0
                if hints.ack:
                    reached = self._publish(sender, run, effects)
                    run = None
                    self._acknowledge(sender, message, id_, reached, effects)
            except Refusal as refusal:
                if run is not None:
                    self._publish(sender, run, effects)
                    run = None
                self._refuse(sender, message, refusal, effects)
                if sender.closing:
                    return effects
        if run is not None:
            self._publish(sender, run, effects)
        return effects

    # --- queries ---------------------------------------------------------------------------------------------

    @property
    def client_count(self) -> int:
        return len(self._clients)

    def history_frames(self, channel: str, limit: int, bytes_max: int = 1 << 20) -> list[bytes]:
        """The newest canonical frames of a channel, oldest of them first; empty when there is no such channel."""
        found = self.channels.find(channel)
        return [] if found is None else self.history.newest(found.ring, limit, bytes_max)

    def stats(self) -> dict[str, int]:
        """Gauges and counters, for status and metrics."""
        return {
            "clients_connected": len(self._clients),
            "clients_paused": len(self._paused),
            "channels": len(self.channels),
            "channels_evicted": self.channels.evicted,
            "history_bytes": self.history.held_bytes,
            "history_evicted": self.history.evicted,
            **self.counters,
        }

    # --- events ----------------------------------------------------------------------------------------------

    def _route(self, sender: Client, kind: str, room: str, channel: str) -> Route:
        """Where an address of this client leads. Raises Refusal."""
        if room or channel:
            name = resolve(room, channel)
        elif kind == "telemetry":
            name = _TELEMETRY_CHANNEL
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
        target = self.channels.obtain(name, self.wall_ms)
        route = Route(
            target,
            canonical_middle(kind, target.room, target.leaf, sender.id),
            legacy_where(target.room, target.leaf),
        )
        if len(sender.routes) >= _ROUTES_MAX:
            sender.routes.clear()
        sender.routes[kind, room, channel] = route
        return route

    def _publish(self, sender: Client, run: _Run, effects: list[Effect]) -> int:
        """Send a run on its way; how many clients of this node each of its events went to."""
        channel = run.route.channel
        frames = run.frames
        audience = run.audience
        canonical, legacy = (audience.canonical, audience.legacy) if run.echo else audience.without(sender.id)
        if canonical:
            effects.append(Deliver(canonical, tuple(frames)))
        if legacy:
            effects.append(Deliver(legacy, tuple(run.legacy_frames)))
        name, publisher = channel.name, sender.id
        effects.extend([Emit(Published(name, frame, publisher)) for frame in frames])
        self.channels.keep_frames(channel, frames)
        count, reached = len(frames), len(canonical) + len(legacy)
        sender.published += count
        self.counters["published"] += count
        self.counters["delivered"] += count * reached
        if self._backlogged and not sender.paused and self.exported(name):
            sender.paused = True
            self._paused[sender.id] = sender
            self.counters["throttled"] += 1
            effects.append(Throttle(sender.only, True))
        return reached

    def _acknowledge(self, sender: Client, message: Inbound, id_: bytes, reached: int, effects: list[Effect]) -> None:
        payload = {"id": id_.decode(), "delivered": reached}
        kind = "response" if sender.canonical else "message_response"
        effects.append(self._say(sender, kind, payload, message, status="success"))

    def _imported(self, event: Imported) -> list[Effect]:
        """Events of another node: to the members here, as they are, once it is sure that clients can read them."""
        good: list[bytes] = []
        stored = []
        for frame in event.frames:
            message = parse_stored(frame)
            if message is None or f"{message.room}:{message.channel}" != event.channel or message.type not in _KINDS:
                continue
            good.append(frame)
            stored.append(message)
        effects: list[Effect] = []
        if refused := len(event.frames) - len(good):
            self.counters["import_refused"] += refused
            effects.append(Emit(Dropped("bus", "import-unreadable", refused, f"{event.origin} {event.channel}")))
        if not good:
            return effects
        try:
            channel = self.channels.obtain(resolve("", event.channel), self.wall_ms)
        except Refusal as refusal:
            self.counters["import_refused"] += len(good)
            effects.append(Emit(Dropped("bus", refusal.code.removeprefix("bus."), len(good), event.channel)))
            return effects
        audience = self.channels.audience(channel)
        if audience.canonical:
            effects.append(Deliver(audience.canonical, tuple(good)))
        if audience.legacy:
            effects.append(Deliver(audience.legacy, tuple(map(legacy_of, stored))))
        self.channels.keep_frames(channel, good)
        self.counters["imported"] += len(good)
        self.counters["delivered"] += len(good) * (len(audience.canonical) + len(audience.legacy))
        return effects

    def _backlog(self, event: Backlog) -> list[Effect]:
        if event.above:
            self._backlogged[event.peer] = None
            return []
        self._backlogged.pop(event.peer, None)
        return [] if self._backlogged else self._resume()

    def left_mesh(self) -> list[Effect]:
        """There is no link any more for which a publisher would have to wait, and no partition to be on a side of."""
        self.partition = None
        self._backlogged.clear()
        return [*self._resume(), *self._to_mesh_room(mesh_room.partition_payload(None, self.cluster_of))]

    def _resume(self) -> list[Effect]:
        resumed = tuple(self._paused)
        for client in self._paused.values():
            client.paused = False
        self._paused.clear()
        return [Throttle(resumed, False)] if resumed else []

    def _partition_changed(self, event: PartitionChanged) -> list[Effect]:
        before, self.partition = self.partition, event
        told = self._to_mesh_room(mesh_room.partition_payload(event, self.cluster_of))
        if before is not None and (before.state, before.writable) == (event.state, event.writable):
            return told
        payload = {
            "event": "partition",
            "state": event.state,
            "writable": event.writable,
            "reachable": event.reachable,
            "required": event.required,
        }
        return [*to_each_dialect(self.stamps, list(self._clients.values()), payload), *told]

    def tell_mesh_state(self, client: Client) -> list[Effect]:
        """What is the case now, for one that has just subscribed to `$mesh`."""
        return self._in_mesh_room([client], mesh_room.partition_payload(self.partition, self.cluster_of))

    def _to_mesh_room(self, payload: dict[str, Any]) -> list[Effect]:
        """To those who subscribed to `$mesh`, whatever other patterns take."""
        channel = self.channels.find(mesh_room.NAME)
        return [] if channel is None else self._in_mesh_room(list(channel.members.values()), payload)

    def _in_mesh_room(self, clients: list[Client], payload: dict[str, Any]) -> list[Effect]:
        room, _, leaf = mesh_room.NAME.partition(":")
        return list(to_each_dialect(self.stamps, clients, payload, room=room, channel=leaf, kind="event"))

    # --- everything that is not an event ---------------------------------------------------------------------

    def _not_an_event(self, now: Instant, sender: Client, message: Inbound, effects: list[Effect]) -> None:
        if message.type == "private" or message.type in _KINDS:
            self._private(sender, message, effects)
        elif message.type == "command" or ALIASES.get(message.type, message.type) in self.commands:
            self._command(now, sender, message, effects)
        else:
            known = ("event", "private", "command", "telemetry", *self.commands)
            raise Refusal(
                "bus.unknown-type",
                f"type is {message.type[:64]!r}; a client may send {', '.join(known)}",
                field="type",
                hint='{"type": "help"}',
            )

    def _private(self, sender: Client, message: Inbound, effects: list[Effect]) -> None:
        targets = targets_of(message)
        if not targets:
            raise Refusal(
                "bus.target-missing",
                "the private message names nobody; it needs `to`, a list of client ids",
                field="to",
                hint='{"type": "private", "to": ["arq_..."], "payload": {"text": "hello"}}',
            )
        if not message.payload:
            raise _payload_missing()
        hints = parse_hints(message.metadata) if message.metadata else _DEFAULT_HINTS
        more = extras(message.correlation_id, message.metadata)
        known = [client for target in targets if (client := self._clients.get(ClientId(target)))]
        id_, time, payload = self.stamps.next_id(), self.stamps.time, bytes(message.payload)
        canonical = tuple(client.id for client in known if client.canonical)
        if canonical:
            frame = canonical_private(id_, sender.id, targets, payload, more, time)
            effects.append(Deliver(canonical, (frame,)))
        for client in known:
            if not client.canonical:
                where = b',"to_client":' + text(client.id)
                frame = legacy_event(id_, where, sender.id, payload, more, time + b"+00:00")
                effects.append(Deliver(client.only, (frame,)))
        self.counters["private"] += 1
        self.counters["delivered"] += len(known)
        if len(known) < len(targets):
            missing = [target[:64] for target in targets if ClientId(target) not in self._clients]
            raise Refusal(
                "bus.no-such-client",
                f"not connected to this node: {', '.join(missing[:8])}; the message went to {len(known)} others",
                field="to",
                hint='{"type": "info", "channel": "ROOM:CHANNEL"}',
            )
        if hints.ack:
            self._acknowledge(sender, message, id_, len(known), effects)

    def _command(self, now: Instant, sender: Client, message: Inbound, effects: list[Effect]) -> None:
        self.counters["commands"] += 1
        asked, args, in_payload = message.command, message.args, False
        if message.type != "command":
            asked = message.type
        elif not asked and is_object(message.payload):
            inner = decode_part(message.payload, PayloadCommand, "payload")
            asked, args, in_payload = inner.command, inner.parameters or inner.args, True
        name = ALIASES.get(asked, asked)
        command = self.commands.get(name)
        if command is None:
            raise Refusal(
                "bus.unknown-command",
                f"command is {asked[:64]!r}; this bus knows {', '.join(self.commands)}",
                field="payload.command" if in_payload else "command",
                hint='{"type": "help"}',
            )
        given = decode_part(args, CommandArgs, "payload.parameters" if in_payload else "args")
        if given.limit is None:
            given.limit = message.limit
        request = Request(now, sender, given, message.room, message.channel, [])
        result = command.run(self, request)
        effects.append(self._answer(sender, message, name, result, in_payload))
        effects.extend(request.effects)

    def _answer(self, client: Client, message: Inbound, name: str, result: dict[str, Any], in_payload: bool) -> Deliver:
        if client.canonical:
            return self._say(client, "response", result, message, command=name, status="success")
        if message.type == "ping":
            return self._say(client, "pong", result, message)
        fields = {"command": name, "status": "success", "result": result}
        if in_payload:
            payload = {"request_id": message.id, "status": "success", "result": result}
            return self._say(client, "command_response", payload, message, **fields)
        return self._say(client, "response", {"message": f"{name} done", "data": result}, message, **fields)

    def _say(
        self, client: Client, kind: str, payload: dict[str, Any], about: Inbound | None = None, **fields: Any
    ) -> Deliver:
        """One frame from the bus to one client, tied to the frame that it is about."""
        id_ = ""
        if about is not None:
            fields["request_id"] = about.id
            fields["correlation_id"] = about.correlation_id or about.id
            if about.id and not client.canonical:
                id_ = f"{about.id}_response"  # what the 1.0 example client waits for
        frame = from_bus(
            client.dialect, kind, id_ or self.stamps.next_id().decode(), self.stamps.time, payload, **fields
        )
        return Deliver(client.only, (frame,))

    def _refuse(self, client: Client, message: Inbound | None, refusal: Refusal, effects: list[Effect]) -> None:
        """Tell the client why not; cut it off when nothing that it sends makes sense."""
        self.counters["refused"] += 1
        told = {
            "code": refusal.code,
            "message": refusal.sentence,
            "hint": refusal.hint,
            "field": refusal.field,
        }
        if client.canonical:
            effects.append(self._say(client, "error", told, message, status="error"))
        else:
            effects.append(
                self._say(
                    client,
                    "error",
                    {"errors": [refusal.sentence], "hint": refusal.hint},
                    message,
                    status="error",
                    error=told,
                    error_code=refusal.code,
                )
            )
        effects.append(Emit(Dropped("bus", refusal.code.removeprefix("bus."), 1, client.id)))
        if refusal.code not in _UNREADABLE:
            return
        client.bad_in_a_row += 1
        if client.bad_in_a_row >= UNREADABLE_IN_A_ROW_MAX:
            client.closing = True
            reason = f"{client.bad_in_a_row} frames in a row made no sense; the last: {refusal.code}"
            effects.append(CloseClient(client.id, POLICY_VIOLATION, reason))
            effects.append(Emit(Dropped("bus", "client-rubbish", 1, client.id)))

    def _within_rate(
        self, now: Instant, client: Client, frames: Sequence[bytes], effects: list[Effect]
    ) -> Sequence[bytes]:
        """The frames that the client's rate allows; it is told of the others once."""
        assert client.bucket is not None
        allowed = client.bucket.take(now, len(frames))
        over = len(frames) - allowed
        if over == 0:
            return frames
        self.counters["rate_limited"] += over
        payload = {
            "code": "bus.rate-limited",
            "message": f"{over} frames dropped; this bus takes {self.settings.rate_per_s} a second of each client",
            "hint": "send more slowly, or raise bus.rate_per_s in arqon.yaml",
            "dropped": over,
        }
        fields: dict[str, Any] = {"status": "error"}
        if not client.canonical:
            fields.update(error=payload, error_code="bus.rate-limited")
        effects.append(self._say(client, "error", payload, **fields))
        effects.append(Emit(Dropped("bus", "rate-limited", over, client.id)))
        return frames[:allowed]

    def _look_at_the_clock(self) -> None:
        self.wall_ms = self.env.wall_ms()
        self.stamps.at(self.wall_ms)


def _too_large(size: int, bytes_max: int) -> Refusal:
    return Refusal(
        "bus.frame-too-large",
        f"the frame has {size} bytes; bus.frame_bytes_max is {bytes_max}",
        hint="send it in parts, or raise bus.frame_bytes_max in arqon.yaml",
    )


def _payload_missing() -> Refusal:
    return Refusal(
        "bus.payload-missing",
        "the message has no payload; any JSON value will do",
        field="payload",
        hint='{"type": "event", "channel": "telemetry:host", "payload": {"load": 0.5}}',
    )
