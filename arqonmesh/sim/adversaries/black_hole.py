"""Sits on all short ways and swallows what is meant for others; signs two things under one number besides."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from arqonmesh.core.kernel import Send
from arqonmesh.sim.adversaries.equivocator import Equivocator
from arqonmesh.wire.messages import Relay


class BlackHole(Equivocator):
    """Forks once, at its newest place, so that its record of its links, which lies below, goes on to count: the short
    ways stay on everyone's map. The fork convicts it; what it swallows nobody could prove."""

    NAME: ClassVar[str] = "black hole"

    def attack(self) -> None:
        if self.attacks == 1:
            super().attack()

    def says(self, send: Send) -> Iterable[Send]:
        swallowed = self.active and isinstance(send.message, Relay) and send.message.route[0] != self.node
        return () if swallowed else (send,)
