"""Bytes per second of each link, sampled once a second from the driver's own counters."""

from __future__ import annotations

from arqonmesh.core.kernel import SECOND, Instant
from arqonmesh.ids import NodeId
from arqonmesh.net.api import LinkInfo


class Throughput:
    """Two samples per link; a link that is gone is forgotten with the next sample."""

    def __init__(self) -> None:
        self._last: dict[NodeId, tuple[Instant, int]] = {}
        self._rates: dict[NodeId, float] = {}

    def sample(self, now: Instant, links: dict[NodeId, LinkInfo]) -> None:
        rates: dict[NodeId, float] = {}
        last: dict[NodeId, tuple[Instant, int]] = {}
        for peer, link in links.items():
            total = link.bytes_sent + link.bytes_received
            before, count = self._last.get(peer, (now, total))
            if now > before and total >= count:
                rates[peer] = (total - count) * SECOND / (now - before)
            last[peer] = (now, total)
        self._last, self._rates = last, rates

    def bytes_per_s(self, peer: NodeId) -> float:
        """Both directions together; 0 until two samples were taken."""
        return self._rates.get(peer, 0.0)
