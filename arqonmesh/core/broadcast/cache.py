"""What this node has seen, and the payloads it can still serve: bounded by time and count, payloads by bytes too."""

from __future__ import annotations

from collections import deque
from collections.abc import Container

from arqonmesh.core.kernel import Instant
from arqonmesh.ids import NodeId


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
        """Remember that it was seen."""
        self._known[id_] = known
        if len(self._known) > self._ids_max:
            del self._known[next(iter(self._known))]
            self.forgotten_early += 1

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

    def expire(self, now: Instant) -> None:
        """Let go of what is over its time. Cheap when nothing is."""
        payloads, known = self._payloads, self._known
        while payloads and payloads[0][1].at + self._payloads_us <= now:
            self._evict()
        while known:
            id_ = next(iter(known))
            if known[id_].at + self._ids_us > now:
                break
            del known[id_]

    def due(self, now: Instant) -> Instant:
        """From when on `expire` has something to do, as far as is known now: what comes later has its time, too."""
        due = (self._payloads[0][1].at if self._payloads else now) + self._payloads_us
        oldest = next(iter(self._known.values()), None)
        return due if oldest is None else min(due, oldest.at + self._ids_us)

    def _evict(self) -> None:
        _, known = self._payloads.popleft()
        assert known.data is not None, "only what is kept is in the queue"
        self.bytes -= len(known.data)
        known.data = None
