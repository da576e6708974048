"""The verbs that ask a node, against a control side with fixed answers on a real socket."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from arqonmesh.api.mesh_views import MeshEvent
from arqonmesh.api.node_views import NodeStatus
from arqonmesh.api.probe import Listener
from arqonmesh.errors import ArqonError, Denied, NotFound, NotRunning, PeerError, TimedOut, UsageError
from arqonmesh_cli import connect, events, processes
from arqonmesh_cli import node as node_verbs
from arqonmesh_cli.node import _addresses
from tests.api.fake import FACTORY, HQ, banned, mesh_status
from tests.cli.conftest import Arqon, Served

ASKING = (
    ["node", "status"],
    ["mesh", "seed", "acme"],
    ["mesh", "join", "arqon1-ticket"],
    ["mesh", "join", "--address", "10.0.0.1:9130", "--key", "k"],
    ["mesh", "status"],
    ["status"],
    ["mesh", "regions"],
    ["mesh", "leave"],
    ["mesh", "event", "deploy", "v1"],
    ["invite", "new", "--cluster", "factory"],
    ["invite", "ls"],
    ["invite", "revoke", "01JB0000000000000000000001"],
    ["link", "add", "quic://10.9.9.9:9130"],
    ["link", "rm", "10.9.9.9:9130"],
    ["link", "ls"],
    ["peer", "ls"],
    ["peer", "show", "fac"],
    ["peer", "ban", "fac"],
    ["peer", "forgive", "fac"],
    ["mesh", "matrix"],
    ["mesh", "route", "store"],
    ["certs", "show"],
    ["certs", "rotate"],
    ["policy", "show"],
    ["policy", "explain", "acme|plant:press", "--to", "factory"],
)
ids = [" ".join(words[:2]) + ("-address" if "--address" in words else "") for words in ASKING]


@pytest.mark.parametrize("words", ASKING, ids=ids)
def test_a_verb_answers_people_and_scripts(words: list[str], arqon: Arqon, served: Served) -> None:
    """Text without --json, {"v":1,"ok":true,"data":...} with it; exit code 0."""
    done = arqon(*words, *served.at)
    assert (done.code, done.err) == (0, "")
    assert done.out.strip()
    assert "\x1b" not in done.out
    answer = arqon(*words, *served.at, "--json")
    assert answer.code == 0
    assert set(answer.json) == {"v", "ok", "data"}
    assert (answer.json["v"], answer.json["ok"]) == (1, True)


def test_status_says_who_is_banned_and_what_helps(arqon: Arqon, served: Served) -> None:
    """Read-only by ignoring is no partition: by whom, when, why, and the command that undoes it."""
    served.node.status = banned()
    done = arqon("status", *served.at)
    assert done.code == 7
    assert (
        "1 of 3 members count (2 ignored), 2 required (crash), read-only because of whom this node ignores" in done.out
    )
    assert "not counted: factory/facaaaaa, banned on this node 2026-01-01" in done.out
    assert f"arqon peer forgive facaaaaa --data-dir {served.at[1]}" in done.out
    assert "● alive, banned" in done.out and "partitioned" not in done.out


def test_a_banned_member_that_is_dead_is_missing_first_of_all(arqon: Arqon, served: Served) -> None:
    """To forgive it would not bring it back: it is missing since, and banned besides, and does not count as ignored."""
    status = banned()
    nodes = tuple(msgspec.structs.replace(node, state="dead") if node.id == FACTORY else node for node in status.nodes)
    served.node.status = msgspec.structs.replace(status, nodes=nodes)
    out = arqon("status", *served.at).out
    assert "1 of 3 members count (1 ignored), 2 required" in out
    assert "missing factory/facaaaaa since 1970-01-01" in out
    assert ", and banned on this node 2026-01-01" in out
    assert "not counted: factory/" not in out and "arqon peer forgive facaaaaa" not in out
    assert "not counted: store/" in out and "arqon peer forgive stoaaaaa" in out


@pytest.mark.parametrize("words", [*ASKING, ["node", "stop"], ["pub", "a:b", "x"], ["sub", "a:b"], ["tail"]])
def test_without_a_node_the_exit_code_is_3_and_the_hint_starts_one(
    words: list[str], arqon: Arqon, tmp_path: Path
) -> None:
    """Three lines for people, JSON for scripts; the hint carries the data directory that was meant."""
    at = ("--data-dir", str(tmp_path))
    (tmp_path / "arqon.yaml").write_text("node: {cluster: hq}\n")
    done = arqon(*words, *at)
    assert done.code == 3
    assert done.out == ""
    lines = done.err.splitlines()
    assert len(lines) == 3
    assert lines[0].endswith("[api.not-running]")
    assert lines[2] == f"try:   arqon node start --data-dir {tmp_path}"
    answer = arqon(*words, *at, "--json")
    assert answer.code == 3
    assert answer.json["error"]["code"] == "api.not-running"
    assert answer.json["error"]["hint"] == f"arqon node start --data-dir {tmp_path}"


def test_where_no_node_was_made_the_hint_makes_one(arqon: Arqon, tmp_path: Path) -> None:
    """Starting would only fail next."""
    done = arqon("mesh", "status", "--data-dir", str(tmp_path / "absent"), "--json")
    assert done.code == 3
    assert done.json["error"]["hint"] == f"arqon init --cluster NAME --data-dir {tmp_path}/absent"


@pytest.mark.parametrize(("kind", "code"), [(ArqonError, 1), (Denied, 4), (NotFound, 5), (TimedOut, 6), (PeerError, 1)])
def test_the_node_s_error_decides_the_exit_code(
    kind: type[ArqonError], code: int, arqon: Arqon, served: Served
) -> None:
    """0 ok, 1 failed, 2 usage, 3 node not running, 4 denied, 5 not found, 6 timeout, 7 degraded."""
    served.node.failure = kind("room.reason", "saw this; that is needed", hint="arqon do that")
    hint = f"arqon do that --data-dir {served.data_dir}"
    done = arqon("peer", "ls", *served.at)
    assert done.code == code
    assert done.err.splitlines() == ["error: saw this [room.reason]", "       that is needed", f"try:   {hint}"]
    answer = arqon("peer", "ls", *served.at, "--json")
    assert answer.code == code
    assert answer.json == {
        "v": 1,
        "ok": False,
        "error": {"code": "room.reason", "message": "saw this; that is needed", "hint": hint},
    }


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("arqon mesh leave", "arqon mesh leave{}"),
        ("arqon mesh seed NAME, or arqon mesh join TICKET", "arqon mesh seed NAME{}, or arqon mesh join TICKET{}"),
        ("arqon invite new --cluster a (on a member)", "arqon invite new --cluster a (on a member)"),
        ("arqon explain bus.open", "arqon explain bus.open"),
        ("arqon node start --data-dir /x", "arqon node start --data-dir /x"),
        ("set node.cluster: a, or arqon init elsewhere", "set node.cluster: a, or arqon init elsewhere"),
    ],
)
def test_a_hint_of_the_node_means_the_node_that_was_asked(told: str, shown: str, arqon: Arqon, served: Served) -> None:
    """Commands carry its data directory, where it is not the one meant anyway; what is no command stays."""
    served.node.failure = Denied("room.reason", "saw this; that is needed", hint=told)
    error = arqon("peer", "ls", *served.at, "--json").json["error"]
    assert error["hint"] == shown.replace("{}", f" --data-dir {served.data_dir}")


def test_mesh_status_has_the_promised_fields(arqon: Arqon, served: Served) -> None:
    """The form is in the documentation; scripts rely on it."""
    data = arqon("mesh", "status", *served.at, "--json").json["data"]
    assert {"name", "id", "health"} <= set(data["mesh"])
    assert data["self"] == HQ
    assert {"id", "cluster", "role", "region", "state"} <= set(data["nodes"][0])
    assert {"a", "b", "state", "transport", "rtt_ms"} <= set(data["links"][0])
    assert {"state", "reachable", "required", "preset"} <= set(data["partition"])


def test_a_mesh_that_is_not_healthy_is_exit_code_7_with_its_data(arqon: Arqon, served: Served) -> None:
    """A script can branch on the code alone and still gets the whole answer."""
    served.node.status = mesh_status(state="critical", cut=True)
    done = arqon("mesh", "status", *served.at)
    assert done.code == 7
    assert "critical" in done.out
    answer = arqon("mesh", "status", *served.at, "--json")
    assert answer.code == 7
    assert answer.json["ok"] is True
    assert answer.json["data"]["partition"]["state"] == "critical"


def test_a_table_in_a_pipe_is_never_wrapped_or_cut(arqon: Arqon, served: Served) -> None:
    """Lines are for grep and awk: one thing, one line, whole."""
    lines = arqon("link", "ls", *served.at).out.splitlines()
    assert len(lines) == 3
    assert all(line == line.rstrip() for line in lines)
    assert lines[2].count("no answer in 3 s") == 1, "said once, however long it is"
    assert lines[2].endswith("4, next in 1s")


def test_join_needs_a_ticket_or_an_address(arqon: Arqon, served: Served) -> None:
    """Neither and both are told apart from each other."""
    assert "neither" in arqon("mesh", "join", *served.at).err
    both = arqon("mesh", "join", "t", "--address", "h:1", *served.at, "--json")
    assert both.code == 2
    assert "both" in both.json["error"]["message"]


@pytest.mark.parametrize("way", [["arqon1-abc"], ["--address", "h:1", "--key", "k"]])
def test_a_join_ends_when_its_time_is_over(arqon: Arqon, served: Served, way: list[str]) -> None:
    """Also one that the node is still at."""
    served.node.join_stuck = True
    begun = time.monotonic()
    answer = arqon("mesh", "join", *way, "--timeout", "200ms", *served.at)
    assert "join.timeout" in answer.err
    assert time.monotonic() - begun < 5.0


def test_secrets_can_come_by_standard_input(arqon: Arqon, served: Served) -> None:
    """Tickets and keys stay out of the process list."""
    assert arqon("mesh", "join", "-", *served.at, stdin="arqon1-abc\n").code == 0
    assert arqon("mesh", "join", "--address", "h:1", "--key", "-", *served.at, stdin="key\n").code == 0
    assert ("join_ticket", ("arqon1-abc",)) in served.node.calls
    assert ("join_address", ("h:1", "key")) in served.node.calls


def test_a_seed_s_policy_and_key_reach_the_node(arqon: Arqon, served: Served) -> None:
    """key is the policy unless another is asked for; a key without a use is refused."""
    assert arqon("mesh", "seed", "acme", *served.at).code == 0
    assert arqon("mesh", "seed", "acme", "--policy", "open", *served.at).code == 0
    assert served.node.calls == [("seed", ("acme", "key", "")), ("seed", ("acme", "open", ""))]
    assert arqon("mesh", "seed", "acme", "--policy", "open", "--key", "k", *served.at).code == 2


def test_an_invite_s_terms_reach_the_node(arqon: Arqon, served: Served) -> None:
    """Time spans are written as people write them."""
    done = arqon("invite", "new", "--cluster", "factory", "--expires", "1h30m", "--uses", "3", *served.at)
    assert done.out == "arqon1-ticket\n"
    assert ("invite_new", ("factory", "spoke", 5_400.0, 3)) in served.node.calls
    assert arqon("invite", "new", "--cluster", "hq", *served.at).code == 0
    assert arqon("invite", "new", "--cluster", "hq", "--role", "spoke", *served.at).code == 0
    asked = [arguments[:2] for name, arguments in served.node.calls if name == "invite_new"]
    assert asked[-2:] == [("hq", "hub"), ("hq", "spoke")], "of its own cluster as `init` makes them, or as is said"
    assert arqon("invite", "new", "--cluster", "factory", "--expires", "soon", *served.at).code == 2
    assert arqon("invite", "new", "--cluster", "Bad Name", *served.at).code == 2


def test_events_of_which_there_are_none_are_said_to_be_none(arqon: Arqon, served: Served) -> None:
    """They are remembered since the start alone, which an empty screen does not say; other programs read events."""
    served.node.events = [MeshEvent(at_ms=1, kind="link", text="link up", fields={})]
    done = arqon("mesh", "events", *served.at)
    assert (done.code, done.out, done.err) == (0, "", "no events remembered since this node started\n")
    done = arqon("mesh", "events", *served.at, "--json")
    assert (done.code, done.out, done.err) == (0, "", "")
    served.node.events.append(MeshEvent(at_ms=1, kind="event", text="event deploy from hq/k3v7", fields={}))
    done = arqon("mesh", "events", *served.at)
    assert (done.out.endswith("event deploy from hq/k3v7\n"), done.err) == (True, "")


def event(number: int, at_ms: int) -> MeshEvent:
    return MeshEvent(at_ms=at_ms, kind="event", text=f"event {number} from hq/k3v7", fields={})


def test_who_follows_events_is_not_told_that_a_node_is_waited_for_which_has_answered(
    arqon: Arqon, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has answered with its first line, of whatever kind; then it is followed for as long as it takes."""
    told: list[str] = []

    async def quiet() -> AsyncIterator[MeshEvent]:
        yield MeshEvent(at_ms=1, kind="link", text="link up", fields={})
        await asyncio.sleep(connect.SILENCE_S + 0.5)
        yield event(1, 1)

    monkeypatch.setattr(connect, "tell_terminal", told.append)
    monkeypatch.setattr(served.node, "watch", quiet)
    done = arqon("mesh", "events", "--follow", *served.at)
    assert told == [] and done.out.endswith("event 1 from hq/k3v7\n")


def test_who_follows_events_is_told_when_the_node_tells_no_more(
    arqon: Arqon, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells the newest 32 watchers: the oldest ended as if it had seen all, or there had been none."""

    async def enough() -> AsyncIterator[MeshEvent]:
        yield MeshEvent(at_ms=1, kind="link", text="link up", fields={})

    monkeypatch.setattr(served.node, "watch", enough)
    done = arqon("mesh", "events", "--follow", *served.at, "--json")
    assert (done.code, done.json["error"]["code"], done.err) == (7, "cli.follow-ended", "")
    assert done.json["error"]["hint"] == f"arqon mesh events --follow --data-dir {served.data_dir}"


def test_events_of_a_node_that_is_never_quiet_have_an_end(
    arqon: Arqon, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is younger than the question is not what it remembers; but all that is older is told, however long that
    takes, and so is everything to who follows."""
    remembered, live = 3, 60

    async def busy() -> AsyncIterator[MeshEvent]:
        for number in range(remembered):
            yield event(number, 1)
        for number in range(live):
            await asyncio.sleep(0.02)
            yield event(remembered + number, time.time_ns() // 1_000_000 + 60_000)

    monkeypatch.setattr(served.node, "watch", busy)
    monkeypatch.setattr(events, "QUIET_S", 10.0)
    monkeypatch.setattr(events, "NEWS_S", -1.0)
    assert len(arqon("mesh", "events", *served.at).out.splitlines()) == remembered
    assert len(arqon("mesh", "events", "--follow", *served.at).out.splitlines()) == remembered + live
    monkeypatch.setattr(events, "NEWS_S", 60.0)
    assert len(arqon("mesh", "events", *served.at).out.splitlines()) == remembered + live


@pytest.mark.parametrize(
    ("words", "right"),
    [
        (("node", "stop", "--timeout"), "--timeout 20s"),
        (("node", "start", "--detach", "--timeout"), "--timeout 30s"),
        (("sub", "chat:lobby", "--timeout"), "--timeout 10s"),
        (("demo", "--for"), "--for 10s"),
        (("invite", "new", "--cluster", "hq", "--expires"), "--expires 1h"),
    ],
)
def test_a_span_that_is_none_is_answered_with_the_option_of_this_command(
    words: tuple[str, ...], right: str, arqon: Arqon, served: Served
) -> None:
    """Every command said `--expires 1h`, which most of them do not take."""
    at = () if words[0] == "demo" else served.at
    error = arqon(*words, "soon", *at, "--json").json["error"]
    assert (error["code"], error["hint"]) == ("cli.duration", right)


@pytest.mark.parametrize("address", ["quic://10.0.0.7:9130", "10.0.0.7:9130", "quic://10.0.0.7:9130/"])
def test_a_link_address_is_taken_with_and_without_its_scheme(address: str, arqon: Arqon, served: Served) -> None:
    """What `link ls` shows and what documents write are both typed back."""
    assert arqon("link", "add", address, *served.at).code == 0
    assert ("link_add", ("10.0.0.7:9130",)) in served.node.calls


@pytest.mark.parametrize(
    "address", ["ws://h:1", "h", "h:", ":1", "h:0", "h:65536", "h:x", "fd00::7:9130", "h:²", "a b:1", "[::1:80"]
)
def test_a_link_address_that_cannot_work_is_refused_here(address: str, arqon: Arqon, served: Served) -> None:
    """Before anything is asked of the node, with the form that would be right."""
    done = arqon("link", "add", address, *served.at, "--json")
    assert done.code == 2
    assert done.json["error"]["code"] == "cli.address"
    assert served.node.calls == []


@pytest.mark.parametrize("address", ["127.0.0.1:40001", "10.1.1.1:9130"])
def test_a_link_that_the_mesh_wants_too_is_said_to_stay(address: str, arqon: Arqon, served: Served) -> None:
    """It is told by where it leads and by where its member listens; the wish by hand is over all the same."""
    done = arqon("link", "rm", "10.9.9.9:9130", *served.at)
    assert done.out == "link to 10.9.9.9:9130 is no longer wanted\n"
    assert "peers" not in [name for name, _ in served.node.calls], "a node in no mesh has none, and its links end too"
    served.node.wished_by_mesh = address
    done = arqon("link", "rm", "127.0.0.1:40001", *served.at)
    assert f"the mesh wants it, so it stays: arqon link ls --data-dir {served.data_dir}\n" in done.out
    answer = arqon("link", "rm", "127.0.0.1:40001", *served.at, "--json").json["data"]
    assert answer == {"address": "127.0.0.1:40001", "removed": True, "wanted_by_mesh": True}


def test_an_ipv6_address_keeps_its_brackets(arqon: Arqon, served: Served) -> None:
    """[fd00::7]:9130"""
    assert arqon("link", "add", "quic://[fd00::7]:9130", *served.at).code == 0
    assert ("link_add", ("[fd00::7]:9130",)) in served.node.calls


def test_peer_show_finds_by_the_beginning_of_an_id(arqon: Arqon, served: Served) -> None:
    """Reputation comes with the cause of each change."""
    done = arqon("peer", "show", "fac", *served.at)
    assert FACTORY in done.out
    assert "bad-signature" in done.out
    assert arqon("peer", "show", "zzz", *served.at).code == 5


def test_stopping_waits_until_the_process_is_gone(arqon: Arqon, served: Served) -> None:
    """Here the process that serves the socket is this one, which does not end: exit code 6 and a hint with --force."""
    done = arqon("node", "stop", "--timeout", "200ms", *served.at, "--json")
    assert done.code == 6
    assert done.json["error"]["code"] == "cli.stop-timeout"
    assert "--force" in done.json["error"]["hint"]
    assert ("stop", ()) in served.node.calls


@pytest.fixture
def stranger(served: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has here the number which the node has in a PID namespace of its own."""
    known = asyncio.run(served.node.node_status())
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as process:

        async def elsewhere() -> NodeStatus:
            return msgspec.structs.replace(known, pid=process.pid)

        monkeypatch.setattr(served.node, "node_status", elsewhere)
        yield process
        process.kill()


def kernel_says(monkeypatch: pytest.MonkeyPatch, *found: tuple[Listener, int | None]) -> None:
    """What it answers when it is asked who listens, the last time and again; its list of sockets names nobody."""
    answers = list(found)
    monkeypatch.setattr(processes, "SOCKETS", Path("/dev/null"))
    monkeypatch.setattr(processes, "knock", lambda path: answers.pop(0) if len(answers) > 1 else answers[0])


@pytest.mark.parametrize("first", [(Listener.FULL, None), (Listener.TAKES_CALLS, 0)])
def test_a_node_s_own_word_is_not_enough_to_kill_the_process_of_that_number(
    first: tuple[Listener, int | None],
    arqon: Arqon,
    served: Served,
    stranger: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SO_PEERCRED has 0 for a process that is not to be seen here: nobody is killed, nor said to have ended."""
    kernel_says(monkeypatch, first, (Listener.TAKES_CALLS, 0))
    done = arqon("node", "stop", "--force", "--timeout", "200ms", *served.at, "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "cli.stop-unseen")
    assert stranger.poll() is None and ("stop", ()) not in served.node.calls


def test_a_node_that_was_full_is_asked_for_again_when_it_answers(
    arqon: Arqon, served: Served, stranger: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel names it then: it, and not the stranger, is told to stop and waited for."""
    kernel_says(monkeypatch, (Listener.FULL, None), (Listener.TAKES_CALLS, os.getpid()))
    done = arqon("node", "stop", "--timeout", "200ms", *served.at, "--json")
    assert done.json["error"]["code"] == "cli.stop-timeout"
    assert f"node {os.getpid()} has not ended" in done.json["error"]["message"]
    assert stranger.poll() is None and ("stop", ()) in served.node.calls


def test_who_has_the_number_of_a_node_that_has_ended_is_not_killed_for_it(
    arqon: Arqon, served: Served, stranger: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers are given again: which process it is says the time when it began."""
    assert processes.gone(stranger.pid, "0") and not processes.gone(stranger.pid, processes.began(stranger.pid))
    kernel_says(monkeypatch, (Listener.TAKES_CALLS, stranger.pid))
    monkeypatch.setattr(node_verbs, "began", lambda pid: "0")
    done = arqon("node", "stop", "--force", "--timeout", "200ms", *served.at, "--json").json["data"]
    assert (done["pid"], done["killed"], stranger.poll()) == (stranger.pid, False, None)


def test_a_node_that_ends_while_it_is_told_to_stop_has_ended(
    arqon: Arqon, served: Served, stranger: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an answer, such as one that another `node stop` reached first."""

    async def ends() -> None:
        stranger.kill()
        stranger.wait()
        raise NotRunning("api.not-running", "the node ends")

    kernel_says(monkeypatch, (Listener.TAKES_CALLS, stranger.pid))
    monkeypatch.setattr(served.node, "stop", ends)
    done = arqon("node", "stop", *served.at, "--json")
    assert (done.code, done.json["data"]["pid"], done.json["data"]["killed"]) == (0, stranger.pid, False)


@pytest.mark.parametrize("words", [("node", "status"), ("mesh", "status"), ("mesh", "regions")])
def test_what_a_node_in_no_mesh_is_told_to_do_names_that_node(
    words: tuple[str, str], arqon: Arqon, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command would make another node's mesh, or find none."""
    known = asyncio.run(served.node.node_status())
    served.node.status = msgspec.structs.replace(served.node.status, mesh=None)

    async def alone() -> NodeStatus:
        return msgspec.structs.replace(known, mesh="")

    monkeypatch.setattr(served.node, "node_status", alone)
    at = f"--data-dir {served.data_dir}"
    assert f"next: arqon mesh seed NAME {at}, or arqon mesh join TICKET {at}" in arqon(*words, *served.at).out


def test_a_new_link_is_told_with_the_commands_for_this_node(arqon: Arqon, served: Served) -> None:
    """Whether it stands, and how to take it back."""
    said = arqon("link", "add", "10.9.9.9:9130", *served.at).out
    assert said.endswith(f" --data-dir {served.data_dir}\n")


def test_force_ends_also_a_node_that_refuses_to_stop(
    arqon: Arqon, served: Served, stranger: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one of another version, which does not know the call."""
    kernel_says(monkeypatch, (Listener.TAKES_CALLS, stranger.pid))
    served.node.failure = UsageError("api.version", "the node does not know this call")
    stop = ("node", "stop", "--timeout", "200ms", *served.at, "--json")
    assert arqon(*stop).json["error"]["code"] == "api.version" and stranger.poll() is None
    assert arqon(*stop, "--force").json["data"]["killed"] and stranger.wait(10) == -signal.SIGKILL


def test_a_node_without_http_says_off(arqon: Arqon, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does of its telemetry, after a start and in its status; one with HTTP says where."""
    known = asyncio.run(served.node.node_status())
    assert f"{known.http}/status" in arqon("node", "status", *served.at).out

    async def without() -> NodeStatus:
        return msgspec.structs.replace(known, http="")

    monkeypatch.setattr(served.node, "node_status", without)
    lines = arqon("node", "status", *served.at).out.splitlines()
    assert [line.split() for line in lines if line.startswith("http")] == [["http", "off"]]
    assert ("http", "off") in _addresses(asyncio.run(without()), served.data_dir / "log")
