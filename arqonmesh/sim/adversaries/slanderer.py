"""Speaks ill of healthy members: accuses them again at every incarnation, and puts words into their mouths."""

from __future__ import annotations

from typing import ClassVar, Final

from arqonmesh.core.events import Publish
from arqonmesh.core.kernel import MILLISECOND
from arqonmesh.ids import NodeId
from arqonmesh.sim.adversaries.adversary import Adversary
from arqonmesh.sim.adversaries.corrupted import Corrupted
from arqonmesh.sim.adversaries.pen import alone
from arqonmesh.wire.statement import Accusation, Accusations, Kind, NodeRecord

FORGERIES: Final = 5_000
"""By each slanderer; two of them make ten thousand."""
PER_ATTACK: Final = 100


class Slanderer(Adversary):
    """Signed accusations by its own node's record; and statements "from" the victim, which only it can have signed:
    that it leaves, and that it says two things at once."""

    NAME: ClassVar[str] = "slanderer"
    EVERY_US: ClassVar[int] = 100 * MILLISECOND

    def __init__(self, process: Corrupted) -> None:
        super().__init__(process)
        self.forged = 0

    def attack(self) -> None:
        self._accuse()
        peers = self.linked()
        if len(peers) < 2:
            return
        target, victim = peers[0], peers[1]
        for _ in range(min(PER_ATTACK, FORGERIES - self.forged)):
            self.forged += 1
            self._forge(target, victim)

    def _accuse(self) -> None:
        reports = [report for report in self.plane.membership.report() if report.node in self.victims]
        lies = tuple(Accusation(report.node, report.incarnation, "dead") for report in reports[:64])
        now = self.process.now()
        said = self.process.running.publish(now, (Publish(Kind.ACCUSATIONS, "", Accusations(lies)),))
        self.process.perform(said)

    def _forge(self, target: NodeId, victim: NodeId) -> None:
        _, epoch, seq, _, _ = self.plane.gossip.entry(victim)
        member = self.plane.admission.member(victim)
        assert member is not None, f"{victim} is no member"
        leaving = NodeRecord(b"", member.cluster, member.role, "", (), self.forged, True, "", ())
        self.send(target, alone(self.pen.write((epoch, seq + 1), Kind.NODE, leaving, author=victim)))
