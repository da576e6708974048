"""What this node knows of one peer, and its row in the peer store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

from arqonmesh.core.kernel import Instant, Row
from arqonmesh.core.peers.file import Change, File
from arqonmesh.core.peers.rtt import RttTracker
from arqonmesh.core.peers.score import FULL_PPM
from arqonmesh.ids import NodeId
from arqonmesh.wire.packing import node_bytes

Standing = Literal["newcomer", "established"]

ESTABLISHED_AGE_MS: Final = 10 * 60_000
ESTABLISHED_DELIVERIES: Final = 10
ESTABLISHED_ANYWAY_MS: Final = 24 * 3_600_000
"""A member that only listens has earned its standing after a day."""


class Peer(Struct, gc=False):
    """Never part of a circle, so the collector need not look at it: a node keeps one for each member."""

    node: NodeId
    first_seen_ms: int
    last_seen_ms: int
    cluster: str = ""
    role: str = ""
    region: str = ""
    addresses: tuple[str, ...] = ()
    latency_us: int | None = None
    rtt: RttTracker | None = None
    """In this life of ours; None for one that was never linked in it."""
    inviter: NodeId | None = None
    """Who let it in; None for the founder."""
    deliveries: int = 0
    ignored: bool = False
    present: bool = False
    """Alive or suspect in the membership."""
    file: File | None = None
    """What is held against it; None for nothing, as with most."""

    @property
    def changes(self) -> Sequence[Change]:
        """The newest changes of its score, oldest first."""
        return () if self.file is None else self.file.changes

    @property
    def convicted(self) -> bool:
        """Ignored for good."""
        return self.file is not None and self.file.score.convicted

    def score_ppm(self, now: Instant) -> int:
        """1_000_000 for one against whom nothing is held."""
        return FULL_PPM if self.file is None else self.file.score.ppm(now)

    def standing(self, wall_ms: int) -> Standing:
        """Has it earned anything yet? The score says whether it misbehaved; a fresh identity has neither."""
        age_ms = wall_ms - self.first_seen_ms
        earned = age_ms >= ESTABLISHED_AGE_MS and self.deliveries >= ESTABLISHED_DELIVERIES
        return "established" if earned or age_ms >= ESTABLISHED_ANYWAY_MS else "newcomer"

    def row(self, now: Instant, wall_ms: int) -> Row:
        """In the order of the table `peers`."""
        score_ppm = self.score_ppm(now)
        lowered = score_ppm < FULL_PPM
        return (
            node_bytes(self.node),
            self.first_seen_ms,
            self.last_seen_ms,
            score_ppm if lowered else None,
            wall_ms if lowered else None,
            self.latency_us,
            self.deliveries,
        )
