"""Newcomers earn their standing: until then they may send a tenth of the rate.

The score says whether a node misbehaved; a fresh identity never has, so whoever throws his away would begin anew with
everything (whitewashing: Friedman and Resnick 2001). Standing says whether it has earned anything: ten minutes of age
and ten deliveries that were accepted, or a day.

A newcomer begins with the whole burst, which is what a join's first synchronisation needs, and it is refilled at a
tenth. What goes beyond that is dropped and counted and no fault: it cannot know our view of it; beyond the full
rate it is a fault as anyone's. In a mesh in which nobody is established yet nobody is on probation: there is no one to
prefer, and a founder's first hour must not be slow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from arqonmesh.core.kernel import SECOND, Instant
from arqonmesh.core.peers.buckets import Buckets
from arqonmesh.core.peers.peer import Peer
from arqonmesh.ids import NodeId

SHARE: Final = 10
"""A tenth."""
REVIEW_US: Final = 30 * SECOND


class Probation:
    """Who is a newcomer among established ones."""

    def __init__(self, *, rate_per_s: int, burst: int) -> None:
        self._slow = Buckets(rate_per_s=max(1, rate_per_s // SHARE), burst=burst)
        self._newcomers: dict[NodeId, None] = {}
        self.due_at: Instant | None = None

    def __contains__(self, node: NodeId) -> bool:
        return node in self._newcomers

    def __len__(self) -> int:
        return len(self._newcomers)

    def allow(self, now: Instant, link_peer: NodeId) -> bool:
        return link_peer not in self._newcomers or self._slow.take(now, link_peer)

    def someone_is_new(self, now: Instant) -> None:
        """Look at it before long, also when a look at all others is due only later."""
        if self.due_at is None or self.due_at > now + SECOND:
            self.due_at = now + SECOND

    def review(self, now: Instant, wall_ms: int, peers: Mapping[NodeId, Peer]) -> None:
        """Ages are wall time; a clock that jumps makes someone established early, or a newcomer again for a while."""
        newcomers = {
            node: None for node, peer in peers.items() if peer.present and peer.standing(wall_ms) == "newcomer"
        }
        anyone = any(peer.present and node not in newcomers for node, peer in peers.items())
        self._newcomers = newcomers if anyone else {}
        self.due_at = now + REVIEW_US if newcomers else None
