"""Which channels a rule means: patterns, and the ruling on one channel with the rule that made it.

A pattern is a channel `room:channel` in which `*` stands for any run of characters, also none; everything else
is itself (core/glob.py). Deny wins over allow; what matches no rule is denied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from arqonmesh.config.model import Rules
from arqonmesh.core.events import CLUSTER_ONLY
from arqonmesh.core.glob import matches

__all__ = ["CACHE_MAX", "DEFAULT_DENY", "RuleSet", "Ruling", "covers", "matches"]

CACHE_MAX: Final = 16_384
"""Rulings remembered per direction; channel names come from clients, so their number has to end somewhere."""


class Ruling(NamedTuple):
    """`rule` names the rule as it stands in arqon.yaml: `export.allow[0] telemetry:*`, or `default deny`."""

    allowed: bool
    rule: str


DEFAULT_DENY: Final = Ruling(False, "default deny")
INSIDE: Final = Ruling(False, "cluster only")
"""For what nodes of one cluster say to each other; no rule is asked."""


def covers(pattern: str, channel: str) -> bool:
    """Whether the pattern means this channel, or any of those that an event to a whole room (`plant:*`) is for."""
    if matches(pattern, channel):
        return True
    room, star, _ = channel.partition("*")
    if not star:
        return False
    head, star, _ = pattern.partition("*")
    return head.startswith(room) or (bool(star) and room.startswith(head))


class RuleSet:
    """The rules of one direction, with the rulings made so far."""

    def __init__(self, direction: str, rules: Rules, *, denied: Sequence[tuple[str, Ruling]] = ()) -> None:
        """`denied`: patterns with their rulings that are denials, too; they also keep events to whole rooms."""
        self._denied = denied
        self._rules = [
            (pattern, Ruling(allowed, f"{direction}.{word}[{index}] {pattern}"))
            for word, allowed, patterns in (("deny", False, rules.deny), ("allow", True, rules.allow))
            for index, pattern in enumerate(patterns)
        ]
        self._cache: dict[str, Ruling] = {}

    def ruling(self, channel: str) -> Ruling:
        """The first rule that matches, denials first."""
        known = self._cache.get(channel)
        if known is not None:
            return known
        if channel.startswith(CLUSTER_ONLY):
            return INSIDE
        if len(self._cache) >= CACHE_MAX:
            self._cache.clear()
        ruling = next((r for pattern, r in self._rules if matches(pattern, channel)), DEFAULT_DENY)
        if self._denied and (ruling.allowed or ruling is DEFAULT_DENY):
            ruling = next((r for pattern, r in self._denied if covers(pattern, channel)), ruling)
        self._cache[channel] = ruling
        return ruling
