"""Which events were heard, by (author, lamport): the broadcast forgets after a minute, a partition lasts longer."""

from __future__ import annotations

from typing import Final

from arqonmesh.ids import NodeId

SEEN_MAX: Final = 8_192
AUTHORS_MAX: Final = 4_096


class Seen:
    """Bounded. What is forgotten leaves a floor: nothing of its author at or below it is taken for new again."""

    def __init__(self, seen_max: int = SEEN_MAX) -> None:
        self._max = seen_max
        self._seen: dict[tuple[NodeId, int], None] = {}
        self._floors: dict[NodeId, int] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def is_new(self, author: NodeId, lamport: int) -> bool:
        return (author, lamport) not in self._seen and lamport > self._floors.get(author, -1)

    def add(self, author: NodeId, lamport: int) -> None:
        self._seen[author, lamport] = None
        if len(self._seen) > self._max:
            old_author, old_lamport = next(iter(self._seen))
            del self._seen[old_author, old_lamport]
            floor = max(self._floors.pop(old_author, -1), old_lamport)
            self._floors[old_author] = floor
            if len(self._floors) > AUTHORS_MAX:
                del self._floors[next(iter(self._floors))]
