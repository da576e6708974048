"""Misbehaves until nobody listens, throws its identity away, and comes back as somebody else."""

from __future__ import annotations

from typing import ClassVar

from arqonmesh.core.kernel import Lane
from arqonmesh.sim.adversaries.corrupted import Corrupted
from arqonmesh.sim.adversaries.flooder import Flooder
from arqonmesh.sim.adversaries.on_off import BURST


class Whitewasher(Flooder):
    """Under its first name it sends rubbish. Under a fresh one it knows better what nobody can blame it for, and wants
    as much of everybody's attention as members of long standing get."""

    NAME: ClassVar[str] = "whitewasher"

    def __init__(self, process: Corrupted) -> None:
        super().__init__(process)
        self.fresh = False

    def attack(self) -> None:
        if self.fresh:
            super().attack()
            return
        for peer in self.linked():
            if self.attacks <= BURST:
                self.send_bytes(peer, Lane.CONTROL, b"\x9f" + bytes([self.attacks]))
