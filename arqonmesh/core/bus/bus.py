"""The bus core: frames of clients and of other clusters in, deliveries out.

This file holds what the parts share. The parts are functions over a `Bus`: publishing.py (the hot path), dispatch.py
(everything that is not an event), commands/, private.py, imports.py, sessions.py, flow.py, mesh_news.py, answers.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from arqonmesh.config.model import BusSettings
from arqonmesh.core.bus import mesh_room
from arqonmesh.core.bus.allowances import Allowances
from arqonmesh.core.bus.analytics import Analytics
from arqonmesh.core.bus.channels import Channels
from arqonmesh.core.bus.clients import Client, ClientInfo
from arqonmesh.core.bus.cluster.calls import take_calls
from arqonmesh.core.bus.cluster.exchange import Exchange
from arqonmesh.core.bus.cluster.fillup import Fillup
from arqonmesh.core.bus.commands import REGISTRY, Command, Counts
from arqonmesh.core.bus.credentials import Credentials, take_revoked, tell_and_close
from arqonmesh.core.bus.envelope import Dialect, from_bus
from arqonmesh.core.bus.flow import resume, take_backlog
from arqonmesh.core.bus.history import History
from arqonmesh.core.bus.identity import Identity
from arqonmesh.core.bus.imports import take_imported
from arqonmesh.core.bus.limited import Limited
from arqonmesh.core.bus.limits import LIMITS, begin_anew
from arqonmesh.core.bus.mesh_news import partition_changed, to_mesh_room
from arqonmesh.core.bus.names import resolve
from arqonmesh.core.bus.permissions import Permissions
from arqonmesh.core.bus.publishing import take_frames
from arqonmesh.core.bus.reads import Reads
from arqonmesh.core.bus.replays import drained
from arqonmesh.core.bus.sessions import connect, disconnect
from arqonmesh.core.bus.shelf import Shelf
from arqonmesh.core.bus.stamps import Stamps
from arqonmesh.core.bus.tenants import inside
from arqonmesh.core.events import (
    CLUSTER_ONLY,
    Backlog,
    ClientDrained,
    CredentialRevoked,
    HistoryRead,
    Imported,
    KeysHeld,
    LinkDown,
    LinkUp,
    MemberAdmitted,
    MemberChanged,
    MemberDescribed,
    MemberExpelled,
    PartitionChanged,
    UserEvent,
)
from arqonmesh.core.kernel import Durable, Effect, Event, Instant, Rng
from arqonmesh.ids import ClientId, ClusterId, NodeId
from arqonmesh.wire.messages import (
    HistoryFrames,
    HistoryHeads,
    HistoryWanted,
    KeyDigests,
    KeyRecords,
    PresenceDigest,
    PresenceRows,
    WireMessage,
)

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
    "import_known",
    "import_late",
    "resumed",
    "resumed_with_gaps",
    "replays_held",
    "throttled",
    "authenticated",
    "credentials_ended",
    "flooders_closed",
    "turned_away",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BusEnv:
    """What the bus needs of its node; known before the node belongs to a mesh."""

    node_id: NodeId
    cluster: ClusterId
    rng: Rng
    wall_ms: Callable[[], int]
    stopwatch: Callable[[], int] | None = None
    """Nanoseconds, to measure what commands take; None where nothing is measured. It decides nothing."""
    authenticate: Callable[[Identity, str], Identity] | None = None
    """(who a client is, the token or key it shows) -> who it is from now on. Raises Refusal."""
    boot_epoch: int = 0
    """Higher in every life of this node; part of the names of its streams."""
    durable: bool = False
    """Whether somebody performs `KeepFrames` and `ReadHistory`."""
    links_mates: bool = False
    """Whether a link may be wanted to a node of our cluster that is out of reach inside it."""


class Bus:
    """One node's bus. `exported(channel)` says whether federation would carry that channel anywhere,
    `shares(channel, node)` whether residency lets a node of the cluster have its history."""

    NAME: ClassVar[str] = "bus"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = (
        PresenceDigest,
        PresenceRows,
        KeyDigests,
        KeyRecords,
        HistoryHeads,
        HistoryWanted,
        HistoryFrames,
    )
    EVENTS: ClassVar[tuple[type[Event], ...]] = (
        Imported,
        Backlog,
        ClientDrained,
        HistoryRead,
        PartitionChanged,
        UserEvent,
        CredentialRevoked,
        KeysHeld,
        LinkUp,
        LinkDown,
        MemberAdmitted,
        MemberExpelled,
        MemberChanged,
        MemberDescribed,
    )

    def __init__(
        self,
        env: BusEnv,
        settings: BusSettings,
        exported: Callable[[str], bool] = lambda channel: True,
        cluster_of: mesh_room.ClusterOf = lambda node: None,
        shares: Callable[[str, NodeId], bool] = lambda channel, node: True,
    ) -> None:
        self.env = env
        self.settings = settings
        self.exported = exported
        self.cluster_of = cluster_of
        self.shares = shares
        self.stamps = Stamps(env.rng)
        self.history = History(settings.history.per_channel)
        self.credentials = Credentials()
        self.allowances = Allowances()
        """What each subject may use, shared by its connections."""
        self.limited = Limited()
        """Who was rate limited most."""
        self.permissions = Permissions(settings.auth.rooms, tenants_hear_mesh=settings.auth.tenants_hear_mesh)
        self.reads = Reads()
        self.shelf = Shelf(env.node_id, env.boot_epoch)
        self.channels = Channels(
            settings.channels_max,
            self.history,
            self.shelf,
            permissions=self.permissions,
            subscriptions_max=settings.subscriptions_max,
        )
        self.commands: Mapping[str, Command] = REGISTRY
        self.command_counts: dict[str, Counts] = {name: Counts() for name in REGISTRY}
        """Since the start, by command."""
        self.analytics = Analytics()
        self.observed: dict[str, None] = {}
        """Channels whose frames are told to the runtime, as `Observed`."""
        self.partition: PartitionChanged | None = None
        self.wall_ms = 0
        self.now: Instant = 0
        """Of the newest input."""
        self.counters: dict[str, int] = dict.fromkeys(_COUNTERS, 0)
        self.clients: dict[ClientId, Client] = {}
        self.paused: dict[ClientId, Client] = {}
        """Publishers that wait; see flow.py."""
        self.exchange = Exchange(self)
        """The clients of the cluster's other nodes."""
        self.fillup = Fillup(self)
        """What the others have of the history and this node has not."""
        self.channels.watcher = self.exchange.own
        self.backlogged: dict[NodeId, None] = {}
        """Peers towards which too much waits already."""
        for room in settings.rooms:
            for leaf in room.channels:
                self.channels.fix(resolve(room.room, leaf, settings.names), env.wall_ms())

    # --- Core ------------------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        """`durable["streams"]`: (channel, epoch, head, holes, ended) of what the durable history holds; "ended": the
        newest life of this node that ended in good order."""
        self.shelf.load(durable.get("streams", ()), durable.get("ended", ()))
        self.exchange.reach.load(durable.get("scalars", ()))
        return []

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        self.look_at_the_clock(now)
        if isinstance(message, HistoryHeads | HistoryWanted | HistoryFrames):
            return self.fillup.on_message(now, link_peer, message)
        assert isinstance(message, PresenceDigest | PresenceRows | KeyDigests | KeyRecords)
        return self.exchange.on_message(now, link_peer, message)

    def on_timer(self, now: Instant) -> list[Effect]:
        self.look_at_the_clock(now)
        return [*tell_and_close(self, now), *self.exchange.on_timer(now), *self.fillup.on_timer(now)]

    def next_deadline(self) -> Instant | None:
        soonest = self.credentials.next
        exchange, fillup = self.exchange.next_deadline(), self.fillup.next_deadline()
        if exchange is not None and (soonest is None or exchange < soonest):
            soonest = exchange
        if fillup is not None and (soonest is None or fillup < soonest):
            soonest = fillup
        return soonest

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        self.look_at_the_clock(now)
        match event:
            case Imported() if event.channel.startswith(CLUSTER_ONLY):
                return take_calls(self, event)
            case Imported():
                return take_imported(self, event)
            case HistoryRead():
                return self.reads.answered(event)
            case ClientDrained():
                client = self.clients.get(event.client)
                return [] if client is None else drained(self, client)
            case Backlog():
                return take_backlog(self, event)
            case PartitionChanged():
                return partition_changed(self, event)
            case CredentialRevoked():
                return take_revoked(self, event)
            case KeysHeld():
                return self.exchange.keys_held(event)
            case UserEvent():
                return to_mesh_room(self, mesh_room.event_payload(event, self.cluster_of))
            case LinkUp() | LinkDown() | MemberAdmitted() | MemberExpelled() | MemberChanged() | MemberDescribed():
                self.fillup.on_event(now, event)
                return self.exchange.on_event(now, event)
        return []

    def on_events(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        """Most members are of other clusters, and what they tell of themselves is no concern of the bus."""
        self.look_at_the_clock(now)
        cluster = self.env.cluster
        effects: list[Effect] = []
        for event in events:
            if type(event) is MemberDescribed and event.cluster != cluster:
                continue
            if type(event) is MemberChanged and event.new == "alive" and not self.exchange.is_mate(event.node):
                continue
            if type(event) is MemberAdmitted and not self.exchange.is_linked(event.node):
                continue
            effects += self.on_event(now, event)
        return effects

    # --- clients ---------------------------------------------------------------------------------------------

    def new_client_id(self) -> ClientId:
        """An id for a connection that is about to be announced with `client_connected`."""
        self.look_at_the_clock()
        return ClientId(self.stamps.next_id().decode())

    def client_connected(self, now: Instant, client: ClientId, info: ClientInfo) -> list[Effect]:
        """Welcome a client, or close it with 1013 when there are `clients_max` already."""
        self.look_at_the_clock(now)
        return connect(self, now, client, info)

    def client_disconnected(self, now: Instant, client: ClientId) -> list[Effect]:
        """Forget a client, and tell those who shared its channels. Repeats are harmless."""
        self.look_at_the_clock(now)
        return disconnect(self, now, client)

    def client_frames(self, now: Instant, client: ClientId, frames: Sequence[bytes]) -> list[Effect]:
        """Text frames of one client, in the order of their arrival. Whatever is in them, this returns."""
        return take_frames(self, now, client, frames)

    def adopt(self, now: Instant, settings: BusSettings) -> None:
        """Other settings from now on, of those that are marked as hot in the model. Who is above a new limit stays."""
        before, self.settings = self.settings, settings
        self.history.per_channel = settings.history.per_channel
        self.permissions.adopt(settings.auth.rooms, tenants_hear_mesh=settings.auth.tenants_hear_mesh)
        self.channels.adopt(settings.channels_max, settings.subscriptions_max)
        for client in self.clients.values():
            client.routes.clear()  # worked out by the rules of before
        if any(getattr(before, limit) != getattr(settings, limit) for limit in LIMITS):
            begin_anew(self, now)

    def left_mesh(self) -> list[Effect]:
        """There is no link any more for which a publisher would have to wait, and no partition to be on a side of."""
        self.partition = None
        self.backlogged.clear()
        self.fillup.left_mesh()
        return [
            *resume(self),
            *self.exchange.left_mesh(),
            *to_mesh_room(self, mesh_room.partition_payload(None, self.cluster_of)),
        ]

    # --- queries ---------------------------------------------------------------------------------------------

    @property
    def client_count(self) -> int:
        return len(self.clients)

    def history_frames(self, channel: str, limit: int, bytes_max: int = 1 << 20) -> list[bytes]:
        """The newest canonical frames of a channel, oldest of them first; empty when there is no such channel."""
        found = self.channels.find(channel)
        return [] if found is None else self.history.newest(found.ring, limit, bytes_max)

    def gap_notice(self, client: ClientId, missing: int) -> bytes:
        """What a slow client reads in place of messages that were dropped; it asks for them by `since`."""
        self.look_at_the_clock()
        found = self.clients.get(client)
        payload = {"event": "gap", "reason": "slow-client", "dropped": missing, "hint": "join_channel with since"}
        dialect = Dialect.CANONICAL if found is None else found.dialect
        return from_bus(dialect, "system", self.stamps.next_id().decode(), self.stamps.time, payload)

    def history_for(self, identity: Identity, channel: str, limit: int) -> list[bytes]:
        """As `history_frames`, for somebody outside: `channel` as they name it. Raises Refusal."""
        name = inside(identity.tenant, resolve("", channel, self.settings.names))
        self.permissions.check(identity, "history", name)
        return self.history_frames(name, limit)

    def stats(self) -> dict[str, int]:
        """Gauges and counters, for status and metrics."""
        return {
            "clients_connected": len(self.clients),
            "clients_paused": len(self.paused),
            "channels": len(self.channels),
            "channels_evicted": self.channels.evicted,
            "cluster_clients": len(self.clients) + len(self.exchange.view),
            "cluster_nodes": self.exchange.nodes + 1,
            "history_bytes": self.history.held_bytes,
            "history_evicted": self.history.evicted,
            **self.fillup.counters,
            **self.counters,
        }

    def look_at_the_clock(self, now: Instant | None = None) -> None:
        """Once per input: every part then reads the same `wall_ms`, and the same `now` where the input has one."""
        if now is not None:
            self.now = now
        self.wall_ms = self.env.wall_ms()
        self.stamps.at(self.wall_ms)
