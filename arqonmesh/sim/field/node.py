"""One node of a field, and one end of a link between two of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from arqonmesh.core.kernel import Core, Env, Instant
from arqonmesh.core.router import Router
from arqonmesh.ids import ClusterId, MeshId, NodeId
from arqonmesh.sim.crypto import ToyCrypto

EnvOf = Callable[[str], Env]
"""The Env of a core by its name: each has dice of its own."""
Compose = Callable[[EnvOf], Sequence[Core]]
"""Makes the cores of one node, in the order in which they hear."""
CoreT = TypeVar("CoreT")

MESH: MeshId = MeshId("01K00000000000000000000000")


class End:
    """What one node holds of a link; `back` is what the other holds. A message arrives if `back` is still open."""

    __slots__ = ("back", "clear_at", "delay_us", "open", "owner", "peer")

    back: End

    def __init__(self, owner: FieldNode, peer: FieldNode, delay_us: int) -> None:
        self.owner = owner
        self.peer = peer
        self.delay_us = delay_us
        """One way, from the owner to the peer."""
        self.open = True
        self.clear_at = 0
        """Nothing sent on a stream lane arrives before this: what was lost comes first."""


class FieldNode:
    """A node by its index. Dead ones stay in place, so that an index means the same for ever."""

    __slots__ = (
        "_key",
        "alive",
        "bytes_sent",
        "cores",
        "hears",
        "id",
        "index",
        "links",
        "router",
        "tells_links",
        "timer_at",
        "wanted",
    )

    def __init__(self, index: int, node_id: NodeId, public_key: bytes) -> None:
        self.index = index
        self.id = node_id
        self.alive = True
        self.hears = True
        """Alive and not mute."""
        self.cores: tuple[Core, ...] = ()
        self.router = Router(())
        self.links: dict[NodeId, End] = {}
        self.wanted: dict[NodeId, int] = {}
        """Peers that Connect was said for, and not Disconnect with forget; by the number of the wish."""
        self.timer_at: Instant | None = None
        self.bytes_sent = 0
        """Counted when the field weighs its messages."""
        self.tells_links = True
        """No link core of its own: the field says LinkUp, LinkMeasured and LinkDown in its place."""
        self._key = public_key

    @property
    def public_key(self) -> bytes:
        return self._key

    def compose(self, compose: Compose, seed: int, life: int, region: str, wall_ms: Callable[[], int]) -> None:
        """Make the cores."""
        crypto = ToyCrypto(self._key)

        def env_of(core: str) -> Env:
            return Env(
                node_id=self.id,
                public_key=self._key,
                cluster=ClusterId("field"),
                role="hub",
                region=region,
                mesh_id=MESH,
                rng=random.Random(f"{seed} core {core} of {self.index} life {life}"),
                wall_ms=wall_ms,
                crypto=crypto,
                boot_epoch=life,
            )

        self.cores = tuple(compose(env_of))
        self.router = Router(self.cores)
        self.tells_links = all(core.NAME != "link" for core in self.cores)

    def core(self, kind: type[CoreT]) -> CoreT:
        """This node's core of that type. Raises AssertionError when it was not composed."""
        for core in self.cores:
            if isinstance(core, kind):
                return core
        raise AssertionError(f"node {self.index} has no {kind.__name__}, only {[core.NAME for core in self.cores]}")
