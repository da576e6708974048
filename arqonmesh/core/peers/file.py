"""What is held against one peer: its score and the changes of it, with their causes. Most peers have no such file; it
is opened with the first change."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from arqonmesh.core.peers.causes import PARDONED, cause_of
from arqonmesh.core.peers.score import FULL_PPM, Score, decayed

MERGE_MS: Final = 1_000
"""The same cause again within this time is one entry with the sum."""


class Change(Struct, gc=False):
    """One change of a score: when, by how much, why, and the proof or what was seen."""

    n: int
    at_ms: int
    delta_ppm: int
    cause: str
    evidence: bytes


class File(Struct, gc=False):
    """One peer's."""

    score: Score
    changes: deque[Change]
    """The newest ones, oldest first."""
    next_change: int = 1
    excused: bool = False
    """Below the threshold, but more peers than may be faulty are: not ignored."""

    @classmethod
    def opened(cls, score: Score, changes_max: int) -> File:
        """Of which so many changes are kept."""
        return cls(score, deque(maxlen=changes_max))

    @property
    def making_room(self) -> int | None:
        """The number of the change that goes when one more comes; None while there is room."""
        return self.changes[0].n if len(self.changes) == self.changes.maxlen else None

    def take(self, change: Change) -> None:
        """One from disk."""
        self.changes.append(change)
        self.next_change = max(self.next_change, change.n + 1)

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
        self.take(change)
        return change, True


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
