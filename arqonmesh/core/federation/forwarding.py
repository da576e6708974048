"""What came from others and goes on to others.

To every link that the batch has not visited, what may go there. Neighbours on its path are spared it; when one of them
may have died with it in its hands, it is sent after all, before anything newer of the same origin (spared.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from arqonmesh.config.model import FederationSettings
from arqonmesh.core.federation.arrival import Arrival
from arqonmesh.core.federation.batch import Section
from arqonmesh.core.federation.books import Books
from arqonmesh.core.federation.custody import Custody
from arqonmesh.core.federation.links import Links
from arqonmesh.core.federation.outbox import Outbox
from arqonmesh.core.federation.policy import Policy
from arqonmesh.core.federation.sending import NOTHING, Envelope, Right, Sending
from arqonmesh.core.federation.spared import REMINDED_FOR_US, SPARED_FOR_US, Debt
from arqonmesh.core.federation.upstream import Upstreams
from arqonmesh.core.kernel import Effect, Env, Instant
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import BusBatch


class Forwarding:
    """From arrivals into outboxes."""

    def __init__(
        self,
        env: Env,
        settings: FederationSettings,
        *,
        policy: Policy,
        upstreams: Upstreams,
        links: Links,
        sending: Sending,
        books: Books,
    ) -> None:
        self._env = env
        self._ttl = settings.ttl
        self._policy = policy
        self._upstreams = upstreams
        self._links = links
        self._sending = sending
        self._books = books

    def forward(self, now: Instant, arrival: Arrival, out: list[Effect]) -> None:
        """To every link that the batch has not visited."""
        batch = arrival.batch
        links = self._links.open_to(batch.via)
        for box, cluster in links:
            if box.spared.lost:
                self._remind(now, arrival.origin, box, cluster, out)
        self._send(now, batch, arrival.forward, links, arrival.custody, out)
        if len(batch.via) > 1:
            self._spare(now, arrival)

    def parted(self, now: Instant, peer: NodeId) -> list[Effect]:
        """The connection is gone: what this neighbour had in its hands may be lost, and goes before what is newer."""
        out: list[Effect] = []
        box = self._links.outboxes.get(peer)
        if box is None:
            return out
        if self._stands_for(now, peer, REMINDED_FOR_US):
            box.spared.forget_lost()
        box.spared.parted(now)
        cluster = self._links.cluster_of(peer)
        if box.spared.lost and cluster is not None and self._links.takes(box):
            box.rewind()
            for debt in box.spared.due(box.newest()):
                self._pay(now, debt, box, cluster, out, place=debt.order)
        return out

    # --- private ------------------------------------------------------------------------------------------

    def _spare(self, now: Instant, arrival: Arrival) -> None:
        """Neighbours on its path have it, as long as they live."""
        batch = arrival.batch
        size = len(batch.head) + sum(map(len, batch.sections))
        for at, node in enumerate(batch.via[1:], 1):
            box = self._links.outboxes.get(NodeId(node))
            if box is None:
                continue
            if box.peer == arrival.upstream.peer:
                lost = self._upstreams.standing(box.peer) is not arrival.upstream
            else:  # it came by others, and took its time: a young connection may be that of another life
                lost = not self._stands_for(now, box.peer, SPARED_FOR_US)
            debt = Debt(_shortcut(batch, at), tuple(arrival.forward), box.reserve(), now, size)
            box.spared.note(debt, lost=lost)

    def _stands_for(self, now: Instant, peer: NodeId, time_us: int) -> bool:
        """Whether this neighbour has had its connection for so long."""
        upstream = self._upstreams.standing(peer)
        return upstream is not None and now - upstream.since >= time_us

    def _remind(self, now: Instant, origin: NodeId, box: Outbox, cluster: str, out: list[Effect]) -> None:
        """Something newer of this origin is about to go to this neighbour."""
        if self._stands_for(now, box.peer, REMINDED_FOR_US):
            box.spared.forget_lost()
        elif self._links.takes(box):
            for debt in box.spared.due({origin: box.next_order}):
                self._pay(now, debt, box, cluster, out)

    def _pay(
        self, now: Instant, debt: Debt, box: Outbox, cluster: str, out: list[Effect], *, place: int | None = None
    ) -> None:
        """What a neighbour was spared, after all. Others have it, too: in a full outbox it takes nobody's place."""
        messages = sum(len(section.frames) for _, section in debt.sections)
        if box.fits(messages, debt.size):
            self._send(now, debt.batch, debt.sections, [(box, cluster)], None, out, place=place)

    def _send(
        self,
        now: Instant,
        batch: BusBatch,
        sections: Sequence[tuple[int, Section]],
        links: list[tuple[Outbox, str]],
        custody: Custody | None,
        out: list[Effect],
        *,
        place: int | None = None,
    ) -> None:
        """What may go to each of these links."""
        clusters = self._sending.foreign(links)
        rights: list[Right] = [NOTHING] * len(batch.sections)
        for index, section in sections:
            count = len(section.frames)
            ruling = self._policy.leaving(section.channel, aggregate=section.aggregate)
            pinned = self._policy.residency.pinned_with(section.channel, section.pins)
            rights[index] = Right(batch.sections[index], count, ruling.allowed, pinned)
            if pinned is None or not ruling.allowed:
                for cluster in clusters:
                    self._books.decided("transit", section.channel, cluster, ruling, count, out)
            if pinned is not None:
                verdicts = self._sending.verdicts(ruling, pinned, links)
                self._sending.decided("transit", section.channel, verdicts, count, out)
        envelope = Envelope((*batch.via, self._env.node_id), min(batch.ttl, self._ttl) - 1, batch.head, batch.signature)
        self._books.counters.forwarded += self._sending.send(now, envelope, rights, links, custody, out, place=place)


def _shortcut(batch: BusBatch, at: int) -> BusBatch:
    """As if it had come here instead of to the node at this place of its path."""
    return structs.replace(batch, via=batch.via[:at], ttl=batch.ttl + len(batch.via) - at)
