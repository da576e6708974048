"""Nodes of one cluster fill up each other's history: what a crash or a full outbox took from one, another still has.

    link up ─▶ heads of all channels, those of late first, WALK_ROWS per tick
    every COMPARE_US ─▶ heads of the channels that were published to since, or have holes, to every linked mate
    heads ─▶ the other's, where it holds more; what we lack is wanted of it (wants.py), a piece per mate at a time
    wanted ─▶ frames, from the ring or the durable history (never on the loop)
    frames ─▶ into the history and, as far as late.py says, to clients; they count as heard

A channel that residency keeps from a mate's region is neither told of nor handed to it.

It has the lowest priority: the bulk lane, PIECE_BYTES at a time, nothing while a link has a backlog, publishers are
paused, clients' reads queue, or more than BUSY_EVENTS came since the last tick (after PAUSE_MAX_US one piece goes
through). A node that crashed learns here how far the streams of its earlier lives went (`Streams.unsure`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arqonmesh.core.bus.cluster.holdings import Holdings, Row, packed
from arqonmesh.core.bus.cluster.wants import GRACE_US, Wants
from arqonmesh.core.bus.envelope import parse_stored
from arqonmesh.core.bus.history import cut
from arqonmesh.core.bus.imports import bring_in
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.events import (
    Dropped,
    HistoryRead,
    LinkDown,
    LinkUp,
    MemberAdmitted,
    MemberChanged,
    MemberDescribed,
    MemberExpelled,
)
from arqonmesh.core.kernel import MILLISECOND, SECOND, Effect, Emit, HistoryQuery, Instant, Lane, Send
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import HistoryFrames, HistoryHeads, HistoryWanted

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus

TICK_US: Final = 100 * MILLISECOND
COMPARE_US: Final = 5 * SECOND
WALK_ROWS: Final = 128
"""Channels told to a mate per tick."""
PIECE_BYTES: Final = 512 << 10
PIECE_EVENTS: Final = 1_024
BUSY_EVENTS: Final = 2_000
"""Published or imported per tick of 100 ms."""
PAUSE_MAX_US: Final = 5 * SECOND
READS_MAX: Final = 64
"""Reads of the durable history under way, beyond which mates wait."""

Message = HistoryHeads | HistoryWanted | HistoryFrames


class _Mate:
    """A linked node of our cluster."""

    __slots__ = ("reading", "walk")

    def __init__(self) -> None:
        self.walk: list[str] | None = None
        """Channels that it has to be told of, the last one first; None: it was not found to be of our cluster yet."""
        self.reading = False
        """Whether its question is being read from the disk."""


class Fillup:
    """One node's part; without a linked mate it does nothing."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._holdings = Holdings(bus)
        self._wants = Wants(self._holdings)
        self._linked: dict[NodeId, _Mate] = {}
        self._published: dict[str, int] = {}
        """Channel -> its `published` when it was compared last."""
        self._compare_at: Instant | None = None
        self._tick_at: Instant | None = None
        self._events = 0
        self._looked_at: Instant = 0
        self._quiet_at: Instant = 0
        self.fetched = 0
        self.served = 0

    @property
    def counters(self) -> dict[str, int]:
        return {
            "fillup_fetched": self.fetched,
            "fillup_served": self.served,
            "fillup_given_up": self._wants.given_up,
            "fillup_waiting": len(self._wants),
        }

    # --- inputs ----------------------------------------------------------------------------------------------

    def on_event(
        self,
        now: Instant,
        event: LinkUp | LinkDown | MemberAdmitted | MemberChanged | MemberDescribed | MemberExpelled,
    ) -> None:
        match event:
            case MemberDescribed() if event.cluster == self._bus.env.cluster:
                self._holdings.joined(event.node)
            case LinkUp():
                self._linked[event.peer] = _Mate()
                self._wants.link_lost(event.peer)
                self._wants.link_up(event.peer)
                self._soon(now)
                if self._compare_at is None:
                    self._compare_at = now + COMPARE_US
            case MemberAdmitted() if event.node in self._linked:
                self._soon(now)
            case LinkDown():
                if self._linked.pop(event.peer, None) is not None:
                    self._wants.link_lost(event.peer)
                if not self._linked:
                    self._compare_at = self._tick_at = None
            case MemberExpelled():
                self._holdings.expelled(event.node)

    def left_mesh(self) -> None:
        self._linked.clear()
        self._wants.clear()
        self._compare_at = self._tick_at = None

    def on_message(self, now: Instant, peer: NodeId, message: Message) -> list[Effect]:
        mate = self._linked.get(peer)
        if mate is None or not self._is_mate(peer):
            return [Emit(Dropped("bus", "cluster-stranger", 1, peer))]
        self._holdings.joined(peer)
        match message:
            case HistoryHeads():
                return self._told(now, peer, message)
            case HistoryWanted():
                return self._wanted(peer, mate, message)
            case HistoryFrames():
                return self._taken(now, peer, message)

    def next_deadline(self) -> Instant | None:
        tick, compare = self._tick_at, self._compare_at
        if tick is None or compare is None:
            return compare if tick is None else tick
        return tick if tick < compare else compare

    def on_timer(self, now: Instant) -> list[Effect]:
        effects: list[Effect] = []
        if self._compare_at is not None and self._compare_at <= now:
            self._compare_at = now + COMPARE_US
            self._look()
            self._soon(now)
        if self._tick_at is not None and self._tick_at <= now:
            self._tick_at = None
            if self._is_busy(now):
                self._tick_at = now + TICK_US
                return effects
            effects += self._walk()
            for peer, question in self._wants.questions(now, self._is_free):
                effects.append(Send(peer, Lane.BULK, question))
            self._plan(now)
        return effects

    # --- telling ---------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Find the channels of which mates are to be told anew."""
        channels, before = self._bus.channels, self._published
        self._published = {channel.name: channel.published for channel in channels.all()}
        changed = [name for name, count in self._published.items() if before.get(name) != count]
        changed += [name for name in before if name not in self._published]
        changed += [channel.name for channel in channels.all() if channel.streams.holes]
        for mate in self._linked.values():
            if mate.walk is not None:
                mate.walk = list(dict.fromkeys((*mate.walk, *changed)))

    def _walk(self) -> list[Effect]:
        effects: list[Effect] = []
        for peer, mate in self._linked.items():
            if mate.walk is None:
                if not self._is_mate(peer):
                    continue
                self._holdings.joined(peer)
                mate.walk = [*self._bus.shelf.names(), *(channel.name for channel in self._bus.channels.all())]
            if not mate.walk or peer in self._bus.backlogged:
                continue
            names = mate.walk[-WALK_ROWS:]
            del mate.walk[-WALK_ROWS:]
            rows = (self._holdings.row(name) for name in reversed(names) if self._bus.shares(name, peer))
            told = packed((row for row in rows if row is not None), answer=False)
            effects += [Send(peer, Lane.BULK, message) for message in told]
        return effects

    def _told(self, now: Instant, peer: NodeId, message: HistoryHeads) -> list[Effect]:
        answer: list[Row] = []
        for name, holdings in message.channels:
            for holding in holdings:
                self._wants.told(now, peer, name, holding)
            if message.answer or not self._bus.shares(name, peer):
                continue
            if self._holdings.exceeds(name, holdings):
                row = self._holdings.row(name)
                if row is not None:
                    answer.append(row)
        if len(self._wants):
            self._at(now + TICK_US if self._wants.urgent else now + GRACE_US)
        return [Send(peer, Lane.BULK, one) for one in packed(answer, answer=True)]

    # --- asking and answering --------------------------------------------------------------------------------

    def _wanted(self, peer: NodeId, mate: _Mate, message: HistoryWanted) -> list[Effect]:
        bus = self._bus
        if mate.reading or peer in bus.backlogged or len(bus.reads) >= READS_MAX:
            return [Send(peer, Lane.BULK, HistoryFrames(message.token, True, False, ()))]
        ranges = [(message.epoch, first, last) for first, last in message.stretches]
        channel = bus.channels.find(message.channel)
        held, complete = ([], False) if channel is None else channel.ring.select(ranges)
        if not self._holdings.is_ours(message.epoch) or not bus.shares(message.channel, peer):
            held, complete = [], True
        if complete or not bus.env.durable:
            return [self._piece(peer, message.token, held, False)]

        def read(found: HistoryRead) -> list[Effect]:
            mate.reading = False
            if self._linked.get(peer) is not mate:
                return []
            if found.failed:
                return [self._piece(peer, message.token, held, False)]
            return [self._piece(peer, message.token, found.frames, found.more)]

        query = HistoryQuery(message.channel, PIECE_EVENTS, PIECE_BYTES, oldest=True, ranges=tuple(ranges))
        try:
            asked = bus.reads.ask(query, read)
        except Refusal:
            return [Send(peer, Lane.BULK, HistoryFrames(message.token, True, False, ()))]
        mate.reading = True
        return [asked]

    def _piece(self, peer: NodeId, token: int, frames: list[bytes] | tuple[bytes, ...], more: bool) -> Effect:
        picked = cut(frames, PIECE_EVENTS, PIECE_BYTES)
        self.served += len(picked)
        return Send(peer, Lane.BULK, HistoryFrames(token, False, more or len(picked) < len(frames), tuple(picked)))

    def _taken(self, now: Instant, peer: NodeId, message: HistoryFrames) -> list[Effect]:
        asked = self._wants.asked.get(peer)
        if asked is None or asked.token != message.token:
            return []
        self._soon(now)
        if message.busy:
            self._wants.later(now, peer)
            return []
        channel, epoch = asked.key
        placed: list[tuple[int, bytes]] = []
        for frame in message.frames:
            stored = parse_stored(frame)
            if stored is not None and stored.epoch == epoch:
                offset = stored.offset
                if any(first <= offset <= last for first, last in asked.stretches):
                    placed.append((offset, frame))
        placed.sort(key=_offset)
        counters = self._bus.counters
        before = counters["imported"] + counters["import_late"]
        ours = self._holdings.published_here(epoch)
        effects = bring_in(self._bus, channel, [frame for _, frame in placed], None, ours=ours) if placed else []
        taken = counters["imported"] + counters["import_late"] - before
        self.fetched += taken
        self._wants.answered(now, peer, message.more)
        return effects

    # --- pace ------------------------------------------------------------------------------------------------

    def _soon(self, now: Instant) -> None:
        self._at(now + TICK_US)

    def _at(self, at: Instant) -> None:
        if self._tick_at is None or at < self._tick_at:
            self._tick_at = at

    def _plan(self, now: Instant) -> None:
        """When there is something to do next."""
        if any(mate.walk for mate in self._linked.values()):
            self._soon(now)
        due = self._wants.next_at()
        if due is not None:
            self._at(max(due, now + TICK_US))

    def _is_busy(self, now: Instant) -> bool:
        bus = self._bus
        events = bus.counters["published"] + bus.counters["imported"] - self.fetched
        came, self._events = events - self._events, events
        elapsed_us, self._looked_at = now - self._looked_at, now
        if (came * TICK_US <= BUSY_EVENTS * elapsed_us and not bus.paused) or now - self._quiet_at > PAUSE_MAX_US:
            self._quiet_at = now
            return False
        return True

    def _is_free(self, peer: NodeId) -> bool:
        return peer in self._linked and self._is_mate(peer)

    def _is_mate(self, peer: NodeId) -> bool:
        return self._bus.cluster_of(peer) == self._bus.env.cluster and peer != self._bus.env.node_id


def _offset(placed: tuple[int, bytes]) -> int:
    return placed[0]
