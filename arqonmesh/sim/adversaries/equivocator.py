"""Says two things under one number, to different peers; later contradicts itself further back, again to one peer."""

from __future__ import annotations

from typing import ClassVar, Final

from arqonmesh.core.kernel import SECOND
from arqonmesh.sim.adversaries.adversary import Adversary
from arqonmesh.sim.adversaries.pen import alone, held_of
from arqonmesh.wire.messages import GossipDelta
from arqonmesh.wire.statement import Accusation, Accusations, Coordinate, Kind, decode_statement, statement_hash

NOWHERE: Final = (0,) * 8


class Equivocator(Adversary):
    """First a fork at its newest place, then a lower one with each attack: verdicts have to follow downwards."""

    NAME: ClassVar[str] = "equivocator"
    EVERY_US: ClassVar[int] = 2 * SECOND

    def attack(self) -> None:
        history = held_of(self.plane, self.node)
        if not history:
            return
        if self.attacks == 1:
            self._fork_ahead(history[-1])
        else:
            self._fork_behind(history[0])

    def _fork_ahead(self, newest: bytes) -> None:
        """Two successors of the same statement: half of the victims get the one, half the other."""
        last, previous = decode_statement(newest), statement_hash(newest)
        for number, peer in enumerate(self.linked()):
            body = Coordinate(NOWHERE, 1 + number % 2, 0, 0)
            place = (last.epoch, last.seq + 1)
            self.send(peer, alone(self.pen.write(place, Kind.COORDINATE, body, key=str(number % 2), previous=previous)))

    def _fork_behind(self, oldest: bytes) -> None:
        """Something else at the first place still held, told to one victim together with what it contradicts."""
        first = decode_statement(oldest)
        accused = self.victims[self.attacks % len(self.victims)]
        body, key = Accusations((Accusation(accused, 1, "dead"),)), str(self.attacks)
        other = self.pen.write((first.epoch, first.seq), Kind.ACCUSATIONS, body, key=key, previous=first.prev_hash)
        peers = self.linked()
        if peers:
            self.send(peers[self.dice.randrange(0, len(peers))], GossipDelta((oldest, other), ()))
