"""Payloads that were announced and have not come: who has them, and when the next one is asked."""

from __future__ import annotations

import heapq
from typing import Final

from arqonmesh.core.kernel import Instant
from arqonmesh.ids import NodeId

WANTED_MAX: Final = 20_000
"""Beyond, further announcements are not noted; their payloads come by the tree or not at all."""
WANTED_PER_PEER_MAX: Final = 5_000
"""Of these one peer may have announced first; whoever announces what nobody has takes no more than its share."""
ANNOUNCERS_MAX: Final = 16


class Want:
    """One payload: its announcers by (round, wave) as they told, in the order in which they did."""

    __slots__ = ("announcers", "asked", "by", "due")

    def __init__(self, due: Instant, by: NodeId) -> None:
        self.due = due
        self.by = by
        """Who announced it first: on whose share it counts."""
        self.announcers: dict[NodeId, tuple[int, int]] = {}
        self.asked: dict[NodeId, None] = {}


class Wanted:
    """By id, with one timer each."""

    def __init__(self) -> None:
        self._wants: dict[bytes, Want] = {}
        self._heap: list[tuple[Instant, bytes]] = []
        self._share: dict[NodeId, int] = {}
        """Of how many a peer was the first to tell."""
        self.refused = 0

    def __len__(self) -> int:
        return len(self._wants)

    def announced(self, id_: bytes, peer: NodeId, round_: int, wave: int, due: Instant) -> bool:
        """`peer` has it. `due` counts for the first announcement only. False when it is not noted."""
        want = self._wants.get(id_)
        if want is None:
            share = self._share.get(peer, 0)
            if len(self._wants) >= WANTED_MAX or share >= WANTED_PER_PEER_MAX:
                self.refused += 1
                return False
            want = self._wants[id_] = Want(due, peer)
            self._share[peer] = share + 1
            heapq.heappush(self._heap, (due, id_))
        if len(want.announcers) < ANNOUNCERS_MAX:
            want.announcers.setdefault(peer, (round_, wave))
        return True

    def came(self, id_: bytes) -> Want | None:
        """It is here; what was noted about it, if anything."""
        want = self._wants.pop(id_, None)
        if want is not None:
            left = self._share[want.by] - 1
            if left:
                self._share[want.by] = left
            else:
                del self._share[want.by]
        return want

    def due(self, now: Instant) -> list[tuple[bytes, Want]]:
        """What has to be asked for now. Each is either put off by `again` or given up by `came`."""
        out: list[tuple[bytes, Want]] = []
        while self._heap and self._heap[0][0] <= now:
            due, id_ = heapq.heappop(self._heap)
            want = self._wants.get(id_)
            if want is not None and want.due == due:
                out.append((id_, want))
        return out

    def again(self, id_: bytes, want: Want, due: Instant) -> None:
        want.due = due
        heapq.heappush(self._heap, (due, id_))

    def gone(self, peer: NodeId, now: Instant) -> None:
        """The link to an announcer is down; what it was asked for is due at once."""
        for id_, want in self._wants.items():
            if want.announcers.pop(peer, None) is not None and want.asked.pop(peer, self) is not self:
                self.again(id_, want, now)

    def next_due(self) -> Instant | None:
        heap, wants = self._heap, self._wants
        while heap:
            due, id_ = heap[0]
            want = wants.get(id_)
            if want is not None and want.due == due:
                return due
            heapq.heappop(heap)
        return None
