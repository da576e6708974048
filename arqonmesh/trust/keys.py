"""The node key: a long-lived Ed25519 key. Who holds it is the node; the node id is the hash of its public half."""

from __future__ import annotations

import secrets

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from arqonmesh.errors import TrustError
from arqonmesh.ids import NodeId, node_id_of
from arqonmesh.trust import ed25519


class NodeKey:
    """A private key in memory. It signs, and it shows its public half; `repr` shows no secret."""

    __slots__ = ("_secret", "_seed", "node_id", "public")

    def __init__(self, seed: bytes) -> None:
        """From the 32 secret bytes. Raises TrustError `trust.key-length` for any other length."""
        if len(seed) != ed25519.SEED_BYTES:
            raise TrustError(
                "trust.key-length", f"an Ed25519 seed of {len(seed)} bytes; it needs to be {ed25519.SEED_BYTES}"
            )
        self._seed = seed
        self.public, self._secret = ed25519.keypair(seed)
        self.node_id: NodeId = node_id_of(self.public)

    @classmethod
    def generate(cls) -> NodeKey:
        """A fresh key from the system's generator."""
        return cls(secrets.token_bytes(ed25519.SEED_BYTES))

    @property
    def seed(self) -> bytes:
        """The secret itself, for the key file only."""
        return self._seed

    def sign(self, message: bytes) -> bytes:
        """The signature over `message`, which begins with its domain ("arqonmesh/v1/..."); 64 bytes, 20 us."""
        return ed25519.sign(self._secret, message)

    def to_cryptography(self) -> Ed25519PrivateKey:
        """The same key for X.509."""
        return Ed25519PrivateKey.from_private_bytes(self._seed)

    def __repr__(self) -> str:
        return f"NodeKey({self.node_id})"
