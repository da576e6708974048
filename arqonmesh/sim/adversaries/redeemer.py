"""Redeems a ticket for one node twice: two strangers at two members in the same instant, and two by its own hand."""

from __future__ import annotations

from typing import ClassVar, Final

from arqonmesh.core.admission.judge import Admit
from arqonmesh.core.events import Publish
from arqonmesh.core.kernel import SECOND
from arqonmesh.ids import NodeId, encode_ulid, node_id_of
from arqonmesh.sim.adversaries.adversary import Adversary
from arqonmesh.sim.adversaries.corrupted import Corrupted
from arqonmesh.sim.crypto import ToyCrypto, toy_key
from arqonmesh.sim.process import Process
from arqonmesh.sim.world import EPOCH_MS
from arqonmesh.trust.tickets import redemption_bytes
from arqonmesh.wire.messages import JoinRequest
from arqonmesh.wire.statement import Admission, Invite, Kind

CLUSTER: Final = "strangers"
ENDLESS_MS: Final = EPOCH_MS << 1


class Redeemer(Adversary):
    """Invites with its own key, holds the ticket, and has made up the strangers: every signature in it is good."""

    NAME: ClassVar[str] = "ticket double-redeemer"
    EVERY_US: ClassVar[int] = 2 * SECOND

    def __init__(self, process: Corrupted) -> None:
        super().__init__(process)
        self.doors: tuple[Process, ...] = ()
        """Machines of honest members, at which strangers may ask."""
        self.pairs: list[tuple[NodeId, NodeId]] = []
        """Strangers who share a ticket for one of them."""
        self._ticket: tuple[str, bytes] | None = None

    def attack(self) -> None:
        if self._ticket is None:  # the invite has to be known before it can be used
            self._ticket = self._invite()
            return
        (ticket_id, secret), self._ticket = self._ticket, None
        keys = [toy_key(f"{ticket_id} {number}") for number in range(2)]
        one, other = (node_id_of(key) for key in keys)
        self.pairs.append((one, other))
        if self.attacks % 4 == 2:
            open_doors = [door for door in self.doors if door.alive]
            for key, door in zip(keys, open_doors, strict=False):
                self._knock(door, ticket_id, secret, key)
        else:
            self._let_in(ticket_id, secret, keys)

    def _invite(self) -> tuple[str, bytes]:
        ticket_id = encode_ulid(self.process.wall_ms(), self.dice.getrandbits(80))
        secret = toy_key(f"ticket {ticket_id}")
        self._publish(Publish(Kind.INVITE, ticket_id, Invite(secret, CLUSTER, "spoke", ENDLESS_MS, 1, 0)))
        return ticket_id, secret

    def _knock(self, door: Process, ticket_id: str, secret: bytes, key: bytes) -> None:
        """A stranger asks an honest member, who cannot know of the other."""
        plane = door.running.plane
        assert plane is not None, f"{door.name} is no member"
        binding = self.dice.randbytes(32)
        signature = ToyCrypto(secret).sign(self._signed(ticket_id, key, binding))
        request = JoinRequest(plane.mesh.mesh_id, key, CLUSTER, "spoke", "", ticket_id, signature)
        answer = plane.admission.judge(door.wall_ms(), request, node_id_of(key), binding)
        if isinstance(answer, Admit):
            door.perform(door.running.publish(door.now(), answer.publish))

    def _let_in(self, ticket_id: str, secret: bytes, keys: list[bytes]) -> None:
        """Two admissions of its own, each saying that the ticket is good for one."""
        now_ms = self.process.wall_ms()
        self._publish(
            *(
                Publish(
                    Kind.ADMISSION,
                    node_id_of(key),
                    Admission(
                        node_key=key,
                        cluster=CLUSTER,
                        role="spoke",
                        ticket_id=ticket_id,
                        uses=1,
                        admitted_ms=now_ms,
                        channel_binding=b"",
                        signature=ToyCrypto(secret).sign(self._signed(ticket_id, key, b"")),
                    ),
                )
                for key in keys
            )
        )

    def _signed(self, ticket_id: str, key: bytes, binding: bytes) -> bytes:
        return redemption_bytes(self.plane.mesh.mesh_id, key, CLUSTER, "spoke", ticket_id, binding)

    def _publish(self, *statements: Publish) -> None:
        self.process.perform(self.process.running.publish(self.process.now(), statements))
