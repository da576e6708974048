"""Local health: how far may this node trust its own probes?

A count from 0 (well) to 7. Failed probes that nobody explains, missing nacks, refutations and lateness of our own raise
it; successful probes lower it. The probe period is multiplied by it plus one, so that a sick node accuses more slowly.

Source: Lifeguard's Local Health Multiplier (DSN-W 2018, section IV-A); memberlist's awareness.go.
"""

from __future__ import annotations

from typing import Final

WORST: Final = 7


class Awareness:
    """Disabled, it is always well."""

    __slots__ = ("enabled", "score")

    def __init__(self, *, enabled: bool = True) -> None:
        self.enabled = enabled
        self.score = 0

    def adjust(self, delta: int) -> None:
        if self.enabled:
            self.score = min(max(self.score + delta, 0), WORST)

    def scale(self, period_us: int) -> int:
        return period_us * (self.score + 1)
