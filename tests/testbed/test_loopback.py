"""Nodes of a benchmark or test that was ended from outside."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from arqonmesh_testbed.loopback import until

PROGRAM = """
import signal, sys, time
from arqonmesh_testbed.loopback import loopback_mesh
with loopback_mesh() as mesh:
    node = mesh.make("a", "hub")
    node.start()
    print(node.pid, node.data_dir, flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_no_node_outlives_a_program_that_is_told_to_end(number: signal.Signals) -> None:
    """They run detached; whoever started them takes them along."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        pid, folder = program.stdout.readline().split()
        program.send_signal(number)
        program.wait(20)
    until("the node's end", lambda: state_of(pid) in ("", "Z"), 5)
    assert not Path(folder).exists()


def state_of(pid: str) -> str:
    """As /proc tells it; "Z" has ended and waits to be reaped by whoever adopted it, "" is gone."""
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
