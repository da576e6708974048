"""Spans of time as people write them: 90s, 15m, 1h30m, 7d."""

from __future__ import annotations

import re
from typing import Final

from arqonmesh.errors import UsageError

LONGEST_S: Final = 100 * 365 * 86_400.0
"""Beyond a century a moment has no four-digit year, and what keeps it no room."""
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_WHOLE: Final = re.compile(r"(\d+(?:\.\d+)?(?:ms|s|m|h|d))+", re.ASCII)
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)


def parse_duration(text: str, hint: str = "--expires 1h") -> float:
    """Seconds. Raises UsageError, with this hint, when `text` is not a duration above zero and up to a century."""
    if not _WHOLE.fullmatch(text):
        raise UsageError(
            "cli.duration", f"{text!r} is no span of time; it needs a form such as 90s, 15m, 1h or 7d", hint=hint
        )
    total = sum(float(count) * _UNITS[unit] for count, unit in _PART.findall(text))
    if not 0 < total <= LONGEST_S:
        raise UsageError("cli.duration", f"{text!r} has to be above zero, and 36500d (a century) at most", hint=hint)
    return total


def show_duration(seconds: float) -> str:
    """Two units at most: 45s, 3m 20s, 2h 5m, 6d 1h."""
    whole = int(max(seconds, 0))
    if whole < 1:
        return f"{seconds * 1000:.0f}ms"
    for unit, size, below, smaller in (("d", 86_400, "h", 3_600), ("h", 3_600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size}{unit} {rest}{below}" if rest else f"{whole // size}{unit}"
    return f"{whole}s"
