"""What became of an attack."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """`contained_s`: from the first attack until everyone whom the adversaries harm had them below one half; None where
    nothing that they do is held against them, because it does no harm."""

    contained_s: float | None = None
    score: float = 1.0
    """The highest that any of them has with anyone whom it harms."""
    broken: str = ""
    """Which rule did not hold; empty when all did."""
