"""The world of one core in a bench: who it is, in which mesh, its dice and its wall clock."""

from __future__ import annotations

import random
from collections.abc import Callable

from arqonmesh.core.kernel import Crypto, Env
from arqonmesh.ids import ClusterId, MeshId, node_id_of
from arqonmesh.runtime.crypto import NodeCrypto
from arqonmesh.sim.crypto import ToyCrypto
from arqonmesh.trust.keys import NodeKey


def core_env(
    key: bytes | NodeKey,
    mesh: MeshId,
    dice: random.Random,
    *,
    cluster: str = "bench",
    region: str = "",
    wall_ms: Callable[[], int] = lambda: 0,
) -> Env:
    """A hub in its first life. `key`: a real one, which signs, or the bytes of a toy's, which
    costs nothing."""
    crypto: Crypto = NodeCrypto(key) if isinstance(key, NodeKey) else ToyCrypto(key)
    public_key = key.public if isinstance(key, NodeKey) else key
    return Env(
        node_id=node_id_of(public_key),
        public_key=public_key,
        cluster=ClusterId(cluster),
        role="hub",
        region=region,
        mesh_id=mesh,
        rng=dice,
        wall_ms=wall_ms,
        crypto=crypto,
        boot_epoch=1,
    )
