"""What nodes show each other before a link: leaf certificates with dates, by the very objects that real nodes use.

`trust.rotation.LeafRing` says when a leaf is renewed, `trust.certificates.verify_chain` what is accepted, each by the
node's own wall clock; keys and certificates are real ones. As in net/, a new leaf is shown on new connections only, and
connections that stand keep theirs. Beside all that stands the witness: it looks at the dates alone and notes what was
accepted that should not have been.
"""

from __future__ import annotations

import hashlib
import random
from typing import Final

from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.errors import TrustError
from arqonmesh.ids import ClusterId, MeshId, NodeId
from arqonmesh.sim.process import Process
from arqonmesh.trust import certificates
from arqonmesh.trust.certificates import Leaf
from arqonmesh.trust.keys import NodeKey
from arqonmesh.trust.rotation import LeafRing

RENEW_LOOK_MIN_US: Final = 50 * MILLISECOND
RENEW_LOOK_MAX_US: Final = 60 * SECOND
"""Between these a node sleeps until its leaf is due (runtime/service.py)."""


def sim_key(name: str) -> NodeKey:
    """The node key of a machine of this name."""
    return NodeKey(hashlib.sha256(b"sim node key " + name.encode()).digest())


class Witness:
    """Counts what all nodes of a world renewed, accepted and refused."""

    def __init__(self) -> None:
        self.rotations = 0
        self.accepted = 0
        self.refused: dict[str, int] = {}
        self.breaches: list[str] = []

    def saw(self, judge: str, shown: Leaf, wall_ms: int, skew_ms: int) -> None:
        """`judge` accepted this leaf at this time of its own clock."""
        self.accepted += 1
        if wall_ms - skew_ms > shown.not_after_ms:
            self.breaches.append(f"{judge} accepted a leaf that had expired {wall_ms - shown.not_after_ms} ms before")
        if wall_ms + skew_ms < shown.not_before_ms:
            self.breaches.append(f"{judge} accepted a leaf {shown.not_before_ms - wall_ms} ms before its time")


class Credentials:
    """One machine's key and, in each life, its ring of leaves."""

    def __init__(self, process: Process, witness: Witness) -> None:
        self._process = process
        self._witness = witness
        self._key = sim_key(process.name)
        self._skew_ms = int(process.config.certificates.clock_skew_s * 1_000)
        self._ring: LeafRing | None = None
        process.on_boot.append(self._booted)
        process.credentials = self

    @property
    def leaf(self) -> Leaf:
        """What is shown in new handshakes."""
        if self._ring is None:
            self._ring = self._new_ring(self._process)
        return self._ring.current

    @property
    def _mesh_id(self) -> MeshId:
        assert self._process.mesh is not None, "only a member shows a leaf"
        return self._process.mesh.mesh_id

    def refuse(self, node: NodeId, shown: Leaf) -> str | None:
        """The code by which this chain is refused at this moment, as net/session.py would; None when it is accepted."""
        wall_ms = self._process.wall_ms()
        try:
            identity = certificates.verify_chain(shown.chain_der, wall_ms, self._skew_ms)
        except TrustError as error:
            self._witness.refused[error.code] = self._witness.refused.get(error.code, 0) + 1
            return error.code
        if identity.node_id != node or identity.mesh_id != self._mesh_id:
            return "trust.wrong-mesh"
        self._witness.saw(self._process.name, shown, wall_ms, self._skew_ms)
        return None

    def _booted(self, process: Process) -> None:
        self._ring = self._new_ring(process)
        self._sleep(process.lives)

    def _new_ring(self, process: Process) -> LeafRing:
        settings = process.config.certificates
        return LeafRing(
            self._key,
            mesh_id=self._mesh_id,
            cluster=ClusterId(process.config.node.cluster),
            lifetime_ms=int(settings.lifetime_s * 1_000),
            renew_after_ms=int(settings.renew_after_s * 1_000),
            rng=random.Random(f"{process.world.seed} leaves of {process.name} life {process.lives}"),
            now_ms=process.wall_ms(),
        )

    def _sleep(self, life: int) -> None:
        assert self._ring is not None
        left_us = (self._ring.renew_at_ms - self._process.wall_ms()) * MILLISECOND
        self._process.world.after(min(RENEW_LOOK_MAX_US, max(RENEW_LOOK_MIN_US, left_us)), self._wake, life)

    def _wake(self, life: int) -> None:
        process = self._process
        if not process.alive or process.lives != life or self._ring is None:
            return
        if not process.paused and self._ring.due(process.wall_ms()):
            self._ring.rotate(process.wall_ms())
            self._witness.rotations += 1
            process.world.trace.add(process.world.now, process.name, "shows a new leaf")
        self._sleep(life)
