"""Batches whose origin the roster does not name yet: gossip may be slower than the bus, so they wait a while."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from arqonmesh.core.federation.upstream import Upstream
from arqonmesh.core.kernel import MILLISECOND, Instant
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import BusBatch

STRANGER_PATIENCE_US: Final = 5_000 * MILLISECOND
"""How long a batch waits for the roster to name its origin."""
STRANGERS_MAX: Final = 256
STRANGER_BYTES_MAX: Final = 4 << 20


class Stranger(NamedTuple):
    """One batch that waits, with the connection that it came on."""

    deadline: Instant
    upstream: Upstream
    batch: BusBatch
    origin: NodeId

    @property
    def size(self) -> int:
        return self.upstream.unsettled.get(self.batch.link_seq, 0)


class Strangers:
    """Bounded by their number and bytes, oldest first."""

    def __init__(self) -> None:
        self._waiting: deque[Stranger] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def keep(self, now: Instant, upstream: Upstream, batch: BusBatch, origin: NodeId) -> bool:
        """False when there is no room."""
        stranger = Stranger(now + STRANGER_PATIENCE_US, upstream, batch, origin)
        size = stranger.size
        if len(self._waiting) >= STRANGERS_MAX or self.bytes + size > STRANGER_BYTES_MAX:
            return False
        self.bytes += size
        self._waiting.append(stranger)
        return True

    def introduced(self, node: NodeId) -> list[Stranger]:
        """Take out what waited for this member, in order."""
        waiting, self._waiting = self._waiting, deque()
        self.bytes = 0
        known: list[Stranger] = []
        for stranger in waiting:
            if stranger.origin == node:
                known.append(stranger)
            else:
                self.bytes += stranger.size
                self._waiting.append(stranger)
        return known

    def next_deadline(self) -> Instant | None:
        return self._waiting[0].deadline if self._waiting else None

    def expired(self, now: Instant) -> list[Stranger]:
        """Take out those that nobody introduced in time."""
        gone: list[Stranger] = []
        while self._waiting and self._waiting[0].deadline <= now:
            stranger = self._waiting.popleft()
            self.bytes -= stranger.size
            gone.append(stranger)
        return gone
