"""Which events a client wants: by type, source and stream. A pattern may end in `*`; none given takes all."""

from __future__ import annotations

from typing import Final, NamedTuple

from arqonmesh.bridge.telemetry.events import NAME_CHARACTERS_MAX, TelemetryEvent, TelemetryRefusal

PATTERNS_MAX: Final = 64
"""Per kind and client."""


class Filter(NamedTuple):
    """An event has to match one pattern of each kind that has any."""

    event_types: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()

    def takes(self, event: TelemetryEvent) -> bool:
        return (
            matches(self.event_types, event.event_type)
            and matches(self.sources, event.source)
            and matches(self.streams, event.stream)
        )


def matches(patterns: tuple[str, ...], name: str) -> bool:
    """Whether any pattern fits; no patterns fit everything."""
    if not patterns:
        return True
    return any(name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1])) for pattern in patterns)


def filter_of(event_types: list[str], sources: list[str], streams: list[str]) -> Filter:
    """A filter of what a client asks for. Raises TelemetryRefusal."""
    kinds = {"eventTypes": event_types, "sources": sources, "streams": streams}
    for field, patterns in kinds.items():
        if len(patterns) > PATTERNS_MAX or any(len(pattern) > NAME_CHARACTERS_MAX for pattern in patterns):
            sentence = f"{field} may hold {PATTERNS_MAX} patterns of {NAME_CHARACTERS_MAX} characters each"
            raise TelemetryRefusal("telemetry.filter", sentence, field=field)
    return Filter(*(tuple(dict.fromkeys(patterns)) for patterns in kinds.values()))
