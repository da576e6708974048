"""The one exception of the simulator's checkers."""

from __future__ import annotations


class Broken(Exception):
    """A rule was broken; the sentence says which, by whom and when."""
