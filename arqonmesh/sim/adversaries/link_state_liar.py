"""Says that it has a link to everybody, and that none of them costs anything: a hole into which the mesh is to fall."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from arqonmesh.core.events import Publish
from arqonmesh.core.kernel import SECOND, Send
from arqonmesh.sim.adversaries.adversary import Adversary
from arqonmesh.wire.messages import Relay
from arqonmesh.wire.statement import Adjacency, Kind, Links


class LinkStateLiar(Adversary):
    """Advertises, signs, and drops what is sent over it."""

    NAME: ClassVar[str] = "link-state liar"
    EVERY_US: ClassVar[int] = SECOND

    def attack(self) -> None:
        lies = tuple(Adjacency(peer, "up", "quic", 0, 0) for peer in sorted((*self.victims, *self.gang)))
        said = self.process.running.publish(self.process.now(), (Publish(Kind.LINKS, "", Links(lies)),))
        self.process.perform(said)

    def says(self, send: Send) -> Iterable[Send]:
        """Of others it passes nothing on."""
        swallowed = self.active and isinstance(send.message, Relay) and send.message.route[0] != self.node
        return () if swallowed else (send,)
