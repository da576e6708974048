"""Plumtree: payloads along a tree of links, announcements on the others, and the tree mended by who misses something.

    Broadcast(topic, data) ──▶ eager links: BroadcastPayload      lazy links: BroadcastHave (batched)
    BroadcastPayload, new ──▶ BroadcastArrived ──▶ the topic's core: BroadcastJudged("accept") ──▶ passed on alike
    BroadcastPayload, known ──▶ a cycle: BroadcastPrune on the longer way, lazy at both ends
    BroadcastHave, unknown ──T1──▶ BroadcastGraft to who announced it, eager at both ends ──T2──▶ the next one

Eager and lazy links together are all links that are up. A new link is eager, so the first payload floods and what it
proves redundant is pruned; a lost link of the tree is replaced by whoever announces what the tree did not bring.

**What differs from the paper**, and where it is told:

1. Small payloads go over lazy links too and are not announced (spreading.py).
2. Of two links that bring the same payload the much shorter one stays, not always the faster one (tree.py).
3. On its first hops a payload also goes over lazy links, and each such copy begins a wave of its own (fan_out.py); so
   it does between the leaders of regions (bridges.py).
4. The timers follow from how far the neighbours are (repair.py).
5. Who announces and does not send is blamed (promises.py).
6. A peer whose link comes up is told what was spread lately (spreading.py).
7. Announcements of a steady trickle are gathered, and of the two ends of a lazy link one speaks (announcements.py).
8. So many links are eager at most (tree.py), and a payload is announced on a dozen of the others (spreading.py).
9. While the overlay chooses the links, a new one begins lazy, until it is known to stay (resting.py).

Each node takes a payload once while it knows its id (`ids_s`). A cache is no promise for ever: a core that must not
hear a thing twice remembers by its own numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import ClassVar

from arqonmesh.config.model import BroadcastSettings
from arqonmesh.core.broadcast.announcements import Announcements
from arqonmesh.core.broadcast.bridges import Bridges
from arqonmesh.core.broadcast.cache import Cache, Known
from arqonmesh.core.broadcast.fan_out import FanOut
from arqonmesh.core.broadcast.neighbours import Neighbours
from arqonmesh.core.broadcast.promises import Promises
from arqonmesh.core.broadcast.repair import Repair
from arqonmesh.core.broadcast.resting import Resting
from arqonmesh.core.broadcast.spreading import Spreading
from arqonmesh.core.broadcast.tree import Tree
from arqonmesh.core.broadcast.wanted import Want, Wanted
from arqonmesh.core.events import (
    Broadcast,
    BroadcastArrived,
    BroadcastJudged,
    Late,
    LinkDown,
    LinkMeasured,
    LinkSilent,
    LinkStays,
    LinkUp,
    LinkWanted,
    NeighbourUp,
    OverlayRuns,
)
from arqonmesh.core.kernel import MILLISECOND, SECOND, Durable, Effect, Emit, Env, Event, Instant
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import (
    MAX_BROADCAST_BYTES,
    BroadcastGraft,
    BroadcastHave,
    BroadcastPayload,
    BroadcastPrune,
    WireMessage,
)
from arqonmesh.wire.naming import broadcast_id


class _Arrival:
    """A payload about which its owner is asked; the answer comes before the next input."""

    __slots__ = ("id", "known", "message", "want")

    def __init__(self, id_: bytes, message: BroadcastPayload, known: Known, want: Want | None) -> None:
        self.id = id_
        self.message = message
        self.known = known
        self.want = want


class Plumtree:
    """The broadcast core of one node."""

    NAME: ClassVar[str] = "broadcast"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = (
        BroadcastPayload,
        BroadcastHave,
        BroadcastGraft,
        BroadcastPrune,
    )
    EVENTS: ClassVar[tuple[type[Event], ...]] = (
        Broadcast,
        BroadcastJudged,
        LinkUp,
        LinkDown,
        LinkSilent,
        LinkMeasured,
        LinkWanted,
        LinkStays,
        OverlayRuns,
        NeighbourUp,
        Late,
    )

    def __init__(
        self,
        env: Env,
        settings: BroadcastSettings,
        members: Callable[[], int],
        *,
        mended: frozenset[str] = frozenset(),
    ) -> None:
        """`members` tells how many nodes the mesh has; a rough answer is good enough. `mended`: topics of which a new
        neighbour learns by other means."""
        self.counters: defaultdict[str, int] = defaultdict(int)
        self._asked: _Arrival | None = None
        self._neighbours = neighbours = Neighbours()
        self._cache = cache = Cache(
            ids_us=int(settings.ids_s * SECOND),
            ids_max=settings.ids_max,
            payloads_us=int(settings.cache_s * SECOND),
            bytes_max=settings.cache_bytes_max,
        )
        self._wanted = Wanted()
        self._promises = Promises()
        self._resting = Resting()
        self._bridges = Bridges()
        self._announcements = Announcements(env.node_id, settings.announce_ms * MILLISECOND)
        self._fan_out = FanOut(members, settings.fan_out_percent)
        self._tree = Tree(settings, neighbours=neighbours, resting=self._resting, counters=self.counters)
        self._spreading = Spreading(
            env,
            settings,
            mended=mended,
            neighbours=neighbours,
            resting=self._resting,
            bridges=self._bridges,
            cache=cache,
            fan_out=self._fan_out,
            announcements=self._announcements,
            counters=self.counters,
        )
        self._repair = Repair(
            settings,
            neighbours=neighbours,
            cache=cache,
            wanted=self._wanted,
            promises=self._promises,
            announcements=self._announcements,
            counters=self.counters,
        )

    # --- views --------------------------------------------------------------------------------------------

    @property
    def eager(self) -> tuple[NodeId, ...]:
        """Peers whose links belong to the tree."""
        return tuple(peer for peer, neighbour in self._neighbours.items() if neighbour.eager)

    @property
    def lazy(self) -> tuple[NodeId, ...]:
        """Peers to whom payloads are announced."""
        return tuple(peer for peer, neighbour in self._neighbours.items() if not neighbour.eager)

    def gauges(self) -> dict[str, int]:
        """Sizes of what others can fill."""
        return {
            "eager": len(self.eager),
            "lazy": len(self.lazy),
            "ids": len(self._cache),
            "payloads": self._cache.payloads,
            "payload_bytes": self._cache.bytes,
            "wanted": len(self._wanted),
            "promises": len(self._promises),
        }

    # --- Core ---------------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        return []

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        if isinstance(message, BroadcastPayload):
            return self._on_payload(now, link_peer, message)
        if isinstance(message, BroadcastHave):
            return self._repair.announced(now, link_peer, message)
        if isinstance(message, BroadcastGraft):
            return self._repair.asked(now, link_peer, message)
        assert isinstance(message, BroadcastPrune), f"broadcast does not speak {type(message).__name__}"
        return self._tree.pruned(link_peer)

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        if isinstance(event, BroadcastJudged):
            return self._on_judged(now, event)
        if isinstance(event, Broadcast):
            return self._on_broadcast(now, event)
        if isinstance(event, LinkMeasured):
            silent_us = self._neighbours.measured(now, event.peer, event.rtt_us, event.loss_ppm)
            if silent_us is not None:
                self._promises.silent(event.peer, silent_us)
        elif isinstance(event, LinkSilent):
            self._neighbours.silent(event.peer, now - event.for_us)
        elif isinstance(event, LinkUp):
            return self._on_link_up(now, event.peer)
        elif isinstance(event, NeighbourUp | LinkStays):
            return self._tree.enter(event.peer) if self._resting.end(event.peer) else []
        elif isinstance(event, OverlayRuns):
            self._resting.overlay = event.running
        elif isinstance(event, LinkDown):
            self._on_link_down(now, event.peer)
        elif isinstance(event, LinkWanted):
            self._bridges.wanted(event)
        elif isinstance(event, Late):
            self._promises.late(event.by_us)
        return []

    def on_timer(self, now: Instant) -> list[Effect]:
        effects = self._spreading.announce_due(now)
        effects += self._repair.ask(now)
        for peer in self._resting.lasted(now):
            effects += self._tree.enter(peer)
        effects += self._repair.blame(now)
        self._cache.sweep(now)
        return effects

    def next_deadline(self) -> Instant | None:
        earliest = self._announcements.next_due()
        for due in (self._wanted.next_due(), self._promises.next_due(), self._cache.due, self._resting.due):
            if due is not None and (earliest is None or due < earliest):
                earliest = due
        return earliest

    # --- payloads -----------------------------------------------------------------------------------------

    def _on_broadcast(self, now: Instant, event: Broadcast) -> list[Effect]:
        assert len(event.data) <= MAX_BROADCAST_BYTES, f"{len(event.data)} bytes; a broadcast has {MAX_BROADCAST_BYTES}"
        id_ = broadcast_id(event.topic, event.data)
        if self._cache.get(id_) is not None:
            self.counters["said_again"] += 1
            return []
        self.counters["sent"] += 1
        known = Known(now, 0, 0, None, event.topic)
        self._cache.add(id_, known)
        return self._spreading.pass_on(now, id_, known, event.data, self._wanted.came(id_))

    def _on_payload(self, now: Instant, link_peer: NodeId, message: BroadcastPayload) -> list[Effect]:
        neighbour = self._neighbours.get(link_peer)
        if neighbour is not None:
            neighbour.used = True
        id_ = broadcast_id(message.topic, message.data)
        self._promises.kept(link_peer, id_)
        known = self._cache.get(id_)
        if known is not None:
            self.counters["duplicates"] += 1
            self._announcements.forget(link_peer, id_)
            return self._tree.came_again(now, link_peer, known, message)
        self.counters["arrived"] += 1
        self._tree.fed_by = link_peer
        known = Known(now, message.round, message.wave, link_peer, message.topic)
        self._cache.add(id_, known)
        self._asked = _Arrival(id_, message, known, self._wanted.came(id_))
        return [Emit(BroadcastArrived(id_, message.topic, message.data, link_peer))]

    def _on_judged(self, now: Instant, event: BroadcastJudged) -> list[Effect]:
        arrival = self._asked
        if arrival is None or arrival.id != event.id:
            self.counters["judged_late"] += 1
            return []
        self._asked = None
        if event.verdict != "accept":
            self.counters["rejected" if event.verdict == "reject" else "ignored"] += 1
            return []
        known, want = arrival.known, arrival.want
        effects = self._spreading.pass_on(now, arrival.id, known, arrival.message.data, want)
        return effects if want is None else effects + self._tree.swap(now, known, want)

    # --- links --------------------------------------------------------------------------------------------

    def _on_link_up(self, now: Instant, peer: NodeId) -> list[Effect]:
        if peer in self._neighbours:
            return []
        self._announcements.disturbed(now)
        return self._tree.link_up(now, peer) + self._spreading.catch_up(now, peer)

    def _on_link_down(self, now: Instant, peer: NodeId) -> None:
        self._resting.end(peer)
        self._announcements.drop(peer)
        self._announcements.disturbed(now)
        if self._neighbours.drop(peer):
            self._wanted.gone(peer, now)
            self._promises.void(peer)
