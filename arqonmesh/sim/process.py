"""One machine with one node: performs the node's effects as runtime/host.py does, and can die.

    frame, timer, Persisted, client ─▶ node ─▶ effects, performed at once and in order ─▶ end of the tick ─▶ flush

`crash` kills the process (disk writes handed over may or may not have been done), `power_off` the machine (what was not
synced may be gone too), `pause` stops it for a while: inputs wait, timers are late, and the node is told that they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

from arqonmesh.config.model import Config
from arqonmesh.core.bus.clients import ClientInfo
from arqonmesh.core.events import ClientDrained, Late
from arqonmesh.core.kernel import (
    AwaitDrain,
    CloseClient,
    Connect,
    Deliver,
    Disconnect,
    Effect,
    Emit,
    Event,
    Instant,
    Lane,
    Persist,
    Put,
    Send,
    Throttle,
)
from arqonmesh.core.node import Node
from arqonmesh.core.node import World as NodeWorld
from arqonmesh.core.plane import MeshIdentity
from arqonmesh.ids import ClientId, NodeId, node_id_of
from arqonmesh.sim.crypto import ToyCrypto, toy_key
from arqonmesh.sim.disk import Disk
from arqonmesh.sim.network import End, Endpoint, Network
from arqonmesh.sim.world import EPOCH_MS, World
from arqonmesh.wire.codec import encode_message
from arqonmesh.wire.messages import WireMessage

TICK_US: Final = 100
"""From the first input of a tick to its end: what an event loop takes to come round."""
LATE_AFTER_US: Final = 50_000
INPUTS_MAX: Final = 100_000
"""What waits for a paused process; beyond it, packets are lost as in a full socket buffer."""

MILLION: Final = 1_000_000

Receive = Callable[[tuple[bytes, ...]], None]


class Judge(Protocol):
    """credentials.Credentials fits."""

    @property
    def leaf(self) -> object: ...
    def refuse(self, node: NodeId, shown: Any) -> str | None: ...


class Process:
    """A machine by name. Alive between `boot` and `crash`, `power_off`."""

    def __init__(self, world: World, network: Network, name: str, config: Config) -> None:
        self.world = world
        self.network = network
        self.name = name
        self.config = config
        self.public_key = toy_key(name)
        self.node_id: NodeId = node_id_of(self.public_key)
        self.disk = Disk(world, name)
        self.node: Node | None = None
        self.endpoint: Endpoint | None = None
        self.mesh: MeshIdentity | None = None
        self.lives = 0
        self.unsent = 0
        self.overflowed = 0
        self.effects = 0
        self._prefix = name.encode() + b" "
        self.watchers: list[Callable[[Process, Event], None]] = []
        """Told every event that leaves the node."""
        self.on_next_write: Callable[[], None] | None = None
        """Called once, when the node hands its next transaction to the disk."""
        self.on_boot: list[Callable[[Process], None]] = []
        self.outgoing: Callable[[Sequence[Effect]], Iterable[Effect]] | None = None
        """What becomes of the node's effects before they are performed; None for nothing."""
        self.credentials: Judge | None = None
        """Shows and judges leaf certificates; without one, the roster alone decides about links."""
        self._dice = world.dice(f"machine {name}")
        self._clock_offset_us = self._dice.randrange(0, 1_000_000_000)
        self.wall_offset_ms = self._dice.randrange(-2_000, 2_001)
        """How far the wall clock is off; changed by steps."""
        self._drift_ppm = 0
        self._clients: dict[ClientId, Receive] = {}
        self._paused = False
        self.listening = False
        self._inbox: deque[Callable[[], None]] = deque()
        self._flush_due = False
        self._timer_at: Instant | None = None
        self._encoded_message: WireMessage | None = None
        self._encoded = b""

    # --- life ---------------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        return self.node is not None

    @property
    def paused(self) -> bool:
        return self._paused

    @property
    def waiting(self) -> int:
        """Inputs that wait for a paused process."""
        return len(self._inbox)

    @property
    def running(self) -> Node:
        assert self.node is not None, f"{self.name} is down"
        return self.node

    def boot(self, mesh: MeshIdentity) -> None:
        """Start, with what the disk has kept. The boot epoch is on disk before anything else happens."""
        assert self.node is None, f"{self.name} runs already"
        self.lives += 1
        self.mesh = mesh
        durable = self.disk.durable()
        epoch = _stored_epoch(durable["scalars"]) + 1
        self.disk.write_now((Put("scalars", ("node", "boot_epoch", epoch.to_bytes(8, "big"))),))
        given = NodeWorld(
            node_id=self.node_id,
            public_key=self.public_key,
            crypto=ToyCrypto(self.public_key),
            wall_ms=self.wall_ms,
            rng_for=lambda core: self.world.dice(f"core {core} of {self.name} life {epoch}"),
            boot_epoch=epoch,
        )
        self.node = Node(self.config, given)
        self.listening = not self._paused
        self.endpoint = Endpoint(self.network, self.node_id, self.public_key, self)
        self._timer_at = None
        self._flush_due = False
        now = self.now()
        self.perform(self.node.start(now, durable, mesh))
        self.perform(self.node.describe(now, (f"{self.name}.sim:9130",), "sim", ()))
        for told in self.on_boot:
            told(self)

    def crash(self) -> None:
        """kill -9: memory is gone, the operating system finishes some of the writes."""
        self._die()
        self.disk.process_died()

    def power_off(self) -> None:
        """The plug: what was not synced is gone, a prefix apart."""
        self._die()
        self.disk.power_lost()

    def pause(self) -> None:
        """SIGSTOP."""
        self._paused, self.listening = True, False

    def resume(self) -> None:
        """SIGCONT: everything that waited comes at once."""
        self._paused, self.listening = False, self.alive
        waited, self._inbox = self._inbox, deque()
        for action in waited:
            action()

    def fail_disk(self, told: Callable[[], None]) -> None:
        """The next transaction ends in an I/O error. As fsync's answer means nothing after that, the process stops, and
        closes its connections; `told` is called then."""
        life = self.lives

        def stop() -> None:
            if self.lives == life and self.endpoint is not None:
                told()
                for end in list(self.endpoint.ends.values()):
                    end.close()
                self._die()

        self.disk.on_error = stop

    def drift(self, ppm: int) -> None:
        """Both clocks run so much too fast (or too slow) from now on, without a step."""
        self._clock_offset_us = self.now() - self.world.now - self.world.now * ppm // MILLION
        self._drift_ppm = ppm

    def now(self) -> Instant:
        """The machine's own monotonic clock."""
        now = self.world.now + self._clock_offset_us
        return now + self.world.now * self._drift_ppm // MILLION if self._drift_ppm else now

    def wall_ms(self) -> int:
        """The machine's wall clock."""
        now = self.world.now
        return EPOCH_MS + self.wall_offset_ms + (now + now * self._drift_ppm // MILLION) // 1_000

    def _die(self) -> None:
        assert self.endpoint is not None, f"{self.name} is down already"
        self.endpoint.die()
        self.node = self.endpoint = None
        self._clients.clear()
        self._inbox.clear()
        self._paused = self.listening = False

    # --- bus clients --------------------------------------------------------------------------------------

    def connect_client(self, name: str, receive: Receive) -> ClientId:
        """A client connects; it hears frames as (several) batches."""
        node = self.running
        client = node.bus.new_client_id()
        self._clients[client] = receive
        info = ClientInfo(address=f"{name}:1", subprotocol="arqon.v1", name=name, kind="sim")
        self.perform(node.client_connected(self.now(), client, info))
        return client

    def _client_drained(self, client: ClientId) -> None:
        self._with(lambda node: node.event(self.now(), ClientDrained(client)))

    def client_says(self, client: ClientId, frame: bytes) -> None:
        if client in self._clients:
            self.receive(partial(self._client_frame, client, frame))

    # --- network.Owner ------------------------------------------------------------------------------------

    def receive(self, action: Callable[[], None]) -> None:
        if self.node is None:
            return
        if not self._paused:
            action()
        elif len(self._inbox) < INPUTS_MAX:
            self._inbox.append(action)
        else:
            self.overflowed += 1

    def shown(self) -> object:
        """What this node shows of itself in a handshake."""
        return None if self.credentials is None else self.credentials.leaf

    def refuse(self, node: NodeId, public_key: bytes, shown: object) -> str | None:
        if self.credentials is not None:
            refusal = self.credentials.refuse(node, shown)
            if refusal is not None:
                return refusal
        plane = self.running.plane
        return "no-mesh" if plane is None else plane.admission.refuse(node, public_key)

    def link_up(self, peer: NodeId, outbound: bool) -> None:
        self._with(lambda node: node.transport_up(self.now(), peer, "quic", outbound=outbound))

    def link_down(self, peer: NodeId, reason: str) -> None:
        self._with(lambda node: node.transport_down(self.now(), peer, reason))

    def frame(self, end: End, lane: Lane, data: bytes) -> None:
        world = self.world
        world.handled += 1
        now = world.now
        world.trace.frame(now, self._prefix + end.labels[lane], data)
        node = self.node
        if node is not None:
            now = self.now() if self._drift_ppm else now + self._clock_offset_us
            self.perform(node.frame(now, end.peer, lane, data))

    # --- effects ------------------------------------------------------------------------------------------

    def perform(self, effects: Sequence[Effect]) -> None:
        """Perform in order, then see to the tick's end and the next deadline."""
        if effects:
            self._perform_all(effects)
        self._touch()

    def _perform_all(self, effects: Sequence[Effect]) -> None:
        self.effects += len(effects)
        for effect in effects if self.outgoing is None else self.outgoing(effects):
            endpoint = self.endpoint
            if endpoint is None:  # it died of the one before
                return
            if type(effect) is Send:
                message = effect.message
                if message is not self._encoded_message:  # one message often goes to many
                    self._encoded_message, self._encoded = message, encode_message(message)
                if not endpoint.send(effect.to, effect.lane, self._encoded):
                    self.unsent += 1
            elif type(effect) is Emit:
                event = effect.event
                for watcher in self.watchers:
                    watcher(self, event)
            else:
                self._perform_rare(endpoint, effect)

    def _perform_rare(self, endpoint: Endpoint, effect: Effect) -> None:
        if type(effect) is Persist:
            self._persist(effect)
        elif type(effect) is Deliver:
            for client in effect.clients:
                if client in self._clients:
                    self._clients[client](effect.frames)
        elif type(effect) is Connect:
            endpoint.want(effect.peer)
        elif type(effect) is Disconnect:
            if effect.forget:
                endpoint.forget(effect.peer)
            endpoint.disconnect(effect.peer, effect.reason)
        elif type(effect) is CloseClient:
            self._clients.pop(effect.client, None)
            self.world.trace.tell(self.world.now, self.name, f"closes a client: {effect.code} {effect.reason}")
        elif type(effect) is AwaitDrain:  # clients here read at once
            self.world.after(TICK_US, self._in_life, self.lives, partial(self._client_drained, effect.client))
        else:
            assert type(effect) is Throttle, f"no such effect: {effect!r}"

    def _persist(self, effect: Persist) -> None:
        if self.on_next_write is not None:
            struck, self.on_next_write = self.on_next_write, None
            struck()
        life = self.lives
        token = effect.token

        def done() -> None:
            if self.lives == life:
                self.receive(partial(self._persisted, token))

        self.disk.write(effect.writes, sync=effect.sync, done=None if token < 0 else done)

    def _persisted(self, token: int) -> None:
        self.world.handled += 1
        self._with(lambda node: node.persisted(self.now(), token))

    def _client_frame(self, client: ClientId, frame: bytes) -> None:
        self.world.handled += 1
        self._with(lambda node: node.client_frames(self.now(), client, (frame,)))

    def _with(self, step: Callable[[Node], list[Effect]]) -> None:
        if self.node is not None:
            self.perform(step(self.node))

    # --- ticks and time -----------------------------------------------------------------------------------

    def _touch(self) -> None:
        """An input was handled. A tick that has something to end ends a little later, with all that comes until then;
        the timer is set after that."""
        node = self.node
        if self._flush_due or node is None:
            return
        if node.tick_due:
            self._flush_due = True
            self.world.after(TICK_US, self._in_life, self.lives, self._flush)
        else:
            self._rearm()

    def _in_life(self, life: int, action: Callable[..., None], *given: Instant) -> None:
        if life == self.lives and self.node is not None:
            if self._paused:
                self.receive(partial(action, *given))
            else:
                action(*given)

    def _flush(self) -> None:
        self._flush_due = False
        if self.node is None:
            return
        self._perform_all(self.node.end_tick(self.now()))
        self._rearm()

    def _rearm(self) -> None:
        node = self.node
        deadline = None if node is None else node.next_deadline()
        armed_for = self._timer_at
        if deadline is None or (armed_for is not None and armed_for <= deadline):
            return
        self._timer_at = deadline
        due = deadline - self._clock_offset_us
        if self._drift_ppm:
            due = -(-due * MILLION // (MILLION + self._drift_ppm))
        due = max(due, self.world.now + TICK_US)  # a loop comes round before it fires
        self.world.at(due, self._in_life, self.lives, self._timer, deadline)

    def _timer(self, armed_for: Instant) -> None:
        node = self.node
        if node is None or self._timer_at != armed_for:
            return
        self._timer_at = None
        now = self.now()
        deadline = node.next_deadline()
        if deadline is not None and now - deadline > LATE_AFTER_US:
            self.perform(node.event(now, Late(now - deadline)))
        if deadline is not None and deadline <= now:
            self.world.handled += 1
            self.perform(node.on_timer(now))
        else:
            self._touch()


def _stored_epoch(scalars: Iterable[tuple[object, ...]]) -> int:
    stored: Mapping[object, object] = {row[1]: row[2] for row in scalars if row[0] == "node"}
    epoch = stored.get("boot_epoch")
    return int.from_bytes(epoch, "big") if isinstance(epoch, bytes) else 0
