"""Links that were given up: what is still kept for the peer at their far end, and for how long.

A link that failed keeps its outbox until it is back, whatever that takes: perhaps nobody else reaches the peer. A link
that one of its ends closed because nobody there wants it (`NOT_WANTED`) is another thing: the mesh has other ways to
that peer, and the link may never come back. Its outbox would grow to its bounds, one for each former neighbour. So:

    given up ──GRACE──▶ each batch: somebody else acknowledged it ──▶ dropped, counted as `outbox-released`
       │                            nobody did ──▶ handed to one open link, which acknowledges it ──▶ dropped
       └── the link comes back: it all goes out as if the link had failed

While a link is *carried* by another one it takes nothing new and loses what it holds; with no other link up it is kept
like one that failed. A link is carried by one that is up and has the same rights: for a peer of our own cluster another
one of it, for others any. "Somebody else acknowledged it" is `Spread`: batches are flooded over all links, so the
entries of one batch share one, and an acknowledgement counts when it was for at least as many messages (what leaves the
cluster is a part of what stays inside). Whom the batch came by has it as well.

Sources: the two kinds of ending are those of BGP (RFC 4724: routes of a session that broke are kept for a restart time,
those of one closed by a NOTIFICATION are not).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from arqonmesh.core.federation.outbox import Entry, Outbox
from arqonmesh.core.kernel import SECOND, Instant
from arqonmesh.ids import NodeId

GRACE_US: Final = 30 * SECOND
"""An overlay that takes a neighbour back does so within its pauses and shuffles, seconds; and what flew over other
links at the same time has been acknowledged long before."""
AGAIN_US: Final = 1 * SECOND
"""Between looks at what had to be handed over, and is not acknowledged yet."""

RELEASED: Final = b"released"
"""The value of a link's row in `scalars` once it is given up; empty before. A restart does not make it a failed one."""

ClusterOf = Callable[[NodeId], "str | None"]


class Releases:
    """Which links are given up, and when each is looked at next. Bounded by the outboxes."""

    __slots__ = ("_cluster", "_cluster_of", "_due", "_outboxes")

    def __init__(self, outboxes: Mapping[NodeId, Outbox], cluster: str, cluster_of: ClusterOf) -> None:
        self._outboxes = outboxes
        self._cluster = cluster
        self._cluster_of = cluster_of
        self._due: dict[NodeId, Instant] = {}

    def __contains__(self, peer: NodeId) -> bool:
        return peer in self._due

    def __len__(self) -> int:
        return len(self._due)

    @property
    def deadline(self) -> Instant | None:
        return min(self._due.values(), default=None)

    def begin(self, now: Instant, peer: NodeId) -> None:
        self._due[peer] = now + GRACE_US

    def end(self, peer: NodeId) -> bool:
        """The link is back, or its outbox gone. Whether it was given up."""
        return self._due.pop(peer, None) is not None

    def again(self, now: Instant, peer: NodeId, *, soon: bool) -> None:
        self._due[peer] = now + (AGAIN_US if soon else GRACE_US)

    def due(self, now: Instant) -> list[NodeId]:
        return [peer for peer, at in self._due.items() if at <= now]

    def carried(self, peer: NodeId) -> bool:
        """Given up, and another link that is up takes what this one would."""
        return peer in self._due and any(True for _ in self._carriers(peer))

    def heir(self, peer: NodeId, via: tuple[str, ...]) -> Outbox | None:
        """Who may be handed what waits for this peer: the carrier with the least to do that the batch has not visited.
        None when all of them have sent it to us, or have passed it on themselves."""
        carriers = (box for box in self._carriers(peer) if box.peer not in via)
        return min(carriers, key=lambda box: box.bytes, default=None)

    def _carriers(self, peer: NodeId) -> Iterable[Outbox]:
        inside = self._cluster_of(peer) == self._cluster
        for other, box in self._outboxes.items():
            if box.up and other != peer:
                cluster = self._cluster_of(other)
                if cluster is not None and (cluster == self._cluster or not inside):
                    yield box


def unneeded(
    releases: Releases, box: Outbox, window_bytes: int, hand_over: Callable[[Outbox, Entry], None]
) -> list[Entry]:
    """The entries of a carried link that somebody else has; others are handed over, as many at a time as do not crowd
    the links that take them."""
    done: list[Entry] = []
    for entry in box.entries():
        spread = entry.spread
        if spread.acked >= entry.parcel.messages:
            done.append(entry)
        elif spread.heir is None or not _is_up(releases, spread.heir):
            heir = releases.heir(box.peer, entry.parcel.via)
            if heir is None:
                done.append(entry)
            elif heir.bytes < window_bytes:
                spread.heir = heir
                hand_over(heir, entry)
    return done


def _is_up(releases: Releases, heir: Outbox) -> bool:
    return heir.up and releases._outboxes.get(heir.peer) is heir
