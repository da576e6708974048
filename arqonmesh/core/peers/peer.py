"""What this node knows of one peer, and its row in the peer store."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

from arqonmesh.core.kernel import Instant, Row
from arqonmesh.core.peers.causes import PARDONED, cause_of
from arqonmesh.core.peers.rtt import RttTracker
from arqonmesh.core.peers.score import FULL_PPM, Score, decayed
from arqonmesh.ids import NodeId
from arqonmesh.wire.packing import node_bytes

Standing = Literal["newcomer", "established"]

ESTABLISHED_AGE_MS: Final = 10 * 60_000
ESTABLISHED_DELIVERIES: Final = 10
ESTABLISHED_ANYWAY_MS: Final = 24 * 3_600_000
"""A member that only listens has earned its standing after a day."""
MERGE_MS: Final = 1_000
"""The same cause again within this time is one entry with the sum."""


class Change(Struct, gc=False):
    """One change of a score: when, by how much, why, and the proof or what was seen."""

    n: int
    at_ms: int
    delta_ppm: int
    cause: str
    evidence: bytes


class Peer(Struct, gc=False):
    """Never part of a circle, so the collector need not look at it: a node keeps one for each member."""

    node: NodeId
    first_seen_ms: int
    last_seen_ms: int
    score: Score
    changes_max: int
    """So many changes of its score are kept."""
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
    next_change: int = 1
    ignored: bool = False
    excused: bool = False
    """Below the threshold, but more peers than may be faulty are: not ignored."""
    present: bool = False
    """Alive or suspect in the membership."""
    _changes: deque[Change] | None = None
    """Most peers never change: an empty deque of its own would be the largest part of each."""

    @property
    def changes(self) -> Sequence[Change]:
        """The newest changes of its score, oldest first."""
        return () if self._changes is None else self._changes

    def keep(self, change: Change) -> None:
        """As the newest change; the oldest goes when there are too many."""
        if self._changes is None:
            self._changes = deque(maxlen=self.changes_max)
        self._changes.append(change)

    def standing(self, wall_ms: int) -> Standing:
        """Has it earned anything yet? The score says whether it misbehaved; a fresh identity has neither."""
        age_ms = wall_ms - self.first_seen_ms
        earned = age_ms >= ESTABLISHED_AGE_MS and self.deliveries >= ESTABLISHED_DELIVERIES
        return "established" if earned or age_ms >= ESTABLISHED_ANYWAY_MS else "newcomer"

    def record(self, wall_ms: int, delta_ppm: int, cause: str, evidence: bytes) -> tuple[Change, bool]:
        """Note a change; (the entry, whether it is a new one)."""
        last = self.changes[-1] if self.changes else None
        if (
            last is not None
            and last.cause == cause
            and last.evidence == evidence
            and 0 <= wall_ms - last.at_ms < MERGE_MS
        ):
            last.delta_ppm += delta_ppm
            return last, False
        change = Change(self.next_change, wall_ms, delta_ppm, cause, evidence)
        self.next_change += 1
        self.keep(change)
        return change, True

    def row(self, now: Instant, wall_ms: int) -> Row:
        """In the order of the table `peers`."""
        score_ppm = self.score.ppm(now)
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


def scores_after(changes: Sequence[Change], half_life_us: int) -> list[int]:
    """The score after each change, millionths: replayed from the oldest that is kept, forgiveness in between included.
    (What happened before it was mostly forgiven by then.)"""
    scores: list[int] = []
    deficit, at_ms = 0, 0
    for change in changes:
        deficit = (
            decayed(deficit, max(0, change.at_ms - at_ms) * 1_000, half_life_us) if deficit < FULL_PPM else deficit
        )
        deficit = min(FULL_PPM, max(0, deficit - change.delta_ppm))
        if cause_of(change.cause).convicts:
            deficit = FULL_PPM
        elif change.cause == PARDONED:
            deficit = 0
        at_ms = change.at_ms
        scores.append(FULL_PPM - deficit)
    return scores
