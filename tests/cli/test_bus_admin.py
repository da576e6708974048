"""`arqon bus`: keys, tokens, clients; the secret is shown once, the JSON is whole, the table readable."""

from __future__ import annotations

from pathlib import Path

import jwt
import pytest

from arqonmesh.bridge.auth import operator
from arqonmesh.bridge.auth.api_keys import FILE, ApiKeys
from arqonmesh.errors import UsageError
from arqonmesh_cli.tenant import in_tenant
from arqonmesh_cli.where import place_of
from tests.cli.conftest import Arqon, Served

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def home(arqon: Arqon, tmp_path: Path) -> str:
    """The data directory of a node that does not run."""
    at = tmp_path / "node"
    assert arqon("init", "--cluster", "hq", "--data-dir", str(at)).code == 0
    return str(at)


@pytest.mark.requirement("R-BU-14")
def test_a_key_is_shown_once_listed_and_revoked(arqon: Arqon, home: str) -> None:
    """One line for a pipe; in the list its prefix, never itself; by name or prefix."""
    made = arqon("bus", "key", "new", "press-7", "--role", "guest", "--tenant", "acme", "--expires", "90d",
                 "--permission=-*:*", "--permission=publish:plant:*", "--data-dir", home)  # fmt: skip
    assert (made.code, made.out.count("\n"), made.err) == (0, 1, "")
    key = made.out.strip()
    listed = arqon("bus", "key", "ls", "--data-dir", home)
    prefix = key.split("_")[1]
    for word in (prefix, "press-7", "guest", "acme", "89d", "never", "publish:plant:*"):
        assert word in listed.out, word
    assert key not in listed.out
    (told,) = arqon("bus", "key", "ls", "--json", "--data-dir", home).json["data"]["keys"]
    assert (told["prefix"], told["state"], told["permissions"]) == (prefix, "active", ["-*:*", "publish:plant:*"])
    assert "hash" not in told
    second = arqon("bus", "key", "new", "other", "--json", "--data-dir", home).json["data"]
    assert second["first"] is False
    assert arqon("bus", "key", "revoke", "other", "--data-dir", home).code == 0
    assert arqon("bus", "key", "revoke", "press-7", "--data-dir", home).code == 0
    assert "revoked" in arqon("bus", "key", "ls", "--data-dir", home).out
    store = ApiKeys(Path(home) / FILE, lambda: 0)
    assert [one.state(0) for one in store.all()] == ["revoked", "revoked"]
    store.close()


@pytest.mark.parametrize(
    ("words", "exit_code", "code"),
    [
        (("key", "revoke", "nobody"), 5, "bus.key-unknown"),
        (("key", "new", "a", "--permission", "fly:*"), 2, "bus.key-invalid"),
        (("key", "new", "a", "--tenant", "A|b"), 2, "bus.key-invalid"),
        (("token",), 2, "bus.no-secret"),
        (("clients",), 3, "api.not-running"),
    ],
)
def test_what_cannot_be_is_said_with_its_code(
    arqon: Arqon, home: str, words: tuple[str, ...], exit_code: int, code: str
) -> None:
    """And the exit code of its kind."""
    done = arqon("bus", *words, "--json", "--data-dir", home)
    assert (done.code, done.json["error"]["code"]) == (exit_code, code)
    assert done.json["error"]["hint"]


def test_a_key_that_is_not_there_is_answered_with_the_command_for_this_node(arqon: Arqon, home: str) -> None:
    """Which keys there are is another question at another node."""
    error = arqon("bus", "key", "revoke", "nobody", "--json", "--data-dir", home).json["error"]
    assert error["hint"] == f"arqon bus key ls --data-dir {home}"


def test_keys_of_a_node_that_is_not_there_are_not_made(arqon: Arqon, tmp_path: Path) -> None:
    """No empty directory, no file."""
    done = arqon("bus", "key", "new", "a", "--json", "--data-dir", str(tmp_path / "absent"))
    assert (done.code, done.json["error"]["code"]) == (2, "config.missing-file")
    assert not (tmp_path / "absent").exists()


def test_a_token_is_signed_with_the_nodes_secret(arqon: Arqon, home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line; its claims as asked for."""
    monkeypatch.setenv("ARQON_BUS__AUTH__JWT__SECRET", SECRET)
    done = arqon("bus", "token", "--subject", "ann", "--role", "admin", "--tenant", "acme", "--data-dir", home)
    assert (done.code, done.out.count("\n")) == (0, 1)
    claims = jwt.decode(done.out.strip(), SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["role"], claims["tenant"]) == ("ann", "admin", "acme")
    assert claims["exp"] - claims["iat"] == 3_600
    told = arqon("bus", "token", "--json", "--data-dir", home).json["data"]
    assert told["claims"]["sub"] == "test"


def test_who_holds_the_nodes_secret_needs_no_token_for_pub_and_sub(
    arqon: Arqon, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands at the node itself sign one; where there is no secret to sign with, they show the operator's own."""
    place = place_of(Path(home), None)
    assert place.bus_token() is None
    assert place.bus_token() != operator.renew(Path(home)) == place.bus_token()
    assert (Path(home) / operator.FILE).stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("ARQON_BUS__AUTH__JWT__SECRET", SECRET)
    token = place.bus_token()
    assert token is not None
    assert jwt.decode(token, SECRET, algorithms=["HS256"])["role"] == "admin"
    of_acme = place.bus_token("acme")
    assert of_acme is not None
    assert jwt.decode(of_acme, SECRET, algorithms=["HS256"])["tenant"] == "acme"
    monkeypatch.setenv("ARQON_BUS__AUTH_TOKEN", "s3cret")
    assert place.bus_token() == "s3cret"
    monkeypatch.delenv("ARQON_BUS__AUTH__JWT__SECRET")
    assert place.bus_token("acme") == operator.read(Path(home)), "the one token is of no tenant"


@pytest.mark.parametrize(
    ("url", "tenant", "told"),
    [
        ("ws://10.0.0.1:9100/", "acme", "ws://10.0.0.1:9100/t/acme"),
        ("ws://10.0.0.1:9100", "acme", "ws://10.0.0.1:9100/t/acme"),
        ("wss://bus.example.org/t/acme/?type=service", "acme", "wss://bus.example.org/t/acme?type=service"),
        ("ws://10.0.0.1:9100/t/acme", "", "ws://10.0.0.1:9100/t/acme"),
    ],
)
def test_a_tenant_on_the_command_line_is_the_path_of_the_url(url: str, tenant: str, told: str) -> None:
    """`--tenant acme` is `/t/acme`; where the URL names one already they have to agree."""
    assert in_tenant(url, tenant) == told
    if tenant:
        with pytest.raises(UsageError, match="needs to be / or /t/globex"):
            in_tenant(told, "globex")


def test_a_tenant_that_cannot_be_one_is_said_before_anything_is_asked(arqon: Arqon, home: str) -> None:
    """Exit code 2, with what a tenant looks like."""
    done = arqon("pub", "a:b", "1", "--tenant", "Acme!", "--json", "--data-dir", home)
    assert (done.code, done.json["error"]["code"]) == (2, "bus.tenant")
    assert "a-z" in done.json["error"]["message"]


def test_clients_are_a_table_and_json(arqon: Arqon, served: Served) -> None:
    """Who, where, what waits, what was lost, for how long."""
    done = arqon("bus", "clients", "--slow", "--data-dir", str(served.data_dir))
    for word in ("127.0.0.1:40000", "human", "acme/ann", "chat:lobby, plant:* +1", "3.0 MiB, slow for 4s", "7",
                 "2.0 KiB", "1 of 2 clients"):  # fmt: skip
        assert word in done.out, word
    told = arqon("bus", "clients", "--json", "--data-dir", str(served.data_dir)).json["data"]
    assert (told["total"], told["clients"][0]["queue_bytes"], told["clients"][0]["via"]) == (2, 3 << 20, "jwt")
