"""One-way latency of a pair of nodes, by their indexes, in microseconds. Called once per link, not per message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

Latency = Callable[[int, int], int]
"""(from, to) to one-way microseconds."""

_MASK: Final = (1 << 64) - 1


def mixed(*values: int) -> int:
    """64 well-mixed bits of these integers (the finaliser of SplitMix64: Steele, Lea, Flood, OOPSLA 2014)."""
    state = 0
    for value in values:
        state = (state + value + 0x9E37_79B9_7F4A_7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58_476D_1CE4_E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D0_49BB_1331_11EB) & _MASK
        state ^= state >> 31
    return state


def constant(delay_us: int) -> Latency:
    """The same for all."""
    return lambda one, other: delay_us


def uniform(seed: int, least_us: int, most_us: int) -> Latency:
    """Drawn per unordered pair, evenly from least to most; the same in both directions."""
    span = most_us - least_us + 1

    def of_pair(one: int, other: int) -> int:
        low, high = (one, other) if one < other else (other, one)
        return least_us + mixed(seed, low, high) % span

    return of_pair


def regions(region_of: Callable[[int], int], matrix_us: Sequence[Sequence[int]]) -> Latency:
    """By the regions of the two nodes; `matrix_us[a][a]` is the latency inside a region."""
    return lambda one, other: matrix_us[region_of(one)][region_of(other)]
