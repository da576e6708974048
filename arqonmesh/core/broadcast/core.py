"""Plumtree: payloads along a tree of links, announcements on the others, and the tree mended by who misses something.

    Broadcast(topic, data) ──▶ eager links: BroadcastPayload      lazy links: BroadcastHave (batched)
    BroadcastPayload, new ──▶ BroadcastArrived ──▶ the topic's core: BroadcastJudged("accept") ──▶ passed on alike
    BroadcastPayload, known ──▶ a cycle: BroadcastPrune on the longer way, lazy at both ends
    BroadcastHave, unknown ──T1──▶ BroadcastGraft to who announced it, eager at both ends ──T2──▶ the next one

Eager and lazy links together are all links that are up. A new link is eager, up to `eager_max` of them, so the first
payload floods and what it proves redundant is pruned; a lost link of the tree is replaced by whoever announces what the
tree did not bring.

**What differs from the paper.**

1. Payloads below `flood_below_bytes` go over lazy links too and are not announced: an announcement costs as much.
2. Of two links that bring the same payload the much shorter one stays, not always the faster one (`SHORTER_HOPS`): the
   tree that the first payload leaves behind has 8 hops instead of 12 at 1,000 nodes with 5 links, for nothing. Whether
   a link is worth it is decided at its farther end; the nearer one leaves it alone meanwhile, or both would prune it.
   Along the tree rounds fall towards the source whatever is exchanged, so no exchange can cut it.
3. On its first hops a payload also goes over lazy links (`fan_out.py`), and each such copy begins a *wave* of its own.
   Where two waves meet, a payload comes twice without any cycle in the tree, so only a second copy of the same wave
   prunes, and only an announcement of the same wave may take the place of a link.
4. T1 = max(`graft_min_ms`, 3 x median RTT), T2 = the longer of median RTT and the link's: a constant would be too short
   for one mesh and too long for the next.
5. Who announces and does not send is blamed (`promises.py`).
6. A peer whose link comes up is told what was spread lately, so that what it missed meanwhile is not lost; but not
   where the topic's core compares what it holds with a new neighbour itself (`mended`): a newcomer would fetch all of
   that twice, and the second time payload by payload.
7. Announcements of a steady trickle are gathered, and not made to who announced or sent the payload meanwhile: of the
   two ends of a lazy link one speaks (`announcements.py`).
8. Links beyond `eager_max` begin lazy, and a payload is announced on a dozen of them: in a full mesh of hundreds the
   first payload would come hundreds of times, and each later one be announced as often.
9. While the overlay chooses the links, a new one begins lazy, until it is known to stay: `NeighbourUp`, `LinkStays`
   (somebody else's wish, told at once by who dialled), or `STAYS_US`. The overlay opens many that last a second (a look
   at a spare member, a candidate that was not the first to answer): each would bring a second copy, take the place of a
   link that stays, and tear a hole when it goes. Announced is everything meanwhile, what was spread lately and
   whatever comes, on more than a dozen links too: such a link may be the only way to its peer.

Each node takes a payload once while it knows its id (`ids_s`). A cache is no promise for ever: a core that must not
hear a thing twice remembers by its own numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from arqonmesh.config.model import BroadcastSettings
from arqonmesh.core.broadcast.announcements import Announcements
from arqonmesh.core.broadcast.cache import Cache, Known
from arqonmesh.core.broadcast.fan_out import ROOTED_AFTER, Purse, copies_allowed, is_plain
from arqonmesh.core.broadcast.neighbours import Neighbour, Neighbours
from arqonmesh.core.broadcast.promises import Promises
from arqonmesh.core.broadcast.wanted import Want, Wanted
from arqonmesh.core.events import (
    Broadcast,
    BroadcastArrived,
    BroadcastJudged,
    Dropped,
    Fault,
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
from arqonmesh.core.kernel import MILLISECOND, SECOND, Durable, Effect, Emit, Env, Event, Instant, Lane, Send
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

ROUND_MAX: Final = 255
SHORTER_HOPS: Final = 1
"""Of two links that bring one payload, the one by which it came so many hops shorter stays in the tree; else the faster
one. Less makes flatter trees and slower ones."""
ANNOUNCE_LINKS: Final = 12
"""Lazy links on which one payload is announced, and links on which a small one is flooded beside the tree: in a full
mesh everyone has as many links as there are members, and a dozen announcements reach everyone as surely as all."""
FEW_EAGER: Final = 3
"""A new link that the other end does not need in its tree is asked back by a node with fewer eager links."""
HAVES_ON_LINK_UP: Final = 256
"""The newest payloads that a peer is told of when its link comes up."""
ANNOUNCED_MAX: Final = 5_000
"""Announcements of one peer that are noted within one second; the rest are dropped and counted."""
GRAFT_RTTS: Final = 3
STAYS_US: Final = 5 * SECOND
"""A link that lasts so long is not one of those that the overlay opens for a moment."""
BRIDGE_WISH: Final = "regions"
BRIDGE_ROUND_MAX: Final = 10
"""What a leader hears from inside its region within so many hops crosses to the other regions at once, not only along
the tree, which would lead over a third region; each copy is a wave of its own."""


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
        self._env = env
        self._settings = settings
        self._members = members
        self._mended = mended
        self._neighbours = Neighbours()
        self._cache = Cache(
            ids_us=int(settings.ids_s * SECOND),
            ids_max=settings.ids_max,
            payloads_us=int(settings.cache_s * SECOND),
            bytes_max=settings.cache_bytes_max,
        )
        self._wanted = Wanted()
        self._promises = Promises()
        self._overlay = False
        """The overlay chooses the links, and says which of them are here to stay."""
        self._resting: dict[NodeId, Instant] = {}
        """Links of which that is not known yet, and when it will be; in the order in which they came up."""
        self._bridges: dict[NodeId, None] = {}
        """Leaders of other regions to whom this one, a leader, keeps links."""
        self._asked: _Arrival | None = None
        self._settled = False
        """A payload has gone by the tree alone: what it proved redundant is pruned."""
        self._announcements = Announcements(env.node_id, settings.announce_ms * MILLISECOND)
        self._sweep_at: Instant | None = None
        self._fed_by: NodeId | None = None
        """Who brought the newest payload that was new."""
        self._direction: NodeId | None = None
        self._purse = Purse()
        self._in_a_row = 0
        """Payloads that came from the same direction (None: ours) as the one before."""
        self._salt = int.from_bytes(env.public_key[:4], "big")
        """So that nodes that know the same peers in the same order do not all choose the same ones of them."""
        self.counters: dict[str, int] = {}

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
            return self._on_have(now, link_peer, message)
        if isinstance(message, BroadcastGraft):
            return self._on_graft(now, link_peer, message)
        assert isinstance(message, BroadcastPrune), f"broadcast does not speak {type(message).__name__}"
        return self._on_prune(link_peer)

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
            return self._enter(event.peer) if self._resting.pop(event.peer, None) is not None else []
        elif isinstance(event, OverlayRuns):
            self._overlay = event.running
        elif isinstance(event, LinkDown):
            self._resting.pop(event.peer, None)
            self._announcements.drop(event.peer)
            self._announcements.disturbed(now)
            if self._neighbours.drop(event.peer):
                self._wanted.gone(event.peer, now)
                self._promises.void(event.peer)
        elif isinstance(event, LinkWanted):
            if event.addresses and event.by == BRIDGE_WISH:
                self._bridges[event.peer] = None
            elif event.by == BRIDGE_WISH:
                self._bridges.pop(event.peer, None)
        elif isinstance(event, Late):
            self._promises.late(event.by_us)
        return []

    def on_timer(self, now: Instant) -> list[Effect]:
        effects: list[Effect] = []
        for peer, have in self._announcements.due(now):
            effects += self._announce(peer, have)
        for id_, want in self._wanted.due(now):
            effects += self._ask(now, id_, want)
        while self._resting and next(iter(self._resting.values())) <= now:
            peer = next(iter(self._resting))
            del self._resting[peer]
            effects += self._enter(peer)
        for peer in self._promises.broken(now, self._neighbours.is_silent):
            if self._neighbours.lossy(peer):
                self._count("promises_excused")
                continue
            self._count("broken_promises")
            effects.append(Emit(Fault(peer, "broken-promise")))
        if self._sweep_at is not None and self._sweep_at <= now:
            self._cache.expire(now)
            self._sweep_at = max(now + SECOND, self._cache.due(now)) if len(self._cache) else None
        return effects

    def next_deadline(self) -> Instant | None:
        earliest = self._announcements.next_due()
        stays = next(iter(self._resting.values()), None)
        for due in (self._wanted.next_due(), self._promises.next_due(), self._sweep_at, stays):
            if due is not None and (earliest is None or due < earliest):
                earliest = due
        return earliest

    # --- payloads -----------------------------------------------------------------------------------------

    def _on_broadcast(self, now: Instant, event: Broadcast) -> list[Effect]:
        assert len(event.data) <= MAX_BROADCAST_BYTES, f"{len(event.data)} bytes; a broadcast has {MAX_BROADCAST_BYTES}"
        id_ = broadcast_id(event.topic, event.data)
        if self._cache.get(id_) is not None:
            self._count("said_again")
            return []
        self._count("sent")
        known = self._remember(now, id_, 0, 0, None, event.topic)
        return self._pass_on(now, id_, known, event.data, self._wanted.came(id_))

    def _on_payload(self, now: Instant, link_peer: NodeId, message: BroadcastPayload) -> list[Effect]:
        neighbour = self._neighbours.get(link_peer)
        if neighbour is not None:
            neighbour.used = True
        id_ = broadcast_id(message.topic, message.data)
        self._promises.kept(link_peer, id_)
        known = self._cache.get(id_)
        if known is not None:
            return self._on_known(now, link_peer, id_, known, message)
        self._count("arrived")
        self._fed_by = link_peer
        known = self._remember(now, id_, message.round, message.wave, link_peer, message.topic)
        self._asked = _Arrival(id_, message, known, self._wanted.came(id_))
        return [Emit(BroadcastArrived(id_, message.topic, message.data, link_peer))]

    def _on_known(
        self, now: Instant, link_peer: NodeId, id_: bytes, known: Known, message: BroadcastPayload
    ) -> list[Effect]:
        """It came before. Over a link of the tree and in the same wave that proves a cycle."""
        self._count("duplicates")
        neighbour = self._neighbours.get(link_peer)
        self._announcements.forget(link_peer, id_)
        if neighbour is None or message.wave != known.wave or len(message.data) < self._settings.flood_below_bytes:
            return []
        if not neighbour.eager and now < neighbour.pruned_at + 2 * neighbour.measured_us:
            return []  # it was pruned, and this copy was under way then
        if neighbour.eager and known.round + SHORTER_HOPS + 1 < message.round:
            return []  # we are the shorter way of the two: what becomes of this link is for the other end to decide
        source = None if known.source is None else self._neighbours.get(known.source)
        if source is not None and neighbour.eager and message.round + SHORTER_HOPS <= known.round:
            self._count("shortened")
            assert known.source is not None
            longer, known.source, known.round = known.source, link_peer, message.round
            return self._prune(now, longer, source)
        return self._prune(now, link_peer, neighbour)

    def _on_judged(self, now: Instant, event: BroadcastJudged) -> list[Effect]:
        arrival = self._asked
        if arrival is None or arrival.id != event.id:
            self._count("judged_late")
            return []
        self._asked = None
        if event.verdict != "accept":
            self._count("rejected" if event.verdict == "reject" else "ignored")
            return []
        message, known = arrival.message, arrival.known
        effects = self._pass_on(now, arrival.id, known, message.data, arrival.want)
        return effects if arrival.want is None else effects + self._swap(now, known, arrival.want)

    def _pass_on(self, now: Instant, id_: bytes, known: Known, data: bytes, want: Want | None) -> list[Effect]:
        """To every eager link but the one it came from, and to the lazy ones a copy or an announcement."""
        self._cache.keep(id_, known, data)
        if known.round >= ROUND_MAX:
            self._count("too_far")
            return []
        onward = BroadcastPayload(round=known.round + 1, wave=known.wave, topic=known.topic, data=data)
        effects: list[Effect] = []
        lazy: list[NodeId] = []
        for peer, neighbour in self._neighbours.items():
            if peer == known.source:
                continue
            if neighbour.eager:
                neighbour.used = True
                effects.append(Send(peer, Lane.CONTROL, onward))
            elif peer in self._bridges and known.round <= BRIDGE_ROUND_MAX and known.source not in self._bridges:
                wave = self._env.rng.getrandbits(32) or 1
                across = BroadcastPayload(round=known.round + 1, wave=wave, topic=known.topic, data=data)
                effects.append(Send(peer, Lane.CONTROL, across))
                self._count("across_regions")
            else:
                lazy.append(peer)
        if not lazy:
            return effects
        if len(lazy) > 1:
            first = (self._salt ^ int.from_bytes(id_[:4], "big")) % len(lazy)
            lazy = [*lazy[first:], *lazy[:first]]
            if len(lazy) > ANNOUNCE_LINKS:  # one that rests may be the only way to its peer
                lazy = lazy[:ANNOUNCE_LINKS] + [peer for peer in lazy[ANNOUNCE_LINKS:] if peer in self._resting]
        if len(data) < self._settings.flood_below_bytes:
            return effects + [Send(peer, Lane.CONTROL, onward) for peer in lazy]
        effects += self._beside(now, id_, known, data, want, lazy)
        self._settled = True
        return effects

    def _beside(
        self, now: Instant, id_: bytes, known: Known, data: bytes, want: Want | None, lazy: list[NodeId]
    ) -> list[Effect]:
        """The links beside the tree: copies on the first hops, each a wave of its own; then announcements. Who told us
        that it has the payload needs neither."""
        if want is not None:
            lazy = [peer for peer in lazy if peer not in want.announcers]
        copies = 0
        self._in_a_row = self._in_a_row + 1 if known.source == self._direction else 0
        self._direction = known.source
        if self._settled and self._in_a_row < ROOTED_AFTER and not is_plain(id_):
            copies = copies_allowed(self._members(), len(self._neighbours), known.round, self._settings.fan_out_percent)
            copies = self._purse.spend(now, min(copies, len(lazy)))
        effects: list[Effect] = []
        for peer in lazy:
            if copies > 0:
                copies -= 1
                wave = self._env.rng.getrandbits(32) or 1
                beside = BroadcastPayload(round=known.round + 1, wave=wave, topic=known.topic, data=data)
                effects.append(Send(peer, Lane.CONTROL, beside))
                self._count("beside_the_tree")
            else:
                if self._announcements.add(now, peer, id_, known.round, known.wave):
                    effects += self._announce(peer, self._announcements.take(peer))
        return effects

    def _remember(self, now: Instant, id_: bytes, round_: int, wave: int, source: NodeId | None, topic: str) -> Known:
        self._cache.expire(now)
        known = Known(now, round_, wave, source, topic)
        self._cache.add(id_, known)
        if self._sweep_at is None:
            self._sweep_at = now + SECOND
        return known

    # --- the tree -----------------------------------------------------------------------------------------

    def _prune(self, now: Instant, peer: NodeId, neighbour: Neighbour) -> list[Effect]:
        neighbour.eager = False
        neighbour.pruned_at = now
        self._count("prunes_sent")
        return [Send(peer, Lane.CONTROL, BroadcastPrune())]

    def _on_prune(self, link_peer: NodeId) -> list[Effect]:
        self._count("prunes_received")
        neighbour = self._neighbours.get(link_peer)
        if (
            neighbour is None
        ):  # its side of the link came up first: said to nobody, it would leave a leaf out of the tree
            few = self._neighbours.eager_count() < FEW_EAGER
            return [Send(link_peer, Lane.CONTROL, BroadcastGraft(id=b""))] if few else []
        neighbour.eager = False
        eager = self._neighbours.eager_count()
        fed = eager or (self._fed_by != link_peer and self._fed_by in self._neighbours)
        if fed and (neighbour.used or eager >= FEW_EAGER):
            return []
        # the last one of the tree is part of no cycle, whatever went over it, unless payloads come from elsewhere: a
        # leaf would hear of announcements alone, and a hub with dozens of leaves does not make one to each
        neighbour.eager = True
        return [Send(link_peer, Lane.CONTROL, BroadcastGraft(id=b""))]

    def _swap(self, now: Instant, known: Known, want: Want) -> list[Effect]:
        """Somebody has it on a much shorter way: take that link into the tree for the one that it came by. In one wave
        rounds fall towards its beginning, so who announced fewer cannot be behind us, and the tree stays whole."""
        source = None if known.source is None else self._neighbours.get(known.source)
        if known.source is None or source is None or not source.eager:
            return []
        best, least = None, known.round - self._settings.swap_hops
        for peer, (round_, wave) in want.announcers.items():
            stays = peer in self._neighbours and peer not in self._resting
            if stays and wave == known.wave and round_ + 1 <= least:
                best, least = peer, round_
        if best is None or best == known.source:
            return []
        self._count("swaps")
        self._neighbours[best].eager = True
        graft = Send(best, Lane.CONTROL, BroadcastGraft(id=b""))
        return [graft, *self._prune(now, known.source, source)]

    def _on_graft(self, now: Instant, link_peer: NodeId, message: BroadcastGraft) -> list[Effect]:
        self._count("grafts_received")
        if message.id:
            self._announcements.disturbed(now)
        neighbour = self._neighbours.get(link_peer) or self._neighbours.parted(link_peer)
        if neighbour is None:
            self._count("grafts_refused")
            return []
        neighbour.eager = True
        known = self._cache.get(message.id) if message.id else None
        if known is None or known.data is None:
            return []
        if not neighbour.may_have(now, message.id, len(known.data)):
            self._count("grafts_refused")
            return []
        served = BroadcastPayload(
            round=min(known.round + 1, ROUND_MAX), wave=known.wave, topic=known.topic, data=known.data
        )
        return [Send(link_peer, Lane.CONTROL, served)]

    # --- announcements ------------------------------------------------------------------------------------

    def _announce(self, peer: NodeId, have: tuple[tuple[bytes, int, int], ...]) -> list[Effect]:
        self._count("announcements_sent", len(have))
        return [Send(peer, Lane.CONTROL, BroadcastHave(have=have))]

    def _on_have(self, now: Instant, link_peer: NodeId, message: BroadcastHave) -> list[Effect]:
        over = self._over_limit(now, link_peer, len(message.have))
        have = message.have[: len(message.have) - over]
        self._count("announcements_received", len(have))
        due = now + max(self._settings.graft_min_ms * MILLISECOND, GRAFT_RTTS * self._neighbours.median_us)
        for id_, round_, wave in have:
            if self._cache.get(id_) is None:
                if not self._wanted.announced(id_, link_peer, round_, wave, due):
                    self._count("announcements_refused")
            else:
                self._announcements.forget(link_peer, id_)
        return [Emit(Dropped("broadcast", "announcements", over, link_peer))] if over else []

    def _over_limit(self, now: Instant, link_peer: NodeId, count: int) -> int:
        """How many of these announcements are too many for this interval."""
        neighbour = self._neighbours.get(link_peer)
        if neighbour is None:
            return 0  # its side of the link came up first; the peer's message rate bounds it meanwhile
        if now >= neighbour.announced_until:
            neighbour.announced, neighbour.announced_until = 0, now + SECOND
        before = neighbour.announced
        neighbour.announced += count
        return min(count, max(0, before + count - ANNOUNCED_MAX))

    def _ask(self, now: Instant, id_: bytes, want: Want) -> list[Effect]:
        """The tree did not bring it: ask the next who has it, and take that link into the tree."""
        for peer in want.announcers:
            neighbour = self._neighbours.get(peer)
            if neighbour is not None and peer not in want.asked:
                want.asked[peer] = None
                neighbour.eager = True
                self._count("grafts_sent")
                self._announcements.disturbed(now)
                self._promises.made(peer, id_, now + self._neighbours.promise_us(peer))
                self._wanted.again(id_, want, now + max(neighbour.measured_us, self._neighbours.median_us))
                return [Send(peer, Lane.CONTROL, BroadcastGraft(id=id_))]
        self._count("given_up")
        self._wanted.came(id_)
        return []

    def _on_link_up(self, now: Instant, peer: NodeId) -> list[Effect]:
        if peer in self._neighbours:
            return []
        neighbour = self._neighbours.add(peer)
        self._announcements.disturbed(now)
        if self._overlay:
            neighbour.eager = False
            self._resting[peer] = now + STAYS_US
        effects = [] if self._overlay else self._enter(peer)
        newest = self._cache.newest(now, HAVES_ON_LINK_UP, without=self._mended)
        recent = tuple((id_, known.round, known.wave) for id_, known in newest)
        if recent:
            effects += self._announce(peer, recent)
        return effects

    def _enter(self, peer: NodeId) -> list[Effect]:
        """A link that is here to stay: into the tree, while there is room. One that was asked for something before is
        in it already."""
        neighbour = self._neighbours[peer]
        neighbour.eager = self._neighbours.eager_count() - neighbour.eager < self._settings.eager_max
        if neighbour.eager:
            return []
        self._count("spared")
        return [Send(peer, Lane.CONTROL, BroadcastPrune())]

    # --- small things -------------------------------------------------------------------------------------

    def _count(self, name: str, count: int = 1) -> None:
        self.counters[name] = self.counters.get(name, 0) + count
