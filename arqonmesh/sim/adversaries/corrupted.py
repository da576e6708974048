"""A machine whose owner is against the mesh: a whole, real node, and somebody who decides what leaves it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from arqonmesh.core.kernel import Effect, Lane, Send
from arqonmesh.core.plane import MeshIdentity
from arqonmesh.ids import NodeId
from arqonmesh.sim.network import End
from arqonmesh.sim.process import Process


class Owner(Protocol):
    """Sits between the node and its network."""

    def booted(self) -> None:
        """The machine runs, for the first time or again."""

    def says(self, send: Send) -> Iterable[Send]:
        """What leaves in place of this."""

    def hears(self, peer: NodeId, lane: Lane, data: bytes) -> None:
        """A frame came; the node hears it too."""


class Corrupted(Process):
    """Honest until it has an owner."""

    owner: Owner | None = None

    def boot(self, mesh: MeshIdentity) -> None:
        self.outgoing = self._said
        super().boot(mesh)
        if self.owner is not None:
            self.owner.booted()

    def frame(self, end: End, lane: Lane, data: bytes) -> None:
        if self.owner is not None:
            self.owner.hears(end.peer, lane, data)
        super().frame(end, lane, data)

    def _said(self, effects: Sequence[Effect]) -> Iterator[Effect]:
        for effect in effects:
            if self.owner is None or type(effect) is not Send:
                yield effect
            else:
                yield from self.owner.says(effect)
