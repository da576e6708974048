"""Federation: what leaves this node for others, what is taken from them, and in whose hands a message is.

    Published ─▶ sections of the tick ─flush─▶ signed batch ─▶ outbox of each link ─▶ BusBatch
    BusBatch ─▶ judged, deduplicated ─▶ Persist(inbox) ─Persisted─▶ Imported (the bus delivers)
                                                               └──▶ outbox of each next hop ─▶ BusBatch
                                        all of it settled ─▶ BusAck upstream

Rules: nothing crosses a cluster's border unless its export rules allow the channel and the importer's rules too;
every hop checks its own. Nodes of one cluster exchange everything but what pins keep in regions (residency.py): those
hold on every link. A message is delivered at most once per node (inbox
window, on disk before delivery) and not lost between two nodes that part, nor when one on its way crashes: the sender
keeps a batch until it is acknowledged (in memory while the link is up, so a crash of the origin loses what nobody has
yet), and a node acknowledges once the batch is delivered and every next hop has it, or a row on disk does.
Per origin, channel and link the order is the origin's.

Why what is forwarded is remembered in memory only: after a restart upstream sends again what we had not acknowledged;
it was delivered, so the inbox knows it, but whether the next hop got it, nobody does. So it is forwarded once more, and
the next hop's inbox sorts it out. Neighbours that have it from us keep it a while, too, for the sake of order
(spared.py): newer batches that come back to us sooner, by another way, would overtake it.

Loops end by construction: `via` names the nodes visited, `ttl` falls at each hop, and a section is forwarded once.
Who is barred from transit (routing/transit.py) gets batches with a `ttl` of 0, for itself alone, and what it passes on
of others is refused, and settled with it, so that nobody before it waits. It is no part of what was seen: the same
batch counts when it comes another way.
Sources: RabbitMQ's federation (visited list, max hops) and BGP's AS_PATH (RFC 4271, 9.1.2) for the path; QUIC's packet
numbers (RFC 9000, 12.3: never reused) for the numbering of a link.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, cast

from arqonmesh.config.model import FederationSettings
from arqonmesh.core.events import (
    LinkDown,
    LinkUp,
    MemberAdmitted,
    MemberChanged,
    MemberDescribed,
    MemberExpelled,
    MemberMoved,
    Persisted,
    Published,
    TransportDown,
    TransportUp,
)
from arqonmesh.core.federation.batch import decode_pins
from arqonmesh.core.federation.books import CORE, Books, Counters
from arqonmesh.core.federation.commits import Commits
from arqonmesh.core.federation.custody import Custodies
from arqonmesh.core.federation.decisions import Decision
from arqonmesh.core.federation.exports import Exports
from arqonmesh.core.federation.forwarding import Forwarding
from arqonmesh.core.federation.imports import PIN_ROW, Imports, Lookup
from arqonmesh.core.federation.inbox import Inbox
from arqonmesh.core.federation.links import LINK_ROW, ClusterOf, Links
from arqonmesh.core.federation.partings import DoubtOf, Partings
from arqonmesh.core.federation.policy import Explained, Policy, PolicyRule
from arqonmesh.core.federation.sending import Sending
from arqonmesh.core.federation.strangers import Strangers
from arqonmesh.core.federation.tick import Tick
from arqonmesh.core.federation.upstream import Upstreams
from arqonmesh.core.kernel import Durable, Effect, Env, Event, Instant
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import BusAck, BusBatch, WireMessage


class Federation:
    """The state machine of one node's borders. `flush` belongs at the end of every tick; a timer calls it otherwise."""

    NAME: ClassVar[str] = CORE
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = (BusBatch, BusAck)
    EVENTS: ClassVar[tuple[type[Event], ...]] = (
        Published,
        TransportUp,
        TransportDown,
        LinkUp,
        LinkDown,
        MemberAdmitted,
        MemberChanged,
        MemberDescribed,
        MemberExpelled,
        MemberMoved,
    )

    def __init__(
        self,
        env: Env,
        settings: FederationSettings,
        *,
        keys: Lookup,
        cluster_of: ClusterOf,
        doubt_of: DoubtOf,
        convicted: Callable[[NodeId], bool],
        barred: Callable[[NodeId], bool],
    ) -> None:
        """`keys` and `cluster_of`: the roster; None for who is not on it. `doubt_of`: why it does not vouch for a
        member's cluster, "" when it does. `convicted`: who is ignored for good, by a proof or by the operator's ban.
        `barred`: who carries nothing that is meant for others, by the policy of routing."""
        self._env = env
        self._cluster_of = cluster_of
        self._doubt_of = doubt_of
        self._policy = policy = Policy(env.region, settings)
        self._residency = residency = policy.residency
        self._books = books = Books()
        self.counters: Counters = books.counters
        self._tick = tick = Tick()
        self._inbox = Inbox()
        self._upstreams = Upstreams()
        self._custodies = Custodies(self._upstreams)
        self._strangers = Strangers()
        self._commits = Commits(self._inbox, tick)
        self._links = links = Links(
            env,
            settings,
            cluster_of=cluster_of,
            residency=residency,
            custodies=self._custodies,
            commits=self._commits,
            books=books,
            tick=tick,
        )
        self._outboxes = links.outboxes
        self._partings = Partings(links, residency, cluster_of=cluster_of, doubt_of=doubt_of, convicted=convicted)
        sending = Sending(env.cluster, residency, links, books, barred)
        self._exports = Exports(env, settings, policy=policy, links=links, sending=sending, books=books, tick=tick)
        self._forwarding = Forwarding(
            env, settings, policy=policy, upstreams=self._upstreams, links=links, sending=sending, books=books
        )
        self._imports = Imports(
            env,
            settings,
            keys=keys,
            cluster_of=cluster_of,
            policy=policy,
            inbox=self._inbox,
            upstreams=self._upstreams,
            custodies=self._custodies,
            strangers=self._strangers,
            commits=self._commits,
            forwarding=self._forwarding,
            books=books,
            tick=tick,
            barred=barred,
        )
        self._handlers: dict[type[Event], Callable[..., list[Effect]]] = {
            Persisted: self._persisted,
            TransportUp: self._transport_up,
            TransportDown: self._transport_down,
            LinkUp: self._partings.link_up,
            LinkDown: self._partings.link_down,
            MemberAdmitted: self._member_admitted,
            MemberChanged: self._partings.changed,
            MemberDescribed: self._partings.described,
            MemberExpelled: self._partings.expelled,
            MemberMoved: self._partings.moved,
        }

    # --- what others ask ----------------------------------------------------------------------------------

    def exported(self, channel: str) -> bool:
        """Whether events on this channel leave the node: the rules allow it, or another node shares our cluster."""
        if self._policy.leaving(channel).allowed:
            return True
        return any(self._cluster_of(peer) == self._env.cluster for peer in self._outboxes)

    def adopt(self, settings: FederationSettings) -> None:
        """Other rules from now on. What waits for a link goes on, unless a pin keeps it back now."""
        if self._policy.adopt(settings):
            for peer in self._outboxes:
                self._links.enforce(0, peer, self._tick.said, everything=True)

    def shares(self, channel: str, peer: NodeId) -> bool:
        """Whether pins, ours and those that came with its events, let the history of a channel go to this member."""
        return self._residency.shares(channel, peer)

    def region_of(self, peer: NodeId) -> str:
        """As the member tells in its record; "" when it tells none."""
        return self._residency.region_of(peer)

    def rules(self) -> tuple[PolicyRule, ...]:
        """Pins, aggregates and packs, as they hold."""
        return tuple(self._policy.rules())

    def verdict(self, channel: str, peer: NodeId) -> Explained:
        """Whether events on this channel may be sent to this member, and the rule that says so."""
        inside = self._cluster_of(peer) == self._env.cluster
        claim = self._residency.claim_of(peer)
        if claim.doubt:  # the same doubt may have other reasons by now
            claim = claim._replace(doubt=self._doubt_of(peer) or claim.doubt)
        return self._policy.verdict(channel, inside=inside, region=claim.region, origin=claim.origin)

    def backlog(self, peer: NodeId) -> int:
        """Messages that this peer has not acknowledged, held ones included."""
        box = self._outboxes.get(peer)
        return 0 if box is None else box.messages

    def in_hand(self) -> tuple[tuple[NodeId, str, bytes], ...]:
        """(origin, channel, frame) of what waits for its row: a crash now loses it for the clients that it cuts off."""
        return tuple(
            (arrival.origin, section.channel, frame)
            for arrival in self._commits.waiting()
            for section in arrival.deliver
            for frame in section.frames
        )

    def decisions(self) -> tuple[Decision, ...]:
        return self._books.decisions.rows()

    # --- the core -----------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        self._inbox.load(durable.get("inbox", ()))
        peers: list[NodeId] = []
        for core, name, value in durable.get("scalars", ()):
            if core == CORE and cast(str, name).startswith(LINK_ROW):
                peers.append(NodeId(cast(str, name).removeprefix(LINK_ROW)))
            elif core == CORE and cast(str, name).startswith(PIN_ROW):
                self._residency.load(cast(str, name).removeprefix(PIN_ROW), decode_pins(cast(bytes, value)))
        out: list[Effect] = []
        self._links.restore(peers, durable.get("outbox", ()), out)
        self._partings.look_later(now)
        self._tick.note(now)
        return out

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        if type(event) is Published:
            out: list[Effect] = []
            self._exports.take(now, event, out)
            return out + self.flush(now) if self._exports.full else out
        handler = self._handlers.get(type(event))
        return [] if handler is None else handler(now, event)

    def on_events(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        out: list[Effect] = []
        for event in events:
            if type(event) is MemberAdmitted and not len(self._strangers):
                continue
            if type(event) is MemberChanged and event.new != "left" and not self._partings.has_left(event.node):
                continue
            out += self.on_event(now, event)
        return out

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        if type(message) is BusBatch:
            return self._imports.batch(now, link_peer, message)
        if type(message) is BusAck:
            return self._links.acked(now, link_peer, message.link_seq)
        raise AssertionError(f"federation does not speak {type(message).__name__}")

    def on_timer(self, now: Instant) -> list[Effect]:
        out: list[Effect] = []
        self._links.take_custody(now)
        self._partings.on_timer(now, out)
        self._imports.give_up_strangers(now, out)
        if self._exports.due is not None and self._exports.due <= now:
            self._tick.note(now)
        return out + self.flush(now)

    def next_deadline(self) -> Instant | None:
        deadlines = (
            self._tick.since,
            self._custodies.next_deadline(),
            self._strangers.next_deadline(),
            self._exports.due,
            self._partings.next_deadline(),
        )
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    @property
    def work_due(self) -> bool:
        """Whether `flush` has anything to do."""
        return self._tick.since is not None

    def flush(self, now: Instant) -> list[Effect]:
        """The tick is over: sign and send what was published, write what has to be written, acknowledge."""
        if self._tick.since is None:
            return []
        out = self._tick.end()
        self._exports.flush(now, out)
        self._commits.write(now, self._imports.complete, out)
        self._imports.end_tick()
        self._upstreams.acknowledge(out)
        return out

    def end_windows(self, now: Instant) -> list[Effect]:
        """The node stops: what it has summed up so far is told now, and goes the way of everything else published."""
        self._exports.end_windows(now)
        return self.flush(now)

    # --- events -------------------------------------------------------------------------------------------

    def _persisted(self, now: Instant, event: Persisted) -> list[Effect]:
        commit = self._commits.confirmed(event.token)
        out: list[Effect] = []
        for entry in commit.entries:
            self._custodies.release(entry)
        for arrival in commit.arrivals:
            self._imports.complete(now, arrival, out)
        self._tick.note(now)
        return out

    def _transport_up(self, now: Instant, event: TransportUp) -> list[Effect]:
        """A new connection: the other side's numbers may begin anywhere, and what flew on an old one may be lost."""
        out = self._forwarding.parted(now, event.peer)
        self._upstreams.renew(now, event.peer)
        return out + self._links.renewed(now, event.peer)

    def _transport_down(self, now: Instant, event: TransportDown) -> list[Effect]:
        out = self._partings.link_down(now, event) + self._forwarding.parted(now, event.peer)
        self._upstreams.end(event.peer)
        return out

    def _member_admitted(self, now: Instant, event: MemberAdmitted) -> list[Effect]:
        return self._imports.introduced(now, event.node)


__all__ = ["Decision", "Federation"]
