"""Certificates: [leaf, node certificate] proves who shows it, and each way of not proving it has its own code."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from arqonmesh.errors import TrustError
from arqonmesh.ids import ClusterId, MeshId
from arqonmesh.trust.certificates import NO_MESH, LeafIdentity, mint_leaf, node_certificate, verify_chain
from arqonmesh.trust.keys import NodeKey

MESH = MeshId("01J9Z3NDEKTSV4RRFFQ69G5FAV")
HQ = ClusterId("hq")
KEY = NodeKey(bytes(range(32)))
NOW = 1_700_000_000_000
HOUR = 3_600_000
SKEW = 300_000
LEAF = mint_leaf(KEY, mesh_id=MESH, cluster=HQ, not_before_ms=NOW, not_after_ms=NOW + HOUR)
NODE_DER = node_certificate(KEY).public_bytes(Encoding.DER)


def refusal(chain: list[bytes], now_ms: int = NOW) -> TrustError:
    with pytest.raises(TrustError) as caught:
        verify_chain(chain, now_ms, SKEW)
    return caught.value


def forge(
    *,
    signer: NodeKey = KEY,
    uris: tuple[str, ...] = (f"arqon://{MESH}/hq/{KEY.node_id}",),
    public: Ed25519PublicKey | None = None,
    change: Callable[[x509.CertificateBuilder], x509.CertificateBuilder] = lambda builder: builder,
    lifetime: timedelta = timedelta(hours=1),
) -> bytes:
    """A leaf with everything right but what is given."""
    begin = datetime.fromtimestamp(NOW / 1_000, UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, KEY.node_id)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public or Ed25519PrivateKey.generate().public_key())
        .serial_number(7)
        .not_valid_before(begin)
        .not_valid_after(begin + lifetime)
    )
    if uris:
        names = [x509.UniformResourceIdentifier(uri) for uri in uris]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = change(builder).sign(signer.to_cryptography(), None)
    return certificate.public_bytes(Encoding.DER)


# --- what holds -------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-ID-3")
def test_a_chain_says_who_shows_it() -> None:
    """Node id, node key, cluster, mesh and window."""
    assert verify_chain(LEAF.chain_der, NOW, SKEW) == LeafIdentity(KEY.node_id, KEY.public, HQ, MESH, NOW, NOW + HOUR)
    assert verify_chain([forge(), NODE_DER], NOW, SKEW), "the forge of these tests makes good leaves"


def test_a_joiner_without_a_mesh_says_none() -> None:
    """The placeholder of the join protocol."""
    leaf = mint_leaf(KEY, mesh_id=NO_MESH, cluster=HQ, not_before_ms=NOW, not_after_ms=NOW + HOUR)

    assert verify_chain(leaf.chain_der, NOW, SKEW).mesh_id == "none"


def test_the_node_certificate_of_a_key_is_always_the_same() -> None:
    """Ed25519 signatures and its serial are functions of the key; another key gives another."""
    assert node_certificate(KEY) == node_certificate(NodeKey(KEY.seed))
    assert node_certificate(KEY) != node_certificate(NodeKey.generate())


def test_every_leaf_has_a_key_of_its_own() -> None:
    """Two leaves of one node share nothing secret."""
    other = mint_leaf(KEY, mesh_id=MESH, cluster=HQ, not_before_ms=NOW, not_after_ms=NOW + HOUR)

    assert other.private_key.private_bytes_raw() != LEAF.private_key.private_bytes_raw()
    assert other.certificate.public_key() == other.private_key.public_key()


def test_the_window_is_rounded_out_to_seconds() -> None:
    """Certificates count in seconds: never valid for less than was asked."""
    leaf = mint_leaf(KEY, mesh_id=MESH, cluster=HQ, not_before_ms=NOW + 999, not_after_ms=NOW + 1_001)

    assert (leaf.not_before_ms, leaf.not_after_ms) == (NOW, NOW + 2_000)
    assert verify_chain(leaf.chain_der, NOW, 0).not_after_ms == NOW + 2_000


# --- what does not ----------------------------------------------------------------------------------------


def test_no_certificate_and_the_wrong_number_are_refused() -> None:
    """Exactly two."""
    assert refusal([]).code == "trust.no-certificate"
    assert refusal(LEAF.chain_der[:1]).code == "trust.chain-length"
    assert refusal([*LEAF.chain_der, NODE_DER]).code == "trust.chain-length"


def test_a_leaf_is_refused_outside_its_window_and_the_skew() -> None:
    """Good from not_before - skew to not_after + skew, both included; one millisecond beyond is refused."""
    for good in (NOW - SKEW, NOW, NOW + HOUR, NOW + HOUR + SKEW):
        assert verify_chain(LEAF.chain_der, good, SKEW)
    assert refusal(LEAF.chain_der, NOW - SKEW - 1).code == "trust.not-yet-valid"
    assert refusal(LEAF.chain_der, NOW + HOUR + SKEW + 1).code == "trust.expired-leaf"
    assert refusal([forge(lifetime=timedelta(0)), NODE_DER], NOW + SKEW + 1).code == "trust.expired-leaf"


def test_a_leaf_signed_by_another_key_is_refused() -> None:
    """By a stranger, and by itself."""
    assert refusal([forge(signer=NodeKey.generate()), NODE_DER]).code == "trust.leaf-signature"
    stranger = node_certificate(NodeKey.generate()).public_bytes(Encoding.DER)
    assert refusal([LEAF.chain_der[0], stranger]).code == "trust.leaf-signature"


def test_a_node_certificate_signed_by_another_key_is_refused() -> None:
    """It must prove possession of the key that it carries."""
    forged = forge(signer=NodeKey.generate(), public=KEY.to_cryptography().public_key())

    assert refusal([LEAF.chain_der[0], forged]).code == "trust.node-signature"


def test_a_changed_signature_is_refused() -> None:
    """The signature is the last field of the certificate."""
    for index, code in ((0, "trust.leaf-signature"), (1, "trust.node-signature")):
        chain = LEAF.chain_der
        chain[index] = chain[index][:-1] + bytes((chain[index][-1] ^ 1,))
        assert refusal(chain).code == code


def test_the_node_key_must_not_serve_as_leaf() -> None:
    """What signs statements never speaks TLS."""
    leaf = forge(public=KEY.to_cryptography().public_key())

    assert refusal([leaf, NODE_DER]).code == "trust.leaf-key"
    assert refusal([NODE_DER, NODE_DER]).code == "trust.leaf-key"


@pytest.mark.parametrize(
    "uris",
    [
        (),
        (f"arqon://{MESH}/hq/{'a' * 32}",),
        (f"arqon://{MESH}/hq",),
        (f"arqon://{MESH}/hq/{KEY.node_id}/more",),
        (f"http://{MESH}/hq/{KEY.node_id}",),
        (f"arqon://mesh/hq/{KEY.node_id}",),
        (f"arqon://{MESH}/HQ!/{KEY.node_id}",),
        (f"arqon://{MESH}/hq/{KEY.node_id}?x",),
        (f"arqon://{MESH}/hq/{KEY.node_id}", f"arqon://{MESH}/store/{KEY.node_id}"),
    ],
)
def test_a_leaf_needs_the_one_name_of_its_node(uris: tuple[str, ...]) -> None:
    """arqon://MESH/CLUSTER/NODE, once, with the id of the node key."""
    assert refusal([forge(uris=uris), NODE_DER]).code == "trust.leaf-name"


def test_a_leaf_with_a_second_name_of_another_kind_is_refused() -> None:
    """A DNS name beside ours would mean something to somebody else."""

    def add(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        names = [x509.UniformResourceIdentifier(f"arqon://{MESH}/hq/{KEY.node_id}"), x509.DNSName("bank.example")]
        return builder.add_extension(x509.SubjectAlternativeName(names), critical=False)

    assert refusal([forge(uris=(), change=add), NODE_DER]).code == "trust.leaf-name"


def test_an_unknown_critical_extension_is_refused() -> None:
    """RFC 5280, 4.2; one that is not critical is ignored."""
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    critical = forge(change=lambda builder: builder.add_extension(extension, critical=True))
    harmless = forge(change=lambda builder: builder.add_extension(extension, critical=False))

    assert refusal([critical, NODE_DER]).code == "trust.malformed-certificate"
    assert verify_chain([harmless, NODE_DER], NOW, SKEW)


def test_a_key_of_another_kind_is_refused() -> None:
    """ECDSA in either place."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    begin = datetime.fromtimestamp(NOW / 1_000, UTC)
    der = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(hours=1))
        .sign(private, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )

    assert refusal([der, NODE_DER]).code == "trust.key-type"
    assert refusal([LEAF.chain_der[0], der]).code == "trust.key-type"


@pytest.mark.parametrize(
    "point",
    [
        "01" + "00" * 31,
        "00" * 32,
        "ec" + "ff" * 30 + "7f",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ],
)
def test_a_small_order_key_is_refused_in_either_place(point: str) -> None:
    """Under it, a signature of zeroes fits; cryptography itself takes such keys."""
    for index in (0, 1):
        chain = LEAF.chain_der
        public = LEAF.certificate.public_key() if index == 0 else KEY.to_cryptography().public_key()
        assert isinstance(public, Ed25519PublicKey)
        chain[index] = chain[index].replace(public.public_bytes_raw(), bytes.fromhex(point))
        assert refusal(chain).code == "trust.small-order-key"


def test_too_large_a_certificate_is_refused_unread() -> None:
    """4 KiB."""
    assert refusal([bytes(4_097), NODE_DER]).code == "trust.malformed-certificate"


@settings(max_examples=300)
@given(st.integers(0, 1), st.data())
def test_hostile_certificates_raise_trust_error_and_nothing_else(index: int, data: st.DataObject) -> None:
    """Any byte changed, any cut, any insertion: refused with a code, whatever the parser makes of it."""
    chain = LEAF.chain_der
    der = bytearray(chain[index])
    at = data.draw(st.integers(0, len(der) - 1))
    with_what = data.draw(st.binary(max_size=4))
    length = data.draw(st.integers(0, 4))
    if bytes(der[at : at + length]) == with_what:
        return
    der[at : at + length] = with_what
    chain[index] = bytes(der)

    assert refusal(chain).code.startswith("trust.")


@given(st.lists(st.binary(max_size=200), max_size=3))
def test_noise_is_no_certificate(chain: list[bytes]) -> None:
    """TrustError and nothing else."""
    assert refusal(chain).code.startswith("trust.")
