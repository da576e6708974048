"""JSON Web Tokens: what holds, what does not, and that nothing else ever happens."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arqonmesh.bridge.auth.mint import mint
from arqonmesh.bridge.auth.refused import AuthRefused
from arqonmesh.bridge.auth.token_keys import TokenKeys
from arqonmesh.bridge.auth.tokens import TokenReader
from arqonmesh.config.model import JwtSettings
from arqonmesh.core.bus.identity import Identity
from arqonmesh.errors import ConfigError, UsageError
from tests.bridge.auth.makers import ED, NOW_S, RSA, SECRET, by_hand, claims, ed, hs, jwk, pem, rs

pytestmark = pytest.mark.requirement("R-BU-14")


class Clock:
    now_s = NOW_S

    def __call__(self) -> int:
        return self.now_s * 1_000


def reader(base: Path, clock: Clock | None = None, **changed: Any) -> TokenReader:
    return TokenReader(JwtSettings(**changed), base, clock or Clock())


def code_of(reader: TokenReader, token: str) -> str:
    with pytest.raises(AuthRefused) as refused:
        reader.read(token)
    assert refused.value.hint or refused.value.code == "bus.auth-not-yet"
    return refused.value.code


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "ed.pem").write_bytes(pem(ED))
    (tmp_path / "rsa.pem").write_bytes(pem(RSA))
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [jwk(ED, "e1"), jwk(RSA, "r1")]}))
    (tmp_path / "secret").write_text(SECRET + "\n")
    (tmp_path / "secret").chmod(0o600)
    return tmp_path


def test_each_kind_of_key_reads_its_own_tokens(files: Path) -> None:
    """HS256 from a setting or a file, RS256 and EdDSA from PEM, both from a JWKS by `kid`."""
    for made, token in (
        (reader(files, secret=SECRET), hs()),
        (reader(files, secret_file="secret"), hs()),
        (reader(files, public_key_file="ed.pem"), ed()),
        (reader(files, public_key_file="rsa.pem"), rs()),
        (reader(files, jwks_file="jwks.json"), ed(kid="e1")),
        (reader(files, jwks_file="jwks.json"), rs(kid="r1")),
    ):
        assert made.read(token) == Identity("ann", "user", "", (), (NOW_S + 90) * 1_000, "jwt")


def test_no_token_chooses_its_algorithm(files: Path) -> None:
    """RFC 8725, 2.1: `none`, a public key taken for a secret, one kind of key for the other, the wrong `kid`."""
    payload = json.dumps(claims()).encode()
    for made in (
        reader(files, public_key_file="rsa.pem"),
        reader(files, public_key_file="ed.pem"),
        reader(files, jwks_file="jwks.json"),
        reader(files, secret=SECRET),
    ):
        for secret in (pem(RSA), pem(ED), pem(RSA).strip(), b"", json.dumps(jwk(RSA, "r1")).encode()):
            for header in ({"alg": "HS256", "typ": "JWT"}, {"alg": "HS256", "kid": "r1"}, {"alg": "none"}):
                assert code_of(made, by_hand(header, payload, secret)) == "bus.auth"
        unsigned = by_hand({"alg": "none"}, payload, b"").rpartition(".")[0] + "."
        assert code_of(made, unsigned) == "bus.auth"
    assert code_of(reader(files, public_key_file="rsa.pem"), ed()) == "bus.auth"
    assert code_of(reader(files, jwks_file="jwks.json"), ed(kid="r1")) == "bus.auth"
    assert code_of(reader(files, jwks_file="jwks.json"), ed()) == "bus.auth"  # which of the two is not said
    assert code_of(reader(files, secret=SECRET), hs("another-secret-of-thirty-two-bytes!!")) == "bus.auth"


def test_dates_hold_with_the_allowed_skew(files: Path) -> None:
    """exp and nbf to the second, 30 s either way; exp is asked for."""
    clock = Clock()
    made = reader(files, clock, secret=SECRET, clock_skew_s=30)
    token = hs(nbf=NOW_S, exp=NOW_S + 100)
    for at, code in ((-31, "bus.auth-not-yet"), (-30, ""), (0, ""), (129, ""), (130, "bus.auth-expired")):
        clock.now_s = NOW_S + at
        if code:
            assert code_of(made, token) == code
        else:
            assert made.read(token).expires_ms == (NOW_S + 130) * 1_000
    with pytest.raises(AuthRefused, match="expired less than a second ago"):
        reader(files, clock, secret=SECRET, clock_skew_s=0).read(hs(exp=NOW_S + 130))
    clock.now_s = NOW_S
    assert code_of(made, hs(exp=None)) == "bus.auth"
    assert reader(files, clock, secret=SECRET, expiry_required=False).read(hs(exp=None)).expires_ms == 0
    odd: Any
    for odd in ("soon", True, -1, 1e300, [], {}):
        assert code_of(made, hs_by_hand(exp=odd)) == "bus.auth"


def hs_by_hand(**changed: Any) -> str:
    return by_hand({"alg": "HS256"}, json.dumps(claims(**changed)).encode(), SECRET.encode())


def test_issuer_and_audience_are_those_that_are_set(files: Path) -> None:
    """A list of audiences may hold ours; where none is set, nobody looks."""
    made = reader(files, secret=SECRET, issuer="https://id.example", audience="bus")
    right: dict[str, Any] = {"iss": "https://id.example", "aud": ["web", "bus"]}
    assert made.read(hs(**right)).subject == "ann"
    for wrong in ({"iss": "https://evil.example"}, {"iss": None}, {"aud": "web"}, {"aud": None}, {"aud": ["b", "us"]}):
        assert code_of(made, hs_by_hand(**{**right, **wrong})) == "bus.auth"
    assert reader(files, secret=SECRET).read(hs(aud="anyone", iss="anyone")).subject == "ann"


def test_claims_become_an_identity_or_a_refusal(files: Path) -> None:
    """Role (the highest of a list), tenant, permissions, under the names that are set."""
    made = reader(files, secret=SECRET, role_claim="roles", tenant_claim="org", role_default="guest")
    identity = made.read(hs(roles=["guest", "ops", "admin"], org="acme", permissions=["-*:*", "join:plant:*"]))
    assert (identity.role, identity.tenant, identity.permissions) == ("admin", "acme", ("-*:*", "join:plant:*"))
    assert made.read(hs()).role == "guest"
    odd: dict[str, Any]
    for odd in (
        {"roles": "root"}, {"roles": []}, {"roles": 7}, {"roles": [["admin"]]}, {"org": "Acme|x"}, {"org": 7},
        {"permissions": "join:*"}, {"permissions": [7]}, {"permissions": ["fly:*"]}, {"sub": 7}, {"sub": "x" * 129},
        {"sub": "a\nb"},
    ):  # fmt: skip
        assert code_of(made, hs_by_hand(**odd)) == "bus.auth", odd


def test_a_changed_key_file_is_read_again_and_a_broken_one_is_not_taken(
    files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rotation without a restart; what was in force stays until there is something better; one log line."""
    jwks, newer = files / "jwks.json", Ed25519PrivateKey.generate()
    made = reader(files, jwks_file="jwks.json")
    assert code_of(made, ed(newer, kid="e2")) == "bus.auth"
    _replace(jwks, json.dumps({"keys": [jwk(ED, "e1"), jwk(newer, "e2")]}))
    assert made.read(ed(newer, kid="e2")).subject == made.read(ed(kid="e1")).subject == "ann"
    _replace(jwks, "{")
    for _ in range(3):
        assert made.read(ed(newer, kid="e2")).subject == "ann"
    assert len(caplog.records) == 1
    jwks.unlink()
    assert made.read(ed(newer, kid="e2")).subject == made.read(ed(kid="e1")).subject == "ann"
    assert len(caplog.records) == 2
    _replace(jwks, json.dumps({"keys": [jwk(newer, "e2")]}))
    assert code_of(made, ed(kid="e1")) == "bus.auth"


def _replace(path: Path, text: str) -> None:
    scratch = path.with_suffix(".new")
    scratch.write_text(text)
    os.replace(scratch, path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("secret_file", "too short"),
        ("public_key_file", "no key"),
        ("public_key_file", pem(generate_private_key(65_537, 1_024)).decode()),
        ("jwks_file", "[]"),
        ("jwks_file", "{}"),
        ("jwks_file", '{"keys": []}'),
        ("jwks_file", '{"keys": [7]}'),
        ("jwks_file", '{"keys": [{"kty": "oct", "k": "AAAA"}]}'),
        ("jwks_file", json.dumps({"keys": [jwk(ED, "x", d="AAAA")]})),
        ("jwks_file", '{"keys": [{"kty": "RSA", "n": "!", "e": "AQAB"}]}'),
        ("jwks_file", json.dumps({"keys": [jwk(ED, "x", use="enc"), jwk(RSA, "y", alg="PS256")]})),
        ("jwks_file", " " * ((1 << 20) + 1)),
    ],
)
def test_keys_that_cannot_be_used_stop_the_start(tmp_path: Path, name: str, content: str) -> None:
    """ConfigError bus.auth-keys that names the file and what is wrong, not a bus that lets nobody in."""
    (tmp_path / "file").write_text(content)
    (tmp_path / "file").chmod(0o600)
    for file in ("file", "absent"):
        with pytest.raises(ConfigError) as refused:
            TokenKeys(msgspec.convert({name: file}, JwtSettings), tmp_path)
        assert (refused.value.code, file in refused.value.sentence) == ("bus.auth-keys", True)


@pytest.mark.parametrize(("mode", "taken"), [(0o600, True), (0o440, True), (0o644, False), (0o660, False)])
def test_a_secret_that_others_can_reach_is_none(files: Path, mode: int, taken: bool) -> None:
    """Whoever reads it can make tokens. Changed beside a running node, what was read before stays in force."""
    told = JwtSettings(secret_file="secret")
    running = TokenKeys(told, files)
    (files / "secret").write_text("n" * 32)
    (files / "secret").chmod(mode)
    running.refresh()
    assert running.signing_secret() == (b"n" * 32 if taken else SECRET.encode())
    if not taken:
        with pytest.raises(ConfigError) as refused:
            TokenKeys(told, files)
        assert (refused.value.code, refused.value.hint) == ("bus.auth-keys", f"chmod 0600 {files / 'secret'}")


def test_a_minted_token_is_read_by_the_node_that_minted_it(files: Path) -> None:
    """With all claims that the settings ask for; where there is no secret, nobody can mint."""
    told = JwtSettings(secret_file="secret", issuer="me", audience="bus", role_claim="r", tenant_claim="t")
    token, _ = mint(
        told, TokenKeys(told, files), NOW_S * 1_000, subject="ci", role="admin", lifetime_s=60, tenant="acme",
        permissions=("join:*",),
    )  # fmt: skip
    identity = TokenReader(told, files, Clock()).read(token)
    assert identity == Identity("ci", "admin", "acme", ("join:*",), (NOW_S + 90) * 1_000, "jwt")
    told = JwtSettings(jwks_file="jwks.json")
    with pytest.raises(UsageError) as refused:
        mint(told, TokenKeys(told, files), 0, subject="ci", role="user", lifetime_s=60)
    assert refused.value.code == "bus.no-secret"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
HEADERS = st.fixed_dictionaries(
    {}, optional={"alg": st.sampled_from(["HS256", "none", "RS256", "EdDSA", "", 7, None]), "kid": json_values,
                  "typ": json_values, "crit": json_values, "b64": json_values},
)  # fmt: skip
CLAIMS = st.dictionaries(
    st.sampled_from(["sub", "exp", "nbf", "iat", "role", "tenant", "permissions", "aud", "iss"]), json_values
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HEADERS, st.one_of(CLAIMS.map(lambda made: json.dumps(made).encode()), st.binary(max_size=40)))
def test_whatever_is_well_signed_is_an_identity_or_a_refusal(
    files: Path, header: dict[str, Any], payload: bytes
) -> None:
    """Any header over any payload, signed with the right secret."""
    try:
        identity = reader(files, secret=SECRET).read(by_hand(header, payload, SECRET.encode()))
    except AuthRefused:
        return
    assert identity.role in ("guest", "user", "admin")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(max_size=60), st.binary(max_size=60).map(lambda raw: raw.decode("latin-1"))), st.data())
def test_no_text_is_taken_for_a_token(files: Path, text: str, data: st.DataObject) -> None:
    """Rubbish, and real tokens with one character changed."""
    made = reader(files, jwks_file="jwks.json")
    assert code_of(made, text) == "bus.auth"
    token = rs(kid="r1")
    at = data.draw(st.integers(0, len(token) - 3))  # the last characters hold bits that base64 does not use
    assert code_of(made, token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]) in ("bus.auth",)
    assert code_of(made, "a" * 9_000) == "bus.auth"
