"""`arqon demo`, whole: three processes, and nothing left of them."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from arqonmesh_cli import contexts
from arqonmesh_cli.processes import listener_pid, wait_gone
from arqonmesh_cli.where import place_of

pytestmark = pytest.mark.process

RUN = (sys.executable, "-m", "arqonmesh_cli")


def left_behind(directory: str) -> list[str]:
    """Processes whose command line names the demo's directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if directory in line:
                found.append(line)
    return found


def test_unattended_it_shows_what_crossed_and_what_stayed() -> None:
    """Per cluster: published, delivered, exported, kept local and by which rule, latency; raw:proc never left."""
    done = subprocess.run(
        [*RUN, "demo", "--once", "--for", "2s", "--json"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    data = json.loads(done.stdout)["data"]
    assert data["left_its_cluster"] == 0
    assert data["took_s"] < 30
    rows = {row["cluster"]: row for row in data["clusters"]}
    assert set(rows) == {"hq", "factory", "store"}
    for name, other in (("factory", "store"), ("store", "factory")):
        published = rows[name]["published"]
        assert published["telemetry:host"] > 10
        assert rows["hq"]["delivered"][f"telemetry:host from {name}"] == published["telemetry:host"]
        assert rows[other]["delivered"][f"telemetry:host from {name}"] == published["telemetry:host"]
        assert rows[name]["delivered"][f"raw:proc from {name}"] == published["raw:proc"]
        assert rows[name]["exported"] == published["telemetry:host"]
        assert [(kept["channel"], kept["messages"]) for kept in rows[name]["kept"]] == [
            ("raw:proc", published["raw:proc"])
        ]
        assert rows[name]["p99_ms"] >= rows[name]["p50_ms"] > 0
    assert not any("raw:proc" in flow for flow in rows["hq"]["delivered"])
    directory = re.search(r"/tmp/\S*arqon-demo-\w+", done.stderr)
    assert directory is not None
    assert not Path(directory[0]).exists()
    assert left_behind(directory[0]) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("moment", ["starting", "seeded", "publishing"])
def test_however_it_is_interrupted_nothing_is_left(number: signal.Signals, code: int, moment: str) -> None:
    """Children are stopped by pid, the directory and the names go, at whatever moment it happens."""
    command = [*RUN, "demo", "--once"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if moment in line:
                process.send_signal(number)
                break
        said += process.stdout.read()
        assert process.wait(30) == code, said
    directory = re.search(r"/tmp/\S*arqon-demo-\w+", said)
    assert directory is not None
    assert not Path(directory[0]).exists()
    assert left_behind(directory[0]) == []


def live_until_q(before_q: Callable[[], None]) -> tuple[int, bytes]:
    """`arqon demo` on a terminal, until it shows two links; then this, then q. Its exit code and all that it showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40", "NO_COLOR": "1"}
        os.execvpe(sys.executable, [*RUN, "demo"], environment)
    seen = b""
    deadline = time.monotonic() + 60
    sent = False
    try:
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    piece = os.read(terminal, 65_536)
                except OSError:
                    break
                if not piece:
                    break
                seen += piece
            if not sent and b"TRY IN ANOTHER TERMINAL" in seen and b"hq - store" in seen:
                before_q()
                os.write(terminal, b"q")
                sent = True
        else:
            pytest.fail(f"it did not end; q was {'sent' if sent else 'not sent'}: {seen[-4_000:]!r}")
        _, status = os.waitpid(pid, 0)
        pid = 0
    finally:
        if pid:
            os.kill(pid, signal.SIGTERM)
            with suppress(OSError):
                while os.read(terminal, 65_536):  # what it still shows has to go somewhere
                    pass
            os.waitpid(pid, 0)
        os.close(terminal)
    assert sent, seen[-2_000:]
    return os.waitstatus_to_exitcode(status), seen


def test_on_a_terminal_it_is_live_with_lines_to_try() -> None:
    """The live screen with three clusters and what to type; q ends it with the table."""
    code, seen = live_until_q(lambda: None)
    assert code == 0, seen[-2_000:]
    assert b"never left its cluster" in seen


@pytest.mark.parametrize("name", ["hq", "factory"])
def test_a_node_that_ended_by_itself_is_named_and_the_rest_is_gone(name: str) -> None:
    """No advice for a directory that the demo has just deleted."""
    directories: list[Path] = []

    def kill() -> None:
        directories.append(contexts.find(name))
        pid = listener_pid(place_of(directories[0], None).socket)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert wait_gone(pid, 10)

    code, seen = live_until_q(kill)
    end = seen[seen.rindex(b"error: ") :].decode()
    assert code == 1
    assert f"{name} of the demo ended by itself [demo.node-ended]" in end
    assert "everything else is stopped and removed" in end
    assert "arqon-demo" not in end
    assert not directories[0].parent.exists()
    assert left_behind(str(directories[0].parent)) == []
