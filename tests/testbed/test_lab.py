"""Whole labs with real nodes: up, cut, heal, down, and nothing left behind, whoever kills whom. Needs root."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from arqonmesh.errors import NotFound, NotRunning, UsageError
from arqonmesh_testbed import lab, namespaces, processes
from arqonmesh_testbed.state import LabFiles

pytestmark = [pytest.mark.netns, pytest.mark.process]

PAIR = """\
says: two nodes
model: {delay_us: 1_000}
nodes: {a: {cluster: ca}, b: {cluster: cb}}
links: [{between: [a, b]}]
"""


@pytest.fixture
def pair(tmp_path: Path) -> str:
    path = tmp_path / "pair.yaml"
    path.write_text(PAIR)
    return str(path)


@pytest.fixture
def command(lab_name: str) -> list[str]:
    """`arqon lab`, in the environment that the fixture made."""
    return [sys.executable, "-m", "arqonmesh_cli", "lab"]


def _nothing_left(name: str) -> None:
    assert namespaces.of_lab(name) == []
    assert processes.marked(name) == []
    assert not LabFiles().root.exists()


def _wait_for(path: Path, text: str, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < deadline, f"no {text!r} in {path}"
        time.sleep(0.05)


@pytest.mark.requirement("acceptance: a cut spoke is held for, both sides say so, everything arrives once and in order")
def test_a_cut_spoke_is_told_of_held_for_and_caught_up(lab_name: str) -> None:
    """The scenario `partition` on star3, with real processes; every step and every limit holds."""
    report = lab.run("partition")
    assert report["ok"], report
    assert {row["to"] for row in report["traffic"]} == {"hub", "s1", "s2"}
    assert all(row["lost"] == row["doubled"] == row["out_of_order"] == 0 for row in report["traffic"])
    _nothing_left(lab_name)


@pytest.mark.requirement("acceptance: a spoke behind outbound-only reachability joins, receives and sends")
def test_a_spoke_that_nobody_can_reach_is_a_full_member(lab_name: str) -> None:
    """The scenario `outbound_only`: its unsolicited inbound UDP is dropped from before it joins, and proven to be."""
    report = lab.run("outbound_only")
    assert report["ok"], report
    assert [step["ok"] for step in report["steps"] if step["step"] == "refused"] == [True, True]
    _nothing_left(lab_name)


def test_up_cut_heal_down(lab_name: str, pair: str) -> None:
    """What the verbs of `arqon lab` call, in the order a person does."""
    with pytest.raises(NotRunning):
        lab.status()
    shown = lab.up(pair)
    assert shown["ready"]
    assert [(node["node"], node["state"]) for node in shown["nodes"]] == [("a", "running"), ("b", "running")]
    with pytest.raises(UsageError) as twice:
        lab.up(pair)
    assert twice.value.code == "lab.is-up"
    lab.cut("a", "b", one_way=True)
    assert [path["cut_off"] for path in lab.status()["paths"]] == [True, False]
    with pytest.raises(NotFound):
        lab.cut("a", "x")
    assert lab.heal() == {"healed_directions": 1}
    socket = LabFiles().node("a")
    assert lab.down() == {"lab": lab_name, "processes": 3, "killed": 0, "namespaces": 2}
    assert not socket.exists()
    assert lab.down() == {"lab": lab_name, "processes": 0, "killed": 0, "namespaces": 0}
    _nothing_left(lab_name)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_takes_down_what_it_built(
    lab_name: str, pair: str, command: list[str], number: signal.Signals
) -> None:
    """Ctrl-C, or SIGTERM, in the middle of building."""
    building = subprocess.Popen([*command, "up", pair], start_new_session=True, stdout=subprocess.PIPE)
    with building:
        _wait_for(LabFiles().root / "lab.json", '"switch"')
        _wait_for(LabFiles().switch_log, "")
        busy = subprocess.run([*command, "down", "--json"], capture_output=True, check=False)
        assert b"lab.busy" in busy.stdout
        os.killpg(building.pid, number)
        assert building.wait(30) == 130
    _nothing_left(lab_name)


def test_down_cleans_up_after_a_lab_that_was_killed_with_its_switch(
    lab_name: str, pair: str, command: list[str]
) -> None:
    """SIGKILL leaves the command no chance; the next `down` finds everything by name, mark and notes."""
    building = subprocess.Popen([*command, "up", pair], start_new_session=True, stdout=subprocess.PIPE)
    with building:
        _wait_for(LabFiles().root / "lab.json", '"pid"')
        _wait_for(LabFiles().node("b") / "arqon.yaml", "cb")
        building.kill()
    state = LabFiles().load()
    assert state.switch is not None
    state.switch.signal(signal.SIGKILL)
    (LabFiles().root / "lab.json").write_text("{}")
    taken = lab.down()
    assert taken["namespaces"] == 2
    _nothing_left(lab_name)
