"""The signed Hello: the first message both ways, bound to this one TLS session.

The certificates prove who holds which key; the Hello says what that node is (versions, mesh, cluster, boot epoch,
clock, capabilities) under the node key, over the channel binding (RFC 9266) and both node ids in order. It can
therefore neither be replayed on another connection, nor relayed by a node in the middle, nor reflected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from arqonmesh.errors import ArqonError, PeerError, TrustError
from arqonmesh.ids import ClusterId, MeshId, NodeId
from arqonmesh.net.tls import PROTOCOLS
from arqonmesh.trust import ed25519
from arqonmesh.trust.certificates import LeafIdentity
from arqonmesh.trust.keys import NodeKey
from arqonmesh.wire.codec import decode_message, encode_message
from arqonmesh.wire.messages import Hello

VERSIONS: Final = (PROTOCOLS.version,)
"""The protocol versions that this build speaks, newest first."""
HELLO_BYTES_MAX: Final = 16_384
ONE_LANE: Final = "lanes=1"
"""Capability: all my stream lanes are on stream 0, each frame begins with its lane."""
NO_PROBES: Final = "datagrams=unprobed"
"""Capability: I send no probe for a DATAGRAM whose acknowledgement is late; it may wait for up to 300 ms."""

_DOMAIN: Final = b"arqonmesh/v1/hello\x00"
_UNSIGNED: Final = bytes(64)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalNode:
    """Who we are, as far as a Hello tells."""

    key: NodeKey
    cluster: ClusterId
    boot_epoch: int
    software: str
    capabilities: tuple[str, ...] = ()

    @property
    def node_id(self) -> NodeId:
        return self.key.node_id


def make_hello(
    local: LocalNode,
    *,
    mesh_id: MeshId,
    peer: NodeId,
    channel_binding: bytes,
    wall_ms: int,
    capabilities: tuple[str, ...] = (),
    versions: tuple[int, ...] = VERSIONS,
) -> bytes:
    """Our Hello to `peer`, signed and encoded."""
    unsigned = Hello(
        versions=versions,
        mesh_id=mesh_id,
        node_id=local.node_id,
        cluster=local.cluster,
        boot_epoch=local.boot_epoch,
        wall_ms=wall_ms,
        capabilities=local.capabilities + capabilities,
        software=local.software,
        signature=_UNSIGNED,
    )
    signature = local.key.sign(_signed_bytes(unsigned, peer, channel_binding))
    return encode_message(replace(unsigned, signature=signature))


def read_hello(
    data: bytes, *, identity: LeafIdentity, local: NodeId, mesh_id: MeshId, channel_binding: bytes
) -> tuple[Hello, int]:
    """The peer's Hello and the agreed version.

    Raises PeerError or TrustError: `link.hello` (not a Hello, or not the certificate's node or cluster),
    `trust.hello-signature`, `link.version`, `trust.wrong-mesh`.
    """
    try:
        hello = decode_message(data, max_bytes=HELLO_BYTES_MAX)
    except ArqonError as error:
        raise PeerError("link.hello", f"the first message is not a Hello: {error}") from error
    if not isinstance(hello, Hello):
        raise PeerError("link.hello", f"the first message is {type(hello).__name__}; it needs to be Hello")
    if hello.node_id != identity.node_id or hello.cluster != identity.cluster:
        raise PeerError(
            "link.hello",
            f"the Hello is of {hello.node_id} in {hello.cluster}, "
            f"the certificate of {identity.node_id} in {identity.cluster}",
        )
    signed = _signed_bytes(replace(hello, signature=_UNSIGNED), local, channel_binding)
    if not ed25519.verify(identity.node_key, signed, hello.signature):
        raise TrustError(
            "trust.hello-signature", "the Hello is not signed by the node key for this connection and these nodes"
        )
    common = [version for version in VERSIONS if version in hello.versions]
    if not common:
        raise PeerError(
            "link.version",
            f"the peer speaks versions {_listed(hello.versions)}, we speak {_listed(VERSIONS)}",
            hint="arqon version    # on both nodes; update the older one",
        )
    if hello.mesh_id != mesh_id:
        raise TrustError("trust.wrong-mesh", f"the Hello is of mesh {hello.mesh_id}; this one is {mesh_id}")
    return hello, max(common)


def _signed_bytes(unsigned: Hello, receiver: NodeId, channel_binding: bytes) -> bytes:
    ids = f"{unsigned.node_id}{receiver}".encode()
    return _DOMAIN + channel_binding + ids + encode_message(unsigned)


def _listed(versions: tuple[int, ...]) -> str:
    return ", ".join(str(version) for version in versions)
