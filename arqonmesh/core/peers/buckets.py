"""Token buckets: how many control messages may one link peer send? Asked before anything is decoded or verified.

Levels are counted in millionths of a token, so that time in microseconds times tokens per second needs no division.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.core.kernel import SECOND, Instant
from arqonmesh.ids import NodeId

BUCKETS_MAX: Final = 4_096
"""Beyond, the bucket that was made first goes; its peer starts again with a full one."""


class Buckets:
    def __init__(self, *, rate_per_s: int, burst: int) -> None:
        self._rate = rate_per_s
        self._full = burst * SECOND
        self._buckets: dict[NodeId, list[int]] = {}

    def take(self, now: Instant, peer: NodeId) -> bool:
        """One message of `peer`; False when it sent more than its rate and burst allow."""
        bucket = self._buckets.get(peer)
        if bucket is None:
            if len(self._buckets) >= BUCKETS_MAX:
                del self._buckets[next(iter(self._buckets))]
            self._buckets[peer] = [self._full - SECOND, now]
            return self._full >= SECOND
        level = bucket[0] + (now - bucket[1]) * self._rate
        if level > self._full:
            level = self._full
        bucket[1] = now
        if level < SECOND:
            bucket[0] = level
            return False
        bucket[0] = level - SECOND
        return True
