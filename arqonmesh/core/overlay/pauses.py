"""Whom to leave alone for a while: the back-off after a disconnection or a refusal (GossipSub v1.1)."""

from __future__ import annotations

from arqonmesh.core.kernel import Instant
from arqonmesh.ids import NodeId


class Pauses:
    """Each pause is as long as any other, so the oldest ends first; at most `most`, the oldest goes."""

    __slots__ = ("_length_us", "_most", "_until")

    def __init__(self, length_us: int, most: int) -> None:
        self._length_us = length_us
        self._most = most
        self._until: dict[NodeId, Instant] = {}

    def __len__(self) -> int:
        return len(self._until)

    def begin(self, now: Instant, node: NodeId) -> None:
        self._until.pop(node, None)
        self._until[node] = now + self._length_us
        while len(self._until) > self._most or self._until[next(iter(self._until))] <= now:
            del self._until[next(iter(self._until))]

    def holds(self, now: Instant, node: NodeId) -> bool:
        until = self._until.get(node)
        return until is not None and now < until

    def end(self, node: NodeId) -> None:
        self._until.pop(node, None)
