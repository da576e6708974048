"""Network coordinates: where a node lies, so that the round trip between two that never met can be guessed.

Vivaldi (Dabek, Cox, Kaashoek, Morris, SIGCOMM 2004) with a height for the access link, as HashiCorp Serf runs it: an
adjustment term (Ledlie, Gardner, Seltzer, NSDI 2007), a median filter per peer, and gravity that keeps the whole cloud
from drifting away. Two things are ours. No update moves a coordinate by more than `MOVE_MAX_S`, so that a liar
needs many of them (Chan-Tin et al., "The Frog-Boiling Attack", 2009). And a force lifts a node by its share as in
the paper, at most by itself, and lowers it by at most three times itself; those in one place are lifted by half of it.
(Serf divides by the distance on the plane alone, without a bound: that throws about those who nearly share a place.
With the bounds its published errors are met for any seed, not for a fortunate one.)

Seconds as floats inside; microseconds and millionths as integers on the wire. Coordinates rank candidates; nothing that
must be agreed or replayed by others is decided by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import dist, hypot, isfinite
from typing import Final

from arqonmesh.core.kernel import Rng
from arqonmesh.ids import NodeId

DIMENSIONS: Final = 8
ERROR_MAX: Final = 1.5
ERROR_GAIN: Final = 0.25
"""ce: share of a surprise that the error estimate takes up, before its weight."""
FORCE_GAIN: Final = 0.25
"""cc: share of a surprise by which a coordinate moves, before its weight."""
ADJUSTMENT_WINDOW: Final = 20
HEIGHT_MIN_S: Final = 10e-6
FILTER_SIZE: Final = 3
GRAVITY_RHO: Final = 150.0
RTT_MAX_S: Final = 10.0
MOVE_MAX_S: Final = 0.05
ZERO_S: Final = 1e-6
LOWERING_MAX: Final = 3.0
"""A force that pulls together lowers a height by at most three times itself."""
FILTERS_MAX: Final = 1_024
"""Peers whose newest round trips are remembered; beyond, the one first met goes."""
LIMIT_S: Final = 10.0
"""No component of a coordinate lies farther out; beyond it ours begins anew and another's is not believed."""
LAYOUT: Final = DIMENSIONS + 3
"""Integers of a coordinate on the wire: components, height, adjustment in microseconds, error in millionths."""
_MICRO: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A point with a height. `error` says how far its owner trusts it: 0 is certain, 1.5 is a guess."""

    vector: tuple[float, ...]
    height: float = HEIGHT_MIN_S
    error: float = ERROR_MAX
    adjustment: float = 0.0

    def raw_distance_to(self, other: Coordinate) -> float:
        """Seconds, without the adjustments."""
        return dist(self.vector, other.vector) + self.height + other.height

    def distance_to(self, other: Coordinate) -> float:
        """The round trip between the two as it is guessed, in seconds."""
        raw = self.raw_distance_to(other)
        adjusted = raw + self.adjustment + other.adjustment
        return adjusted if adjusted > 0 else raw

    def sound(self) -> bool:
        """Finite, and no farther out than any network reaches."""
        return (
            all(isfinite(value) and abs(value) <= LIMIT_S for value in (*self.vector, self.adjustment))
            and HEIGHT_MIN_S / 2 <= self.height <= LIMIT_S
            and 0 <= self.error <= ERROR_MAX
        )

    def to_wire(self) -> tuple[int, ...]:
        """LAYOUT integers: the components, height, error, adjustment."""
        return (
            *(round(value * _MICRO) for value in self.vector),
            max(1, round(self.height * _MICRO)),
            round(self.error * _MICRO),
            round(self.adjustment * _MICRO),
        )

    @staticmethod
    @lru_cache(maxsize=1_024)
    def from_wire(told: tuple[int, ...]) -> Coordinate:
        assert len(told) == LAYOUT, f"a coordinate has {LAYOUT} integers, got {len(told)}"
        *vector, height, error, adjustment = (value / _MICRO for value in told)
        return Coordinate(tuple(vector), max(height, HEIGHT_MIN_S), error, adjustment)


def origin(dimensions: int = DIMENSIONS) -> Coordinate:
    """Where everyone begins."""
    return Coordinate((0.0,) * dimensions)


class Vivaldi:
    """One node's own coordinate and what moves it."""

    def __init__(self, rng: Rng, dimensions: int = DIMENSIONS, coordinate: Coordinate | None = None) -> None:
        self._rng = rng
        self._origin = origin(dimensions)
        self.coordinate = self._origin if coordinate is None else coordinate
        self._filters: dict[NodeId, list[float]] = {}
        self._misses = [0.0] * ADJUSTMENT_WINDOW
        self._turn = 0
        self.updates = 0
        self.resets = 0
        """How often the coordinate left what is sound and began anew."""

    def distance_to(self, other: Coordinate) -> float:
        return self.coordinate.distance_to(other)

    def update(self, peer: NodeId, other: Coordinate, rtt_s: float) -> bool:
        """Take in one measured round trip to a peer and where it says it is. False when that cannot be believed."""
        if not 0 <= rtt_s <= RTT_MAX_S or not other.sound() or len(other.vector) != len(self._origin.vector):
            return False
        rtt_s = max(self._filtered(peer, rtt_s), ZERO_S)
        self._pull(other, rtt_s)
        self._adjust(other, rtt_s)
        distance_s = self.coordinate.distance_to(self._origin)
        self.coordinate = self._pushed(-((distance_s / GRAVITY_RHO) ** 2), self._origin, self.coordinate.error)
        self.updates += 1
        if not self.coordinate.sound():
            self.coordinate = self._origin
            self._misses = [0.0] * ADJUSTMENT_WINDOW
            self.resets += 1
        return True

    def forget(self, peer: NodeId) -> None:
        self._filters.pop(peer, None)

    def _filtered(self, peer: NodeId, rtt_s: float) -> float:
        """The median of this peer's newest three: one that was queued for long does not move us."""
        newest = self._filters.get(peer)
        if newest is None:
            if len(self._filters) >= FILTERS_MAX:
                del self._filters[next(iter(self._filters))]
            newest = self._filters[peer] = []
        newest.append(rtt_s)
        if len(newest) > FILTER_SIZE:
            del newest[0]
        return sorted(newest)[len(newest) // 2]

    def _pull(self, other: Coordinate, rtt_s: float) -> None:
        own = self.coordinate
        distance_s = own.distance_to(other)
        surprise = abs(distance_s - rtt_s) / rtt_s
        weight = own.error / max(own.error + other.error, ZERO_S)
        error = ERROR_GAIN * weight * surprise + own.error * (1 - ERROR_GAIN * weight)
        force_s = FORCE_GAIN * weight * (rtt_s - distance_s)
        self.coordinate = self._pushed(max(-MOVE_MAX_S, min(force_s, MOVE_MAX_S)), other, min(error, ERROR_MAX))

    def _pushed(self, force_s: float, other: Coordinate, error: float) -> Coordinate:
        """Away from `other` by `force_s` seconds, towards it when negative."""
        own = self.coordinate
        apart = [a - b for a, b in zip(own.vector, other.vector, strict=True)]
        length, height = hypot(*apart), own.height
        if length > ZERO_S:
            tall = height + other.height
            lift = tall / (length + tall) if force_s > 0 else min(tall / length, LOWERING_MAX)
            height = max(HEIGHT_MIN_S, height + lift * force_s)
        else:  # in one place: any direction is as good, and the access links are as likely a reason
            force_s /= 2
            height = max(HEIGHT_MIN_S, height + force_s)
            apart = [self._rng.random() - 0.5 for _ in apart]
            length = hypot(*apart)
            if length <= ZERO_S:
                apart, length = [1.0, *([0.0] * (len(apart) - 1))], 1.0
        step = force_s / length
        vector = tuple(a + step * b for a, b in zip(own.vector, apart, strict=True))
        return Coordinate(vector, height, error, own.adjustment)

    def _adjust(self, other: Coordinate, rtt_s: float) -> None:
        """What the newest guesses missed on average, shared by both ends."""
        own = self.coordinate
        self._misses[self._turn] = rtt_s - own.raw_distance_to(other)
        self._turn = (self._turn + 1) % ADJUSTMENT_WINDOW
        adjustment = sum(self._misses) / (2 * ADJUSTMENT_WINDOW)
        self.coordinate = Coordinate(own.vector, own.height, own.error, adjustment)
