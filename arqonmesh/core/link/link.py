"""One link of this node: its connection, how it lives, and what was told of its figures here and to everyone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from arqonmesh.core.kernel import MILLISECOND, Instant
from arqonmesh.core.link.liveness import LinkState, Liveness
from arqonmesh.core.link.told import Told
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Adjacency

NOTICED_US: Final = MILLISECOND
NOTICED_SHARE: Final = 8
NOTICED_PPM: Final = 5_000
"""Noticeable: a round trip that is other by more than a millisecond and more than an eighth, or half a percent more or
less that is lost."""


@dataclass(frozen=True, slots=True)
class LinkReport:
    """One link as this node measures it. `state`: opening, up or probing (an answer is overdue)."""

    peer: NodeId
    state: str
    transport: str
    outbound: bool
    rtt_us: int
    rtt_var_us: int
    loss_ppm: int
    since: Instant

    @property
    def up(self) -> bool:
        return self.state in ("up", "probing")


@dataclass(slots=True)
class Link:
    transport: str
    outbound: bool
    since: Instant
    liveness: Liveness
    measured_at: Instant | None = None
    told_at: Instant | None = None
    """When LinkMeasured told of it last, and what; None: since it was silent or up, it has not."""
    told_rtt_us: int = 0
    told_loss_ppm: int = 0
    loss_ppm: int = 0
    figures: Told = field(default_factory=Told)
    """What everyone was told of its round trip and loss."""
    told: bool = True
    """Everyone is told of it; not yet while it may be one that the overlay opened for a moment."""
    fell: bool = False
    """It is down, and reopening on the connection that it had."""
    wakes_at: Instant = 0
    """Its `liveness.next_wakeup()`, as of when anything last happened to it."""

    @property
    def noticeable(self) -> bool:
        """Whether it does noticeably otherwise than LinkMeasured told last."""
        moved_us = abs(self.liveness.rtt.srtt_us - self.told_rtt_us)
        if moved_us > NOTICED_US and moved_us * NOTICED_SHARE > self.told_rtt_us:
            return True
        return abs(self.loss_ppm - self.told_loss_ppm) > NOTICED_PPM

    @property
    def up(self) -> bool:
        return self.liveness.state in (LinkState.UP, LinkState.PROBING)

    def moved(self, now: Instant) -> bool:
        """Whether its figures are noticeably other than what everyone was told of them."""
        return self.up and self.figures.moved(now, self.liveness.rtt.srtt_us)

    def report(self, peer: NodeId) -> LinkReport:
        rtt = self.liveness.rtt
        return LinkReport(
            peer=peer,
            state=self.liveness.state.value,
            transport=self.transport,
            outbound=self.outbound,
            rtt_us=rtt.srtt_us,
            rtt_var_us=rtt.rttvar_us,
            loss_ppm=self.loss_ppm,
            since=self.since,
        )

    def adjacency(self, peer: NodeId, state: str) -> Adjacency:
        """The same as its line in a record. `state`: up or down."""
        return Adjacency(peer, state, self.transport, self.liveness.rtt.srtt_us, self.loss_ppm)
