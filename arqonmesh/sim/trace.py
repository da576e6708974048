"""What happened, twice: a hash over everything, to compare runs, and a story of what matters, to read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

STORY_MAX: Final = 100_000


@dataclass
class Trace:
    """`add` goes into the hash only; `tell` into the hash and the story."""

    events: int = 0
    story: list[tuple[int, str, str]] = field(default_factory=list)
    """(microseconds, who, what)."""
    untold: int = 0
    """Lines beyond STORY_MAX."""

    def __post_init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, now_us: int, who: str, what: str, data: bytes = b"") -> None:
        self.events += 1
        self._hash.update(b"%d %b %b %d\n" % (now_us, who.encode(), what.encode(), len(data)))
        self._hash.update(data)

    def tell(self, now_us: int, who: str, what: str) -> None:
        self.add(now_us, who, what)
        if len(self.story) < STORY_MAX:
            self.story.append((now_us, who, what))
        else:
            self.untold += 1

    def digest(self) -> str:
        return self._hash.hexdigest()
