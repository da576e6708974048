"""Connections between simulated processes: what net/ offers, on top of `LinkModel`.

A datagram arrives when the model says so, or not, or twice. A stream lane loses and reorders nothing: what the model
loses is sent again, and what arrives early waits for what is missing. A connection stands after a handshake of one
and a half round trips, in which both ends ask their roster about the other. It ends when an end closes it, which the
other hears if the packet gets through, or with the process, which nobody hears.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from arqonmesh.core.kernel import MILLISECOND, SECOND, Lane
from arqonmesh.ids import NodeId
from arqonmesh.sim.link_model import LinkModel
from arqonmesh.sim.world import World

OVERHEAD_BYTES: Final = 60
"""IP, UDP and QUIC around a message."""
HANDSHAKE_BYTES: Final = 1_200
HANDSHAKE_PATIENCE_US: Final = SECOND
BACKOFF_MIN_US: Final = 200 * MILLISECOND
BACKOFF_MAX_US: Final = SECOND
"""As the driver dials by default (`links.reconnect_*_ms`)."""
STEADY_US: Final = 5 * SECOND
"""A link that held this long starts the back-off over (net/dialer.py)."""
RETRY_UNMEASURED_US: Final = 200 * MILLISECOND
"""Before a path is measured QUIC sends again after twice the initial RTT, 100 ms (net/tls.py; RFC 9002, 6.2), and goes
on at that pace for longer than a dial takes here (net/quic_core.py, EAGER_S)."""
RETRY_MIN_US: Final = 20 * MILLISECOND
SIMULTANEOUS_US: Final = 3 * SECOND
"""Two connections this young come from two dials that crossed."""
LANE_BYTES_MAX: Final = 8 << 20


class Owner(Protocol):
    """The process behind an endpoint."""

    listening: bool
    """It lives and is not stopped: what comes in is handled at once."""

    def receive(self, action: Callable[[], None]) -> None:
        """Something came in from the network: now, or when the process runs again."""

    def shown(self) -> object:
        """What it shows of itself in a handshake, for the other side's `refuse`."""

    def refuse(self, node: NodeId, public_key: bytes, shown: object) -> str | None: ...
    def link_up(self, peer: NodeId, outbound: bool) -> None: ...
    def link_down(self, peer: NodeId, reason: str) -> None: ...
    def frame(self, end: End, lane: Lane, data: bytes) -> None:
        """One whole message that came over this connection."""


class Network:
    """All directed paths and all endpoints that listen."""

    def __init__(self, world: World, model: Callable[[], LinkModel] = LinkModel) -> None:
        self.world = world
        self.dice = world.dice("network")
        self.endpoints: dict[NodeId, Endpoint] = {}
        self.packets = 0
        self.lost = 0
        self.bytes = 0
        """Handed to the network, overhead included, whatever became of it."""
        self.new_model = model
        """Makes the model of a direction when it is first used."""
        self._models: dict[tuple[NodeId, NodeId], LinkModel] = {}

    def path(self, source: NodeId, target: NodeId) -> LinkModel:
        """The model of one direction, made when first asked for."""
        model = self._models.get((source, target))
        if model is None:
            model = self._models[source, target] = self.new_model()
        return model

    def plan(self, source: NodeId, target: NodeId, size_bytes: int) -> tuple[int, ...]:
        self.packets += 1
        self.bytes += size_bytes + OVERHEAD_BYTES
        times = self.path(source, target).plan(self.world.now, size_bytes + OVERHEAD_BYTES, self.dice)
        self.lost += not times
        return times

    def persistently(
        self,
        source: NodeId,
        target: NodeId,
        size_bytes: int,
        arrive: Callable[[], None],
        wanted: Callable[[], bool],
        patience_us: int = 0,
    ) -> None:
        """Send, and send again while `wanted`, until one packet gets through. `patience_us`: until it is sent again, as
        long as nothing is known of the path; 0 on a connection that stands, where the answers to other packets show
        what is lost soon (RFC 9002, 6.1)."""
        times = self.plan(source, target, size_bytes)
        if times:
            self.world.at(times[0], arrive)
            return
        again = partial(self._attempt, source, target, size_bytes, arrive, wanted, patience_us)
        self.world.after(patience_us or max(RETRY_MIN_US, 3 * self.path(source, target).delay_us), again)

    def _attempt(
        self,
        source: NodeId,
        target: NodeId,
        size_bytes: int,
        arrive: Callable[[], None],
        wanted: Callable[[], bool],
        patience_us: int,
    ) -> None:
        if wanted():
            self.persistently(source, target, size_bytes, arrive, wanted, patience_us)


@dataclass(slots=True, eq=False)
class _Pipe:
    """One stream lane in one direction."""

    next_seq: int = 0
    unarrived_bytes: int = 0
    expected: int = 0
    early: dict[int, bytes] = field(default_factory=dict)


class End:
    """One side of a connection."""

    def __init__(self, endpoint: Endpoint, peer: NodeId, *, outbound: bool) -> None:
        self.endpoint = endpoint
        self.peer = peer
        self.outbound = outbound
        self.open = False
        self.dead = False
        self.up_at = 0
        self.far: End = self
        self.labels = tuple(f"frame {lane.name} {peer}".encode() for lane in Lane)
        """What the trace says of a frame that came here, by lane."""
        self._model = endpoint.network.path(endpoint.node_id, peer)
        self._pipes = {lane: _Pipe() for lane in (Lane.CONTROL, Lane.PRIORITY, Lane.BULK)}

    @property
    def dialler(self) -> NodeId:
        return self.endpoint.node_id if self.outbound else self.peer

    def send(self, lane: Lane, data: bytes) -> bool:
        network, here = self.endpoint.network, self.endpoint.node_id
        if lane is Lane.DATAGRAM:
            world = network.world
            network.packets += 1
            network.bytes += len(data) + OVERHEAD_BYTES
            times = self._model.plan(world.now, len(data) + OVERHEAD_BYTES, network.dice)
            if not times:
                network.lost += 1
            for time_us in times:
                world.at(time_us, self.far.datagram_came, data)
            return True
        pipe = self._pipes[lane]
        if pipe.unarrived_bytes + len(data) > LANE_BYTES_MAX:
            return False
        seq, pipe.next_seq = pipe.next_seq, pipe.next_seq + 1
        pipe.unarrived_bytes += len(data)
        arrive = partial(self.far.segment_came, lane, seq, data)
        network.persistently(here, self.peer, len(data), arrive, lambda: not self.dead)
        return True

    def unarrived_bytes(self) -> int:
        """Of the fullest lane."""
        return max(pipe.unarrived_bytes for pipe in self._pipes.values())

    def datagram_came(self, data: bytes) -> None:
        owner = self.endpoint.owner
        if owner.listening:
            if self.open and not self.dead:
                owner.frame(self, Lane.DATAGRAM, data)
        else:
            owner.receive(partial(self._datagram, data))

    def segment_came(self, lane: Lane, seq: int, data: bytes) -> None:
        self.far._pipes[lane].unarrived_bytes -= len(data)
        owner = self.endpoint.owner
        if owner.listening:
            self._segment(lane, seq, data)
        else:
            owner.receive(partial(self._segment, lane, seq, data))

    def opened(self) -> None:
        """The handshake is done on this side; streams that came before it are read now."""
        self.open = True
        for lane in self._pipes:
            self._read(lane)

    def close(self) -> None:
        """End it here, and tell the other side once."""
        self.dead = True
        for time_us in self.endpoint.network.plan(self.endpoint.node_id, self.peer, 50)[:1]:
            self.endpoint.network.world.at(time_us, self.far.close_came)

    def close_came(self) -> None:
        self.endpoint.owner.receive(partial(self.endpoint.lost, self, "closed by the peer"))

    def _datagram(self, data: bytes) -> None:
        if self.open and not self.dead:
            self.endpoint.owner.frame(self, Lane.DATAGRAM, data)

    def _segment(self, lane: Lane, seq: int, data: bytes) -> None:
        self._pipes[lane].early[seq] = data
        self._read(lane)

    def _read(self, lane: Lane) -> None:
        pipe = self._pipes[lane]
        while self.open and not self.dead and pipe.expected in pipe.early:
            data = pipe.early.pop(pipe.expected)
            pipe.expected += 1
            self.endpoint.owner.frame(self, lane, data)


@dataclass(slots=True)
class _Wish:
    attempt: int = 0
    """Dials since the last link that held for `STEADY_US`."""
    pending: bool = False


class Endpoint:
    """The network side of one life of one process: its connections and whom it dials."""

    def __init__(self, network: Network, node_id: NodeId, public_key: bytes, owner: Owner) -> None:
        self.network = network
        self.node_id = node_id
        self.public_key = public_key
        self.owner = owner
        self.dead = False
        self.ends: dict[NodeId, End] = {}
        self.refused: dict[str, int] = {}
        self._wishes: dict[NodeId, _Wish] = {}
        self._dice = network.world.dice(f"dialler {node_id}")
        network.endpoints[node_id] = self

    # --- what net.Endpoint offers -------------------------------------------------------------------------

    def send(self, peer: NodeId, lane: Lane, data: bytes) -> bool:
        end = self.ends.get(peer)
        return end is not None and end.send(lane, data)

    def want(self, peer: NodeId) -> None:
        """Dial for ever; repeats are harmless."""
        if peer not in self._wishes:
            self._wishes[peer] = _Wish()
            self._dial(peer)

    def forget(self, peer: NodeId) -> None:
        self._wishes.pop(peer, None)

    def disconnect(self, peer: NodeId, reason: str) -> None:
        end = self.ends.get(peer)
        if end is not None:
            self.network.world.after(0, partial(self.lost, end, f"closed here: {reason}"))

    def die(self) -> None:
        """The process is gone; nobody is told."""
        self.dead = True
        for end in self.ends.values():
            end.dead = True
        self.ends.clear()
        self._wishes.clear()
        if self.network.endpoints.get(self.node_id) is self:
            del self.network.endpoints[self.node_id]

    def lost(self, end: End, reason: str) -> None:
        """A connection ended, by us or by the other side."""
        if end.dead or self.ends.get(end.peer) is not end:
            end.dead = True
            return
        del self.ends[end.peer]
        wish = self._wishes.get(end.peer)
        if wish is not None and self.network.world.now - end.up_at >= STEADY_US:
            wish.attempt = 0
        end.close()
        self.owner.link_down(end.peer, reason)
        self._redial(end.peer)

    # --- dialling -----------------------------------------------------------------------------------------

    def _dial(self, peer: NodeId) -> None:
        wish = self._wishes.get(peer)
        if self.dead or wish is None or wish.pending or peer in self.ends:
            return
        wish.pending = True
        wish.attempt += 1
        until = self.network.world.now + HANDSHAKE_PATIENCE_US
        attempt = _Attempt(self, peer, until)
        self.network.world.at(until, partial(self._timed_out, attempt))
        attempt.hello()

    def _timed_out(self, attempt: _Attempt) -> None:
        if not attempt.over:
            attempt.over = True
            self.dial_failed(attempt.peer)

    def dial_failed(self, peer: NodeId) -> None:
        wish = self._wishes.get(peer)
        if wish is not None and not self.dead:
            wish.pending = False
            self._redial(peer)

    def _redial(self, peer: NodeId) -> None:
        """Back off: doubling, full jitter on the upper half (as net/dialer.py does)."""
        wish = self._wishes.get(peer)
        if wish is None or self.dead or wish.pending:
            return
        most = min(BACKOFF_MAX_US, BACKOFF_MIN_US << min(max(wish.attempt - 1, 0), 10))
        delay_us = most // 2 + self._dice.randrange(0, most // 2 + 1)
        self.network.world.after(delay_us, lambda: None if self.dead else self.owner.receive(partial(self._dial, peer)))

    def up(self, end: End) -> None:
        """A handshake is done on this side. Of two connections to one peer, one stays."""
        end.up_at = self.network.world.now
        wish = self._wishes.get(end.peer)
        if wish is not None:
            wish.pending = False
        old = self.ends.get(end.peer)
        if old is not None:
            crossed = old.dialler != end.dialler and end.up_at - old.up_at < SIMULTANEOUS_US and not old.far.dead
            if crossed and old.dialler < end.dialler:
                end.close()
                return
            old.close()
            self.owner.link_down(end.peer, "replaced by a newer connection")
        self.ends[end.peer] = end
        self.owner.link_up(end.peer, end.outbound)
        end.opened()

    def judge(self, node: NodeId, public_key: bytes, shown: object) -> bool:
        reason = self.owner.refuse(node, public_key, shown)
        if reason is None:
            return True
        self.refused[reason] = self.refused.get(reason, 0) + 1
        return False


class _Attempt:
    """One dial: hello, answer, finish."""

    def __init__(self, dialler: Endpoint, peer: NodeId, until: int) -> None:
        self.dialler = dialler
        self.peer = peer
        self.over = False
        self._until = until
        self._shown = dialler.owner.shown()

    def hello(self) -> None:
        self._pass(self.dialler.node_id, self.peer, self._heard)

    def _pass(self, source: NodeId, target: NodeId, arrive: Callable[[], None]) -> None:
        network = self.dialler.network
        network.persistently(
            source,
            target,
            HANDSHAKE_BYTES,
            arrive,
            lambda: not self.over and network.world.now < self._until,
            RETRY_UNMEASURED_US,
        )

    def _heard(self) -> None:
        target = self.dialler.network.endpoints.get(self.peer)
        if target is not None:
            target.owner.receive(partial(self._judged_there, target))

    def _judged_there(self, target: Endpoint) -> None:
        if not target.dead and not self.over:
            accepted = target.judge(self.dialler.node_id, self.dialler.public_key, self._shown)
            self._pass(self.peer, self.dialler.node_id, partial(self._answered, target, accepted, target.owner.shown()))

    def _answered(self, target: Endpoint, accepted: bool, shown: object) -> None:
        self.dialler.owner.receive(partial(self._judged_here, target, accepted, shown))

    def _judged_here(self, target: Endpoint, accepted: bool, shown: object) -> None:
        if self.over or self.dialler.dead:
            return
        self.over = True
        if not accepted or not self.dialler.judge(self.peer, target.public_key, shown):
            self.dialler.dial_failed(self.peer)
            return
        near = End(self.dialler, self.peer, outbound=True)
        far = End(target, self.dialler.node_id, outbound=False)
        near.far, far.far = far, near
        self.dialler.up(near)
        self.dialler.network.persistently(
            self.dialler.node_id, self.peer, 100, partial(self._finished, target, far), lambda: not near.dead
        )

    def _finished(self, target: Endpoint, far: End) -> None:
        target.owner.receive(lambda: None if target.dead or far.dead else target.up(far))
