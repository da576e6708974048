"""A level that worsens at once and improves only after the improvement has lasted. Lower is better.

worse:   ──────▶ at once
better:  ──held for `stable`──▶, at the worst level seen meanwhile
"""

from __future__ import annotations

from arqonmesh.core.kernel import Instant


class Steady:
    __slots__ = ("_since", "_stable_us", "_worst", "level")

    def __init__(self, level: int, stable_us: int) -> None:
        self.level = level
        self._stable_us = stable_us
        self._worst = level
        self._since: Instant | None = None

    def observe(self, now: Instant, level: int) -> None:
        """What it is at this moment. Repeats are harmless."""
        if level >= self.level:
            self.level, self._since = level, None
            return
        if self._since is None:
            self._since, self._worst = now, level
        self._worst = max(self._worst, level)
        if now - self._since >= self._stable_us:
            self.level = self._worst
            self._since, self._worst = (None if level == self.level else now), level

    def settle(self, level: int) -> None:
        """Take it as it is, without waiting."""
        self.level, self._since = level, None

    @property
    def due(self) -> Instant | None:
        """When an improvement will have lasted; observe again then."""
        return None if self._since is None else self._since + self._stable_us
