"""Whoever announced a payload and was asked for it has promised to send it (GossipSub v1.1, P7 "broken promises").

The promise is that peer's own: that the payload came from somebody else meanwhile does not keep it. An honest peer
answers every graft, because what it announces it holds for `cache_s`; the grace is far longer than a graft timer.

Only time in which the link answers counts. A peer that is stopped, or whose connection is gone at its end, sends
nothing and lies about nothing, and when such a link is given up is not for us to say: after a stop of our own it may
take longer than any promise. While it is silent nothing is judged; when it answers again, the silence is taken off.
Whoever would use that to break promises has to be silent most of the time, and a link that is so is lost.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final

from arqonmesh.core.kernel import Instant
from arqonmesh.ids import NodeId

PROMISES_MAX: Final = 20_000
"""Beyond, further ones are not watched."""


class Promises:
    """Open ones by (peer, id)."""

    def __init__(self) -> None:
        self._open: dict[tuple[NodeId, bytes], Instant] = {}
        self._heap: list[tuple[Instant, NodeId, bytes]] = []

    def __len__(self) -> int:
        return len(self._open)

    def made(self, peer: NodeId, id_: bytes, due: Instant) -> None:
        if len(self._open) < PROMISES_MAX and (peer, id_) not in self._open:
            self._open[peer, id_] = due
            heapq.heappush(self._heap, (due, peer, id_))

    def kept(self, peer: NodeId, id_: bytes) -> bool:
        """It came from this peer. False when it had not been asked."""
        return self._open.pop((peer, id_), None) is not None

    def void(self, peer: NodeId) -> None:
        """The link is down: nothing can come over it, and that is nobody's fault."""
        for key in [key for key in self._open if key[0] == peer]:
            del self._open[key]

    def late(self, by_us: int) -> None:
        """We ourselves ran late: what would be due may lie unread."""
        self._put_off(list(self._open), by_us)

    def silent(self, peer: NodeId, for_us: int) -> None:
        """The link answers again, after so long."""
        self._put_off([key for key in self._open if key[0] == peer], for_us)

    def _put_off(self, keys: list[tuple[NodeId, bytes]], by_us: int) -> None:
        if not keys:
            return
        for key in keys:
            self._open[key] += by_us
        self._heap = [(due, *key) for key, due in self._open.items()]
        heapq.heapify(self._heap)

    def broken(self, now: Instant, is_silent: Callable[[NodeId], bool]) -> list[NodeId]:
        """Who did not send what it had promised, once per promise. Silent links wait for `silent` or `void`."""
        out: list[NodeId] = []
        while self._heap and self._heap[0][0] <= now:
            due, peer, id_ = heapq.heappop(self._heap)
            if self._open.get((peer, id_)) == due and not is_silent(peer):
                del self._open[peer, id_]
                out.append(peer)
        return out

    def next_due(self) -> Instant | None:
        heap, open_ = self._heap, self._open
        while heap:
            due, peer, id_ = heap[0]
            if open_.get((peer, id_)) == due:
                return due
            heapq.heappop(heap)
        return None
