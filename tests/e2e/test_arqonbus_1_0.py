"""An ArqonBus 1.0 client, unmodified, at a real node that asks for a JWT."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import jwt
import pytest

from arqonmesh_testbed.loopback import LoopbackMesh
from tests.e2e.kit import POLICY

SCRIPT = Path(__file__).with_name("arqonbus_1_0_client.py")
SECRET = "a secret of at least thirty-two bytes"


@pytest.mark.requirement("R-BU-22")
@pytest.mark.requirement("R-BU-14")
def test_an_arqonbus_1_0_client_works_unchanged(mesh: LoopbackMesh, tmp_path: Path) -> None:
    """Welcome, both spellings of commands, messages, private messages, history, an error; a token in the header."""
    node = mesh.make("lab", "hub", config=f"{POLICY}bus: {{auth: {{jwt: {{secret: '{SECRET}'}}}}}}\n")
    node.start()
    token = jwt.encode({"sub": "alice", "role": "admin", "exp": int(time.time()) + 600}, SECRET, algorithm="HS256")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", str(SCRIPT), f"ws://127.0.0.1:{node.bus}", token],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
