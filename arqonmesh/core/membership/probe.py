"""The probes that are under way: ours, and those that we run for others.

    t = 0          direct Ping; again every half timeout while nothing comes back (a datagram may be lost)
    t = timeout    PingReq through k others, who answer Ack or, after 80 % of the timeout, Nack
    t = period     no Ack from anyone: the probe failed; missing Nacks then speak against ourselves

Where memberlist adds a ping over TCP, repeated datagrams serve here: all lanes share one path, and a datagram that is
not retransmitted behind bulk data measures the peer and not the queue.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from arqonmesh.core.kernel import Instant
from arqonmesh.ids import NodeId

PROBES_MAX: Final = 16
ERRANDS_MAX: Final = 128
SEQ_MASK: Final = 0xFFFF_FFFF


@dataclass(slots=True)
class Probe:
    """One of ours. `helpers` maps those asked to whether they said Nack."""

    seq: int
    target: NodeId
    started_at: Instant
    next_ping_at: Instant
    ask_at: Instant
    verdict_at: Instant
    asked: bool = False
    helpers: dict[NodeId, bool] = field(default_factory=dict)

    @property
    def due(self) -> Instant:
        return min(self.next_ping_at, self.verdict_at) if self.asked else min(self.next_ping_at, self.ask_at)

    def postpone(self, by_us: int) -> None:
        self.started_at += by_us
        self.next_ping_at += by_us
        self.ask_at += by_us
        self.verdict_at += by_us


@dataclass(frozen=True, slots=True)
class Errand:
    """A ping that we sent because `asker` asked; `asker_seq` is what it waits for."""

    asker: NodeId
    asker_seq: int
    target: NodeId
    expires_at: Instant


class Probes:
    """Bookkeeping by sequence number; bounded, refusing beyond the bound."""

    def __init__(self, first_seq: int) -> None:
        self.ours: dict[int, Probe] = {}
        self.errands: dict[int, Errand] = {}
        self._seq = first_seq & SEQ_MASK

    def next_seq(self) -> int:
        self._seq = (self._seq + 1) & SEQ_MASK
        return self._seq

    def of(self, target: NodeId) -> Probe | None:
        return next((probe for probe in self.ours.values() if probe.target == target), None)

    def due(self, now: Instant) -> list[Probe]:
        return [probe for probe in self.ours.values() if probe.due <= now]

    def expired_errands(self, now: Instant) -> list[Errand]:
        """Take those whose time is over."""
        gone = [seq for seq, errand in self.errands.items() if errand.expires_at <= now]
        return [self.errands.pop(seq) for seq in gone]

    def next_due(self) -> Instant | None:
        dues = [probe.due for probe in self.ours.values()]
        dues += [errand.expires_at for errand in self.errands.values()]
        return min(dues, default=None)
