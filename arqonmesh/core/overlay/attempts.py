"""Attempts under way to win a neighbour: dial first, ask over the link, and only an answer makes a neighbour.

begin ──▶ DIALLING ──LinkUp──▶ ASKED ──accepted──▶ (active view)
              └──────timeout──────┴──refused, timeout──▶ (over)
evicted ──▶ PARTING ──link gone, or a moment later──▶ (over)

A dial that has not come up after a quarter of its time is *slow*: it may still succeed, but it holds up nobody else
(as RFC 8305, Happy Eyeballs, does with addresses). After a mass failure most spare members are dead, and a node that
waited for each of them would be without neighbours for as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from arqonmesh.core.kernel import Instant
from arqonmesh.ids import NodeId

SLOW_SHARE: Final = 4
"""A dial is slow after one part in so many of its time: 500 ms of the default 2 s, a handshake over 300 ms of RTT."""


class Why(Enum):
    """What an attempt is for."""

    JOIN = "join"
    """We are new or alone: the other takes us in and tells others."""
    PROMOTE = "promote"
    """From the passive view, or the sample of all members."""
    RETURN = "return"
    """A lost member: it is asked with priority, because it may be the only way to another part of the mesh."""
    QUOTA = "quota"
    """Places are free, and nobody that we ask has room: asked with priority, now and then."""
    LOOK = "look"
    """A spare member is dialled to see whether it is there; if it is alone, it uses the link to join us."""
    WALK = "walk"
    """A newcomer whose walk ended here: given to us, not chosen."""
    KEEP = "keep"
    """A link that stood already when the overlay began."""
    EVICTED = "evicted"


class Stage(Enum):
    DIALLING = "dialling"
    ASKED = "asked"
    PARTING = "parting"


@dataclass(slots=True)
class Attempt:
    why: Why
    stage: Stage
    until: Instant
    slow_at: Instant
    """A dial that is not up by then is counted on no longer."""
    slow: bool = False


class Attempts:
    """By peer; one at a time each."""

    __slots__ = ("_attempts", "_next")

    def __init__(self) -> None:
        self._attempts: dict[NodeId, Attempt] = {}
        self._next: Instant | None = None

    def __contains__(self, peer: NodeId) -> bool:
        return peer in self._attempts

    def __len__(self) -> int:
        return len(self._attempts)

    def get(self, peer: NodeId) -> Attempt | None:
        return self._attempts.get(peer)

    def begin(self, peer: NodeId, why: Why, stage: Stage, now: Instant, patience_us: int) -> Attempt:
        attempt = self._attempts[peer] = Attempt(why, stage, now + patience_us, now + patience_us // SLOW_SHARE)
        self._aim()
        return attempt

    def advance(self, attempt: Attempt, stage: Stage, until: Instant) -> None:
        attempt.stage, attempt.until, attempt.slow = stage, until, False
        self._aim()

    def end(self, peer: NodeId) -> Attempt | None:
        attempt = self._attempts.pop(peer, None)
        if attempt is not None:
            self._aim()
        return attempt

    def peers(self) -> tuple[NodeId, ...]:
        return tuple(self._attempts)

    def count(self, stage: Stage) -> int:
        return sum(attempt.stage is stage for attempt in self._attempts.values())

    def seeking(self) -> int:
        """Attempts that may soon fill a place that we want filled."""
        beside = (Why.WALK, Why.LOOK)
        return sum(a.stage is not Stage.PARTING and a.why not in beside and not a.slow for a in self._attempts.values())

    def walks(self) -> int:
        return sum(attempt.why is Why.WALK for attempt in self._attempts.values())

    def expired(self, now: Instant) -> list[NodeId]:
        if self._next is None or self._next > now:
            return []
        return [peer for peer, attempt in self._attempts.items() if attempt.until <= now]

    def slowed(self, now: Instant) -> bool:
        """Whether some dial has become slow by now, each told once."""
        if self._next is None or self._next > now:
            return False
        slow = [a for a in self._attempts.values() if a.stage is Stage.DIALLING and not a.slow and a.slow_at <= now]
        for attempt in slow:
            attempt.slow = True
        if slow:
            self._aim()
        return bool(slow)

    def deadline(self) -> Instant | None:
        return self._next

    def _aim(self) -> None:
        self._next = min(
            (a.slow_at if a.stage is Stage.DIALLING and not a.slow else a.until for a in self._attempts.values()),
            default=None,
        )
