"""A small world for cores under test: ids, a seeded generator, a keyed hash in place of signatures."""

from __future__ import annotations

import hashlib
import random

from arqonmesh.config.load import loads
from arqonmesh.core.kernel import Env
from arqonmesh.core.node import Node, World
from arqonmesh.core.plane import MeshIdentity
from arqonmesh.ids import ClusterId, MeshId, NodeId, encode_ulid, node_id_of

MESH = MeshId(encode_ulid(1_700_000_000_000, 7))


def key_of(name: str) -> bytes:
    """A stand-in public key of 32 bytes."""
    return hashlib.sha256(f"key {name}".encode()).digest()


def node_of(name: str) -> NodeId:
    return node_id_of(key_of(name))


class ToyCrypto:
    """Signs with a hash over the public key: anyone can verify, and only a test would forge."""

    def __init__(self, public_key: bytes) -> None:
        self._public_key = public_key

    def sign(self, message: bytes) -> bytes:
        return hashlib.sha512(self._public_key + message).digest()

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        return hashlib.sha512(public_key + message).digest() == signature


def env_of(name: str, *, cluster: str = "", role: str = "hub", seed: int = 1, epoch: int = 1) -> Env:
    return Env(
        node_id=node_of(name),
        public_key=key_of(name),
        cluster=ClusterId(cluster or name),
        role=role,
        region="eu",
        mesh_id=MESH,
        rng=random.Random(f"{seed} {name}"),
        wall_ms=lambda: 1_700_000_000_000,
        crypto=ToyCrypto(key_of(name)),
        boot_epoch=epoch,
    )


def founder_with(config: str) -> Node:
    """A node "me" with this configuration, as it starts in the mesh that it founds."""
    env = env_of("me")
    world = World(
        node_id=env.node_id,
        public_key=env.public_key,
        crypto=env.crypto,
        wall_ms=env.wall_ms,
        rng_for=lambda core: random.Random(core),
        boot_epoch=1,
    )
    node = Node(loads(config.encode()), world)
    node.start(0, {}, MeshIdentity(mesh_id=MESH, founder=env.node_id))
    return node
