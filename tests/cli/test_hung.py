"""A node whose process takes calls and answers none: who it is, and what lets it go on or ends it."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from arqonmesh.api import client
from arqonmesh.api.client import NodeClient
from arqonmesh.api.socket_file import beside, clear_the_way
from arqonmesh.errors import CATALOGUE, UsageError
from arqonmesh_cli import connect, events, node, processes
from arqonmesh_cli.processes import listener_pid
from arqonmesh_cli.where import place_of
from tests.cli.conftest import Arqon

ASKING = (("node", "status"), ("node", "stop"), ("peer", "ls"), ("mesh", "status"), ("mesh", "events"))
CALLS_MAX = 100
"""More than the process below has room for."""
LISTENS = """
import socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.bind(sys.argv[1])
    server.listen(8)
    print("ready", flush=True)
    sys.stdin.read()
"""
"""Serves a socket as a node does that is caught in a loop: the kernel takes the connections, and nobody reads them."""


@dataclass(frozen=True)
class Stuck:
    data_dir: Path
    process: subprocess.Popen[bytes]

    @property
    def at(self) -> tuple[str, str]:
        return ("--data-dir", str(self.data_dir))

    @property
    def path(self) -> Path:
        return place_of(self.data_dir, None).socket

    def stop(self) -> None:
        """As `kill -STOP` does; on return it is held."""
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)


@contextmanager
def hung() -> Iterator[Stuck]:
    with tempfile.TemporaryDirectory(prefix="arqon-") as directory:
        path = place_of(Path(directory), None).socket
        command = [sys.executable, "-S", "-c", LISTENS, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            yield Stuck(Path(directory), process)
            process.kill()


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    with hung() as process:
        yield process


def test_who_never_was_connected_is_not_told_that_no_message_came(arqon: Arqon, stuck: Stuck) -> None:
    """With --count or without: the time was up before anything could be heard, whatever the rules let through."""
    for more in ((), ("--count", "1")):
        error = arqon("sub", "a:b", "--timeout", "300ms", *more, *stuck.at, "--json").json["error"]
        assert (error["code"], "not connected within 300ms" in error["message"]) == ("bus.timeout", True)
        assert error["hint"] == f"arqon node status --data-dir {stuck.data_dir}"


@pytest.mark.parametrize(
    "words", [*ASKING, ("pub", "a:b", "x"), ("sub", "a:b"), ("sub", "a:b", "--timeout", "1s"), ("tail", "--reconnect")]
)
def test_a_stopped_process_is_named_with_what_lets_it_go_on_or_ends_it(
    words: tuple[str, ...], arqon: Arqon, stuck: Stuck
) -> None:
    """Exit code 6; no verb's hint is a verb that the same process leaves without an answer."""
    stuck.stop()
    done, pid = arqon(*words, *stuck.at, "--json"), stuck.process.pid
    error = done.json["error"]
    assert (done.code, error["code"]) == (6, "api.deadline") and "kill -CONT PID" in CATALOGUE["api.deadline"][1]
    assert f"process {pid}, the node in {stuck.data_dir}, is stopped" in error["message"]
    for command in (f"kill -CONT {pid}", f"kill -9 {pid}", f"ps -o stat= -p {pid}"):
        assert command in error["hint"]
    assert "arqon" not in error["hint"]


@contextmanager
def full(path: Path) -> Iterator[None]:
    """Called so often that its queue takes no more."""
    with ExitStack() as callers:
        for _ in range(CALLS_MAX):
            caller = callers.enter_context(socket.socket(socket.AF_UNIX))
            caller.setblocking(False)
            if caller.connect_ex(str(path)) == errno.EAGAIN:
                break
        else:
            pytest.fail(f"{CALLS_MAX} calls fit")
        yield


@pytest.fixture
def crowded(stuck: Stuck) -> Iterator[Stuck]:
    """Stopped, and its queue is full."""
    stuck.stop()
    with full(stuck.path):
        yield stuck


@pytest.mark.parametrize("words", ASKING)
def test_a_stopped_process_whose_queue_is_full_is_no_process_that_does_not_run(
    words: tuple[str, ...], arqon: Arqon, crowded: Stuck
) -> None:
    """It is named as any that is stopped, though nothing can be asked of it any more."""
    done, pid = arqon(*words, *crowded.at, "--json"), crowded.process.pid
    error = done.json["error"]
    assert (done.code, error["code"]) == (6, "api.deadline")
    assert f"process {pid}, the node in {crowded.data_dir}, is stopped" in error["message"]
    assert f"kill -CONT {pid}" in error["hint"]


def test_a_stopped_process_whose_queue_is_full_is_ended_by_force(arqon: Arqon, crowded: Stuck) -> None:
    """Its time is an hour here."""
    done = arqon("node", "stop", "--force", "--timeout", "1h", *crowded.at, "--json").json["data"]
    assert (done["pid"], done["killed"]) == (crowded.process.pid, True)
    assert crowded.process.wait(10) == -signal.SIGKILL


def test_of_two_nodes_whose_queues_are_full_each_is_found_as_its_own_process() -> None:
    """Every node's socket has the same name, and whoever is found may be killed."""
    with hung() as one, hung() as other, full(one.path), full(other.path):
        assert one.path.name == other.path.name
        assert [listener_pid(stuck.path) for stuck in (one, other)] == [one.process.pid, other.process.pid]


def test_who_was_called_before_and_is_full_now_is_found_by_the_name_that_its_server_was_bound_by(stuck: Stuck) -> None:
    """The kernel keeps that name when the file is renamed; a file of that name, somebody's socket, is none of it."""
    with tempfile.TemporaryDirectory(prefix="arqon-") as directory:
        first = Path(directory) / beside(stuck.path).name
        command = [sys.executable, "-S", "-c", LISTENS, str(first)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            path = first.rename(Path(directory) / stuck.path.name)
            with full(path), full(stuck.path):
                assert [listener_pid(path), listener_pid(stuck.path)] == [process.pid, stuck.process.pid]
            process.kill()


def test_who_holds_a_connection_of_a_full_socket_does_not_listen_on_it(tmp_path: Path) -> None:
    """Connections have their listener's name in the kernel's list; a caller of the process is not the process."""
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as caller:
        server.bind(str(path))
        server.listen(1)
        caller.connect(str(path))
        taken, _ = server.accept()
        with (
            taken,
            subprocess.Popen(
                [sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[server.fileno()]
            ) as process,
            full(path),
        ):
            server.close()
            assert listener_pid(path) == process.pid
            process.kill()


def bound(name: bytes) -> socket.socket:
    """A socket of this name that is no file (unix(7), abstract): anybody may give any."""
    named = socket.socket(socket.AF_UNIX)
    named.bind(b"\0" + name)
    return named


@pytest.mark.parametrize("name", [b"\xff\xfe", b"first line\nsecond", b"\nshort", b"\x85\x0c"])
def test_what_others_call_their_sockets_is_no_reason_not_to_find_a_process(name: bytes, stuck: Stuck) -> None:
    """The kernel lists every name as it is, whatever its bytes: every command for a full node failed on them."""
    with bound(name + b" %d" % os.getpid()), full(stuck.path):
        assert listener_pid(stuck.path) == stuck.process.pid


def test_who_is_named_by_a_line_that_another_put_into_the_list_is_not_found(stuck: Stuck) -> None:
    """It would be killed. A name with a line break makes a line of its own; nobody knows then which line is true."""
    with hung() as victim, full(stuck.path):
        held = [os.readlink(file) for file in Path(f"/proc/{victim.process.pid}/fd").iterdir()]
        (inode,) = [int(name[8:-1]) for name in held if name.startswith("socket:[")]
        with bound(b"\n0: 00000002 00000000 00010000 0001 01 %d %s" % (inode, os.fsencode(stuck.path))):
            assert listener_pid(stuck.path) is None
        assert listener_pid(stuck.path) == stuck.process.pid


def test_a_full_node_that_is_not_to_be_seen_from_here_runs_all_the_same(
    arqon: Arqon, crowded: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another network namespace the kernel's list has other sockets: nobody can say who it is, but not that there is
    nothing to stop."""
    monkeypatch.setattr(processes, "SOCKETS", Path("/dev/null"))
    done = arqon("node", "stop", "--force", *crowded.at, "--json")
    error = done.json["error"]
    assert (done.code, error["code"]) == (6, "api.deadline")
    assert f"the node at {crowded.path} takes no calls" in error["message"]
    assert error["hint"].startswith("arqon node logs") and crowded.process.poll() is None


def test_a_process_that_runs_with_a_full_queue_did_not_take_the_call(arqon: Arqon, stuck: Stuck) -> None:
    """It is called again for a while, and then told as what it is."""
    with full(stuck.path):
        done = arqon("node", "status", *stuck.at, "--json")
    said = f"process {stuck.process.pid}, the node in {stuck.data_dir}, takes no calls, and its queue of them is full"
    assert done.code == 6 and said in done.json["error"]["message"]


def test_the_socket_of_a_process_whose_queue_is_full_is_nobody_elses_to_take(crowded: Stuck) -> None:
    """Were it removed, its process could not be reached any more once it goes on."""
    path = crowded.path
    with pytest.raises(UsageError) as refused:
        clear_the_way(path)
    assert refused.value.code == "api.already-running" and path.is_socket()


def test_a_process_that_runs_and_does_not_answer_is_named_with_its_log(
    arqon: Arqon, stuck: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for to the end; the hint names its data directory."""
    monkeypatch.setattr(NodeClient._call, "__defaults__", (0.2,))
    error, pid = arqon("node", "status", *stuck.at, "--json").json["error"], stuck.process.pid
    assert error["code"] == "api.deadline" and f"process {pid}, the node in {stuck.data_dir}, took" in error["message"]
    assert error["hint"].startswith(f"arqon node logs --data-dir {stuck.data_dir}    # ps -o stat= -p {pid} ")


@pytest.mark.parametrize("follow", [(), ("--follow",)])
def test_a_process_that_does_not_tell_its_events_is_not_said_to_remember_none(
    follow: tuple[str, ...], arqon: Arqon, stuck: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every node remembers one at least: silence is no answer, and nobody waits for it for ever."""
    monkeypatch.setattr(events, "FIRST_S", 0.2)
    done = arqon("mesh", "events", *follow, *stuck.at, "--json")
    assert (done.code, done.json["error"]["code"], done.err) == (6, "api.deadline", "")
    assert f"process {stuck.process.pid}, the node in {stuck.data_dir}, took the call" in done.json["error"]["message"]


def test_who_waits_for_the_first_event_is_told_for_whom(
    arqon: Arqon, stuck: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a node that says nothing, by its process."""
    told: list[str] = []
    monkeypatch.setattr(connect, "tell_terminal", told.append)
    monkeypatch.setattr(connect, "SILENCE_S", 0.1)
    monkeypatch.setattr(events, "FIRST_S", 0.5)
    arqon("mesh", "events", "--follow", *stuck.at)
    assert told == [f"waiting for process {stuck.process.pid} in {stuck.data_dir} to answer"]


def test_events_are_waited_for_longer_than_a_full_queue_is_called_again() -> None:
    """Else the sentence of a queue that is full is never reached."""
    assert client.QUEUE_PATIENCE_S < events.FIRST_S == client.CALL_TIMEOUT_S


def test_a_stopped_process_is_ended_by_force_without_waiting_for_what_it_cannot_do(arqon: Arqon, stuck: Stuck) -> None:
    """Its time is an hour here."""
    stuck.stop()
    done = arqon("node", "stop", "--force", "--timeout", "1h", *stuck.at, "--json").json["data"]
    assert (done["pid"], done["killed"]) == (stuck.process.pid, True)
    assert stuck.process.wait(10) == -signal.SIGKILL


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_process_that_does_not_answer_is_told_to_stop_no_longer_than_the_operator_waits(
    force: tuple[str, ...], arqon: Arqon, stuck: Stuck
) -> None:
    """But two seconds at least, in which a busy one takes the call. It took the whole time of a call."""
    begun = time.monotonic()
    done = arqon("node", "stop", *force, "--timeout", "100ms", *stuck.at, "--json")
    assert time.monotonic() - begun < client.CALL_TIMEOUT_S
    assert done.json["data"]["killed"] if force else done.json["error"]["code"] == "api.deadline"


def test_a_process_that_ended_just_before_it_was_killed_was_not_killed(
    arqon: Arqon, stuck: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that it is not there any more is no error."""

    handle = os.pidfd_open(stuck.process.pid)

    def too_late(pid: int, number: int) -> None:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        stuck.process.wait()
        raise ProcessLookupError

    stuck.stop()
    with monkeypatch.context() as patched:
        patched.setattr(os, "kill", too_late)
        done = arqon("node", "stop", "--force", *stuck.at, "--json")
    os.close(handle)
    assert (done.code, done.json["data"]["killed"]) == (0, False)


def test_a_process_that_was_killed_and_is_still_there_is_said_to_be(
    arqon: Arqon, stuck: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that waits for a disk is: its ports are not free yet, and its files not closed."""
    stuck.stop()
    monkeypatch.setattr(node, "KILLED_S", 0.1)
    with monkeypatch.context() as patched:
        patched.setattr(os, "kill", lambda pid, number: None)
        error = arqon("node", "stop", "--force", *stuck.at, "--json").json["error"]
    assert error["code"] == "cli.stop-timeout"
    assert f"node {stuck.process.pid} was killed and has not ended yet" in error["message"]
