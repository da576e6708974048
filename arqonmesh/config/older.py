"""Older spellings of settings, brought to today's before anything is checked.

bus: {history: 500}      bus: {history: {per_channel: 500}}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

BECAME: Final[dict[tuple[str, ...], str]] = {("bus", "history"): "per_channel"}
"""What was one value and is a group now: which setting of the group the value is."""


def modernise(data: dict[str, Any]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """In place; which settings stand under which other name. What is neither the old form nor the new stays, for the
    check to name."""
    moved: dict[tuple[str, ...], tuple[str, ...]] = {}
    for path, name in BECAME.items():
        section: Any = data
        for part in path[:-1]:
            section = section.get(part) if isinstance(section, dict) else None
        if not isinstance(section, dict):
            continue
        value = section.get(path[-1])
        if value is not None and not isinstance(value, Mapping):
            section[path[-1]] = {name: value}
            moved[path] = (*path, name)
    return moved


def modern(path: tuple[str, ...]) -> tuple[str, ...]:
    """Today's path of a setting that may be named as it once was."""
    return (*path, BECAME[path]) if path in BECAME else path
