"""What a snapshot for /metrics is made of: plain numbers, without the library that writes them (collectors.py)."""

from __future__ import annotations

from typing import NamedTuple


class Sample(NamedTuple):
    """One number. `labels` in the order of the catalogue."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


class Distribution(NamedTuple):
    """One histogram. `buckets`: (upper bound, how many were at or below it), the last bound "+Inf"."""

    name: str
    buckets: tuple[tuple[str, int], ...]
    sum: float
    labels: tuple[str, ...] = ()
