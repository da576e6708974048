"""Batches of others: judged against what their origins signed, deduplicated, delivered once known for good, passed on.

A section is marked as seen in the transaction whose end delivers it, so that it is delivered at most once whenever the
node dies. That it was passed on is remembered in memory only: see core.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arqonmesh.config.model import FederationSettings
from arqonmesh.core.events import Dropped, Fault, Imported
from arqonmesh.core.federation.arrival import Arrival, Refusal, open_head, open_sections, refuse_unproven
from arqonmesh.core.federation.batch import Head, Section
from arqonmesh.core.federation.books import CORE, Books
from arqonmesh.core.federation.commits import Commits
from arqonmesh.core.federation.custody import BatchKey, Custodies
from arqonmesh.core.federation.forwarding import Forwarding
from arqonmesh.core.federation.inbox import Inbox, Seen
from arqonmesh.core.federation.links import ClusterOf
from arqonmesh.core.federation.policy import Policy
from arqonmesh.core.federation.residency import origins
from arqonmesh.core.federation.strangers import Strangers
from arqonmesh.core.federation.tick import Tick
from arqonmesh.core.federation.upstream import Upstream, Upstreams
from arqonmesh.core.kernel import Disconnect, Effect, Emit, Env, Instant, Put
from arqonmesh.ids import NodeId
from arqonmesh.wire.cbor import encode
from arqonmesh.wire.messages import MAX_HOPS, BusBatch

UPSTREAM_BYTES_MAX: Final = 32 << 20
"""Unsettled bytes of one link; more than any honest window, and the link is closed."""
PIN_ROW: Final = "pin/"
"""Before the channel, in the rows that remember pins of others."""

Lookup = Callable[[NodeId], "bytes | None"]


class Imports:
    """What came on all links and is not done with."""

    def __init__(
        self,
        env: Env,
        settings: FederationSettings,
        *,
        keys: Lookup,
        cluster_of: ClusterOf,
        policy: Policy,
        inbox: Inbox,
        upstreams: Upstreams,
        custodies: Custodies,
        strangers: Strangers,
        commits: Commits,
        forwarding: Forwarding,
        books: Books,
        tick: Tick,
        barred: Callable[[NodeId], bool],
    ) -> None:
        self._env = env
        self._barred = barred
        self._upstream_bytes_max = max(UPSTREAM_BYTES_MAX, 4 * settings.outbox.window_bytes)
        self._keys = keys
        self._cluster_of = cluster_of
        self._policy = policy
        self._inbox = inbox
        self._forwarded = Inbox()
        self._upstreams = upstreams
        self._custodies = custodies
        self._strangers = strangers
        self._commits = commits
        self._forwarding = forwarding
        self._books = books
        self._tick = tick

    def batch(self, now: Instant, link_peer: NodeId, batch: BusBatch) -> list[Effect]:
        """One batch from a link."""
        upstream = self._upstreams.of(link_peer)
        if upstream.broken:
            return []
        size = len(batch.head) + sum(map(len, batch.sections))
        if not upstream.received(batch.link_seq, size):
            return [Emit(Dropped(CORE, "batch-gap", 1, link_peer)), Disconnect(link_peer, "batch-gap")]
        if upstream.bytes > self._upstream_bytes_max:
            upstream.broken = True
            return [Emit(Dropped(CORE, "window-overrun", 1, link_peer)), Disconnect(link_peer, "window-overrun")]
        self._tick.note(now)
        out: list[Effect] = []
        self._judge(now, upstream, batch, out)
        return out

    def introduced(self, now: Instant, node: NodeId) -> list[Effect]:
        """The roster names this member now: what waited for that is judged."""
        out: list[Effect] = []
        for stranger in self._strangers.introduced(node):
            self._tick.note(now)
            self._judge(now, stranger.upstream, stranger.batch, out)
        return out

    def give_up_strangers(self, now: Instant, out: list[Effect]) -> None:
        """Nobody has introduced their origins in time."""
        for stranger in self._strangers.expired(now):
            self._tick.note(now)
            self._refuse(stranger.upstream, stranger.batch.link_seq, Refusal("unknown-origin"), out)

    def complete(self, now: Instant, arrival: Arrival, out: list[Effect]) -> None:
        """Our memory of it is on disk: deliver, and pass it on."""
        for section in arrival.deliver:
            self._books.counters.imported += len(section.frames)
            out.append(Emit(Imported(arrival.origin, arrival.cluster, section.channel, section.frames)))
        if arrival.forward and len(arrival.batch.via) < MAX_HOPS:
            self._forwarding.forward(now, arrival, out)
        self._custodies.settle(arrival.custody)

    def end_tick(self) -> None:
        """What was forwarded is remembered in memory only."""
        self._forwarded.forget_changes()

    # --- one batch ----------------------------------------------------------------------------------------

    def _judge(self, now: Instant, upstream: Upstream, batch: BusBatch, out: list[Effect]) -> None:
        number = batch.link_seq
        head = open_head(batch, upstream.peer, self._env.node_id)
        if isinstance(head, Refusal):
            return self._refuse(upstream, number, head, out)
        origin = NodeId(head.origin)
        if origin != upstream.peer and self._barred(upstream.peer):
            return self._refuse(upstream, number, Refusal("untrusted-transit"), out)
        public_key = self._keys(origin)
        if public_key is None:
            if not self._strangers.keep(now, upstream, batch, origin):
                self._refuse(upstream, number, Refusal("unknown-origin"), out)
            return None
        new, unforwarded = self._unseen(origin, head, batch, out)
        if not new and not unforwarded:
            self._books.counters.duplicates += 1
            known = self._custodies.known(_key(head))
            if known is None:
                return self._upstreams.settled(upstream, number)
            return self._custodies.wait_too(known, upstream, number)
        cluster = self._cluster_of(origin)
        refusal = refuse_unproven(self._env, batch, head, public_key, cluster, upstream.peer)
        if refusal is not None:
            return self._refuse(upstream, number, refusal, out)
        sections = open_sections(batch, sorted(new | unforwarded), origin)
        if isinstance(sections, Refusal):
            return self._refuse(upstream, number, sections, out)
        custody = self._custodies.begin(_key(head))
        self._custodies.wait_too(custody, upstream, number)
        arrival = Arrival(batch, origin, head.cluster, custody, upstream)
        self._admit(arrival, head, sections, new, unforwarded, out)
        self._commits.arrived(arrival)
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
            self._books.drop(out, "below-window", below, origin)
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
                    self._books.decided("import", section.channel, arrival.cluster, ruling, count, out)
                    self._books.counters.import_denied += 0 if ruling.allowed else count
                if not ruling.allowed:
                    continue
            residency = self._policy.residency
            if section.pins and (learned := residency.learn(section.channel, section.pins)) is not None:
                self._commits.add(Put("scalars", (CORE, f"{PIN_ROW}{section.channel}", encode(learned))))
            if first_time and (foreign or not section.aggregate):
                arrival.deliver.append(section)
            if index in unforwarded:
                arrival.forward.append((index, section))

    def _refuse(self, upstream: Upstream, number: int, refusal: Refusal, out: list[Effect]) -> None:
        """A refused batch is settled too: sent again it would be refused again."""
        self._books.drop(out, refusal.reason, 1, upstream.peer)
        if refusal.blamed is not None:
            out.append(Emit(Fault(refusal.blamed, refusal.cause)))
        self._upstreams.settled(upstream, number)


def _key(head: Head) -> BatchKey:
    return head.origin, head.epoch, head.first
