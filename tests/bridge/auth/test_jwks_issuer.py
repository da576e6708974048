"""An issuer that serves its keys over HTTP and rotates them, fetched as docs/access.md says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from arqonmesh.bridge.auth.refused import AuthRefused
from arqonmesh.bridge.auth.tokens import TokenReader
from arqonmesh.config.model import JwtSettings
from tests.bridge.auth.makers import ED, NOW_S, RSA, jwk, rs

pytestmark = pytest.mark.requirement("R-BU-14")
NEWER = generate_private_key(65_537, 2_048)
SMALL = generate_private_key(65_537, 1_024)


class Issuer:
    """A web server on loopback that serves one document."""

    def __init__(self) -> None:
        self.document = b""
        self.cut = False
        """Send half of it, and break off."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(issuer.document)))
                self.end_headers()
                self.wfile.write(issuer.document[: len(issuer.document) // (2 if issuer.cut else 1)])

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def serve(self, *keys: Any) -> None:
        self.document = json.dumps({"keys": keys}).encode()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.stop()


def fetch(issuer: Issuer, folder: Path) -> bool:
    """The line of the documentation, with this issuer's address."""
    text = (Path(__file__).parents[3] / "docs" / "access.md").read_text()
    found = re.search(r"^curl .*$", text, re.MULTILINE)
    assert found is not None
    line = re.sub(r"https://\S+", issuer.url, found[0])
    return subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, timeout=20).returncode == 0


def subject(reader: TokenReader, token: str) -> str:
    try:
        return reader.read(token).subject
    except AuthRefused as refused:
        return refused.sentence


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl: apt-get install curl")
def test_keys_are_rotated_withdrawn_and_outlive_their_issuer(issuer: Issuer, tmp_path: Path) -> None:
    """Unknown `kid`, both, the new one alone; half an answer and a server that is down leave what was there before."""
    issuer.serve(jwk(RSA, "r1"))
    assert fetch(issuer, tmp_path)
    reader = TokenReader(JwtSettings(jwks_file="jwks.json"), tmp_path, lambda: NOW_S * 1_000)
    assert subject(reader, rs(kid="r1")) == "ann"
    assert "'r2'" in subject(reader, rs(NEWER, kid="r2"))
    issuer.serve(jwk(RSA, "r1"), jwk(NEWER, "r2"))
    assert fetch(issuer, tmp_path)
    assert subject(reader, rs(kid="r1")) == subject(reader, rs(NEWER, kid="r2")) == "ann"
    assert subject(reader, rs(NEWER, kid="r1")) != "ann", "a key is found by its kid alone"
    issuer.serve(jwk(NEWER, "r2"))
    issuer.cut = True
    assert not fetch(issuer, tmp_path)
    assert subject(reader, rs(kid="r1")) == "ann"
    issuer.cut = False
    assert fetch(issuer, tmp_path)
    assert "'r1'" in subject(reader, rs(kid="r1"))
    issuer.serve()
    assert fetch(issuer, tmp_path)
    issuer.stop()
    assert not fetch(issuer, tmp_path)
    assert subject(reader, rs(NEWER, kid="r2")) == "ann"


@pytest.mark.parametrize(
    "odd",
    [
        {**jwk(RSA, "odd"), "n": "!!"},
        {"kty": "RSA", "kid": "odd"},
        jwk(SMALL, "odd"),
        {"kty": "OKP", "crv": "Ed448", "x": "AAAA", "kid": "odd"},
        {"kty": "OKP", "crv": "X25519", "x": "A" * 43, "kid": "odd"},
    ],
)
def test_a_key_that_cannot_be_used_does_not_keep_the_others_out(
    tmp_path: Path, odd: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """RFC 7517, 5; the log names it. Else one odd key would stop every rotation after it."""
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [odd, jwk(RSA, "r1"), jwk(ED, "e1")]}))
    reader = TokenReader(JwtSettings(jwks_file="jwks.json"), tmp_path, lambda: NOW_S * 1_000)
    assert subject(reader, rs(kid="r1")) == "ann"
    (record,) = caplog.records
    assert "'odd'" in record.getMessage()
    assert "passed over" in record.getMessage()
