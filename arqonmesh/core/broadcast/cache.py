"""What this node has seen, and the payloads it can still serve: bounded by time and count, payloads by bytes too."""

from __future__ import annotations

from collections import deque
from collections.abc import Container
from typing import Final

from arqonmesh.core.kernel import SECOND, Instant
from arqonmesh.ids import NodeId

ROUND_MAX: Final = 255
"""Hops that a payload can tell; what has come so far is served, and passed on no more."""
SWEPT_US: Final = SECOND
"""Nothing lies about longer than this beyond its time, and no oftener is it looked for."""


class Known:
    """A payload that came, as it came. `data` is None until its owner accepted it, and again once it was evicted."""

    __slots__ = ("at", "data", "round", "source", "topic", "wave")

    def __init__(self, at: Instant, round_: int, wave: int, source: NodeId | None, topic: str) -> None:
        self.at = at
        self.round = round_
        self.wave = wave
        self.source = source
        """Who sent the first copy; None when it is ours."""
        self.topic = topic
        self.data: bytes | None = None


class Cache:
    """Ids by age, and payloads by age."""

    def __init__(self, *, ids_us: int, ids_max: int, payloads_us: int, bytes_max: int) -> None:
        self._ids_us = ids_us
        self._ids_max = ids_max
        self._payloads_us = payloads_us
        self._bytes_max = bytes_max
        self._known: dict[bytes, Known] = {}
        self._payloads: deque[tuple[bytes, Known]] = deque()
        self.due: Instant | None = None
        """When `sweep` has something to do, at the earliest."""
        self.bytes = 0
        self.forgotten_early = 0
        """Ids that went for want of room before their time; such a payload would be taken for new."""
        self.evicted_early = 0
        """Payloads that went for want of room before their time."""

    def __len__(self) -> int:
        return len(self._known)

    @property
    def payloads(self) -> int:
        return len(self._payloads)

    def get(self, id_: bytes) -> Known | None:
        return self._known.get(id_)

    def add(self, id_: bytes, known: Known) -> None:
        """Remember that it was seen, just now."""
        self._expire(known.at)
        self._known[id_] = known
        if len(self._known) > self._ids_max:
            del self._known[next(iter(self._known))]
            self.forgotten_early += 1
        if self.due is None:
            self.due = known.at + SWEPT_US

    def keep(self, id_: bytes, known: Known, data: bytes) -> None:
        """Keep the payload for whoever asks."""
        known.data = data
        self._payloads.append((id_, known))
        self.bytes += len(data)
        while self.bytes > self._bytes_max:
            self._evict()
            self.evicted_early += 1

    def newest(self, now: Instant, count: int, *, without: Container[str] = ()) -> list[tuple[bytes, Known]]:
        """The youngest payloads that can be served for a good while yet (a third of their time), oldest of them first:
        who announces one has to have it when it is asked. None of the topics `without`."""
        youngest: list[tuple[bytes, Known]] = []
        for id_, known in reversed(self._payloads):
            if len(youngest) == count or known.at + self._payloads_us * 2 // 3 <= now:
                break
            if known.topic not in without:
                youngest.append((id_, known))
        youngest.reverse()
        return youngest

    def sweep(self, now: Instant) -> None:
        """A timer fires: let go of what is over its time."""
        if self.due is not None and self.due <= now:
            self._expire(now)
            self.due = max(now + SWEPT_US, self._expires_at(now)) if self._known else None

    def _expire(self, now: Instant) -> None:
        """Cheap when nothing is over its time."""
        payloads, known = self._payloads, self._known
        while payloads and payloads[0][1].at + self._payloads_us <= now:
            self._evict()
        while known:
            id_ = next(iter(known))
            if known[id_].at + self._ids_us > now:
                break
            del known[id_]

    def _expires_at(self, now: Instant) -> Instant:
        """From when on there is something to let go of, as far as is known now: what comes later has its time, too."""
        due = (self._payloads[0][1].at if self._payloads else now) + self._payloads_us
        oldest = next(iter(self._known.values()), None)
        return due if oldest is None else min(due, oldest.at + self._ids_us)

    def _evict(self) -> None:
        _, known = self._payloads.popleft()
        assert known.data is not None, "only what is kept is in the queue"
        self.bytes -= len(known.data)
        known.data = None
