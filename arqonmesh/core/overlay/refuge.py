"""Whom to turn to when nobody of the views answers: peers of last resort, tried for ever.

Four kinds, each bounded: whom we were told at the join; hubs, leaders and the founder; a uniform sample of all members
that described themselves (reservoir sampling: Vitter 1985), which nobody can fill for us; and members that we lost, the
newest of them, because after a cut only who remembers the other side can find it again.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.core.kernel import Rng
from arqonmesh.ids import NodeId

TOLD_MAX: Final = 32
CENTRAL_MAX: Final = 32
SAMPLE_MAX: Final = 64
"""So that one of them lives even when nine of ten are dead: 0.9 to the power of 64 is one in a thousand."""
LOST_MAX: Final = 64


class Refuge:
    """Members by why they are remembered. One may be here for several reasons."""

    __slots__ = ("_central", "_described", "_lost", "_rng", "_sample", "_seen", "_told")

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._told: dict[NodeId, None] = {}
        self._central: dict[NodeId, None] = {}
        self._sample: list[NodeId] = []
        self._seen: dict[NodeId, None] = {}
        """Who has described itself already; members, so bounded by the roster."""
        self._lost: dict[NodeId, None] = {}

    @property
    def lost(self) -> tuple[NodeId, ...]:
        """Members that did not answer, the longest ago first."""
        return tuple(self._lost)

    def told(self, node: NodeId) -> None:
        if len(self._told) < TOLD_MAX:
            self._told[node] = None

    def described(self, node: NodeId, *, central: bool) -> None:
        """A member's own record: each new one is as likely as any earlier to be in the sample."""
        if central and len(self._central) < CENTRAL_MAX:
            self._central[node] = None
        if node in self._seen:
            return
        self._seen[node] = None
        if len(self._sample) < SAMPLE_MAX:
            self._sample.append(node)
        else:
            place = self._rng.randrange(0, len(self._seen))
            if place < SAMPLE_MAX:
                self._sample[place] = node

    def lose(self, node: NodeId) -> None:
        """It does not answer; the newest stay."""
        self._lost.pop(node, None)
        self._lost[node] = None
        if len(self._lost) > LOST_MAX:
            del self._lost[next(iter(self._lost))]

    def found(self, node: NodeId) -> bool:
        """It answers again. Whether it was lost."""
        return self._lost.pop(node, self) is None

    def gone(self, node: NodeId) -> None:
        """No member any more, or convicted."""
        for kind in (self._told, self._central, self._seen, self._lost):
            kind.pop(node, None)
        if node in self._sample:
            self._sample.remove(node)

    def sampled(self) -> NodeId | None:
        """One of the uniform sample."""
        return self._sample[self._rng.randrange(0, len(self._sample))] if self._sample else None

    def all(self) -> list[NodeId]:
        """Everyone, in random order; first who may well be there."""
        hopeful = list(self._told | self._central | dict.fromkeys(self._sample))
        lost = [node for node in self._lost if node not in self._told and node not in self._central]
        hopeful = [node for node in hopeful if node not in self._lost] + [n for n in hopeful if n in self._lost]
        self._rng.shuffle(hopeful)
        self._rng.shuffle(lost)
        return hopeful + lost
