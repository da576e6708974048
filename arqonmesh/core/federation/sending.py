"""A signed batch on its way: to each link the sections that may go there, by rules and by pins."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from arqonmesh.core.federation.batch import WITHHELD, Parcel, parcel_of
from arqonmesh.core.federation.books import Books
from arqonmesh.core.federation.custody import Custody
from arqonmesh.core.federation.links import Links
from arqonmesh.core.federation.outbox import Outbox
from arqonmesh.core.federation.patterns import Ruling
from arqonmesh.core.federation.policy import SAME_CLUSTER
from arqonmesh.core.federation.residency import Pinned, Residency
from arqonmesh.core.kernel import Effect, Instant
from arqonmesh.ids import NodeId


class Right(NamedTuple):
    """A section on its way into links."""

    section: bytes
    messages: int
    allowed: bool
    """Other clusters may have it."""
    pinned: Pinned | None


class Envelope(NamedTuple):
    """What every copy of a batch has in common."""

    via: tuple[str, ...]
    ttl: int
    head: bytes
    signature: bytes


NOTHING = Right(WITHHELD, 0, False, None)
"""In the place of a section that is not forwarded."""


class Sending:
    """Into outboxes: one copy for all links with the same rights."""

    def __init__(
        self, cluster: str, residency: Residency, links: Links, books: Books, barred: Callable[[NodeId], bool]
    ) -> None:
        self._cluster = cluster
        self._residency = residency
        self._links = links
        self._books = books
        self._barred = barred

    def foreign(self, links: list[tuple[Outbox, str]]) -> list[str]:
        """The other clusters that these links lead to, each once."""
        return list(dict.fromkeys(cluster for _, cluster in links if cluster != self._cluster))

    def verdicts(self, ruling: Ruling, pinned: Pinned, links: list[tuple[Outbox, str]]) -> list[tuple[str, Ruling]]:
        """(cluster, what holds on the way there), each once; not those that the export rules keep out anyway."""
        found: dict[tuple[str, Ruling], None] = {}
        for box, cluster in links:
            if cluster == self._cluster:
                leaving = SAME_CLUSTER
            elif ruling.allowed:
                leaving = ruling
            else:
                continue
            refusal = pinned.refusal(self._residency.region_of(box.peer))
            found[cluster, refusal or leaving] = None
        return list(found)

    def decided(
        self, direction: str, channel: str, verdicts: list[tuple[str, Ruling]], messages: int, out: list[Effect]
    ) -> None:
        """Count what holds for a pinned channel; of nodes of our own cluster only what pins keep from them."""
        for cluster, verdict in verdicts:
            if verdict is not SAME_CLUSTER:
                self._books.decided(direction, channel, cluster, verdict, messages, out)

    def send(
        self,
        now: Instant,
        envelope: Envelope,
        rights: list[Right],
        links: list[tuple[Outbox, str]],
        custody: Custody | None,
        out: list[Effect],
        *,
        place: int | None = None,
    ) -> int:
        """A batch into the outboxes of these links, at their ends or in a place that one of them has reserved. Returns
        the messages that are on their way, once per link."""
        pinned, alike = False, True
        for right in rights:
            pinned = pinned or right.pinned is not None
            alike = alike and right.allowed
        parcels: dict[tuple[bool, str, bool], Parcel] = {}
        total = 0
        for box, cluster in links:
            everything = alike or cluster == self._cluster
            region = self._residency.region_of(box.peer) if pinned else ""
            ends = self._barred(box.peer)
            parcel = parcels.get((everything, region, ends))
            if parcel is None:
                cover = envelope._replace(ttl=0) if ends else envelope
                whole = everything and not pinned
                parcel = _all_of(cover, rights) if whole else _part_of(cover, rights, everything, region)
                parcels[everything, region, ends] = parcel
            if parcel.messages:
                total += parcel.messages
                self._links.enqueue(now, box, parcel, custody, out, place=place)
        return total


def _all_of(envelope: Envelope, rights: list[Right]) -> Parcel:
    sections = tuple([right.section for right in rights])
    return parcel_of(*envelope, sections, sum([right.messages for right in rights]))


def _part_of(envelope: Envelope, rights: list[Right], everything: bool, region: str) -> Parcel:
    """For links into another cluster, unless `everything`, and for peers of this region."""
    kept, messages, marked = [], 0, False
    for section, count, allowed, pins in rights:
        if (everything or allowed) and (pins is None or pins.refusal(region) is None):
            kept.append(section)
            messages += count
            marked = marked or pins is not None
        else:
            kept.append(WITHHELD)
    return parcel_of(*envelope, tuple(kept), messages, marked)
