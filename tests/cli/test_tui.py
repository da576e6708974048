"""The live screen as text, at 80 x 24, fed by the real client over a real socket."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from arqonmesh.api.client import CALL_TIMEOUT_S, NodeClient
from arqonmesh.api.mesh_views import LinkView, MeshEvent, MeshStatus, MeshView, NodeView, PartitionView
from arqonmesh.api.server import ApiServer
from arqonmesh.errors import NotRunning
from arqonmesh_cli.tui import app as app_module
from arqonmesh_cli.tui.app import LiveMesh
from arqonmesh_cli.tui.capture import capture
from arqonmesh_cli.tui.page import page, show_rate, sparkline, text_of
from arqonmesh_cli.tui.state import State
from tests.api.fake import FakeNode, banned, mesh_status
from tests.cli.conftest import Served

SNAPSHOT = """\
mesh acme  01JB0000000000000000000000                             at hq hqaaaaaa
● healthy: 3 of 3 members reachable, 2 required (crash), writable
NODES  3 of 3 alive, 3 clusters
>● alive   hqaaaaaa * hq                hub     eu        10.0.0.1:9130
 ● alive   facaaaaa   factory           spoke   eu        -
 ● alive   stoaaaaa   store             spoke   us        -
LINKS  2 of 2 up                       RTT              LOSS       RATE  HELD
 ● up      hq - factory              1.2 ms         ██   0.0%   2.0 kB/s     0
 ● up      hq - store               41.5 ms         ██   2.0%    512 B/s     0
EVENTS
08:53:21 link        link to factory up
08:53:20 mesh        mesh acme seeded











? help   / filter   enter detail   esc back   space pause   q quit
"""


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.fixture
def socket_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="arqon-") as directory:
        yield Path(directory) / "control.sock"


@pytest_asyncio.fixture
async def node() -> FakeNode:
    return FakeNode()


@pytest_asyncio.fixture
async def client(node: FakeNode, socket_path: Path) -> AsyncIterator[NodeClient]:
    server = ApiServer(node, socket_path)
    await server.start()
    async with NodeClient(socket_path) as client:
        yield client
    await server.close(0)


async def test_the_whole_screen_at_80_by_24(client: NodeClient) -> None:
    """R-CL-1: nodes with role, region, state; links with RTT, loss, rate, backlog; quorum; events; keys."""
    assert await capture(client) == SNAPSHOT


async def test_a_partition_is_told_in_words_and_numbers(client: NodeClient, node: FakeNode) -> None:
    """State, reachable and required in the banner, the cut link first, the held messages beside it."""
    node.status = mesh_status(state="degraded", cut=True)
    lines = (await capture(client)).splitlines()
    assert lines[1] == "◐ degraded: 2 of 3 members reachable, 2 required (crash), writable"
    narrow = (await capture(client, width=60, height=20)).splitlines()
    assert narrow[1] == "◐ degraded, writable: 2 of 3 reachable, 2 required"
    assert any("◐ suspect stoaaaaa" in line for line in lines)
    first_link = lines[lines.index(next(line for line in lines if line.startswith("LINKS"))) + 1]
    assert first_link.split() == ["✖", "down", "hq", "-", "store", "-", "-", "-", "17"], "no figures of before"
    assert first_link.split()[-1] == "17"


async def test_a_ban_that_took_the_quorum_is_called_one(client: NodeClient, node: FakeNode) -> None:
    """Who is banned, by whom and why; nothing is called a partition. Of others' links the rate is not known."""
    node.status = banned()
    lines = (await capture(client)).splitlines()
    assert lines[1] == "✖ critical, READ-ONLY by ignoring: 1 of 3 count (2 ignored), 2 required"
    assert any("stoaaaaa" in line and "banned" in line for line in lines)
    assert lines[lines.index(next(line for line in lines if line.startswith("LINKS"))) + 2].split()[-2:] == ["-", "-"]
    detail = await capture(client, keys=("down", "enter"))
    assert "banned on this node 2026-01-01 00:00:00 +0000: floods us" in detail
    assert "arqon peer forgive facaaaaa" in detail


@pytest.mark.parametrize("width", [44, 60, 80, 140])
async def test_what_a_state_means_for_the_node_is_never_cut_off(client: NodeClient, node: FakeNode, width: int) -> None:
    """Of a long banner the least goes first; a line that goes on beyond the edge says so."""
    status = banned()
    quorum = status.partition
    assert quorum is not None
    node.status = msgspec.structs.replace(status, partition=msgspec.structs.replace(quorum, phase="partitioned"))
    lines = (await capture(client, width=width)).splitlines()
    assert "READ-ONLY by ignoring" in lines[1] and len(lines[1]) <= width
    assert ("2 required" in lines[1]) is (width >= 80) and lines[1].endswith("…") is (width < 80)


async def test_the_filter_narrows_every_list(client: NodeClient) -> None:
    """/ types, enter keeps, esc clears."""
    typed = await capture(client, looks=1, keys=("slash", "s", "t", "o"))
    assert "/sto▏" in typed
    assert "facaaaaa" not in typed
    assert "stoaaaaa" in typed
    assert "/sto   ? help" in await capture(client, looks=1, keys=("slash", "s", "t", "o", "enter"))
    heads = [line[:32].rstrip() for line in typed.splitlines() if line.startswith(("NODES", "LINKS"))]
    assert heads == ["NODES  3 of 3 alive, 3 clusters;", "LINKS  2 of 2 up, 1 shown"], "the mesh is what it was"
    assert "; 1 of 3 shown" in typed
    for keys in (("slash", "s", "escape"), ("slash", "s", "enter", "escape")):
        cleared = await capture(client, looks=1, keys=keys)
        assert "facaaaaa" in cleared
        assert cleared.splitlines()[-1].startswith("? help")


async def test_enter_shows_details_and_esc_comes_back(client: NodeClient) -> None:
    """Reputation and its causes for a peer, the process for this node, the dialling state for a link."""
    assert "bad-signature" in await capture(client, looks=1, keys=("down", "enter"))
    assert "version 0.1.0, up 1m 1s" in await capture(client, looks=1, keys=("enter",))
    here = await capture(client, looks=1, keys=("enter",))
    assert ("held" in here, "delivered" in here, "already in use" in here) == (False, True, True), "no zeros"
    assert "asked by" in await capture(client, looks=1, keys=("down", "down", "down", "enter"))
    assert (await capture(client, looks=1, keys=("enter", "escape"))).splitlines()[2] == SNAPSHOT.splitlines()[2]


async def test_the_detail_page_follows_what_changes_and_pauses_with_the_screen(
    client: NodeClient, node: FakeNode
) -> None:
    """It asks again with every look."""
    app = LiveMesh(client)

    async def looks(count: int) -> None:
        before = app.looks
        while app.looks < before + count:
            await pilot.pause(0.01)

    async with app.run_test(size=(80, 24)) as pilot:
        await looks(1)
        await pilot.press("down", "enter")
        await looks(2)
        assert "score" in app.text()
        asked = len([call for call in node.calls if call[0] == "peer"])
        await looks(2)
        assert len([call for call in node.calls if call[0] == "peer"]) >= asked + 2
        await pilot.press("space")
        await looks(1)
        asked = len([call for call in node.calls if call[0] == "peer"])
        await looks(2)
        assert len([call for call in node.calls if call[0] == "peer"]) == asked


async def test_the_help_page_explains_keys_and_signs(client: NodeClient) -> None:
    """Dense output has a legend."""
    text = await capture(client, looks=1, keys=("question_mark",))
    for word in ("enter", "space", "RTT", "HELD", "reachable"):
        assert word in text
    assert max(len(line) for line in text.splitlines()) <= 80


async def test_space_holds_the_screen_still(client: NodeClient, node: FakeNode) -> None:
    """What is being read must not move away."""
    app = LiveMesh(client)
    async with app.run_test(size=(80, 24)) as pilot:
        while app.looks < 1:
            await pilot.pause(0.01)
        await pilot.press("space")
        node.status = mesh_status(state="critical", cut=True)
        before = app.looks
        while app.looks < before + 2:
            await pilot.pause(0.01)
        assert "PAUSED" in app.text()
        assert "critical" not in app.text()
        await pilot.press("space")
        before = app.looks
        while app.looks < before + 2:
            await pilot.pause(0.01)
        assert "critical" in app.text()


async def test_a_node_that_dies_is_said_to_be_silent_and_found_again(node: FakeNode, socket_path: Path) -> None:
    """The screen keeps what it knew, says that it is old, and keeps trying."""
    server = ApiServer(node, socket_path)
    await server.start()
    async with NodeClient(socket_path) as client:
        app = LiveMesh(client)
        async with app.run_test(size=(80, 24)) as pilot:
            while app.state.status is None:
                await pilot.pause(0.01)
            await server.close(0)
            while app.state.error is None:
                await pilot.pause(0.01)
            assert "✖ the node has not answered for" in app.text()
            assert "[api.not-running]" in app.text()
            assert "facaaaaa" in app.text()
            again = ApiServer(node, socket_path)
            await again.start()
            while app.state.error is not None:
                await pilot.pause(0.01)
            assert "has not answered" not in app.text()
        await again.close(0)


async def test_q_quits(client: NodeClient) -> None:
    """And the node goes on: the client sends nothing but questions."""
    app = LiveMesh(client)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("q")
    assert app.return_code == 0


async def test_before_seed_or_join_the_screen_says_what_to_do(client: NodeClient, node: FakeNode) -> None:
    """A fresh node is in no mesh."""
    node.status = MeshStatus(mesh=None, self_=node.status.self_, nodes=(), links=(), partition=None)
    text = await capture(client)
    assert "arqon mesh seed NAME" in text


def big_mesh(count: int, dead: int) -> MeshStatus:
    ids = [f"{i:02d}xyzabc".ljust(32, "a") for i in range(count)]
    return MeshStatus(
        mesh=MeshView(name="big", id="0" * 26, health="healthy"),
        self_=ids[0],
        nodes=tuple(
            NodeView(id=ids[i], cluster=f"site-{i}", role="spoke", region="eu", state="dead" if i == dead else "alive")
            for i in range(count)
        ),
        links=tuple(
            LinkView(a=ids[0], b=ids[i], state="down" if i == dead else "up", transport="quic", rtt_ms=1.0 * i)
            for i in range(1, count)
        ),
        partition=PartitionView(
            state="healthy", writable=True, reachable=count - 1, required=count // 2 + 1, members=count, preset="crash"
        ),
    )


@pytest.mark.parametrize("count", [1, 3, 9, 32, 200])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 10), (200, 60), (20, 3)])
def test_a_page_fits_its_screen_whatever_the_size(count: int, width: int, height: int) -> None:
    """Never a line too many or too long; the banner stays."""
    state = State()
    state.answered(big_mesh(count, dead=7))
    for cursor in (0, count, len(state.rows()) - 1):
        state.cursor = max(cursor, 0)
        text = text_of(page(state, width, height, 0.0))
        lines = text.splitlines()
        assert len(lines) == height
        assert max(len(line) for line in lines) <= width


def test_32_nodes_are_all_on_one_screen_and_trouble_comes_first() -> None:
    """The whole mesh, one screen."""
    state = State()
    state.answered(big_mesh(32, dead=7))
    text = text_of(page(state, 80, 24, 0.0))
    assert all(f"site-{i}" in text for i in range(32))
    assert "✖ site-7" in text.splitlines()[3]


@pytest.mark.parametrize("position", range(0, 62, 6))
def test_the_chosen_row_is_always_in_view(position: int) -> None:
    """Whatever the cursor stands on is marked on the screen."""
    state = State()
    state.answered(big_mesh(32, dead=7))
    state.cursor = position
    assert sum(line.count(">") for line in text_of(page(state, 80, 24, 0.0)).splitlines()) == 1


def test_events_are_kept_in_bounds_and_not_twice() -> None:
    """A stream that begins anew replays what was seen."""
    state = State()
    for at in range(1_000):
        state.happened(MeshEvent(at_ms=at, kind="link", text=f"event {at}"))
    state.happened(MeshEvent(at_ms=999, kind="link", text="event 999"))
    assert len(state.events) == 500
    assert state.shown_events()[0].text == "event 999"
    assert state.shown_events()[1].text == "event 998"


async def test_a_node_that_hangs_is_said_to_be_silent_before_its_call_is_given_up(
    node: FakeNode, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped one looked healthy for the ten seconds of a call, and a new screen was empty; then it counted anew."""
    monkeypatch.setattr(app_module, "SILENCE_S", 0.2)
    server, goes_on = ApiServer(node, socket_path), asyncio.Event()
    await server.start()

    async def held() -> MeshStatus:
        await goes_on.wait()
        return node.status

    async with NodeClient(socket_path) as client:
        app = LiveMesh(client)
        async with app.run_test(size=(80, 24)) as pilot:
            while app.state.status is None:
                await pilot.pause(0.01)
            monkeypatch.setattr(node, "mesh_status", held)
            async with asyncio.timeout(CALL_TIMEOUT_S - 2):
                while app.state.silent_since_s is None:
                    await pilot.pause(0.01)
            assert "✖ the node has not answered for" in app.text() and app.state.error is None
            goes_on.set()
            while app.state.silent_since_s is not None:
                await pilot.pause(0.01)
            assert "has not answered" not in app.text()
    await server.close(0)


def test_a_silent_node_keeps_the_moment_it_fell_silent() -> None:
    """The banner counts from the first failure, not from the last."""
    state = State()
    error = NotRunning("api.not-running", "no node")
    state.silent(error, 10.0)
    state.silent(error, 12.0)
    assert "for 5s" in text_of(page(state, 80, 24, 15.0))


def test_bars_and_rates() -> None:
    """The largest sample is the full bar; no samples are blank; a rate that is not known is no rate of zero."""
    assert sparkline([1, 2, 4, 8], 4) == "▂▃▅█"
    assert sparkline([], 4) == "    "
    assert sparkline([0.0], 1) == "▁"
    told = {None: "-", 0: "0 B/s", 999: "999 B/s", 2_048: "2.0 kB/s", 3_400_000: "3.4 MB/s"}
    assert {value: show_rate(value) for value in told} == told


@pytest.mark.parametrize("no_color", [True, False])
def test_on_a_terminal_the_screen_is_live_and_no_color_is_honoured(served: Served, no_color: bool) -> None:
    """`arqon mesh status` in a pseudo-terminal: draws, quits with q, colours only without NO_COLOR."""
    pid, terminal = pty.fork()
    if pid == 0:
        environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
        environment.pop("NO_COLOR", None)
        if no_color:
            environment["NO_COLOR"] = "1"
        command = [sys.executable, "-m", "arqonmesh_cli", "mesh", "status", *served.at]
        os.execvpe(command[0], command, environment)
    seen = b""
    deadline = time.monotonic() + 30
    quit_sent = False
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
            if not quit_sent and b"stoaaaaa" in seen:
                os.write(terminal, b"q")
                quit_sent = True
        _, status = os.waitpid(pid, 0)
        pid = 0
    finally:
        os.close(terminal)
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    assert quit_sent, seen[-2_000:]
    assert os.waitstatus_to_exitcode(status) == 0
    coloured = re.search(rb"\x1b\[(\d+;)*3[1-6][;m]", seen) is not None
    assert coloured is not no_color, seen[-3_000:]


def test_in_a_pipe_it_is_a_table(served: Served) -> None:
    """No terminal, no live screen."""
    done = subprocess.run(
        [sys.executable, "-m", "arqonmesh_cli", "mesh", "status", *served.at],
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].startswith("mesh acme")
    assert "\x1b" not in done.stdout
