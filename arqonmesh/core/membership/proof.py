"""What a member signs when its answer to a probe passes through other hands.

Over a direct link the transport says who speaks, and a plain Ack (which no relay may carry) is enough. An answer that
comes through a relay or a helper is signed by its subject over the asker and the asker's number, so that whoever
carries it can neither make it up nor keep one for later: numbers are drawn at random, and revealed only by asking.

Signing and checking cost some 100 us, on such probes alone; who asks is under its link's message rate.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.core.kernel import Crypto
from arqonmesh.ids import MeshId, NodeId
from arqonmesh.wire.messages import SignedAck

DOMAIN: Final = b"arqonmesh/v1/ack\x00"


def proof_bytes(mesh: MeshId, target: str, asker: str, seq: int) -> bytes:
    """What the signature covers; every part has a fixed length."""
    return DOMAIN + f"{mesh}{target}{asker}".encode() + seq.to_bytes(4, "big")


def signed_ack(crypto: Crypto, mesh: MeshId, own: NodeId, asker: NodeId, seq: int) -> SignedAck:
    return SignedAck(own, asker, seq, crypto.sign(proof_bytes(mesh, own, asker, seq)))


def proves(crypto: Crypto, mesh: MeshId, public_key: bytes, ack: SignedAck) -> bool:
    """Whether the target itself answered this asker's number."""
    return crypto.verify(public_key, proof_bytes(mesh, ack.target, ack.asker, ack.seq), ack.signature)
