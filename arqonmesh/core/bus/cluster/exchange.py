"""Who is connected at which node of the cluster: told by each node of its own clients, kept by all.

    link up ─▶ digest (whole) ⇄ digest ─▶ rows that the other lacks
    own clients come, go, join, leave ─▶ rows to every linked mate, at most every FLUSH_US
    rows of a third node arrived ─▶ its new head to the mates that may lack them; who does, asks
    every REPAIR_US ─▶ a whole digest to one mate in turn: what was lost on the way is found

A node that is dead or has left takes its clients with it, at once and everywhere, and its rows are not taken from
anybody until it is alive again. All of it is bounded: rows per node (table.py), nodes, rows per message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arqonmesh.core.bus.cluster.copies import NODES_MAX, ROWS_PER_MESSAGE, Copies
from arqonmesh.core.bus.cluster.keys import ClusterKeys
from arqonmesh.core.bus.cluster.own import OwnRows
from arqonmesh.core.bus.cluster.reach import Reach
from arqonmesh.core.bus.cluster.table import Table
from arqonmesh.core.bus.cluster.view import View
from arqonmesh.core.events import (
    Dropped,
    KeysHeld,
    LinkDown,
    LinkUp,
    MemberAdmitted,
    MemberChanged,
    MemberDescribed,
    MemberExpelled,
)
from arqonmesh.core.kernel import MILLISECOND, SECOND, Effect, Emit, Instant, Lane, Send
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import KeyDigests, KeyRecords, PresenceDigest, PresenceRow, PresenceRows

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus

FLUSH_US: Final = 20 * MILLISECOND
"""Changes of so long go out together; nobody sees a join at another node sooner than the next flush."""
REPAIR_US: Final = 5 * SECOND
_SHUT: Final = ("dead", "left")


class Exchange:
    """One node's part. `view` is empty, and nothing is sent or stored, while no other node of the cluster is linked."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._copies = Copies(bus)
        self.own = OwnRows(bus, self._flush_soon)
        self._linked: dict[NodeId, None] = {}
        self._greeted: dict[NodeId, None] = {}
        """Mates with our whole digest over a new link, and theirs not come yet: they bring what we lack, unasked."""
        self._news: dict[NodeId, NodeId] = {}
        """Whose rows changed since the last flush, and who brought them."""
        self._flush_at: Instant | None = None
        self._flushed_at: Instant = -FLUSH_US
        self._repair_at: Instant | None = None
        self._turn = 0
        self.reach = Reach(bus.env.node_id, bus.env.links_mates)
        self.keys = ClusterKeys(bus)
        self._rows_sent = 0
        self._full_sent = 0

    @property
    def view(self) -> View:
        """The clients of all other nodes."""
        return self._copies.view

    @property
    def counters(self) -> dict[str, int]:
        copies = self._copies
        return {
            "rows_sent": self._rows_sent,
            "rows_taken": copies.taken,
            "rows_refused": copies.refused,
            "full_sent": self._full_sent,
        }

    @property
    def alone(self) -> bool:
        """Whether no other node of the cluster is known to have clients or linked to us."""
        return not self._copies.tables and not self._mates()

    @property
    def nodes(self) -> int:
        """Other nodes of the cluster of which rows are held."""
        return len(self._copies.tables)

    def lives(self) -> list[tuple[NodeId, int]]:
        """The other nodes of the cluster that have told of themselves, each with its boot epoch."""
        return [(node, table.epoch) for node, table in self._copies.tables.items()]

    def is_mate(self, node: NodeId) -> bool:
        """Whether it is a node of our cluster."""
        return self._copies.is_mate(node)

    def is_linked(self, node: NodeId) -> bool:
        return node in self._linked

    # --- events ----------------------------------------------------------------------------------------------

    def on_event(
        self,
        now: Instant,
        event: LinkUp | LinkDown | MemberAdmitted | MemberChanged | MemberDescribed | MemberExpelled,
    ) -> list[Effect]:
        match event:
            case MemberDescribed():
                if event.node != self._bus.env.node_id and event.cluster == self._bus.env.cluster:
                    return self.reach.described(event.node, event.addresses)
            case LinkUp():
                self._linked[event.peer] = None
                return self._met(now, event.peer)
            case LinkDown():
                self._linked.pop(event.peer, None)
                self._greeted.pop(event.peer, None)
                self._copies.link_lost(event.peer)
                if not self._mates():
                    self._repair_at = None
                if self._copies.is_mate(event.peer):
                    self._relinked(now)
            case MemberAdmitted():
                return self._met(now, event.node) if event.node in self._linked else []
            case MemberExpelled():
                return self._shut_out(now, event.node, for_good=True)
            case MemberChanged() if event.new in _SHUT:
                return self._shut_out(now, event.node, for_good=event.new == "left")
            case MemberChanged() if event.new == "alive" and self._copies.is_mate(event.node):
                self.reach.lives(now, event.node)
                if self._copies.shut.pop(event.node, self) is not self:
                    return [self._digest(mate) for mate in self._mates()]
        return []

    def left_mesh(self) -> list[Effect]:
        effects = self._copies.forget_all()
        self.keys.left_mesh()
        self._linked.clear()
        self._greeted.clear()
        self._news.clear()
        self._flush_at = self._repair_at = None
        return effects + self.reach.clear()

    def keys_held(self, event: KeysHeld) -> list[Effect]:
        """The node's own file of API keys holds these now."""
        return self.keys.held(event, self._mates())

    def on_message(
        self, now: Instant, peer: NodeId, message: PresenceDigest | PresenceRows | KeyDigests | KeyRecords
    ) -> list[Effect]:
        if not self._copies.is_mate(peer):
            return [Emit(Dropped("bus", "cluster-stranger", 1, peer))]
        if isinstance(message, KeyDigests | KeyRecords):
            return self.keys.on_message(peer, message, self._mates())
        self._activate(now)
        if isinstance(message, PresenceDigest):
            return self._digested(peer, message)
        node = NodeId(message.origin)
        before = self._copies.head(node)
        effects = self._copies.take(peer, message)
        if self._copies.head(node) != before:
            self._heard(now, node, peer)
        return effects

    # --- time ------------------------------------------------------------------------------------------------

    def next_deadline(self) -> Instant | None:
        soonest = self._repair_at  # asked after every input, so without a list
        flush_at, look_at = self._flush_at, self.reach.look_at
        if flush_at is not None and (soonest is None or flush_at < soonest):
            soonest = flush_at
        if look_at is not None and (soonest is None or look_at < soonest):
            soonest = look_at
        return soonest

    def on_timer(self, now: Instant) -> list[Effect]:
        effects: list[Effect] = []
        if self._repair_at is not None and self._repair_at <= now:
            self._repair_at = now + REPAIR_US
            self.own.look_after_kept()
            mates = self._mates()
            if mates:
                self._turn += 1
                turn = mates[self._turn % len(mates)]
                effects += [self._digest(turn), *self.keys.repair(turn)]
        if self.reach.look_at is not None and self.reach.look_at <= now:
            effects += self.reach.look(now, self._mates(), self._copies.tables)
        if self._flush_at is not None and self._flush_at <= now:
            self._flush_at, self._flushed_at = None, now
            effects += self._flush()
        return effects

    def _flush(self) -> list[Effect]:
        effects: list[Effect] = []
        mates = self._mates()
        if (news := self.own.take_news()) is not None:
            own, base, rows = news
            messages = _packed(self._bus.env.node_id, own, base, rows)
            for mate in mates:
                effects += [Send(mate, Lane.CONTROL, message) for message in messages]
            self._rows_sent += len(rows) * len(mates)
        heard, self._news = self._news, {}
        for mate in mates:
            heads = tuple(
                (node, *self._copies.head(node))
                for node, brought in heard.items()
                if node in self._copies.tables and mate not in (node, brought)
            )
            if heads:
                effects.append(Send(mate, Lane.CONTROL, PresenceDigest(False, heads)))
        return effects

    # --- what others have ------------------------------------------------------------------------------------

    def _digested(self, peer: NodeId, message: PresenceDigest) -> list[Effect]:
        theirs = {NodeId(node): (epoch, version) for node, epoch, version in message.heads}
        effects: list[Effect] = []
        wanted: list[tuple[str, int, int]] = []
        for node, table in self._tables():
            if node == peer or (node not in theirs and not message.whole):
                continue
            epoch, version = theirs.get(node, (0, 0))
            if (epoch, version) < table.head:
                base, rows = table.after(epoch, version)
                self._rows_sent += len(rows)
                self._full_sent += base == 0
                effects += [Send(peer, Lane.CONTROL, one) for one in _packed(node, table, base, rows)]
        if message.whole and self._greeted.pop(peer, self) is not self:
            return effects
        for node, head in theirs.items():
            mine = self._copies.head(node)
            if head > mine and self._copies.is_welcome(node):
                wanted.append((node, *mine))
        if wanted:
            effects.append(Send(peer, Lane.CONTROL, PresenceDigest(False, tuple(wanted))))
        return effects

    # --- private ---------------------------------------------------------------------------------------------

    def _mates(self) -> list[NodeId]:
        return [peer for peer in self._linked if self._copies.is_mate(peer)]

    def _tables(self) -> list[tuple[NodeId, Table]]:
        own = [] if self.own.table is None else [(self._bus.env.node_id, self.own.table)]
        return [*own, *self._copies.tables.items()]

    def _met(self, now: Instant, peer: NodeId) -> list[Effect]:
        if not self._copies.is_mate(peer):
            return []
        self._activate(now)
        self._relinked(now)
        self._greeted[peer] = None
        return [self._digest(peer), *self.keys.greeting(peer)]

    def _digest(self, peer: NodeId) -> Effect:
        heads = tuple((node, *table.head) for node, table in self._tables()[:NODES_MAX])
        return Send(peer, Lane.CONTROL, PresenceDigest(True, heads))

    def _activate(self, now: Instant) -> None:
        """The first mate: from now on our clients are told of."""
        if self._repair_at is None:
            self._repair_at = now + REPAIR_US
        if self.own.begin():
            self._flush_at = None

    def _flush_soon(self) -> None:
        if self._flush_at is None:
            self._flush_at = max(self._bus.now, self._flushed_at + FLUSH_US)

    def _heard(self, now: Instant, node: NodeId, peer: NodeId) -> None:
        """Rows of `node` came from `peer`, and were news."""
        self.reach.changed(now)
        self._news[node] = peer
        self._flush_soon()

    def _relinked(self, now: Instant) -> None:
        """Our links to mates are others than before."""
        self.reach.changed(now)
        self.own.linked_to(self._mates())

    def _shut_out(self, now: Instant, node: NodeId, *, for_good: bool) -> list[Effect]:
        if not self._copies.is_mate(node) and node not in self._copies.tables:
            return []
        effects = self.reach.died(now, node, for_good=for_good)
        self._copies.shut[node] = None
        self._news.pop(node, None)
        return effects + self._copies.forget(node)


def _packed(node: NodeId, table: Table, base: int, rows: list[PresenceRow]) -> list[PresenceRows]:
    """As messages of at most ROWS_PER_MESSAGE rows; a stretch of a delta can be taken without those after it."""
    messages = []
    parts = [rows[i : i + ROWS_PER_MESSAGE] for i in range(0, len(rows), ROWS_PER_MESSAGE)] or [[]]
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        upto = table.version if last or base == 0 else part[-1][0]
        messages.append(PresenceRows(node, table.epoch, base, upto, last, tuple(part)))
        if base:
            base = upto
    return messages
