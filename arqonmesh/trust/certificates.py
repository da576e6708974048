"""Certificates of a node: what both ends of a link show in the TLS handshake, and how they are judged.

    node key ──signs──▶ node certificate   carries the public node key; self-signed; never expires
        └─────signs──▶ leaf certificate    a fresh Ed25519 key; hours; SAN arqon://<mesh>/<cluster>/<node id>

The chain is always [leaf, node certificate]. There is no authority: whether the node key may link is the roster's
question, asked after `verify_chain` said which key it is. The chain is verified here and not by X.509 libraries,
because cryptography's verifier takes no Ed25519 and its keys may be of small order.

A certificate to be signed begins with byte 0x30, everything else that a node key signs with "arqonmesh/v1/": one
can never pass for the other.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from arqonmesh.errors import ArqonError, TrustError
from arqonmesh.ids import ClusterId, MeshId, NodeId, is_node_id, is_ulid, node_id_of, parse_cluster
from arqonmesh.trust import ed25519
from arqonmesh.trust.keys import NodeKey

NO_MESH: Final = MeshId("none")
"""The mesh in the leaf of a node that belongs to none yet."""
MAX_CERTIFICATE_BYTES: Final = 4_096

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NODE_NOT_BEFORE: Final = datetime(2020, 1, 1, tzinfo=UTC)
_NODE_NOT_AFTER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""RFC 5280, 4.1.2.5: no well-defined expiration date."""
_NAME: Final = re.compile(r"arqon://([^/?#]+)/([^/?#]+)/([^/?#]+)")


@dataclass(frozen=True, slots=True)
class LeafIdentity:
    """Who showed the chain, as far as the chain itself proves it."""

    node_id: NodeId
    node_key: bytes
    """The public node key, 32 bytes; checked to be sound."""
    cluster: ClusterId
    """As the node says; the roster knows whether it is so."""
    mesh_id: MeshId
    not_before_ms: int
    not_after_ms: int


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf of our own: what TLS needs to show and to prove it."""

    certificate: x509.Certificate
    node_certificate: x509.Certificate
    private_key: Ed25519PrivateKey
    not_before_ms: int
    not_after_ms: int

    @property
    def chain_der(self) -> list[bytes]:
        """[leaf, node certificate] as they travel."""
        return [self.certificate.public_bytes(Encoding.DER), self.node_certificate.public_bytes(Encoding.DER)]


def node_certificate(key: NodeKey) -> x509.Certificate:
    """The certificate that carries the node key. The same key always gives the same bytes."""
    private = key.to_cryptography()
    name = _common_name(key.node_id)
    serial = int.from_bytes(hashlib.sha256(b"arqonmesh/v1/serial\x00" + key.public).digest()[:16], "big") | 1
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(serial)
        .not_valid_before(_NODE_NOT_BEFORE)
        .not_valid_after(_NODE_NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, None)
    )


def mint_leaf(key: NodeKey, *, mesh_id: MeshId, cluster: ClusterId, not_before_ms: int, not_after_ms: int) -> Leaf:
    """A leaf with a fresh key, signed by the node key. Certificates count in seconds; the window is rounded out."""
    private = Ed25519PrivateKey.generate()
    not_before_s, not_after_s = not_before_ms // 1_000, -(-not_after_ms // 1_000)
    name = x509.UniformResourceIdentifier(f"arqon://{mesh_id}/{cluster}/{key.node_id}")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_common_name(key.node_id))
        .issuer_name(_common_name(key.node_id))
        .public_key(private.public_key())
        .serial_number(secrets.randbits(127) | 1)
        .not_valid_before(_EPOCH + timedelta(seconds=not_before_s))
        .not_valid_after(_EPOCH + timedelta(seconds=not_after_s))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .sign(key.to_cryptography(), None)
    )
    return Leaf(certificate, node_certificate(key), private, not_before_s * 1_000, not_after_s * 1_000)


def verify_chain(chain_der: list[bytes], now_ms: int, skew_ms: int) -> LeafIdentity:
    """Who shows this chain. That the peer holds the leaf's key is TLS's part; the roster comes after.

    Raises TrustError and nothing else: `trust.no-certificate`, `trust.chain-length`, `trust.malformed-certificate`,
    `trust.key-type`, `trust.small-order-key`, `trust.key-invalid`, `trust.node-signature`, `trust.leaf-signature`,
    `trust.leaf-key`, `trust.leaf-name`, `trust.not-yet-valid`, `trust.expired-leaf`.
    """
    if not chain_der:
        raise TrustError("trust.no-certificate", "the peer showed no certificate; both ends of a link need one")
    if len(chain_der) != 2:
        raise TrustError(
            "trust.chain-length", f"a chain of {len(chain_der)}; it needs to be the leaf and the node certificate"
        )
    leaf, node = (_parse(der) for der in chain_der)
    if node.signed_by(node.public_key) is False:
        raise TrustError("trust.node-signature", "the node certificate is not signed by the key that it carries")
    if leaf.signed_by(node.public_key) is False:
        raise TrustError("trust.leaf-signature", "the leaf certificate is not signed by the node key shown with it")
    if leaf.public_key == node.public_key:
        raise TrustError("trust.leaf-key", "the leaf carries the node key itself; it needs a key of its own")
    node_id = node_id_of(node.public_key)
    mesh_id, cluster = _read_name(leaf, node_id)
    _check_window(leaf, now_ms, skew_ms)
    return LeafIdentity(node_id, node.public_key, cluster, mesh_id, leaf.not_before_ms, leaf.not_after_ms)


# --- reading hostile certificates -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Parsed:
    """What we use of a certificate, all of it read; nothing is left to be parsed, and to fail, later."""

    public_key: bytes
    signed: bytes
    signature: bytes
    uris: list[str]
    names: int
    not_before_ms: int
    not_after_ms: int

    def signed_by(self, public_key: bytes) -> bool:
        return ed25519.verify(public_key, self.signed, self.signature)


def _parse(der: bytes) -> _Parsed:
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise TrustError(
            "trust.malformed-certificate", f"a certificate of {len(der)} bytes; ours stay below {MAX_CERTIFICATE_BYTES}"
        )
    try:
        # What cryptography tolerates with a warning (odd serials, odd versions) is not a certificate of ours.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            parsed = _read(der)
    except TrustError:
        raise
    except Exception as error:  # the parser raises what it likes on hostile bytes; all of it means the same
        raise TrustError(
            "trust.malformed-certificate", f"not a certificate of ours: {str(error)[:120] or type(error).__name__}"
        ) from None
    ed25519.check_public_key(parsed.public_key)
    return parsed


def _read(der: bytes) -> _Parsed:
    certificate = x509.load_der_x509_certificate(der)
    public = certificate.public_key()
    if not isinstance(public, Ed25519PublicKey) or (
        certificate.signature_algorithm_oid != SignatureAlgorithmOID.ED25519
    ):
        raise TrustError("trust.key-type", "a certificate with another kind of key or signature than Ed25519")
    uris: list[str] = []
    names = 0
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            uris += value.get_values_for_type(x509.UniformResourceIdentifier)
            names += len(list(value))
        elif isinstance(value, x509.UnrecognizedExtension) and extension.critical:
            raise ValueError(f"critical extension {extension.oid.dotted_string}")  # RFC 5280, 4.2
    return _Parsed(
        public.public_bytes_raw(),
        certificate.tbs_certificate_bytes,
        certificate.signature,
        uris,
        names,
        _milliseconds(certificate.not_valid_before_utc),
        _milliseconds(certificate.not_valid_after_utc),
    )


def _read_name(leaf: _Parsed, node_id: NodeId) -> tuple[MeshId, ClusterId]:
    """Mesh and cluster of the leaf's one name, which must end in the id of the node key."""
    match = _NAME.fullmatch(leaf.uris[0]) if len(leaf.uris) == leaf.names == 1 else None
    if match is None:
        raise TrustError("trust.leaf-name", "the leaf needs exactly one name, arqon://MESH/CLUSTER/NODE")
    mesh, cluster, node = match.groups()
    if node != node_id:
        shown = node if is_node_id(node) else "another node"
        raise TrustError("trust.leaf-name", f"the leaf names {shown}, but its node key is that of {node_id}")
    if mesh != NO_MESH and not is_ulid(mesh):
        raise TrustError("trust.leaf-name", "the mesh in the leaf's name is neither a mesh id nor `none`")
    try:
        return MeshId(mesh), parse_cluster(cluster)
    except ArqonError as error:
        raise TrustError("trust.leaf-name", f"the leaf's name does not fit: {error}") from None


def _check_window(leaf: _Parsed, now_ms: int, skew_ms: int) -> None:
    if leaf.not_after_ms < leaf.not_before_ms:
        raise TrustError("trust.malformed-certificate", "the leaf ends before it begins")
    if now_ms + skew_ms < leaf.not_before_ms:
        raise TrustError(
            "trust.not-yet-valid",
            f"the leaf becomes valid in {(leaf.not_before_ms - now_ms) // 1_000} s, beyond the {skew_ms // 1_000} s "
            "that clocks may differ; one of the two clocks is wrong",
            hint="timedatectl status",
        )
    if now_ms - skew_ms > leaf.not_after_ms:
        raise TrustError(
            "trust.expired-leaf",
            f"the leaf expired {(now_ms - leaf.not_after_ms) // 1_000} s ago, beyond the {skew_ms // 1_000} s "
            "that clocks may differ; the peer has not renewed it, or one of the two clocks is wrong",
            hint="arqon certs rotate (on the peer); timedatectl status",
        )


def _common_name(node_id: NodeId) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node_id)])


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)
