"""Starting the switch's process: the TUNs' descriptors go with it, its specification through standard input."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arqonmesh.errors import ArqonError


def start(
    specification: dict[str, Any], log: Path, environ: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """A switch that is ready, in a session of its own. Raises ArqonError `lab.switch-died` with its last words.

    `specification` is `switch.fabric_of`'s with `socket`, its control socket, and `descriptors`, by node.
    """
    with log.open("ab") as errors:
        switch = subprocess.Popen(  # our own program
            [sys.executable, "-m", "arqonmesh_testbed.switch"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            pass_fds=tuple(specification["descriptors"].values()),
            env={**os.environ, **(environ or {})},
            start_new_session=True,
            cwd="/",
        )
    assert switch.stdin is not None
    assert switch.stdout is not None
    with switch.stdout:
        with contextlib.suppress(BrokenPipeError), switch.stdin:
            switch.stdin.write(json.dumps(specification).encode())
        said = switch.stdout.readline()
    if said != b"ready\n":
        code = switch.wait(5)
        words = log.read_text(errors="replace").strip()[-400:]
        raise ArqonError("lab.switch-died", f"the switch ended with {code} before it was ready: {words}")
    return switch
