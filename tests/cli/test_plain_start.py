"""A node's plain start is recognised before the command tree is there, and every other form is left to it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from arqonmesh_cli.serve import Start, plain_start
from tests.cli.conftest import Arqon


@pytest.mark.parametrize(
    ("words", "start"),
    [
        ("node start --data-dir /d", Start(Path("/d"))),
        ("node start --data-dir /d --ready-fd 4", Start(Path("/d"), 4)),
        ("node start --json --data-dir /d", Start(Path("/d"), as_json=True)),
        ("node start --data-dir /d --detach", None),
        ("node start --data-dir", None),
        ("node start --data-dir --json", None),
        ("node start --ready-fd four", None),
        ("node start --context hq", None),
        ("node start --help", None),
        ("node stop --data-dir /d", None),
        ("", None),
    ],
)
def test_only_a_start_that_says_no_more_than_where_is_plain(
    words: str, start: Start | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the tree would refuse or explain, it refuses and explains."""
    monkeypatch.delenv("ARQON_CONTEXT", raising=False)
    assert plain_start(words.split()) == start


def test_the_environment_names_the_directory_as_in_the_tree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """ARQON_DATA_DIR is heard; a context is the tree's to look up."""
    monkeypatch.delenv("ARQON_CONTEXT", raising=False)
    monkeypatch.setenv("ARQON_DATA_DIR", str(tmp_path))
    assert plain_start(["node", "start"]) == Start(tmp_path)
    monkeypatch.setenv("ARQON_CONTEXT", "hq")
    assert plain_start(["node", "start"]) is None


def test_a_node_carries_nothing_that_it_does_not_need_yet(arqon: Arqon, tmp_path: Path) -> None:
    """Neither the command tree, nor gRPC or HTTP before somebody calls, nor what makes the tables, writes metrics or
    reads tokens: a node begins small."""
    assert arqon("init", "--cluster", "hq", "--data-dir", str(tmp_path / "hq")).code == 0
    program = (
        "import sys; from pathlib import Path;"
        "from arqonmesh_cli import __main__, lean; lean.import_lean();"
        "import arqonmesh.runtime.main;"
        "from arqonmesh.store.store import Store; Store.open(Path(sys.argv[1]));"
        "heavy = {'typer', 'rich', 'pydantic', 'grpc', 'click', 'sqlite_utils', 'jwt', 'prometheus_client', 'redis'};"
        "heavy |= {'urllib.request', 'http.client', 'http.server'};"
        "heavy |= {'h11._connection', 'OpenSSL.SSL', 'service_identity.hazmat', 'importlib.metadata'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "hq" / "mesh.db")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


STARTING = """
import gc, os, signal, sys
from pathlib import Path
from arqonmesh_cli import serve

def ready(start):
    print("serves", gc.isenabled(), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)

def resting():
    lean()
    print("starts", gc.isenabled(), flush=True)

lean, serve.import_lean, serve.Start._ready = serve.import_lean, resting, ready
try:
    serve.Start(Path(sys.argv[1])).serve()
finally:
    print("ended", gc.isenabled())
"""


def test_the_garbage_collector_rests_only_until_the_node_serves(arqon: Arqon, tmp_path: Path) -> None:
    """A node that ran without it for months would keep every ring of references; a start that fails gives it back."""
    folder = tmp_path / "hq"
    command = [sys.executable, "-c", STARTING, str(folder)]
    failed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert failed.stdout.splitlines() == ["starts False", "ended True"], failed.stderr
    ports = [word for name in ("quic", "bus", "http", "telemetry") for word in (f"--{name}", "127.0.0.1:0")]
    assert arqon("init", "--cluster", "hq", *ports, "--data-dir", str(folder)).code == 0
    served = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert served.stdout.splitlines() == ["starts False", "serves True", "ended True"], served.stderr
