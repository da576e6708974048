"""Which channels a rule means: patterns, and the ruling on one channel with the rule that made it.

A pattern is a channel `room:channel` in which `*` stands for any run of characters, also none; everything else
is itself. Deny wins over allow; what matches no rule is denied.

Matching takes the pieces between the stars in turn, each at its first place (greedy, no backtracking), so that a
channel name made up by a client cannot make a pattern expensive.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from arqonmesh.config.model import Rules

CACHE_MAX: Final = 16_384
"""Rulings remembered per direction; channel names come from clients, so their number has to end somewhere."""


class Ruling(NamedTuple):
    """`rule` names the rule as it stands in arqon.yaml: `export.allow[0] telemetry:*`, or `default deny`."""

    allowed: bool
    rule: str


DEFAULT_DENY: Final = Ruling(False, "default deny")


def matches(pattern: str, text: str) -> bool:
    """Whether `text` is an instance of `pattern`."""
    head, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    *middle, tail = rest
    if len(text) < len(head) + len(tail) or not (text.startswith(head) and text.endswith(tail)):
        return False
    at, end = len(head), len(text) - len(tail)
    for piece in middle:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


class RuleSet:
    """The rules of one direction, with the rulings made so far."""

    def __init__(self, direction: str, rules: Rules) -> None:
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
        if len(self._cache) >= CACHE_MAX:
            self._cache.clear()
        ruling = next((r for pattern, r in self._rules if matches(pattern, channel)), DEFAULT_DENY)
        self._cache[channel] = ruling
        return ruling
