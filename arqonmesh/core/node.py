"""One node, still pure: the bus alone, and once it belongs to a mesh, the bus with the mesh's cores around it.

    bytes from a link ──decode, rate check, unwrap──▶ cores ──▶ effects ──source routes──▶ the runtime or the simulator
    frames of a client ───────────────────────────▶ bus ──▶ federation ─┘

Who drives it: `runtime/` on real links and disks, `sim/` on simulated ones. Both call the same methods, perform the
returned effects in order, and call `end_tick` once all inputs of one tick are in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from arqonmesh.config.model import Config
from arqonmesh.core.bus.bus import Bus, BusEnv
from arqonmesh.core.bus.clients import ClientInfo
from arqonmesh.core.bus.identity import Identity
from arqonmesh.core.events import Dropped, Fault, LastResort, Publish, TransportDown, TransportUp
from arqonmesh.core.kernel import Crypto, Durable, Effect, Emit, Env, Event, Instant, Lane, Rng, Send
from arqonmesh.core.peers.buckets import Buckets
from arqonmesh.core.peers.evidence import still_heard
from arqonmesh.core.plane import MeshIdentity, Plane
from arqonmesh.core.relay import RELAYABLE, arrived, wrap
from arqonmesh.core.router import Router
from arqonmesh.errors import DecodeError, PeerError
from arqonmesh.ids import ClientId, ClusterId, MeshId, NodeId
from arqonmesh.wire.codec import UNKNOWN_MESSAGE, decode_message
from arqonmesh.wire.messages import (
    MAX_DATAGRAM_BYTES,
    MAX_FRAME_BYTES,
    BusAck,
    BusBatch,
    HistoryFrames,
    HistoryHeads,
    HistoryWanted,
    Relay,
)

LIMITED_LANES: Final = (Lane.DATAGRAM, Lane.CONTROL)
"""Lanes under the per-peer message rate; data is bounded by the outbox window instead."""
RELAYED_SHARE: Final = 2
"""Half of the rate that a peer grants us is for what others send through us: or they could use up all of it, and with
our heartbeats unheard cut a link that is not theirs."""
DATA: Final = (BusBatch, BusAck)
HISTORY: Final = (HistoryHeads, HistoryWanted, HistoryFrames)
"""What the other lanes carry, and nothing else, or the rate could be walked around. No window bounds history, so the
rate does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything that a node is given from outside; nothing in here does I/O when called."""

    node_id: NodeId
    public_key: bytes
    crypto: Crypto
    wall_ms: Callable[[], int]
    rng_for: Callable[[str], Rng]
    """A generator per core name."""
    boot_epoch: int
    durable_history: bool = False
    """Whether somebody performs `KeepFrames` and `ReadHistory`."""
    stopwatch: Callable[[], int] | None = None
    """Nanoseconds, to measure what work costs; it decides nothing."""
    authenticate: Callable[[Identity, str], Identity] | None = None
    """Judges what a bus client shows; see `BusEnv`."""


class Node:
    """The composition of the cores of one node."""

    def __init__(self, config: Config, world: World) -> None:
        self.config = config
        self.world = world
        bus_env = BusEnv(
            node_id=world.node_id,
            cluster=ClusterId(config.node.cluster),
            rng=world.rng_for("bus"),
            wall_ms=world.wall_ms,
            stopwatch=world.stopwatch,
            authenticate=world.authenticate,
            boot_epoch=world.boot_epoch,
            durable=world.durable_history,
            links_mates=config.links.auto != "none",
        )
        self.bus = Bus(bus_env, config.bus, self._is_exported, self._cluster_of, self._shares)
        self.plane: Plane | None = None
        self._router = Router((self.bus,))
        self._neighbours: dict[NodeId, None] = {}
        self._onward = Buckets(
            rate_per_s=-(-config.peers.rate_per_s // RELAYED_SHARE), burst=-(-config.peers.burst // RELAYED_SHARE)
        )
        """What others send through us, per next hop."""

    # --- life ---------------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable, mesh: MeshIdentity | None) -> list[Effect]:
        effects = self._router.start(now, durable)
        return effects if mesh is None else effects + self.enter_mesh(now, durable, mesh)

    def adopt(self, now: Instant, config: Config) -> None:
        """Go on with the settings of `config` that are marked as hot; it holds no other change."""
        self.config = config
        self.bus.adopt(now, config.bus)
        if self.plane is not None:
            self.plane.federation.adopt(config.federation)
            self.plane.routing.adopt(config.routing)
            self.plane.user_events.adopt(config.user_events)

    def renew_epoch(self, boot_epoch: int) -> None:
        """Take a higher epoch, already on disk, before entering a mesh: one that was left may be joined again, and
        what was signed in it before must never share a number with what is signed from now on."""
        assert self.plane is None, "the epoch of a member does not change while it lives"
        assert boot_epoch > self.world.boot_epoch, f"epoch {boot_epoch} after {self.world.boot_epoch}"
        self.world = replace(self.world, boot_epoch=boot_epoch)

    def enter_mesh(self, now: Instant, durable: Durable, mesh: MeshIdentity) -> list[Effect]:
        """Belong to this mesh from now on. `durable` holds what an earlier life in it left behind."""
        assert self.plane is None, "already in a mesh; leave it first"
        self.plane = Plane(self.config, self._env_of, mesh)
        self._router = Router((*self.plane.cores, self.bus), after=self._router)
        return self._leaving(now, self.plane.start(now, durable, self._router))

    def leave_mesh(self, now: Instant) -> list[Effect]:
        """Forget the mesh at once. The farewell (membership's `leave`) has to be sent and heard before."""
        self.plane = None
        self._router = Router((self.bus,), after=self._router)
        self._neighbours.clear()
        return self._router.run(now, self.bus, self.bus.left_mesh())

    def describe(
        self, now: Instant, addresses: tuple[str, ...], software: str, capabilities: tuple[str, ...]
    ) -> list[Effect]:
        """Tell the mesh where this node listens and what it is; again when that changes."""
        assert self.plane is not None, "only a member describes itself"
        membership = self.plane.membership
        said = membership.describe(addresses, software, capabilities)
        return self._leaving(now, self._router.run(now, membership, said))

    def introduce(self, now: Instant, members: Sequence[tuple[NodeId, tuple[str, ...]]]) -> list[Effect]:
        """Members and where they listen, as told by who admitted us; their own records come by gossip."""
        assert self.plane is not None, "only a member is introduced"
        topology, admission = self.plane.topology, self.plane.admission
        effects: list[Effect] = []
        for node, addresses in members:
            member = admission.member(node)
            if member is not None:
                effects += self._router.run(now, topology, topology.told(now, node, member.role, addresses))
        return self._leaving(now, effects)

    def say_farewell(self, now: Instant) -> list[Effect]:
        """Tell the mesh that this node leaves for good; `leave_mesh` once that is heard."""
        assert self.plane is not None, "only a member leaves"
        membership = self.plane.membership
        return self._leaving(now, self._router.run(now, membership, membership.leave(now)))

    def publish(self, now: Instant, statements: Sequence[Publish]) -> list[Effect]:
        """Publish statements of ours that come from an operator or an admission."""
        effects: list[Effect] = []
        for statement in statements:
            effects += self._router.event(now, statement)
        return self._leaving(now, effects)

    def fire(self, now: Instant, name: str, payload: bytes) -> tuple[int, list[Effect]]:
        """Send a user event to every node; its Lamport time. Raises what `UserEvents.fire` raises."""
        assert self.plane is not None, "only a member sends events"
        user_events = self.plane.user_events
        lamport, said = user_events.fire(now, name, payload)
        return lamport, self._leaving(now, self._router.run(now, user_events, said))

    # --- links --------------------------------------------------------------------------------------------

    def is_neighbour(self, peer: NodeId) -> bool:
        """A connection with it stands: what is for it leaves there, whatever ways there are over others."""
        return peer in self._neighbours

    def transport_up(self, now: Instant, peer: NodeId, transport: str, *, outbound: bool) -> list[Effect]:
        if self.plane is None:
            return []
        self._neighbours[peer] = None
        return self._leaving(now, self._router.event(now, TransportUp(peer, transport, outbound)))

    def transport_down(self, now: Instant, peer: NodeId, reason: str) -> list[Effect]:
        if self._neighbours.pop(peer, self) is self:
            return []
        return self._leaving(now, self._router.event(now, TransportDown(peer, reason)))

    def frame(self, now: Instant, link_peer: NodeId, lane: Lane, data: bytes) -> list[Effect]:
        """One encoded message of a linked peer. Rubbish costs the peer reputation and us nothing."""
        plane = self.plane
        if plane is None or link_peer not in self._neighbours:
            return [Emit(Dropped("node", "not-linked"))]
        peers, limited = plane.peers, lane in LIMITED_LANES
        if limited and not peers.allow(now, link_peer):
            self._router.touch(peers)
            return [Emit(Dropped("node", "rate-limited", 1, link_peer))]
        try:
            limit = MAX_DATAGRAM_BYTES if lane is Lane.DATAGRAM else MAX_FRAME_BYTES
            message = decode_message(data, max_bytes=limit)
            if not limited and type(message) not in DATA:
                if type(message) not in HISTORY:
                    return self._blame(now, link_peer, "malformed", "node.wrong-lane")
                if not peers.allow(now, link_peer):
                    self._router.touch(peers)
                    return [Emit(Dropped("node", "rate-limited", 1, link_peer))]
            author = link_peer
            ignored = peers.ignored(link_peer)
            if ignored:
                heard = still_heard(message, link_peer)
                if heard is None:
                    return [Emit(Dropped("node", "ignored-peer", 1, link_peer))]
                message = heard
            if type(message) is Relay:
                unwrapped = arrived(self.world.node_id, link_peer, message)
                if isinstance(unwrapped, Send):
                    if ignored:
                        return [Emit(Dropped("node", "ignored-peer", 1, link_peer))]
                    return self._pass_on(now, unwrapped)
                author, message = unwrapped
        except DecodeError as error:
            if error.code == UNKNOWN_MESSAGE:  # a later version's: skipped, and no fault of who sends it
                return [Emit(Dropped("node", "unknown-message", 1, link_peer))]
            return self._blame(now, link_peer, "malformed", error.code)
        except PeerError as error:
            return self._blame(now, link_peer, "bad-route", error.code)
        effects = self._router.message(now, author, message)
        if effects is None:
            return self._blame(now, link_peer, "malformed", "node.unexpected-message")
        return self._leaving(now, effects)

    # --- bus clients --------------------------------------------------------------------------------------

    def client_connected(self, now: Instant, client: ClientId, info: ClientInfo) -> list[Effect]:
        return self._leaving(now, self._router.run(now, self.bus, self.bus.client_connected(now, client, info)))

    def client_frames(self, now: Instant, client: ClientId, frames: Sequence[bytes]) -> list[Effect]:
        return self._leaving(now, self._router.run(now, self.bus, self.bus.client_frames(now, client, frames)))

    def client_disconnected(self, now: Instant, client: ClientId) -> list[Effect]:
        return self._leaving(now, self._router.run(now, self.bus, self.bus.client_disconnected(now, client)))

    def bus_did(self, now: Instant, effects: list[Effect]) -> list[Effect]:
        """What the bus answered to an operator, who is none of its clients."""
        return self._leaving(now, self._router.run(now, self.bus, effects))

    # --- time, disk, ticks --------------------------------------------------------------------------------

    def event(self, now: Instant, event: Event) -> list[Effect]:
        """An event of the runtime: Late, or one that a test wants to tell."""
        return self._leaving(now, self._router.event(now, event))

    def persisted(self, now: Instant, token: int) -> list[Effect]:
        return self._leaving(now, self._router.persisted(now, token))

    def on_timer(self, now: Instant) -> list[Effect]:
        return self._leaving(now, self._router.timer(now))

    def next_deadline(self) -> Instant | None:
        return self._router.next_deadline()

    @property
    def tick_due(self) -> bool:
        """Whether `end_tick` has anything to do. A driver that asks spares itself a turn of its loop."""
        plane = self.plane
        return plane is not None and plane.federation.work_due

    def end_tick(self, now: Instant) -> list[Effect]:
        """All inputs of this tick are in: batch what was published, sign once, send."""
        if self.plane is None:
            return []
        federation = self.plane.federation
        return self._leaving(now, self._router.run(now, federation, federation.flush(now)))

    def end_windows(self, now: Instant) -> list[Effect]:
        """The node is about to stop: aggregates that wait for their windows' ends leave now."""
        if self.plane is None:
            return []
        federation = self.plane.federation
        return self._leaving(now, self._router.run(now, federation, federation.end_windows(now)))

    # --- private ------------------------------------------------------------------------------------------

    def _env_of(self, mesh_id: MeshId, core: str) -> Env:
        world, node = self.world, self.config.node
        return Env(
            node_id=world.node_id,
            public_key=world.public_key,
            cluster=ClusterId(node.cluster),
            role=node.role,
            region=node.region,
            mesh_id=mesh_id,
            rng=world.rng_for(core),
            wall_ms=world.wall_ms,
            crypto=world.crypto,
            boot_epoch=world.boot_epoch,
            stopwatch=world.stopwatch,
        )

    def _cluster_of(self, node: NodeId) -> str | None:
        return None if self.plane is None else self.plane.admission.cluster_of(node)

    def _shares(self, channel: str, node: NodeId) -> bool:
        return self.plane is not None and self.plane.federation.shares(channel, node)

    def _is_exported(self, channel: str) -> bool:
        return self.plane is not None and self.plane.federation.exported(channel)

    def _leaving(self, now: Instant, effects: list[Effect]) -> list[Effect]:
        """Give every Send to a member without a direct link its source route."""
        if not effects:  # as what most frames come to
            return effects
        neighbours = self._neighbours
        for index, effect in enumerate(effects):
            if type(effect) is Send and effect.to not in neighbours:
                effects[index] = self._routed(effect, effects)
        return effects

    def _routed(self, send: Send, effects: list[Effect]) -> Effect:
        """What leaves in place of `send`; what is to be told of its way joins `effects`."""
        assert self.plane is not None
        name = type(send.message).__name__
        if type(send.message) not in RELAYABLE:
            return Emit(Dropped("routing", "link-gone", 1, name))
        routing = self.plane.routing
        route = routing.route(send.to)
        if route is None or len(route) < 2 or route[1] not in self._neighbours:
            kept_off = route is None and routing.route_of_all(send.to) is not None
            return Emit(Dropped("routing", "untrusted-transit" if kept_off else "no-route", 1, name))
        if (via := routing.used(route)) is not None:
            effects.append(Emit(LastResort(via, send.to)))
        return wrap(route, send.lane, send.message)

    def _pass_on(self, now: Instant, send: Send) -> list[Effect]:
        if send.to not in self._neighbours:
            return [Emit(Dropped("routing", "next-hop-gone"))]
        if not self._onward.take(now, send.to):
            return [Emit(Dropped("routing", "relay-rate", 1, send.to))]
        return [send]

    def _blame(self, now: Instant, peer: NodeId, cause: str, detail: str) -> list[Effect]:
        dropped = Emit(Dropped("node", cause, 1, detail))
        return [dropped, *self._leaving(now, self._router.event(now, Fault(peer, cause, detail.encode())))]
