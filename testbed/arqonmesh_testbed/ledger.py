"""What a receiver saw of messages numbered from 0: lost, doubled, out of order, and how long they took."""

from __future__ import annotations

from typing import Any, Final

LATENCIES_MAX: Final = 200_000


class Ledger:
    """Pure. Numbers arrive one by one; `published` is told at the end."""

    def __init__(self) -> None:
        self.received = 0
        """Different messages."""
        self.doubled = 0
        self.out_of_order = 0
        self.highest = -1
        self.latencies_us: list[int] = []
        self._missing: set[int] = set()

    def saw(self, number: int, latency_us: int) -> None:
        if number > self.highest:
            self._missing.update(range(self.highest + 1, number))
            self.highest = number
        elif number in self._missing:
            self._missing.discard(number)
            self.out_of_order += 1
        else:
            self.doubled += 1
            return
        self.received += 1
        if len(self.latencies_us) < LATENCIES_MAX:
            self.latencies_us.append(latency_us)

    def lost(self, published: int) -> int:
        return published - self.received

    def perfect(self, published: int) -> bool:
        """Everything once and in order."""
        return self.received == published and not self.doubled and not self.out_of_order

    def report(self, published: int) -> dict[str, Any]:
        """Plain data; times in milliseconds."""
        return {
            "published": published,
            "received": self.received,
            "lost": self.lost(published),
            "doubled": self.doubled,
            "out_of_order": self.out_of_order,
            "p50_ms": percentile(self.latencies_us, 0.5) / 1e3,
            "p99_ms": percentile(self.latencies_us, 0.99) / 1e3,
            "max_ms": max(self.latencies_us, default=0) / 1e3,
        }


def percentile(values: list[int] | list[float], share: float) -> float:
    """Nearest rank; 0 for no values."""
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))]) if ordered else 0.0
