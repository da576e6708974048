"""How many events of each type there were in a window, and from how many sources."""

from __future__ import annotations

from typing import Any, Final

TYPES_MAX: Final = 200
"""Event types per window with a count of their own."""
SOURCES_MAX: Final = 100
"""Sources per type and window that are told apart."""
OTHER: Final = "other"


class Aggregate:
    """The counts of one window. `take` ends it and begins the next."""

    def __init__(self, now: int) -> None:
        self._began = now
        self._counts: dict[str, int] = {}
        self._sources: dict[str, dict[str, None]] = {}

    def note(self, event_type: str, source: str) -> None:
        if event_type not in self._counts and len(self._counts) >= TYPES_MAX:
            event_type = OTHER
        self._counts[event_type] = self._counts.get(event_type, 0) + 1
        sources = self._sources.setdefault(event_type, {})
        if len(sources) < SOURCES_MAX:
            sources[source] = None

    def take(self, now: int) -> dict[str, Any] | None:
        """The payload of a `telemetry_aggregate`, or None when nothing happened."""
        lasted, self._began = now - self._began, now
        if not self._counts:
            return None
        counts, self._counts = self._counts, {}
        sources, self._sources = self._sources, {}
        types = {name: {"count": count, "sources": len(sources[name])} for name, count in counts.items()}
        return {"window_ms": lasted // 1_000, "events": sum(counts.values()), "types": types}
