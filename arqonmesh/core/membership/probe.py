"""The probes that are under way: ours, and those that we run for others.

    t = 0          direct Ping; again every half timeout while nothing comes back (a datagram may be lost)
    t = timeout    PingReq through k others, who answer Ack or, after 80 % of the timeout, Nack
    t = period     no Ack from anyone: the probe failed; missing Nacks then speak against ourselves

A probe's number is drawn at random: a signed answer to it (proof.py) cannot have been collected before it was asked.

Where memberlist adds a ping over TCP, repeated datagrams serve here: all lanes share one path, and a datagram that is
not retransmitted behind bulk data measures the peer and not the queue.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from arqonmesh.core.kernel import Instant, Rng
from arqonmesh.ids import NodeId

PROBES_MAX: Final = 16
ERRANDS_MAX: Final = 512
ERRANDS_PER_ASKER_MAX: Final = 2 * PROBES_MAX
"""Twice what an honest asker has under way: one that asks for everything leaves room for the others. A hub is asked by
all its spokes, since every way leads through it."""
LOOSE_MAX: Final = 64


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
    waited_us: int = 0
    """For how long it was put off because nothing could be heard."""
    helpers: dict[NodeId, bool] = field(default_factory=dict)

    @property
    def due(self) -> Instant:
        return min(self.next_ping_at, self.verdict_at) if self.asked else min(self.next_ping_at, self.ask_at)

    def postpone(self, by_us: int) -> None:
        """Everything later by so much."""
        self.started_at += by_us
        self.next_ping_at += by_us
        self.ask_at += by_us
        self.verdict_at += by_us


@dataclass(frozen=True, slots=True)
class Errand:
    """A ping that we sent because `asker` asked under its number `seq`."""

    asker: NodeId
    seq: int
    target: NodeId
    expires_at: Instant


class Probes:
    """Bookkeeping by sequence number; bounded, refusing beyond the bound."""

    def __init__(self, rng: Rng) -> None:
        self.ours: dict[int, Probe] = {}
        self.errands: dict[tuple[NodeId, int], Errand] = {}
        self._loose: dict[int, NodeId] = {}
        self._rng = rng

    def next_seq(self) -> int:
        seq = self._rng.getrandbits(32)
        while seq in self.ours or seq in self._loose:
            seq = self._rng.getrandbits(32)
        return seq

    def loose(self, target: NodeId) -> int:
        """The number of a ping that belongs to no probe: nobody is judged by it, but its answer is a sign of life."""
        seq = self.next_seq()
        self._loose[seq] = target
        while len(self._loose) > LOOSE_MAX:
            del self._loose[next(iter(self._loose))]
        return seq

    def target_of(self, seq: int) -> NodeId | None:
        """Who was asked under this number, while that is remembered."""
        probe = self.ours.get(seq)
        return self._loose.get(seq) if probe is None else probe.target

    def settle(self, seq: int) -> Probe | None:
        """The answer came; the probe that it ends, if it was one."""
        self._loose.pop(seq, None)
        return self.ours.pop(seq, None)

    def of(self, target: NodeId) -> Probe | None:
        return next((probe for probe in self.ours.values() if probe.target == target), None)

    def due(self, now: Instant) -> list[Probe]:
        return [probe for probe in self.ours.values() if probe.due <= now]

    def room_for(self, asker: NodeId) -> bool:
        """Whether one more errand may be run for this asker."""
        if len(self.errands) >= ERRANDS_MAX:
            return False
        return sum(1 for errand in self.errands.values() if errand.asker == asker) < ERRANDS_PER_ASKER_MAX

    def expired_errands(self, now: Instant) -> list[Errand]:
        """Take those whose time is over."""
        gone = [key for key, errand in self.errands.items() if errand.expires_at <= now]
        return [self.errands.pop(key) for key in gone]

    def next_due(self) -> Instant | None:
        dues = [probe.due for probe in self.ours.values()]
        dues += [errand.expires_at for errand in self.errands.values()]
        return min(dues, default=None)
