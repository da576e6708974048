"""One key, and whatever its holder cares to sign with it."""

from __future__ import annotations

from typing import Final

import msgspec

from arqonmesh.core.plane import Plane
from arqonmesh.ids import MeshId, NodeId
from arqonmesh.sim.crypto import ToyCrypto
from arqonmesh.wire.messages import GossipDelta
from arqonmesh.wire.statement import GENESIS_HASH, Body, Kind, Statement, decode_statement

SAID_KINDS: Final = tuple(Kind)


class Pen:
    """Signs with its own key alone. A statement in another's name is therefore a forgery that anyone can tell: toy
    signatures bind the signer's public key as real ones do, and nothing here makes one with a key that is not ours."""

    def __init__(self, node: NodeId, public_key: bytes, mesh_id: MeshId) -> None:
        self.node = node
        self.crypto: Final = ToyCrypto(public_key)
        self._mesh_id = mesh_id

    def write(
        self,
        place: tuple[int, int],
        kind: int,
        body: Body,
        *,
        key: str = "",
        previous: bytes = GENESIS_HASH,
        author: NodeId | None = None,
    ) -> bytes:
        """A statement at this (epoch, seq), encoded."""
        unsigned = Statement(
            mesh_id=self._mesh_id,
            author=self.node if author is None else author,
            epoch=place[0],
            seq=place[1],
            prev_hash=previous,
            kind=int(kind),
            key=key,
            body=body.encode(),
            signature=bytes(64),
        )
        return msgspec.structs.replace(unsigned, signature=self.crypto.sign(unsigned.signed_bytes())).encode()


def alone(statement: bytes) -> GossipDelta:
    """One statement as a delta; its bearer vouches that nothing lies between it and its predecessor."""
    said = decode_statement(statement)
    return GossipDelta((statement,), ((said.author, said.epoch, max(0, said.seq - 1)),))


def held_of(plane: Plane, author: NodeId) -> list[bytes]:
    """What this node holds of an author, in the order in which it was said."""
    found = [
        encoded
        for kind in SAID_KINDS
        for by, key, _ in plane.gossip.statements(kind)
        if by == author and (encoded := plane.gossip.encoded(by, kind, key)) is not None
    ]
    return sorted(found, key=lambda encoded: (decode_statement(encoded).epoch, decode_statement(encoded).seq))
