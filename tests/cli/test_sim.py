"""`arqon sim`: golden runs, plans on disk, searches compared, one's own files, and errors with a way out."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from arqonmesh.core.bus.streams import Streams
from arqonmesh.core.federation.inbox import Inbox, Seen
from tests.cli.conftest import Arqon

HQ = "node: {cluster: hq, role: hub, region: eu}\nfederation: {export: {allow: ['orders:*']}}\n"
FACTORY = "node: {cluster: factory, role: spoke, region: eu}\nfederation: {export: {allow: ['telemetry:*']}}\n"
SHOP = "node: {cluster: shop, role: spoke, region: us}\n"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Three nodes: hq exports orders, the factory telemetry, the shop nothing."""
    out = []
    for name, text in (("hq", HQ), ("factory", FACTORY), ("shop", SHOP)):
        path = tmp_path / name / "arqon.yaml"
        path.parent.mkdir()
        path.write_text(text)
        out.append(str(path))
    return out


def test_a_run_tells_its_story_and_is_the_same_again(arqon: Arqon) -> None:
    """The trace of a seed is golden as long as the code is the same; the outcome is the exit code."""
    first, again = arqon("sim", "run", "partition", "--json"), arqon("sim", "run", "partition", "--json")
    assert first.code == again.code == 0
    assert first.json["data"]["trace"] == again.json["data"]["trace"]
    out = arqon("sim", "run", "partition").out
    assert "silently cut: spoke-1 <-/-> hub spoke-2" in out
    assert "every rule held" in out


def test_a_drawn_plan_can_be_saved_and_replayed(arqon: Arqon, tmp_path: Path) -> None:
    """The file plays the same world as the seed."""
    file = tmp_path / "plan.json"
    ran = arqon("sim", "run", "swarm", "--seed", "9", "--save", str(file), "--json")
    replayed = arqon("sim", "replay", str(file), "--json")
    assert ran.code == replayed.code == 0
    assert ran.json["data"]["trace"] == replayed.json["data"]["trace"]


def test_a_broken_world_leaves_a_smaller_plan_and_both_lines_that_replay_it(
    arqon: Arqon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seed's line, and that of the file with the few actions which it takes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Inbox, "look", lambda *_: Seen.NEW)
    monkeypatch.setattr(Streams, "arrived", lambda *_: True)  # the bus would notice, too
    monkeypatch.setattr("arqonmesh_cli.sim_telling.MINIMISE_TRIES_MAX", 3)
    done = arqon("sim", "run", "swarm", "--seed", "9", "--quiet")
    assert done.code == 1
    assert "BROKEN: delivery" in done.out
    assert "python -m arqonmesh.sim run --seed 9 --scenario swarm" in done.out
    assert "arqon sim replay swarm-9.min.json" in done.out
    assert arqon("sim", "replay", "swarm-9.min.json", "--quiet").code == 1


def test_a_search_is_saved_and_compared(arqon: Arqon, tmp_path: Path) -> None:
    """The same code against itself: no figure changes."""
    file = tmp_path / "before.json"
    explored = arqon("sim", "explore", "partition", "--seeds", "2", "--save", str(file), "--json")
    assert explored.code == 0 and explored.json["data"]["broken"] == []
    assert explored.json == json.loads(file.read_text())
    compared = arqon("sim", "compare", str(file), "--json").json["data"]
    assert {row["metric"] for row in compared["rows"]} >= {"converge_s", "packets", "bytes"}
    assert {row["change"] for row in compared["rows"]} == {0.0}
    text = arqon("sim", "compare", str(file), "--with", str(file)).out
    assert "converge_s" in text and "+0.0%" in text and "▒" in text


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is not None, reason="matplotlib is installed")
def test_a_plot_without_the_library_names_the_extra(arqon: Arqon, tmp_path: Path) -> None:
    """Before anything is simulated."""
    file = tmp_path / "before.json"
    assert arqon("sim", "explore", "partition", "--seeds", "1", "--save", str(file)).code == 0
    done = arqon("sim", "compare", str(file), "--plot", str(tmp_path / "a.png"))
    assert done.code == 2
    assert "sim.no-plots" in done.err and "pip install 'arqonmesh[plots]'" in done.err


def test_a_plot_is_a_png(arqon: Arqon, tmp_path: Path) -> None:
    """One panel per metric."""
    pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
    file, png = tmp_path / "before.json", tmp_path / "a.png"
    assert arqon("sim", "explore", "partition", "--seeds", "1", "--save", str(file)).code == 0
    assert arqon("sim", "compare", str(file), "--with", str(file), "--plot", str(png)).code == 0
    assert png.read_bytes().startswith(b"\x89PNG")


def test_own_files_tell_who_saw_what_and_what_was_kept(arqon: Arqon, files: list[str]) -> None:
    """What the rules export arrives, also what was said while the link was down; the rest is kept, by rule."""
    done = arqon("sim", "from", *files, "--fail", "link:hq-factory", "--at", "5s", "--heal-at", "10s", "--for", "20s")
    assert done.code == 0
    assert "the link between hq and factory fails" in done.out
    assert "factory noticed after 0." in done.out
    assert "kept: shop's default deny" in done.out
    assert "nothing was lost, and everyone agrees" in done.out


def test_what_waits_for_a_failed_node_is_held_not_lost(arqon: Arqon, files: list[str]) -> None:
    """Without --heal-at the story ends while the node is down."""
    done = arqon("sim", "from", *files, "--fail", "node:factory", "--at", "5s", "--for", "15s", "--json")
    assert done.code == 0
    data = done.json["data"]
    assert data["ok"] and "wait for who is cut off" in data["verdict"]
    flow = next(
        f for f in data["flows"] if (f["origin"], f["listener"], f["channel"]) == ("hq", "factory", "orders:sim")
    )
    assert 0 < flow["heard"] < flow["said"] and flow["outcome"].startswith("held")


def test_a_site_is_a_region(arqon: Arqon, files: list[str]) -> None:
    """All of it is cut off; the other side has the majority."""
    done = arqon("sim", "from", *files, "--fail", "site:us", "--at", "5s", "--for", "12s")
    assert done.code == 0
    assert "shop <-/-> hq factory" in done.out
    assert "shop has been read-only since" in done.out


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--fail", "link:hq-moon"), 5, "factory, shop"),
        (("--fail", "node:moon"), 5, "sim.unknown-name"),
        (("--fail", "site:moon"), 5, "eu, us"),
        (("--fail", "everything"), 2, "link:A-B, node:A or site:A"),
        (("--fail", "node:hq", "--at", "soon"), 2, "'soon' is no span of time"),
        (("--fail", "node:hq", "--at", "90s"), 2, "sim.span"),
        (("--fail", "node:hq", "--at", "20s", "--heal-at", "10s"), 2, "sim.span"),
    ],
)
def test_a_wrong_word_says_what_would_be_right(
    arqon: Arqon, files: list[str], options: tuple[str, ...], code: int, words: str
) -> None:
    """Unknown links, nodes and sites; times that do not fit."""
    done = arqon("sim", "from", *files, *options)
    assert done.code == code
    assert words in done.err


@pytest.mark.parametrize(
    "words",
    [
        ("from", "FILES", "--fail", "node:moon"),
        ("from", "FILES", "--fail", "everything"),
        ("from", "FILES", "--fail", "node:hq", "--at", "90s"),
        ("run", "swarm", "--save", "/no/such/folder/x.json"),
        ("replay", "no-such-file"),
    ],
)
def test_the_hint_of_an_error_is_a_command(arqon: Arqon, files: list[str], words: tuple[str, ...]) -> None:
    """As one would type it."""
    typed = [part for word in words for part in (files if word == "FILES" else [word])]
    error = json.loads(arqon("sim", *typed, "--json").out)["error"]
    assert error["code"].startswith("sim.")
    assert error["hint"].startswith(("arqon sim ", "ls -l"))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("run", "nothing"), "sim.scenario"),
        (("run", "partition", "--save", "x.json"), "sim.no-plan"),
        (("replay", "no-such-file"), "sim.plan"),
        (("compare", "no-such-file"), "sim.baseline"),
    ],
)
def test_an_error_has_its_code(arqon: Arqon, words: tuple[str, ...], code: str) -> None:
    """And `arqon explain` knows it."""
    done = arqon("sim", *words, "--json")
    assert done.json["error"]["code"] == code
    assert arqon("explain", code).code == 0
