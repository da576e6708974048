"""What happened, twice: a hash over everything, to compare runs, and a story of what matters, to read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

STORY_MAX: Final = 100_000
PENDING_MAX: Final = 512
"""Parts that are hashed together: one call of the hash per part would cost more than the hashing."""


@dataclass
class Trace:
    """`add` and `frame` go into the hash only; `tell` into the hash and the story."""

    events: int = 0
    story: list[tuple[int, str, str]] = field(default_factory=list)
    """(microseconds, who, what)."""
    untold: int = 0
    """Lines beyond STORY_MAX."""

    def __post_init__(self) -> None:
        self._hash = hashlib.sha256()
        self._pending: list[bytes] = []

    def add(self, now_us: int, who: str, what: str, data: bytes = b"") -> None:
        self.frame(now_us, b"%b %b" % (who.encode(), what.encode()), data)

    def frame(self, now_us: int, what: bytes, data: bytes) -> None:
        """Bytes that came somewhere; `what` says who got which bytes from whom. Each part is told with its length, so
        no two different runs hash the same bytes."""
        self.events += 1
        pending = self._pending
        pending.append(b"%d %b %d\n" % (now_us, what, len(data)))
        pending.append(data)
        if len(pending) > PENDING_MAX:
            self._flush()

    def tell(self, now_us: int, who: str, what: str) -> None:
        self.add(now_us, who, what)
        if len(self.story) < STORY_MAX:
            self.story.append((now_us, who, what))
        else:
            self.untold += 1

    def digest(self) -> str:
        self._flush()
        return self._hash.hexdigest()

    def _flush(self) -> None:
        self._hash.update(b"".join(self._pending))
        self._pending.clear()
