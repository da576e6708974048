"""Behaves, attacks, waits until it is forgiven, and attacks again (GossipSub v1.1's covert flash, in instalments)."""

from __future__ import annotations

from typing import ClassVar, Final

from arqonmesh.core.kernel import SECOND, Lane
from arqonmesh.sim.adversaries.adversary import Adversary

BURST: Final = 6
"""Faults at once: enough to be ignored if nothing was held against it before."""


class OnOff(Adversary):
    """Rubbish that any decoder refuses, in bursts; between them a model member."""

    NAME: ClassVar[str] = "on-off"
    EVERY_US: ClassVar[int] = 5 * SECOND

    def attack(self) -> None:
        for peer in self.linked():
            for number in range(BURST):
                self.send_bytes(peer, Lane.CONTROL, b"\x9f" + bytes([number]))
