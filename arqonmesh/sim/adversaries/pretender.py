"""Pretends to stand still, as a process does that gets no processor; and has accomplices who confirm it in turns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from arqonmesh.core.kernel import MILLISECOND, SECOND, Lane, Send
from arqonmesh.sim.adversaries.adversary import Adversary
from arqonmesh.sim.adversaries.corrupted import Corrupted

STILL_US: Final = 900 * MILLISECOND
"""Of a turn. As long as a second says most: longer, and it would be held dead itself."""


class Pretender(Adversary):
    """No heartbeat leaves and none is answered, on every link at once; then all goes on, and it is another's turn. What
    they confirm of each other is that the machines stand still, so that everyone gives everyone more time, also the
    dead. Whatever else its node says, it says."""

    NAME: ClassVar[str] = "pretender"
    EVERY_US: ClassVar[int] = SECOND

    def __init__(self, process: Corrupted) -> None:
        super().__init__(process)
        self._still_until = 0

    def attack(self) -> None:
        """Every other turn somebody stands still, so that no two silences are one."""
        turn, rest = divmod(self.attacks, 2)
        if not rest and turn % len(self.gang) == self.gang.index(self.node):
            self._still_until = self.world.now + STILL_US

    def says(self, send: Send) -> Iterable[Send]:
        return () if send.lane is Lane.DATAGRAM and self.world.now < self._still_until else (send,)
