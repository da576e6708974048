"""How many members make a quorum, and how ill is a mesh? Arithmetic over the agreed membership.

    crash:      a majority, n // 2 + 1                       n = 1 2 3 4 5 7 10  ->  1 2 2 3 3 4 6
    byzantine:  n - f with f = ceil(n/3) - 1 (f < n/3)       n = 1 2 3 4 5 7 10  ->  1 2 3 3 4 5 7

Two quorums of one membership share a member (crash), or an honest one (byzantine); so no two sides of a cut are
writable at once. `n` is the roster without those who left: whoever is merely gone still counts.
"""

from __future__ import annotations

from typing import Final

HEALTHY: Final = "healthy"
DEGRADED: Final = "degraded"
CRITICAL: Final = "critical"
SEVERITY: Final = (HEALTHY, DEGRADED, CRITICAL)
"""In rising order."""


def required(members: int, preset: str) -> int:
    """The size of a quorum. `preset`: crash or byzantine."""
    if preset == "byzantine":
        return members - max(0, -(-members // 3) - 1)
    assert preset == "crash", preset
    return members // 2 + 1


def health(members: int, reachable: int) -> str:
    """Healthy with everyone, critical with half or more unreachable, degraded in between."""
    unreachable = members - reachable
    if unreachable <= 0:
        return HEALTHY
    return CRITICAL if 2 * unreachable >= members else DEGRADED
