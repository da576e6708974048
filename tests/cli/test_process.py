"""One real node, started, used and ended from the command line."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.process

RUN = (sys.executable, "-m", "arqonmesh_cli")


@dataclass
class Node:
    data_dir: Path
    pid: int

    @property
    def at(self) -> tuple[str, str]:
        return ("--data-dir", str(self.data_dir))

    def run(self, *words: str, stdin: str = "", code: int = 0) -> str:
        done = subprocess.run(
            [*RUN, *words, *self.at], input=stdin, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def data(self, *words: str, **how: Any) -> Any:
        return json.loads(self.run(*words, "--json", **how))["data"]

    def open(self, *words: str, **how: Any) -> subprocess.Popen[str]:
        return subprocess.Popen([*RUN, *words, *self.at], stdout=subprocess.PIPE, text=True, **how)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with tempfile.TemporaryDirectory(prefix="arqon-") as directory:
        data_dir = Path(directory) / "hq"
        bus, http, quic = (f"127.0.0.1:{port}" for port in free_ports(3))
        node = Node(data_dir, 0)
        node.run("init", "--cluster", "hq", "--quic", quic, "--bus", bus, "--http", http, "--telemetry", "127.0.0.1:0")
        node.pid = node.data("node", "start", "--detach")["pid"]
        yield node
        subprocess.run([*RUN, "node", "stop", "--force", "--timeout", "5s", *node.at], timeout=60, check=False)


@contextmanager
def listening(node: Node, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A subscriber that has certainly joined: it was seen to receive. It does not outlive the block."""
    with node.open("sub", *words) as listener:
        assert listener.stdout is not None
        try:
            while not select.select([listener.stdout], [], [], 0.2)[0]:
                node.run("pub", words[0], '{"probe": true}')
            assert "probe" in listener.stdout.readline()
            yield listener
        finally:
            listener.kill()


def drained(listener: subprocess.Popen[str], until: str) -> list[str]:
    """Lines without probes, up to the one that contains `until`."""
    assert listener.stdout is not None
    lines = []
    for line in listener.stdout:
        if "probe" not in line:
            lines.append(line)
        if until in line:
            return lines
    raise AssertionError(lines)


def test_a_started_node_says_where_its_telemetry_is_or_that_the_port_is_taken() -> None:
    """A port that somebody else has is no reason not to run, and one to say so."""
    with tempfile.TemporaryDirectory(prefix="arqon-") as directory, socket.create_server(("127.0.0.1", 0)) as taken:
        node = Node(Path(directory) / "hq", 0)
        bus, http, quic = (f"127.0.0.1:{port}" for port in free_ports(3))
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        node.run("init", "--cluster", "hq", "--quic", quic, "--bus", bus, "--http", http, "--telemetry", where)
        try:
            said = node.run("node", "start", "--detach")
            assert f"warning: telemetry cannot listen on {where}" in said
            told = node.data("node", "status")
            assert (told["telemetry"], where in told["telemetry_failure"]) == ("", True)
        finally:
            subprocess.run([*RUN, "node", "stop", "--force", "--timeout", "5s", *node.at], timeout=60, check=False)


def test_who_waits_at_a_terminal_is_told_for_what(node: Node) -> None:
    """On standard error, so that standard output holds messages alone."""
    terminal, end = pty.openpty()
    listener = subprocess.Popen([*RUN, "sub", "a:quiet", *node.at], stdout=subprocess.PIPE, stderr=end)
    os.close(end)
    try:
        assert b"listening on a:quiet at ws://" in os.read(terminal, 4_096)
    finally:
        listener.send_signal(signal.SIGINT)
        out, _ = listener.communicate(timeout=30)
        os.close(terminal)
    assert (out, listener.returncode) == (b"", 0)


@pytest.mark.requirement("R-CF-2")
def test_a_running_node_reads_its_settings_again_by_command_and_by_signal(node: Node) -> None:
    """What it can take holds at once; what needs a restart is named; an invalid file changes nothing."""
    file = node.data_dir / "arqon.yaml"
    first = file.read_text()

    try:
        file.write_text(first.replace("#rate_per_s: 0", "rate_per_s: 7000", 1).replace("#misses: 3", "misses: 4", 1))
        told = node.data("config", "diff")
        assert {change["key"]: change["hot"] for change in told["changes"]} == {
            "bus.rate_per_s": True, "links.misses": False,
        }  # fmt: skip
        assert node.data("config", "reload")["restart"] == ["links.misses"]

        file.write_text("bus: {")
        node.run("config", "reload", code=2)
        os.kill(node.pid, signal.SIGHUP)
        until_logged(node, "settings not reloaded, nothing was changed")

        file.write_text(first)
        os.kill(node.pid, signal.SIGHUP)
        until_logged(node, "settings reloaded: bus.rate_per_s 7000 -> 0")
        assert node.data("config", "diff")["changes"] == []
    finally:
        file.write_text(first)


def until_logged(node: Node, text: str) -> None:
    """The log says so within ten seconds."""
    deadline = time.monotonic() + 10
    while text not in (node.data_dir / "node.log").read_text():
        assert time.monotonic() < deadline, text
        time.sleep(0.02)


def test_a_started_node_says_who_and_where_it_is(node: Node) -> None:
    """And a second start on the same directory is refused."""
    status = node.data("node", "status")
    assert status["pid"] == node.pid
    assert status["cluster"] == "hq"
    assert Path(status["data_dir"]) == node.data_dir
    refused = subprocess.run([*RUN, "node", "start", "--detach", *node.at, "--json"], capture_output=True, timeout=60)
    assert refused.returncode == 2
    assert json.loads(refused.stdout)["error"]["code"] == "api.already-running"


def test_each_line_of_standard_input_is_a_message_in_order(node: Node) -> None:
    """tail -f log | arqon pub logs:web -"""
    with listening(node, "logs:web", "--json") as listener:
        lines = [f"line {n} ünïcode" for n in range(500)] + ['{"already": "json"}', "", "last"]
        assert node.data("pub", "logs:web", "-", stdin="\n".join(lines) + "\n") == {
            "channel": "logs:web",
            "published": 503,
        }
        frames = [json.loads(line) for line in drained(listener, '"last"')]
        listener.send_signal(signal.SIGINT)
        assert listener.wait(20) == 0
    assert all((frame["v"], frame["ok"]) == (1, True) for frame in frames)
    payloads = [frame["data"]["payload"] for frame in frames]
    assert payloads[:500] == [{"text": f"line {n} ünïcode"} for n in range(500)]
    assert payloads[500:] == [{"already": "json"}, {"text": ""}, {"text": "last"}]


def test_a_line_too_long_for_a_message_is_refused_and_not_kept_in_memory(node: Node) -> None:
    """A megabyte without an end of line: exit code 2, nothing but the error."""
    done = subprocess.run(
        [*RUN, "pub", "logs:web", "-", "--json", *node.at],
        input=b"x" * (1 << 20),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "cli.line-too-long"


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (b"x" * 262_100, "cli.line-too-long", ("line 3", "bytes; bus.frame_bytes_max at ws://", "is 262144")),
        (b"\xe9t\xe9", "cli.not-text", ("line 3", "byte 0xe9 at 1")),
    ],
    ids=["too long", "no text"],
)
def test_a_line_that_no_message_can_carry_is_named_by_its_number(
    node: Node, line: bytes, code: str, said: tuple[str, ...]
) -> None:
    """Nothing of it is sent, neither with other characters in the place of its own; what came before it is."""
    with listening(node, "logs:lines", "--json") as listener:
        done = subprocess.run(
            [*RUN, "pub", "logs:lines", "-", "--json", *node.at],
            input=b"one\ntwo\n" + line + b"\nfour\n",
            capture_output=True,
            timeout=60,
            check=False,
        )
        error = json.loads(done.stdout)["error"]
        assert (done.returncode, error["code"]) == (2, code)
        for part in (*said, "the 2 before it were sent"):
            assert part in error["message"]
        node.run("pub", "logs:lines", "end")
        texts = [json.loads(line)["data"]["payload"]["text"] for line in drained(listener, '"end"')]
        assert texts == ["one", "two", "end"]
        listener.send_signal(signal.SIGINT)
        assert listener.wait(20) == 0


def test_an_argument_that_is_no_text_is_not_published_as_another(node: Node) -> None:
    """As any other argument: exit code 2."""
    done = subprocess.run(
        [*RUN, "pub", "a:b", b"\xff", "--json", *node.at], capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (2, "cli.not-text")


def test_sub_ends_when_its_time_is_up_and_fails_only_where_more_was_asked_for(node: Node) -> None:
    """--timeout alone is an end like another; with --count, too few are an error."""
    assert node.run("sub", "a:nobody", "--timeout", "3s") == ""
    assert "cli.sub-timeout" in node.run("sub", "a:nobody", "--timeout", "3s", "--count", "1", "--json", code=6)


def test_a_name_that_is_none_in_the_mesh_s_room_is_refused_with_the_one_that_is(node: Node) -> None:
    """Who misspelt it would wait for what never comes."""
    error = json.loads(node.run("sub", "$mesh:bogus", "--json", code=5))["error"]
    assert (error["code"], error["hint"]) == ("bus.no-such-channel", "arqon sub '$mesh:state'")


def test_who_listens_with_reconnect_is_told_that_the_node_went_and_that_it_is_back() -> None:
    """One line each on a terminal; and what was published meanwhile in a channel that the pattern had never heard."""
    with tempfile.TemporaryDirectory(prefix="arqon-") as directory:
        node = Node(Path(directory) / "hq", 0)
        bus, http, quic = (f"127.0.0.1:{port}" for port in free_ports(3))
        node.run("init", "--cluster", "hq", "--quic", quic, "--bus", bus, "--http", http, "--telemetry", "127.0.0.1:0")
        node.run("node", "start", "--detach")
        terminal, end = pty.openpty()
        listener = node.open("sub", "a:*", "--reconnect", "--count", "1", stderr=end)
        os.close(end)
        said = b""

        def until_said(text: bytes) -> None:
            nonlocal said
            while text not in said:
                said += os.read(terminal, 4_096)

        try:
            until_said(b"listening on a:*")
            node.run("node", "stop", "--timeout", "20s")
            until_said(f"ws://{bus} is gone; waiting for it to come back".encode())
            node.run("node", "start", "--detach")
            node.run("pub", "a:new", "hello")
            assert listener.stdout is not None and "hello" in listener.stdout.readline()
            until_said(f"ws://{bus} is back after ".encode())
            assert listener.wait(20) == 0
            assert b"gap on" not in said
        finally:
            listener.kill()
            listener.communicate()
            os.close(terminal)
            subprocess.run([*RUN, "node", "stop", "--force", "--timeout", "5s", *node.at], timeout=60, check=False)


def test_a_refusal_of_the_bus_is_the_command_s_error(node: Node) -> None:
    """Publishing is not confirmed message by message; a refused one is told all the same."""
    done = subprocess.run(
        [*RUN, "pub", "no channel at all", "x", "--json", *node.at], capture_output=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert json.loads(done.stdout)["error"]["code"].startswith("bus.")


def test_sub_ends_after_its_count_and_with_its_reader(node: Node) -> None:
    """--count, and `| head -1`; neither is a failure."""
    with listening(node, "a:b", "--count", "2") as listener:
        node.run("pub", "a:b", "x")
        assert listener.wait(20) == 0
    with listening(node, "c:d") as listener:
        assert listener.stdout is not None
        listener.stdout.close()
        node.run("pub", "c:d", "x")
        node.run("pub", "c:d", "y")
        assert listener.wait(20) == 0


def test_tail_hears_every_channel(node: Node) -> None:
    """R-CL-2: the verb that ArqonBus users know."""
    with node.open("tail", "--count", "1") as listener:
        while listener.poll() is None:
            node.run("pub", "some:where", "anything")
        assert listener.stdout is not None
        assert "some:where" in listener.stdout.read()


def test_a_mesh_is_seeded_and_seen(node: Node) -> None:
    """Status before and after; tickets come and go."""
    assert node.data("mesh", "status")["mesh"] is None
    mesh = node.data("mesh", "seed", "acme")
    seen = node.data("mesh", "status")
    assert seen["mesh"]["id"] == mesh["id"]
    assert [member["id"] for member in seen["nodes"]] == [seen["self"]]
    made = node.data("invite", "new", "--cluster", "factory")
    assert made["ticket"].startswith("arqon1")
    assert [invite["ticket_id"] for invite in node.data("invite", "ls")["invites"]] == [made["invite"]["ticket_id"]]
    assert node.data("invite", "revoke", made["invite"]["ticket_id"])["revoked"] is True


def test_a_killed_node_is_noticed_and_starts_again_in_its_mesh(node: Node) -> None:
    """kill -9: exit code 3, then a start without a new seed; its log goes on in the same file."""
    before = node.data("mesh", "status")["mesh"]["id"]
    os.kill(node.pid, signal.SIGKILL)
    while subprocess.run(["kill", "-0", str(node.pid)], capture_output=True, check=False).returncode == 0:
        stat = Path(f"/proc/{node.pid}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            break
    node.run("node", "status", code=3)
    node.pid = node.data("node", "start", "--detach")["pid"]
    assert node.data("mesh", "status")["mesh"]["id"] == before
    assert node.run("node", "logs", "-n", "1").strip()


def test_a_node_in_the_foreground_drains_on_sigterm(node: Node) -> None:
    """Exit code 0, and the socket is gone; then --detach serves the others again."""
    node.run("node", "stop")
    with node.open("node", "start", "--json", stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["data"]["pid"] == process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert not (node.data_dir / "control.sock").exists()
    node.pid = node.data("node", "start", "--detach")["pid"]


def test_following_the_log_ends_with_ctrl_c_as_listening_does(node: Node) -> None:
    """Exit code 0: it is the way to end it."""
    with node.open("node", "logs", "-f") as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline()
        reader.send_signal(signal.SIGINT)
        assert reader.wait(20) == 0


def test_stop_returns_when_the_process_is_gone(node: Node) -> None:
    """Not when it has merely been asked."""
    stopped = node.data("node", "stop")
    assert stopped["pid"] == node.pid
    assert stopped["killed"] is False
    assert not Path(f"/proc/{node.pid}/cmdline").exists() or not Path(f"/proc/{node.pid}/cmdline").read_bytes()
