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
the next hop's inbox sorts it out.

Loops end by construction: `via` names the nodes visited, `ttl` falls at each hop, and a section is forwarded once.
Sources: RabbitMQ's federation (visited list, max hops) and BGP's AS_PATH (RFC 4271, 9.1.2) for the path; QUIC's packet
numbers (RFC 9000, 12.3: never reused) for the numbering of a link.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Final, TypeAlias, cast

from arqonmesh.config.model import FederationSettings
from arqonmesh.core.events import (
    Backlog,
    Dropped,
    Fault,
    Imported,
    LinkDown,
    LinkUp,
    MemberAdmitted,
    MemberChanged,
    MemberDescribed,
    MemberExpelled,
    Persisted,
    Published,
    TransportDown,
    TransportUp,
)
from arqonmesh.core.federation.aggregate import Aggregator
from arqonmesh.core.federation.arrival import Arrival, Refusal, open_head, open_sections, refuse_unproven
from arqonmesh.core.federation.batch import (
    BATCH_BYTES_MAX,
    CHANNEL_LENGTH_MAX,
    FRAME_BYTES_MAX,
    SECTIONS_MAX,
    WITHHELD,
    Head,
    Parcel,
    Section,
    decode_pins,
    encode_sections,
    parcel_of,
    section_hash,
    signed_bytes,
)
from arqonmesh.core.federation.custody import Custody, Upstream
from arqonmesh.core.federation.decisions import Decision, Decisions
from arqonmesh.core.federation.inbox import Inbox, Seen
from arqonmesh.core.federation.outbox import Entry, Outbox
from arqonmesh.core.federation.patterns import Ruling
from arqonmesh.core.federation.policy import SAME_CLUSTER, Explained, Policy, PolicyRule
from arqonmesh.core.federation.residency import Pinned, origins
from arqonmesh.core.federation.rows import parcel_from_row, permitted
from arqonmesh.core.kernel import (
    MILLISECOND,
    Delete,
    Disconnect,
    Durable,
    Effect,
    Emit,
    Env,
    Event,
    Instant,
    Lane,
    Persist,
    Put,
    Send,
    Write,
)
from arqonmesh.errors import DecodeError
from arqonmesh.ids import NodeId
from arqonmesh.wire.cbor import encode
from arqonmesh.wire.codec import encode_message
from arqonmesh.wire.messages import MAX_HOPS, BusAck, BusBatch, WireMessage

CUSTODY_PATIENCE_US: Final = 20 * MILLISECOND
"""How long upstream waits for a next hop's acknowledgement before we take the batch into custody on disk."""
STRANGER_PATIENCE_US: Final = 5_000 * MILLISECOND
"""How long a batch waits for the roster to name its origin: gossip may be slower than the bus."""
STRANGERS_MAX: Final = 256
STRANGER_BYTES_MAX: Final = 4 << 20
EARLY_FLUSH_BYTES: Final = 4 << 20
"""Published bytes after which the end of the tick is not waited for."""
COMMIT_BYTES_MAX: Final = 4 << 20
"""Row bytes per transaction; a long queue is written as several."""
UPSTREAM_BYTES_MAX: Final = 32 << 20
"""Unsettled bytes of one link; more than any honest window, and the link is closed."""
LINKS_MAX: Final = 1_024
PIN_ROW: Final = "pin/"
"""Before the channel, in the rows that remember pins of others."""

Lookup = Callable[[NodeId], "bytes | None"]
ClusterOf = Callable[[NodeId], "str | None"]


@dataclass(slots=True)
class _Commit:
    """One transaction in the making, and what it allows once it is done."""

    writes: list[Write] = field(default_factory=list)
    bytes: int = 0
    entries: list[Entry] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)


@dataclass(slots=True)
class Counters:
    """Bus messages since the start, for status and metrics; `duplicates` counts batches with nothing new in them."""

    exported: int = 0
    """Left for at least one other cluster."""
    kept_local: int = 0
    """Denied by an export rule, or by the lack of one."""
    forwarded: int = 0
    imported: int = 0
    import_denied: int = 0
    duplicates: int = 0
    held: int = 0
    """Put on disk for a link that is down."""
    replayed: int = 0
    """Sent again, or at last, when a link came up."""
    dropped: int = 0


_Right: TypeAlias = tuple[bytes, int, bool, Pinned | None]
"""A section on its way into links: its bytes, its messages, whether other clusters may have it, its pins."""


class Federation:
    """The state machine of one node's borders. `flush` belongs at the end of every tick; a timer calls it otherwise."""

    NAME: ClassVar[str] = "federation"
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
    )

    def __init__(self, env: Env, settings: FederationSettings, *, keys: Lookup, cluster_of: ClusterOf) -> None:
        self._env = env
        self._settings = settings
        self._keys = keys
        self._cluster_of = cluster_of
        self._policy = Policy(env.region, settings)
        self._residency = self._policy.residency
        self._aggregator = Aggregator(env)
        self._hold = settings.outbox.when_down == "hold"
        self._upstream_bytes_max = max(UPSTREAM_BYTES_MAX, 4 * settings.outbox.window_bytes)
        self._decisions = Decisions()
        self.counters = Counters()

        self._fresh: dict[str, list[bytes]] = {}
        self._fresh_bytes = 0
        self._next_section = 1
        self._said: list[Effect] = []
        """Told with the next flush."""

        self._inbox = Inbox()
        self._forwarded = Inbox()
        self._outboxes: dict[NodeId, Outbox] = {}
        self._parted: dict[NodeId, bool] = {}
        """Members that left, and whether a link to them is up all the same: nothing is kept for them."""
        self._upstreams: dict[NodeId, Upstream] = {}
        self._ack_due: dict[NodeId, Upstream] = {}
        self._custodies: dict[tuple[str, int, int], Custody] = {}
        self._custody_due: deque[Entry] = deque()
        self._strangers: deque[tuple[Instant, Upstream, BusBatch, NodeId]] = deque()
        self._stranger_bytes = 0

        self._commits: list[_Commit] = []
        self._commit = _Commit()
        self._committing: dict[int, _Commit] = {}
        self._next_token = 1
        self._work_since: Instant | None = None
        self._handlers: dict[type[Event], Callable[..., list[Effect]]] = {
            Persisted: self._persisted,
            TransportUp: self._transport_up,
            TransportDown: self._link_down,
            LinkUp: self._link_up,
            LinkDown: self._link_down,
            MemberAdmitted: self._member_admitted,
            MemberChanged: self._member_changed,
            MemberDescribed: self._member_described,
            MemberExpelled: self._member_expelled,
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
            for box in self._outboxes.values():
                self._enforce(0, box, self._said, everything=True)

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
        return self._policy.verdict(channel, inside=inside, region=self._residency.region_of(peer))

    def backlog(self, peer: NodeId) -> int:
        """Messages that this peer has not acknowledged, held ones included."""
        box = self._outboxes.get(peer)
        return 0 if box is None else box.messages

    def in_hand(self) -> tuple[tuple[NodeId, str, bytes], ...]:
        """(origin, channel, frame) of what waits for its row: a crash now loses it for the clients that it cuts off."""
        waiting = [*self._commits, self._commit, *self._committing.values()]
        return tuple(
            (arrival.origin, section.channel, frame)
            for commit in waiting
            for arrival in commit.arrivals
            for section in arrival.deliver
            for frame in section.frames
        )

    def decisions(self) -> tuple[Decision, ...]:
        return self._decisions.rows()

    # --- the core -----------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        self._inbox.load(durable.get("inbox", ()))
        for core, name, value in durable.get("scalars", ()):
            if core == self.NAME and cast(str, name).startswith("link/"):
                self._outbox(NodeId(cast(str, name).removeprefix("link/")))
            elif core == self.NAME and cast(str, name).startswith(PIN_ROW):
                self._residency.load(cast(str, name).removeprefix(PIN_ROW), decode_pins(cast(bytes, value)))
        rows = sorted(durable.get("outbox", ()), key=lambda row: (row[0], row[1]))
        out: list[Effect] = []
        for peer, order, encoded in cast("list[tuple[str, int, bytes]]", rows):
            try:
                self._outbox(NodeId(peer)).restore(order, parcel_from_row(encoded, self._residency))
            except DecodeError as error:
                self._commit.writes.append(Delete("outbox", (peer, order)))
                out.append(Emit(Dropped(self.NAME, "outbox-unreadable", 1, error.code)))
        for box in self._outboxes.values():
            self._trim(box, out)
        self._note_work(now)
        return out

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        if type(event) is Published:
            return self._published(now, event)
        handler = self._handlers.get(type(event))
        return [] if handler is None else handler(now, event)

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        if type(message) is BusBatch:
            return self._batch(now, link_peer, message)
        if type(message) is BusAck:
            return self._acked(now, link_peer, message.link_seq)
        raise AssertionError(f"federation does not speak {type(message).__name__}")

    def on_timer(self, now: Instant) -> list[Effect]:
        out: list[Effect] = []
        self._take_custody(now)
        self._give_up_strangers(now, out)
        if self._aggregator.due is not None and self._aggregator.due <= now:
            self._note_work(now)
        return out + self.flush(now)

    def next_deadline(self) -> Instant | None:
        self._skip_settled()
        deadlines = [
            *([self._work_since] if self._work_since is not None else ()),
            *([self._custody_due[0].taken_at + CUSTODY_PATIENCE_US] if self._custody_due else ()),
            *([self._strangers[0][0]] if self._strangers else ()),
            *([self._aggregator.due] if self._aggregator.due is not None else ()),
        ]
        return min(deadlines, default=None)

    @property
    def work_due(self) -> bool:
        """Whether `flush` has anything to do."""
        return self._work_since is not None

    def flush(self, now: Instant) -> list[Effect]:
        """The tick is over: sign and send what was published, write what has to be written, acknowledge."""
        if self._work_since is None:
            return []
        self._work_since = None
        out, self._said = self._said, []
        if self._fresh or self._aggregator.due is not None:
            self._export(now, out)
        self._write(now, out)
        for peer, upstream in self._ack_due.items():
            number = upstream.ackable()
            if number is not None:
                upstream.acked = number
                out.append(Send(peer, Lane.PRIORITY, BusAck(number)))
        self._ack_due.clear()
        return out

    # --- our own messages ---------------------------------------------------------------------------------

    def _published(self, now: Instant, event: Published) -> list[Effect]:
        frame = event.frame
        frames = self._fresh.get(event.channel)
        if len(frame) > FRAME_BYTES_MAX:
            return self._drop([], "frame-too-large", 1, event.channel)
        if frames is not None:
            frames.append(frame)
        elif len(event.channel) > CHANNEL_LENGTH_MAX:
            return self._drop([], "channel-name-too-long", 1)
        else:
            self._fresh[event.channel] = [frame]
            self._note_work(now)
        self._fresh_bytes += len(frame)
        return [] if self._fresh_bytes < EARLY_FLUSH_BYTES else self.flush(now)

    def _export(self, now: Instant, out: list[Effect]) -> None:
        fresh, self._fresh, self._fresh_bytes = self._fresh, {}, 0
        links = self._open_links(())
        clusters = self._foreign(links)
        inside = any(cluster == self._env.cluster for _, cluster in links)
        aggregates: list[tuple[str, list[bytes]]] = []
        if self._policy.sums or self._aggregator.due is not None:
            aggregates = self._aggregates(now, fresh, out)
        sections: list[_Right] = []
        size = 0
        events, pins_any = len(fresh), self._residency.pins
        for channel, frames in (*fresh.items(), *aggregates):
            aggregate, events = events <= 0, events - 1
            ruling = self._policy.leaving(channel, aggregate=aggregate)
            pinned = self._residency.pinned(channel) if pins_any else None
            if pinned is not None:
                if not self._judged_pinned(channel, ruling, pinned, links, len(frames), out):
                    continue
            else:
                self._judged(channel, ruling, clusters, len(frames), out)
                if not inside and not (ruling.allowed and clusters):
                    continue
            pins = () if pinned is None else pinned.pins
            for section, messages in encode_sections(channel, frames, pins, aggregate):
                if sections and (len(sections) == SECTIONS_MAX or size + len(section) > BATCH_BYTES_MAX):
                    self._originate(now, sections, links, out)
                    sections, size = [], 0
                sections.append((section, messages, ruling.allowed, pinned))
                size += len(section)
        if sections:
            self._originate(now, sections, links, out)

    def _aggregates(
        self, now: Instant, fresh: dict[str, list[bytes]], out: list[Effect]
    ) -> list[tuple[str, list[bytes]]]:
        """Count what was published into its windows; those that have ended, as (channel, frames)."""
        for channel, frames in fresh.items():
            summed = self._policy.summed(channel)
            if summed is not None and not self._aggregator.take(now, channel, summed, frames):
                self._drop(out, "aggregate-channels", len(frames), channel)
        return [(told.channel, [told.frame]) for told in self._aggregator.close(now)]

    def _judged(self, channel: str, ruling: Ruling, clusters: list[str], messages: int, out: list[Effect]) -> None:
        if not ruling.allowed:
            self.counters.kept_local += messages
            clusters = ["*"]
        elif clusters:
            self.counters.exported += messages
        for cluster in clusters:
            self._decided("export", channel, cluster, ruling, messages, out)

    def _judged_pinned(
        self,
        channel: str,
        ruling: Ruling,
        pinned: Pinned,
        links: list[tuple[Outbox, str]],
        messages: int,
        out: list[Effect],
    ) -> bool:
        """Count what the rules say of these events of ours; whether they may take any link."""
        verdicts = self._verdicts(ruling, pinned, links)
        abroad = [verdict.allowed for cluster, verdict in verdicts if cluster != self._env.cluster]
        if any(abroad):
            self.counters.exported += messages
        elif abroad or not ruling.allowed:
            self.counters.kept_local += messages
        if not ruling.allowed:
            self._decided("export", channel, "*", ruling, messages, out)
        for cluster, verdict in verdicts:
            if verdict is not SAME_CLUSTER:
                self._decided("export", channel, cluster, verdict, messages, out)
        return any(verdict.allowed for _, verdict in verdicts)

    def _foreign(self, links: list[tuple[Outbox, str]]) -> list[str]:
        """The other clusters that these links lead to, each once."""
        return list(dict.fromkeys(cluster for _, cluster in links if cluster != self._env.cluster))

    def _verdicts(self, ruling: Ruling, pinned: Pinned, links: list[tuple[Outbox, str]]) -> list[tuple[str, Ruling]]:
        """(cluster, what holds on the way there), each once; not those that the export rules keep out anyway."""
        found: dict[tuple[str, Ruling], None] = {}
        for box, cluster in links:
            if cluster == self._env.cluster:
                leaving = SAME_CLUSTER
            elif ruling.allowed:
                leaving = ruling
            else:
                continue
            refusal = pinned.refusal(self._residency.region_of(box.peer))
            found[cluster, refusal or leaving] = None
        return list(found)

    def _originate(
        self, now: Instant, sections: list[_Right], links: list[tuple[Outbox, str]], out: list[Effect]
    ) -> None:
        """One head, one signature, and the batch into every link's outbox."""
        env = self._env
        hashes = tuple([section_hash(section[0]) for section in sections])
        head = Head(env.node_id, env.cluster, env.boot_epoch, self._next_section, hashes).encode()
        self._next_section += len(sections)
        signature = env.crypto.sign(signed_bytes(env.mesh_id, head))
        self._send_on(now, (env.node_id,), self._settings.ttl - 1, head, signature, sections, links, None, out)

    def _send_on(
        self,
        now: Instant,
        via: tuple[str, ...],
        ttl: int,
        head: bytes,
        signature: bytes,
        rights: list[_Right],
        links: list[tuple[Outbox, str]],
        custody: Custody | None,
        out: list[Effect],
    ) -> int:
        """A batch into the outboxes of these links: to each the sections that may go there, in one copy for all links
        with the same rights. Returns the messages that are on their way, once per link."""
        residency = self._residency
        pinned, alike = False, True
        for _, _, allowed, pins in rights:
            pinned = pinned or pins is not None
            alike = alike and allowed
        parcels: dict[tuple[bool, str], Parcel] = {}
        total = 0
        for box, cluster in links:
            everything = alike or cluster == self._env.cluster
            region = residency.region_of(box.peer) if pinned else ""
            parcel = parcels.get((everything, region))
            if parcel is None and everything and not pinned:
                parcel = parcel_of(
                    via,
                    ttl,
                    head,
                    signature,
                    tuple([right[0] for right in rights]),
                    sum([right[1] for right in rights]),
                )
                parcels[everything, region] = parcel
            elif parcel is None:
                kept, messages, marked = [], 0, False
                for section, count, allowed, pins in rights:
                    if (everything or allowed) and (pins is None or pins.refusal(region) is None):
                        kept.append(section)
                        messages += count
                        marked = marked or pins is not None
                    else:
                        kept.append(WITHHELD)
                parcel = parcel_of(via, ttl, head, signature, tuple(kept), messages, marked)
                parcels[everything, region] = parcel
            if parcel.messages:
                total += parcel.messages
                self._enqueue(now, box, parcel, custody, out)
        return total

    # --- batches of others --------------------------------------------------------------------------------

    def _batch(self, now: Instant, link_peer: NodeId, batch: BusBatch) -> list[Effect]:
        upstream = self._upstreams.get(link_peer)
        if upstream is None:
            upstream = self._upstreams[link_peer] = Upstream(link_peer)
        if upstream.broken:
            return []
        size = len(batch.head) + sum(map(len, batch.sections))
        if not upstream.received(batch.link_seq, size):
            return [Emit(Dropped(self.NAME, "batch-gap", 1, link_peer)), Disconnect(link_peer, "batch-gap")]
        if upstream.bytes > self._upstream_bytes_max:
            upstream.broken = True
            return [Emit(Dropped(self.NAME, "window-overrun", 1, link_peer)), Disconnect(link_peer, "window-overrun")]
        self._note_work(now)
        out: list[Effect] = []
        self._judge(now, upstream, batch, batch.link_seq, out)
        return out

    def _judge(self, now: Instant, upstream: Upstream, batch: BusBatch, number: int, out: list[Effect]) -> None:
        head = open_head(batch, upstream.peer, self._env.node_id)
        if isinstance(head, Refusal):
            return self._refuse(upstream, number, head, out)
        origin = NodeId(head.origin)
        public_key = self._keys(origin)
        if public_key is None:
            return self._keep_stranger(now, upstream, batch, origin, out)
        new, unforwarded = self._unseen(origin, head, batch, out)
        if not new and not unforwarded:
            self.counters.duplicates += 1
            known = self._custodies.get(_key(head))
            if known is None:
                return self._settled(upstream, number)
            return self._wait_too(known, upstream, number)
        cluster = self._cluster_of(origin)
        refusal = refuse_unproven(self._env, batch, head, public_key, cluster, upstream.peer)
        if refusal is not None:
            return self._refuse(upstream, number, refusal, out)
        sections = open_sections(batch, sorted(new | unforwarded), origin)
        if isinstance(sections, Refusal):
            return self._refuse(upstream, number, sections, out)
        custody = self._custodies.setdefault(_key(head), Custody(_key(head)))
        custody.owed += 1
        self._wait_too(custody, upstream, number)
        arrival = Arrival(batch, origin, head.cluster, custody)
        self._admit(arrival, head, sections, new, unforwarded, out)
        self._commit.arrivals.append(arrival)
        return None

    def _unseen(
        self, origin: NodeId, head: Head, batch: BusBatch, out: list[Effect]
    ) -> tuple[dict[int, None], dict[int, None]]:
        """The places of the sections that are new here, and of those that have not been forwarded."""
        new: dict[int, None] = {}
        unforwarded: dict[int, None] = {}
        below = 0
        for index, section in enumerate(batch.sections):
            if not section:
                continue
            seq = head.first + index
            seen = self._inbox.look(origin, head.epoch, seq)
            if seen is Seen.NEW:
                new[index] = None
            below += seen is Seen.BELOW
            if batch.ttl > 0 and self._forwarded.look(origin, head.epoch, seq) is Seen.NEW:
                unforwarded[index] = None
        if below:
            self._drop(out, "below-window", below, origin)
        return new, unforwarded

    def _admit(
        self,
        arrival: Arrival,
        head: Head,
        sections: list[tuple[int, Section]],
        new: dict[int, None],
        unforwarded: dict[int, None],
        out: list[Effect],
    ) -> None:
        """Check each section against the import rules and mark it as seen."""
        foreign = arrival.cluster != self._env.cluster
        for index, section in sections:
            seq, first_time = head.first + index, index in new
            if first_time:
                self._inbox.add(arrival.origin, head.epoch, seq)
            if index in unforwarded:
                self._forwarded.add(arrival.origin, head.epoch, seq)
            misplaced = origins(section.pins).refusal(self._env.region) if section.pins else None
            if foreign or misplaced is not None:
                ruling = misplaced or self._policy.entering(section.channel)
                if first_time:
                    count = len(section.frames)
                    self._decided("import", section.channel, arrival.cluster, ruling, count, out)
                    self.counters.import_denied += 0 if ruling.allowed else count
                if not ruling.allowed:
                    continue
            if section.pins and (learned := self._residency.learn(section.channel, section.pins)) is not None:
                row = (self.NAME, f"{PIN_ROW}{section.channel}", encode(learned))
                self._commit.writes.append(Put("scalars", row))
            if first_time and (foreign or not section.aggregate):
                arrival.deliver.append(section)
            if index in unforwarded:
                arrival.forward.append((index, section))

    def _complete(self, now: Instant, arrival: Arrival, out: list[Effect]) -> None:
        """Our memory of it is on disk: deliver, and pass it on."""
        for section in arrival.deliver:
            self.counters.imported += len(section.frames)
            out.append(Emit(Imported(arrival.origin, arrival.cluster, section.channel, section.frames)))
        if arrival.forward and len(arrival.batch.via) < MAX_HOPS:
            self._forward(now, arrival, out)
        self._settle(arrival.custody)

    def _forward(self, now: Instant, arrival: Arrival, out: list[Effect]) -> None:
        """To every link that the batch has not visited, what may go there."""
        batch = arrival.batch
        links = self._open_links(batch.via)
        clusters = self._foreign(links)
        rights: list[_Right] = [(WITHHELD, 0, False, None)] * len(batch.sections)
        for index, section in arrival.forward:
            count = len(section.frames)
            ruling = self._policy.leaving(section.channel, aggregate=section.aggregate)
            pinned = self._residency.pinned_with(section.channel, section.pins)
            rights[index] = (batch.sections[index], count, ruling.allowed, pinned)
            if pinned is None or not ruling.allowed:
                for cluster in clusters:
                    self._decided("transit", section.channel, cluster, ruling, count, out)
            if pinned is not None:
                for cluster, verdict in self._verdicts(ruling, pinned, links):
                    if verdict is not SAME_CLUSTER:
                        self._decided("transit", section.channel, cluster, verdict, count, out)
        via = (*batch.via, self._env.node_id)
        ttl = min(batch.ttl, self._settings.ttl) - 1
        self.counters.forwarded += self._send_on(
            now, via, ttl, batch.head, batch.signature, rights, links, arrival.custody, out
        )

    def _refuse(self, upstream: Upstream, number: int, refusal: Refusal, out: list[Effect]) -> None:
        """A refused batch is settled too: sent again it would be refused again."""
        self._drop(out, refusal.reason, 1, upstream.peer)
        if refusal.blamed is not None:
            out.append(Emit(Fault(refusal.blamed, refusal.cause)))
        self._settled(upstream, number)

    def _wait_too(self, custody: Custody, upstream: Upstream, number: int) -> None:
        """This sender waits for the batch as well, and is itself not waited for."""
        custody.waiters.append((upstream, number))
        custody.holders[upstream.peer] = None
        hop = custody.hops.pop(upstream.peer, None)
        if hop is not None:
            self._release(hop)

    def _settled(self, upstream: Upstream, number: int) -> None:
        upstream.settle(number)
        if self._upstreams.get(upstream.peer) is upstream:
            self._ack_due[upstream.peer] = upstream

    def _settle(self, custody: Custody) -> None:
        """One of the things owed has happened."""
        custody.owed -= 1
        if custody.owed > 0:
            return
        self._custodies.pop(custody.key, None)
        for upstream, number in custody.waiters:
            self._settled(upstream, number)
        custody.waiters.clear()

    # --- strangers: the bus was faster than the roster ----------------------------------------------------

    def _keep_stranger(
        self, now: Instant, upstream: Upstream, batch: BusBatch, origin: NodeId, out: list[Effect]
    ) -> None:
        size = upstream.unsettled.get(batch.link_seq, 0)
        full = len(self._strangers) >= STRANGERS_MAX or self._stranger_bytes + size > STRANGER_BYTES_MAX
        if full:
            return self._refuse(upstream, batch.link_seq, Refusal("unknown-origin"), out)
        self._stranger_bytes += size
        self._strangers.append((now + STRANGER_PATIENCE_US, upstream, batch, origin))
        return None

    def _member_admitted(self, now: Instant, event: MemberAdmitted) -> list[Effect]:
        out: list[Effect] = []
        waiting, self._strangers = self._strangers, deque()
        self._stranger_bytes = 0
        for deadline, upstream, batch, origin in waiting:
            if origin == event.node:
                self._note_work(now)
                self._judge(now, upstream, batch, batch.link_seq, out)
            else:
                self._stranger_bytes += upstream.unsettled.get(batch.link_seq, 0)
                self._strangers.append((deadline, upstream, batch, origin))
        return out

    def _give_up_strangers(self, now: Instant, out: list[Effect]) -> None:
        while self._strangers and self._strangers[0][0] <= now:
            _, upstream, batch, _ = self._strangers.popleft()
            self._stranger_bytes -= upstream.unsettled.get(batch.link_seq, 0)
            self._note_work(now)
            self._refuse(upstream, batch.link_seq, Refusal("unknown-origin"), out)

    # --- links and their outboxes -------------------------------------------------------------------------

    def _outbox(self, peer: NodeId) -> Outbox:
        """Numbers on a link begin anew with each life of ours, far above those of the last one."""
        box = self._outboxes.get(peer)
        if box is None:
            first = ((self._env.boot_epoch & 0x3F_FFFF) << 40) + 1
            box = self._outboxes[peer] = Outbox(peer, self._settings.outbox, next_link_seq=first)
        return box

    def _open_links(self, visited: Iterable[str]) -> list[tuple[Outbox, str]]:
        """The outboxes that take batches now, with their peers' clusters."""
        links: list[tuple[Outbox, str]] = []
        for peer, box in self._outboxes.items():
            if peer not in visited and (cluster := self._cluster_of(peer)) is not None:
                links.append((box, cluster))
        return links

    def _enqueue(self, now: Instant, box: Outbox, parcel: Parcel, custody: Custody | None, out: list[Effect]) -> None:
        if not box.up and not self._hold:
            self._drop(out, "link-down", parcel.messages, box.peer)
            return
        if custody is not None and box.peer in custody.holders:
            custody = None
        entry = box.add(parcel, custody, now)
        if custody is not None:
            custody.owed += 1
            custody.hops[box.peer] = entry
            self._custody_due.append(entry)
        self._trim(box, out)
        if box.up:
            self._pump(box, out)
        elif not entry.gone:
            self.counters.held += parcel.messages
            self._store(now, entry)

    def _trim(self, box: Outbox, out: list[Effect]) -> None:
        for entry in box.trim():
            self._left(entry)
            self._drop(out, "outbox-full", entry.parcel.messages, box.peer)

    def _pump(self, box: Outbox, out: list[Effect]) -> None:
        out += [Send(box.peer, Lane.BULK, entry.parcel.numbered(entry.link_seq)) for entry in box.pump()]
        above = box.crossed()
        if above is not None:
            out.append(Emit(Backlog(box.peer, above)))

    def _acked(self, now: Instant, link_peer: NodeId, link_seq: int) -> list[Effect]:
        box = self._outboxes.get(link_peer)
        if box is None:
            return []
        for entry in box.acked(link_seq):
            self._left(entry)
        self._note_work(now)
        out: list[Effect] = []
        self._pump(box, out)
        return out

    def _left(self, entry: Entry) -> None:
        """An entry is out of its outbox, for good or ill."""
        if entry.stored:
            self._commit.writes.append(Delete("outbox", (entry.peer, entry.order)))
        self._release(entry)

    def _release(self, entry: Entry) -> None:
        """Upstream does not wait for this entry any more."""
        if entry.custody is not None:
            custody, entry.custody = entry.custody, None
            self._settle(custody)

    def _transport_up(self, now: Instant, event: TransportUp) -> list[Effect]:
        """A new connection: the other side's numbers may begin anywhere, and what flew on an old one may be lost."""
        self._upstreams[event.peer] = Upstream(event.peer)
        self._ack_due.pop(event.peer, None)
        box = self._outboxes.get(event.peer)
        return self._replay(now, box) if box is not None and box.up else []

    def _link_up(self, now: Instant, event: LinkUp) -> list[Effect]:
        if event.peer in self._parted:
            self._parted[event.peer] = True
            return []
        return self._open(now, event.peer)

    def _open(self, now: Instant, peer: NodeId) -> list[Effect]:
        if peer not in self._outboxes:
            if len(self._outboxes) >= LINKS_MAX:
                return self._drop([], "too-many-links", 0, peer)
            self._commit.writes.append(Put("scalars", (self.NAME, f"link/{peer}", b"")))
        box = self._outbox(peer)
        box.up = True
        return self._replay(now, box)

    def _replay(self, now: Instant, box: Outbox) -> list[Effect]:
        box.rewind()
        self._note_work(now)
        out: list[Effect] = []
        self._enforce(now, box, out)
        self.counters.replayed += box.messages
        self._pump(box, out)
        return out

    def _link_down(self, now: Instant, event: LinkDown | TransportDown) -> list[Effect]:
        if isinstance(event, TransportDown):
            self._upstreams.pop(event.peer, None)
            self._ack_due.pop(event.peer, None)
        if event.peer in self._parted:
            self._parted[event.peer] = False
        box = self._outboxes.get(event.peer)
        if box is None or not box.up:
            return []
        box.up = False
        box.rewind()
        self._note_work(now)
        out: list[Effect] = []
        if box.crossed() is False:
            out.append(Emit(Backlog(box.peer, False)))
        if self._hold:
            for entry in box.entries():
                if not entry.stored:
                    self.counters.held += entry.parcel.messages
                    self._store(now, entry)
        else:
            self._discard(box, "link-down", out)
        return out

    def _member_changed(self, now: Instant, event: MemberChanged) -> list[Effect]:
        """Who left takes no messages any more, unless it comes back."""
        if event.new != "left":
            return self._open(now, event.node) if self._parted.pop(event.node, False) else []
        box = self._outboxes.get(event.node)
        self._parted[event.node] = box is not None and box.up
        if box is None:
            return []
        out: list[Effect] = []
        if box.above:
            out.append(Emit(Backlog(box.peer, False)))
        self._discard(box, "member-left", out)
        del self._outboxes[event.node]
        self._commit.writes.append(Delete("scalars", (self.NAME, f"link/{event.node}")))
        self._note_work(now)
        return out

    def _member_described(self, now: Instant, event: MemberDescribed) -> list[Effect]:
        """Its region may be another one: what waits for it is judged again."""
        out: list[Effect] = []
        if self._residency.described(event.node, event.region) and (box := self._outboxes.get(event.node)) is not None:
            self._enforce(now, box, out)
        return out

    def _member_expelled(self, now: Instant, event: MemberExpelled) -> list[Effect]:
        out: list[Effect] = []
        self._residency.forget(event.node)
        if (box := self._outboxes.get(event.node)) is not None:
            self._enforce(now, box, out)
        return out

    def _enforce(self, now: Instant, box: Outbox, out: list[Effect], *, everything: bool = False) -> None:
        """Take out of an outbox what pins do not let go to its peer (any more). What flies may have arrived; it is not
        sent again. `everything`: also what was not pinned when it was put there."""
        for entry in box.entries():
            parcel = entry.parcel
            if not parcel.pinned and not everything:
                continue
            left = permitted(parcel, self._residency, box.peer)
            if left is parcel:
                continue
            if left.messages:
                box.replace(entry, left)
                if entry.stored:
                    self._store(now, entry)
            else:
                box.withdraw(entry)
                self._left(entry)
            self._note_work(now)
            self._drop(out, "pinned", parcel.messages - left.messages, box.peer)

    def _discard(self, box: Outbox, reason: str, out: list[Effect]) -> None:
        messages = box.messages
        for entry in box.clear():
            self._left(entry)
        if messages:
            self._drop(out, reason, messages, box.peer)

    # --- disk ---------------------------------------------------------------------------------------------

    def _store(self, now: Instant, entry: Entry) -> None:
        """Write the entry's row with the next transaction."""
        entry.stored = True
        row = (entry.peer, entry.order, encode_message(entry.parcel.numbered(entry.order)))
        commit = self._commit
        commit.writes.append(Put("outbox", row))
        commit.bytes += entry.parcel.size
        if entry.custody is not None:
            commit.entries.append(entry)
        if commit.bytes > COMMIT_BYTES_MAX:
            commit.writes += self._inbox.take_writes()  # its arrivals are delivered once it is done, not a later one
            self._commits.append(commit)
            self._commit = _Commit()
        self._note_work(now)

    def _take_custody(self, now: Instant) -> None:
        """Upstream has waited long enough for these next hops; a row on disk sets it free."""
        self._skip_settled()
        while self._custody_due and self._custody_due[0].taken_at + CUSTODY_PATIENCE_US <= now:
            entry = self._custody_due.popleft()
            if not entry.gone and not entry.stored and entry.custody is not None:
                self._store(now, entry)

    def _skip_settled(self) -> None:
        due = self._custody_due
        while due and (due[0].gone or due[0].stored or due[0].custody is None):
            due.popleft()

    def _write(self, now: Instant, out: list[Effect]) -> None:
        """All transactions of this tick. Without rows to write, arrivals still wait their turn behind earlier ones."""
        self._commit.writes += self._inbox.take_writes()
        self._forwarded.forget_changes()
        commits = [*self._commits, self._commit]
        self._commits, self._commit = [], _Commit()
        for commit in commits:
            answer = bool(commit.arrivals or commit.entries)
            if commit.writes:
                token = self._token(commit) if answer else -1
                promised = bool(
                    commit.entries
                )  # upstream forgets what we acknowledge: it has to survive a loss of power
                out.append(Persist(token, tuple(commit.writes), sync=promised))
            elif commit.arrivals and self._committing:
                newest = next(reversed(self._committing.values()))
                newest.arrivals += commit.arrivals
            else:
                for arrival in commit.arrivals:
                    self._complete(now, arrival, out)

    def _token(self, commit: _Commit) -> int:
        token = self._next_token
        self._next_token += 1
        self._committing[token] = commit
        return token

    def _persisted(self, now: Instant, event: Persisted) -> list[Effect]:
        commit = self._committing.pop(event.token)
        out: list[Effect] = []
        for entry in commit.entries:
            self._release(entry)
        for arrival in commit.arrivals:
            self._complete(now, arrival, out)
        self._note_work(now)
        return out

    # --- small things -------------------------------------------------------------------------------------

    def _note_work(self, now: Instant) -> None:
        if self._work_since is None:
            self._work_since = now

    def _drop(self, out: list[Effect], reason: str, count: int, detail: str = "") -> list[Effect]:
        self.counters.dropped += count
        out.append(Emit(Dropped(self.NAME, reason, count, detail)))
        return out

    def _decided(
        self, direction: str, channel: str, cluster: str, ruling: Ruling, messages: int, out: list[Effect]
    ) -> None:
        verdict = self._decisions.count(direction, channel, cluster, ruling, messages)
        if verdict is not None:
            out.append(Emit(verdict))


def _key(head: Head) -> tuple[str, int, int]:
    return head.origin, head.epoch, head.first


__all__ = ["Decision", "Federation"]
