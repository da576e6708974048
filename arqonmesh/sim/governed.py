"""Governed writes are attempted everywhere, all the time: what is accepted, by whom and when, is for the checkers.

Each running node in turn is asked to let a stranger in (by the ticket of some member) and to invite one, exactly as an
operator and a joiner would; what it accepts it publishes. The strangers never come: they are members without a vote.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.core.admission.judge import Admit
from arqonmesh.core.events import Publish
from arqonmesh.core.kernel import MILLISECOND
from arqonmesh.ids import encode_ulid, node_id_of
from arqonmesh.sim.crypto import ToyCrypto, toy_key
from arqonmesh.sim.process import Process
from arqonmesh.sim.simulation import Simulation
from arqonmesh.sim.world import EPOCH_MS
from arqonmesh.trust.tickets import redemption_bytes
from arqonmesh.wire.messages import JoinRequest
from arqonmesh.wire.statement import Invite, Kind

EVERY_US: Final = 400 * MILLISECOND
STRANGERS_MAX: Final = 150
TICKETS_MAX: Final = 4
"""Tickets that are tried; the newest are kept."""


class Governed:
    """Attempts until `stop`."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._dice = sim.world.dice("governed")
        self._tries = False
        self._strangers = 0
        self._tickets: list[tuple[str, bytes]] = []
        self.accepted: list[tuple[int, str, str]] = []
        """(when, by whom, what)."""
        self.refused = 0

    def start(self) -> None:
        self._tries = True
        self._later()

    def stop(self) -> None:
        self._tries = False

    def _later(self) -> None:
        self._sim.world.after(EVERY_US, self._attempt)

    def _attempt(self) -> None:
        if not self._tries:
            return
        for process in self._sim.alive():
            if not process.paused:
                self._invite(process) if self._dice.random() < 0.2 else self._admit(process)
        self._later()

    def _admit(self, process: Process) -> None:
        plane = process.running.plane
        if plane is None or not self._tickets or self._strangers >= STRANGERS_MAX:
            return
        ticket_id, seed = self._dice.choice(self._tickets)
        key, binding = toy_key(f"stranger {self._strangers}"), self._dice.randbytes(32)
        signed = redemption_bytes(plane.mesh.mesh_id, key, "strangers", "spoke", ticket_id, binding)
        signature = ToyCrypto(seed).sign(signed)
        request = JoinRequest(plane.mesh.mesh_id, key, "strangers", "spoke", "", ticket_id, signature)
        answer = plane.admission.judge(self._now_ms(), request, node_id_of(key), binding)
        if isinstance(answer, Admit):
            self._strangers += 1
            self._accept(process, f"admits stranger {self._strangers}", *answer.publish)
        elif answer.code == "mesh.read-only":
            self.refused += 1

    def _invite(self, process: Process) -> None:
        """What runtime/control.py does for `arqon invite new`, its question to the partition core included."""
        plane = process.running.plane
        if plane is None or not plane.partition.writable:
            self.refused += 1
            return
        ticket_id = encode_ulid(self._now_ms(), self._dice.getrandbits(80))
        seed = toy_key(f"ticket {ticket_id}")
        self._tickets = [*self._tickets[1 - TICKETS_MAX :], (ticket_id, seed)]
        invite = Invite(seed, "strangers", "spoke", EPOCH_MS << 1, self._dice.choice((1, 2, 100)), 0)
        self._accept(process, "invites", Publish(Kind.INVITE, ticket_id, invite))

    def _accept(self, process: Process, what: str, *publish: Publish) -> None:
        self.accepted.append((self._sim.world.now, process.name, what))
        self._sim.tell(process.name, what)
        process.perform(process.running.publish(process.now(), publish))

    def _now_ms(self) -> int:
        return EPOCH_MS + self._sim.world.now // 1_000
