"""Dots: which writes of one identity were seen, and which of them are still held."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

WINDOW: Final = 128
"""How many of an identity's newest writes count. What it wrote before is taken as seen and removed, so a writer may
have this many keys in a map."""


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One write: `seq` names it among those of its identity and epoch."""

    seq: int
    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Dots:
    """In one form: `early` ascends and begins beyond `upto` + 1, reaches no further than `upto` + WINDOW, and `held`
    ascends by seq within the window. Use `of` to get there."""

    epoch: int = 0
    upto: int = 0
    """Every seq up to this one was seen."""
    early: tuple[int, ...] = ()
    """Seen beyond a gap."""
    held: tuple[Entry, ...] = ()

    @staticmethod
    def of(epoch: int, upto: int, early: Iterable[int], held: Iterable[Entry]) -> Dots:
        """The one form of these dots. What is held without having been seen is left out."""
        ahead = sorted(set(early))
        last = max(upto, ahead[-1] if ahead else 0)
        upto = max(upto, last - WINDOW)
        start = 0
        while start < len(ahead) and ahead[start] <= upto + 1:
            upto = max(upto, ahead[start])
            start += 1
        beyond = tuple(ahead[start:])
        seen = set(beyond)
        kept = sorted(e for e in held if e.seq > last - WINDOW and (e.seq <= upto or e.seq in seen))
        return Dots(epoch, upto, beyond, tuple(kept))

    @property
    def last(self) -> int:
        """The highest seq seen."""
        return self.early[-1] if self.early else self.upto

    def join(self, other: Dots) -> Dots:
        """The newer epoch; within one epoch, what both hold, or one holds and the other has not seen."""
        if self.epoch != other.epoch:
            return self if self.epoch > other.epoch else other
        held = [*self._outlasting(other), *(entry for entry in other._outlasting(self) if entry not in self.held)]
        return Dots.of(self.epoch, max(self.upto, other.upto), (*self.early, *other.early), held)

    def _outlasting(self, other: Dots) -> list[Entry]:
        """What we hold that the other holds too or has not seen."""
        seen, theirs = set(other.early), set(other.held)
        return [entry for entry in self.held if entry in theirs or not (entry.seq <= other.upto or entry.seq in seen)]
