"""Topologies and scenarios are data: those that come with the lab fit, mistakes are told before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from arqonmesh.errors import ConfigError, NotFound
from arqonmesh_testbed import scenario, topology
from arqonmesh_testbed.files import known


@pytest.mark.parametrize("name", known("topology"))
def test_every_topology_that_comes_with_the_lab_can_be_built(name: str) -> None:
    """Names, links and models fit; every node is reached from the first."""
    short, plan = topology.read(name)
    assert short == name
    assert len(plan.joining_order()) == len(plan.nodes) - 1
    assert len({plan.address(node) for node in plan.nodes}) == len(plan.nodes)


@pytest.mark.parametrize("name", known("scenario"))
def test_every_scenario_that_comes_with_the_lab_can_be_run(name: str) -> None:
    """Steps name nodes and links of their topology; every limit has a measure."""
    short, script, _, plan = scenario.read(name)
    assert short == name
    assert script.steps
    assert plan.nodes


def test_the_named_ones_are_there() -> None:
    """What documents and help texts promise."""
    assert {"star3", "line3", "ring5"} <= set(known("topology"))
    assert {"partition", "silent_cut", "outbound_only"} <= set(known("scenario"))


def test_joining_goes_outward_from_the_first_node() -> None:
    """In a line the last can only be let in by its neighbour, after that one is in."""
    _, line = topology.read("line3")
    assert line.joining_order() == [("middle", "left"), ("right", "middle")]


STAR = "says: x\nnodes: {a: {cluster: ca}, b: {cluster: cb}}\nlinks: [{between: [a, b]}]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (STAR.replace("[a, b]", "[a, z]"), "a link between a and z needs two nodes of a, b"),
        (STAR.replace("[{between: [a, b]}]", "[]"), "no links lead to b"),
        (STAR + "model: {latency: 5}\n", "no 'latency'"),
        (STAR + "model: {delay_us: -5}\n", "whole number"),
        (STAR + "outbound_only: [q]\n", "outbound_only names 'q'"),
        (STAR.replace("a:", "A_:").replace("[a, b]", "[A_, b]"), "node name 'A_'"),
        (STAR + "colour: red\n", "colour"),
        (STAR.replace("{cluster: ca}", "{cluster: ca, role: king}"), "king"),
        (STAR.replace("links: [", "links: [{between: [b, a]}, "), "linked twice"),
        ("- just\n- a list\n", "list"),
    ],
)
def test_a_topology_that_cannot_be_built_is_refused_with_the_place(tmp_path: Path, text: str, said: str) -> None:
    """ConfigError, exit code 2, with what was seen."""
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        topology.read(str(path))


PLAY = "says: x\ntopology: star3\nsteps: [{step}]\n"


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("{cut: {between: [s1, s2]}}", "not linked"),
        ("{cut: {between: [hub, nobody]}}", "nobody"),
        ("{pause: {s: 1}, heal: {}}", "exactly one"),
        ("{}", "exactly one"),
        ("{explode: {}}", "explode"),
        ("{partition: {at: hub, is: [fine]}}", "fine"),
        ("{repeat: {times: 2, steps: [{repeat: {times: 2, steps: []}}]}}", "one level"),
        ("{repeat: {times: 2, steps: [{held: {at: zz, at_least: 1}}]}}", "zz"),
        ("{traffic: {from: hub, to: [s9]}}", "s9"),
    ],
)
def test_a_scenario_that_cannot_be_run_is_refused_before_a_lab_is_built(tmp_path: Path, step: str, said: str) -> None:
    """The mistake does not wait for the middle of the story."""
    path = tmp_path / "mine.yaml"
    path.write_text(PLAY.replace("{step}", step))
    with pytest.raises(ConfigError, match=said):
        scenario.read(str(path))


def test_a_limit_that_nothing_measures_is_refused(tmp_path: Path) -> None:
    """A limit with a typing mistake would hold for ever."""
    path = tmp_path / "mine.yaml"
    path.write_text(PLAY.replace("{step}", "{heal: {}}") + "limits: {link_dwon_ms: {p99: 5}}\n")
    with pytest.raises(ConfigError, match="link_dwon_ms"):
        scenario.read(str(path))


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    """Exit code 5."""
    with pytest.raises(NotFound, match=r"line3.*ring5.*star3") as missing:
        topology.read("star33")
    assert missing.value.code == "lab.no-topology"
    with pytest.raises(NotFound, match="partition"):
        scenario.read("partitionn")
