"""Patterns of channel names: `*` stands for any run of characters, also none; everything else is itself.

Matching takes the pieces between the stars in turn, each at its first place (greedy, no backtracking), so that a
channel name made up by a client cannot make a pattern expensive.
"""

from __future__ import annotations


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
