"""The heap of what is to come and the loop that does it; see the package's docstring for how it is used."""

from __future__ import annotations

import heapq
import random
import zlib
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, TypeVar

from arqonmesh.core.events import LinkDown, LinkMeasured, LinkUp, TransportDown, TransportUp
from arqonmesh.core.kernel import (
    MILLISECOND,
    SECOND,
    Connect,
    Disconnect,
    Durable,
    Effect,
    Emit,
    Event,
    Instant,
    Lane,
    Persist,
    Send,
)
from arqonmesh.ids import NodeId, node_id_of
from arqonmesh.sim.crypto import toy_key
from arqonmesh.sim.field.latency import Latency
from arqonmesh.sim.field.node import Compose, End, FieldNode
from arqonmesh.sim.world import EPOCH_MS
from arqonmesh.wire.codec import encode_message
from arqonmesh.wire.messages import WireMessage

MILLION: Final = 1_000_000
RETRANSMIT_MIN_US: Final = 25 * MILLISECOND
"""What a loss on a stream costs at the least, on top of a round trip (RFC 9002's probe timeout on a short path)."""

_MESSAGE, _TIMER, _TELL, _CLOSED, _HANDSHAKE, _PERSISTED, _CALL, _DIRECT = range(8)

Item = tuple[int, int, int, Any, Any]
"""(time, order of making, what, its subject, its content). One tuple per thing to come, and nothing else."""
EventT = TypeVar("EventT", bound=Event)
Watcher = Callable[[int, int, EventT], None]
"""Called with (now, index of the node, event)."""


class Field:
    """One seed, one field."""

    def __init__(
        self,
        seed: int,
        latency: Latency,
        *,
        loss_ppm: int = 0,
        lossy_streams: bool = False,
        detection_us: int = 300 * MILLISECOND,
        redial_us: int = SECOND,
        persist_us: int = 0,
        unlinked: Literal["drop", "direct"] = "drop",
        weighs: bool = False,
        traced: bool = False,
    ) -> None:
        """`weighs`: count bytes too, by the real codec (each message object is encoded once in a row)."""
        self.seed = seed
        self.now: Instant = 0
        self.nodes: list[FieldNode] = []
        self.by_id: dict[NodeId, int] = {}
        self.steps = 0
        """Things done: deliveries, timers, handshakes, events told."""
        self.sent: dict[type[WireMessage], int] = {}
        self.bytes_by_type: dict[type[WireMessage], int] = {}
        self.lost = 0
        self.unlinked = 0
        """Messages to a node without a link."""
        self.unheard = 0
        """Messages that came to a dead or mute node, or over a link that was closed meanwhile."""
        self.fingerprint = 0
        self._latency = latency
        self._loss_ppm = loss_ppm
        self._lossy_streams = lossy_streams
        self._detection_us = detection_us
        self._redial_us = redial_us
        self._persist_us = persist_us
        self._direct = unlinked == "direct"
        self._weighs = weighs
        self._traced = traced
        self._dice = random.Random(f"{seed} field")
        self._heap: list[Item] = []
        self._made = 0
        self._lives: dict[int, int] = {}
        self._watchers: dict[type[Event], list[Callable[[int, int, Any], None]]] = {}
        self._weighed: WireMessage | None = None
        self._weight = 0

    # --- nodes --------------------------------------------------------------------------------------------

    def add(self, compose: Compose, *, region: str = "", durable: Durable | None = None) -> FieldNode:
        """One more node, started at once. Its index is its place in `nodes`."""
        index = len(self.nodes)
        public_key = toy_key(f"field {index}")
        node = FieldNode(index, node_id_of(public_key), public_key)
        self.nodes.append(node)
        self.by_id[node.id] = index
        self._begin(node, compose, region, durable)
        return node

    def kill(self, index: int, *, detection_us: int | None = None) -> None:
        """The process is gone; each neighbour hears LinkDown after the delay of detection."""
        node = self.nodes[index]
        node.alive = node.hears = False
        node.timer_at = None
        node.wanted.clear()
        after = self._detection_us if detection_us is None else detection_us
        for end in node.links.values():
            end.open = False
            self._push(self.now + after, _CLOSED, end.back, "timeout")
        node.links.clear()

    def restart(self, index: int, compose: Compose, *, region: str = "", durable: Durable | None = None) -> FieldNode:
        """A new process in the place of a dead one: same identity, new cores, no links."""
        old = self.nodes[index]
        assert not old.alive, f"node {index} is alive; kill it first"
        node = self.nodes[index] = FieldNode(index, old.id, old.public_key)
        self._begin(node, compose, region, durable)
        return node

    def mute(self, index: int, *, mute: bool = True) -> None:
        """Keep the links and swallow every input: a silent node. Unmuted, its timers run again."""
        node = self.nodes[index]
        node.hears = node.alive and not mute
        if node.hears:
            node.timer_at = None
            self._rearm(node)

    # --- links --------------------------------------------------------------------------------------------

    def lay(self, edges: Iterable[tuple[int, int]]) -> None:
        """Links that stand at once."""
        for one, other in edges:
            self.link(one, other)

    def link(self, one: int, other: int) -> None:
        """One link that stands at once; `one` counts as who dialled. Standing already is fine."""
        self._stand(self.nodes[one], self.nodes[other])

    def unlink(self, one: int, other: int, reason: str = "closed") -> None:
        """Close a link: both ends hear of it now."""
        end = self.nodes[one].links.get(self.nodes[other].id)
        if end is not None:
            back = end.back
            self._close(end, reason)
            self._close(back, reason)

    # --- script -------------------------------------------------------------------------------------------

    def tell(self, index: int, event: Event) -> None:
        """An event from outside, now."""
        node = self.nodes[index]
        if node.hears:
            self._perform(node, node.router.event(self.now, event))

    def tell_at(self, time_us: Instant, index: int, event: Event) -> None:
        self._push(time_us, _TELL, self.nodes[index], event)

    def at(self, time_us: Instant, action: Callable[[], None]) -> None:
        """Call a script's action then."""
        self._push(time_us, _CALL, action, None)

    def watch(self, kind: type[EventT], watcher: Watcher[EventT]) -> None:
        """Call `watcher(now, index, event)` for every event of this type that a node's cores emit or are told."""
        self._watchers.setdefault(kind, []).append(watcher)

    def run_for(self, duration_us: int) -> None:
        self.run_until(self.now + duration_us)

    def run_until(self, time_us: Instant) -> None:
        """Do all that is due up to and including this time."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= time_us:
            self.now, _, what, subject, content = pop(heap)
            self.steps += 1
            if what == _MESSAGE:
                end: End = subject.back
                node = end.owner
                if not (end.open and node.hears):
                    self.unheard += 1
                    continue
                if self._traced:
                    self._trace(subject.owner.index, node.index, content)
                self._perform(node, node.router.message(self.now, subject.owner.id, content) or ())
            elif what == _TIMER:
                self._timer(subject)
            else:
                self._seldom(what, subject, content)
        self.now = max(self.now, time_us)

    # --- private ------------------------------------------------------------------------------------------

    def _begin(self, node: FieldNode, compose: Compose, region: str, durable: Durable | None) -> None:
        life = self._lives[node.index] = self._lives.get(node.index, 0) + 1
        node.compose(compose, self.seed, life, region, self._wall_ms)
        self._perform(node, node.router.start(self.now, durable or {}))

    def _wall_ms(self) -> int:
        return EPOCH_MS + self.now // MILLISECOND

    def _push(self, time_us: Instant, what: int, subject: object, content: object) -> None:
        self._made += 1
        heapq.heappush(self._heap, (time_us, self._made, what, subject, content))

    def _perform(self, node: FieldNode, effects: Iterable[Effect]) -> None:
        """Perform in order; an answer to Persist that comes at once joins the end."""
        queue = list(effects) if self._persist_us == 0 else effects
        links, now, sent = node.links, self.now, self.sent
        for effect in queue:
            kind = type(effect)
            if kind is Send:
                message = effect.message  # type: ignore[union-attr]
                end = links.get(effect.to)  # type: ignore[union-attr]
                at = now + self._latency_unlinked(node, effect) if end is None else now + end.delay_us  # type: ignore[arg-type]
                if at < now:
                    continue
                sent[type(message)] = sent.get(type(message), 0) + 1
                if self._weighs:
                    self._weigh(node, message)
                if self._loss_ppm:
                    at = self._survive(end, effect.lane, at)  # type: ignore[union-attr]
                    if at < 0:
                        continue
                self._made += 1
                if end is not None:
                    heapq.heappush(self._heap, (at, self._made, _MESSAGE, end, message))
                else:
                    heapq.heappush(self._heap, (at, self._made, _DIRECT, (node, effect.to), message))  # type: ignore[union-attr]
            elif kind is Emit:
                for watcher in self._watchers.get(type(effect.event), ()):  # type: ignore[union-attr]
                    watcher(now, node.index, effect.event)  # type: ignore[union-attr]
            elif isinstance(effect, Persist):
                if effect.token >= 0 and isinstance(queue, list) and self._persist_us == 0:
                    queue += node.router.persisted(now, effect.token)
                elif effect.token >= 0:
                    self._push(now + self._persist_us, _PERSISTED, node, effect.token)
            elif isinstance(effect, Connect):
                self._dial(node, effect.peer)
            else:
                assert isinstance(effect, Disconnect), f"a field has no bus clients, got {effect!r}"
                self._disconnect(node, effect)
        self._rearm(node)

    def _latency_unlinked(self, node: FieldNode, send: Send) -> int:
        """Below zero when it is not carried."""
        index = self.by_id.get(send.to)
        if not self._direct or index is None or index == node.index:
            self.unlinked += 1
            return -(1 << 62)
        return self._latency(node.index, index)

    def _survive(self, end: End | None, lane: Lane, at: Instant) -> Instant:
        """When it arrives after all; below zero when it never does."""
        lost = self._dice.randrange(0, MILLION) < self._loss_ppm
        if lane is Lane.DATAGRAM or self._lossy_streams or end is None:
            self.lost += lost
            return -1 if lost else at
        while lost:
            self.lost += 1
            at += end.delay_us + end.back.delay_us + RETRANSMIT_MIN_US
            lost = self._dice.randrange(0, MILLION) < self._loss_ppm
        at = end.clear_at = max(at, end.clear_at)
        return at

    def _weigh(self, node: FieldNode, message: WireMessage) -> None:
        if message is not self._weighed:
            self._weighed, self._weight = message, len(encode_message(message))
        node.bytes_sent += self._weight
        kind = type(message)
        self.bytes_by_type[kind] = self.bytes_by_type.get(kind, 0) + self._weight

    def _trace(self, source: int, target: int, message: WireMessage) -> None:
        told = f"{self.now} {source} {target} {type(message).__name__}"
        self.fingerprint = zlib.crc32(told.encode(), self.fingerprint)

    # --- private: time ------------------------------------------------------------------------------------

    def _rearm(self, node: FieldNode) -> None:
        deadline = node.router.next_deadline()
        if deadline is not None and (node.timer_at is None or deadline < node.timer_at) and node.hears:
            node.timer_at = deadline = max(deadline, self.now)
            self._made += 1
            heapq.heappush(self._heap, (deadline, self._made, _TIMER, node, None))

    def _timer(self, node: FieldNode) -> None:
        if node.timer_at != self.now or not node.hears:
            return
        node.timer_at = None
        deadline = node.router.next_deadline()
        if deadline is not None and deadline <= self.now:
            self._perform(node, node.router.timer(self.now))
        else:
            self._rearm(node)

    def _seldom(self, what: int, subject: Any, content: Any) -> None:
        if what == _CALL:
            subject()
        elif what == _CLOSED:
            self._close(subject, content)
        elif what == _HANDSHAKE:
            self._shake_hands(subject, *content)
        elif what == _DIRECT:
            source, to = subject
            node = self.nodes[self.by_id[to]]
            if not node.hears:
                self.unheard += 1
                return
            if self._traced:
                self._trace(source.index, node.index, content)
            self._perform(node, node.router.message(self.now, source.id, content) or ())
        elif subject.hears and what == _TELL:
            self._perform(subject, subject.router.event(self.now, content))
        elif subject.alive and what == _PERSISTED:
            self._perform(subject, subject.router.persisted(self.now, content))

    # --- private: links -----------------------------------------------------------------------------------

    def _dial(self, node: FieldNode, peer: NodeId) -> None:
        if peer in node.wanted or peer == node.id or peer not in self.by_id:
            return
        self._made += 1
        node.wanted[peer] = self._made
        if peer not in node.links:
            self._shake_hands_after(0, node, peer)

    def _shake_hands_after(self, pause_us: int, node: FieldNode, peer: NodeId) -> None:
        done = self.now + pause_us + self._handshake_us(node.index, self.by_id[peer])
        self._push(done, _HANDSHAKE, node, (peer, node.wanted[peer]))

    def _handshake_us(self, one: int, other: int) -> int:
        return 2 * self._latency(one, other) + self._latency(other, one)

    def _shake_hands(self, node: FieldNode, peer: NodeId, wish: int) -> None:
        """The last packet of a handshake arrives, or nothing did and it begins anew."""
        if not node.alive or node.wanted.get(peer) != wish or peer in node.links:
            return
        target = self.nodes[self.by_id[peer]]
        if target.hears and node.hears:
            self._stand(node, target)
        else:
            self._shake_hands_after(self._redial_us + self._dice.randrange(0, self._redial_us // 4 + 1), node, peer)

    def _stand(self, node: FieldNode, peer: FieldNode) -> None:
        assert node is not peer, f"node {node.index} cannot be linked to itself"
        assert node.alive, f"node {node.index} is dead"
        assert peer.alive, f"node {peer.index} is dead"
        if peer.id in node.links:
            return
        end = End(node, peer, self._latency(node.index, peer.index))
        back = End(peer, node, self._latency(peer.index, node.index))
        end.back, back.back = back, end
        node.links[peer.id], peer.links[node.id] = end, back
        for one, outbound in ((end, True), (back, False)):
            if one.open:
                self._tell_up(one, outbound)

    def _tell_up(self, end: End, outbound: bool) -> None:
        node, peer = end.owner, end.peer.id
        self._hear(node, TransportUp(peer, "field", outbound))
        if node.tells_links and end.open:
            self._hear(node, LinkUp(peer, "field"))
        if node.tells_links and end.open:
            self._hear(node, LinkMeasured(peer, end.delay_us + end.back.delay_us, 0, self._loss_ppm))

    def _hear(self, node: FieldNode, event: Event) -> None:
        if node.hears:
            self._perform(node, node.router.event(self.now, event))

    def _disconnect(self, node: FieldNode, effect: Disconnect) -> None:
        if effect.forget:
            node.wanted.pop(effect.peer, None)
        end = node.links.get(effect.peer)
        if end is not None:
            self._push(self.now + end.delay_us, _CLOSED, end.back, effect.reason)
            self._push(self.now, _CLOSED, end, effect.reason)

    def _close(self, end: End, reason: str) -> None:
        """This end is gone and its owner hears of it; a peer that it still wants is dialled again."""
        if not end.open or not end.owner.alive:
            return
        node, peer = end.owner, end.peer.id
        end.open = False
        if node.links.get(peer) is end:
            del node.links[peer]
        self._hear(node, TransportDown(peer, reason))
        if node.tells_links:
            self._hear(node, LinkDown(peer, reason))
        if peer in node.wanted and peer not in node.links:
            self._shake_hands_after(self._redial_us, node, peer)
