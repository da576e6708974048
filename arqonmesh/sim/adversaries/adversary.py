"""What all adversaries of whole meshes have in common: a member's machine and key, a plan, and others like them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from arqonmesh.core.kernel import MILLISECOND, Lane, Send
from arqonmesh.core.plane import Plane
from arqonmesh.ids import NodeId
from arqonmesh.sim.adversaries.corrupted import Corrupted
from arqonmesh.sim.adversaries.pen import Pen
from arqonmesh.wire.codec import encode_message
from arqonmesh.wire.messages import WireMessage


class Adversary:
    """Behaves as its node does; `attack` is what it does besides, every `EVERY_US` between `begin` and `cease`.

    It holds one member's key and may say with it whatever it likes, to whom it likes, on links that it has. It knows
    its accomplices. It is given what an attacker cannot be kept from knowing: who the honest members are.
    """

    NAME: ClassVar[str]
    EVERY_US: ClassVar[int] = 100 * MILLISECOND

    def __init__(self, process: Corrupted) -> None:
        self.process = process
        self.world = process.world
        self.node = process.node_id
        self.dice = process.world.dice(f"adversary {process.name}")
        self.gang: Sequence[NodeId] = ()
        self.victims: Sequence[NodeId] = ()
        """The honest members."""
        self.attacks = 0
        """How often it has attacked."""
        self.active = False
        self.harmed: dict[NodeId, None] = {}
        """To whom it has sent something that its node would not have sent."""
        process.owner = self

    # --- what each does in its own way --------------------------------------------------------------------

    def attack(self) -> None:
        """Do harm once."""

    def booted(self) -> None:
        """Its machine runs, for the first time or again."""

    def says(self, send: Send) -> Iterable[Send]:
        """What leaves in place of this."""
        return (send,)

    def hears(self, peer: NodeId, lane: Lane, data: bytes) -> None:
        """A frame came; the node hears it too."""

    # --- life ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        self.active = True
        self._turn()

    def cease(self) -> None:
        """Behave from now on."""
        self.active = False

    def _turn(self) -> None:
        if not self.active:
            return
        if self.process.alive:
            self.attacks += 1
            self.attack()
        self.world.after(self.EVERY_US, self._turn)

    # --- hands --------------------------------------------------------------------------------------------

    @property
    def plane(self) -> Plane:
        plane = self.process.running.plane
        assert plane is not None, f"{self.process.name} is no member"
        return plane

    @property
    def pen(self) -> Pen:
        return Pen(self.node, self.process.public_key, self.plane.mesh.mesh_id)

    def linked(self) -> list[NodeId]:
        """Victims that it has a connection to, in the order of their ids."""
        endpoint = self.process.endpoint
        return [] if endpoint is None else sorted(peer for peer in endpoint.ends if peer in self.victims)

    def send(self, peer: NodeId, message: WireMessage, lane: Lane = Lane.CONTROL) -> None:
        self.send_bytes(peer, lane, encode_message(message))

    def send_bytes(self, peer: NodeId, lane: Lane, data: bytes) -> None:
        if self.process.endpoint is not None:
            self.harmed[peer] = None
            self.process.endpoint.send(peer, lane, data)
