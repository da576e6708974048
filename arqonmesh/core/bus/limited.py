"""Who was rate limited, and how often: the subjects with most dropped frames, the others as one sum.

The table is bounded: when it is full, the one with least is added to `other`, so that sums stay true.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

SUBJECTS_MAX: Final = 32
"""Subjects with a figure of their own."""


class Limited:
    """Dropped frames by (tenant, subject, address or client)."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self.other = 0

    def note(self, tenant: str, name: str, dropped: int) -> None:
        counts, key = self._counts, (tenant, name)
        if key not in counts and len(counts) >= SUBJECTS_MAX:
            self.other += counts.pop(min(counts, key=counts.__getitem__))
        counts[key] = counts.get(key, 0) + dropped

    def most(self, count: int) -> Iterator[tuple[str, str, int]]:
        """(tenant, name, dropped frames), most first."""
        ranked = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        return ((tenant, name, dropped) for (tenant, name), dropped in ranked[:count])

    def total(self) -> int:
        return self.other + sum(self._counts.values())
