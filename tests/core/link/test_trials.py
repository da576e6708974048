"""While the overlay chooses the links: which are told at once, and which only when it is known that they stay."""

from __future__ import annotations

import pytest

from arqonmesh.config.model import LinkSettings
from arqonmesh.core.events import (
    Applied,
    LinkDown,
    LinkStays,
    LinkWanted,
    NeighbourUp,
    OverlayRuns,
    TransportDown,
    TransportUp,
)
from arqonmesh.core.kernel import SECOND, Event
from arqonmesh.sim.simulation import Simulation
from arqonmesh.wire.statement import Adjacency, Kind
from arqonmesh.wire.statement import Links as LinksRecord
from tests.core.link.test_links import MS, Wire, records
from tests.core.toy import node_of

AT = ("sim:1",)


def overlaid(*names: str) -> Wire:
    """All of them leave their links to the overlay."""
    wire = Wire(*names, delay_us=MS)
    for name in names:
        tell(wire, name, OverlayRuns(True, ()))
    return wire


def tell(wire: Wire, name: str, event: Event) -> None:
    node = node_of(name)
    wire.perform(node, wire.cores[node].on_event(wire.now, event))


def told(wire: Wire, name: str) -> list[list[tuple[str, str]]]:
    """Every record of this node, as (peer, state) each."""
    return [[(link.peer, link.state) for link in record.adjacencies] for _, record in records(wire, name)]


def names(author: str, peer: str, state: str = "up") -> Applied:
    """The newest record of one node as it comes to another."""
    record = LinksRecord((Adjacency(node_of(peer), state, "quic", MS, 0),))
    return Applied(node_of(author), Kind.LINKS, "", record, b"", ours=False)


def stays(wire: Wire, name: str) -> list[int]:
    return [at for at, _ in wire.events(name, LinkStays)]


def test_a_link_that_the_overlay_opens_for_a_moment_is_told_to_nobody() -> None:
    """Neither that it is up nor that it is down again: a thousand nodes look at a spare member twice a minute each."""
    wire = overlaid("a", "b")
    tell(wire, "a", LinkWanted(node_of("b"), "overlay", AT))
    wire.connect("a", "b")
    wire.run(3 * SECOND)
    assert wire.cores[node_of("a")].is_up(node_of("b"))
    for here, there in ("ab", "ba"):
        tell(wire, here, TransportDown(node_of(there), "not-wanted"))
    wire.run(10 * SECOND)
    for name in "ab":
        assert wire.events(name, LinkDown)
        assert told(wire, name) == [[]]
        assert not stays(wire, name)


def test_a_neighbour_of_the_overlay_is_told_at_once_and_another_link_once_it_has_stood() -> None:
    """And when it falls, that is told as of any other."""
    wire = overlaid("a", "b", "c")
    for name in "bc":
        tell(wire, "a", LinkWanted(node_of(name), "overlay", AT))
        wire.connect("a", name)
    wire.run(2 * SECOND)
    tell(wire, "a", NeighbourUp(node_of("b"), chosen=True))
    wire.run(3 * SECOND)
    assert told(wire, "a") == [[(node_of("b"), "up")]]
    wire.run(7 * SECOND)
    assert told(wire, "a")[1:] == [sorted([(node_of("b"), "up"), (node_of("c"), "up")])]
    tell(wire, "a", TransportDown(node_of("b"), "not-wanted"))
    wire.run(8 * SECOND)
    assert told(wire, "a")[2:] == [sorted([(node_of("b"), "down"), (node_of("c"), "up")])]


@pytest.mark.parametrize("wishes", [(), ("regions",), ("overlay", "regions"), ("regions", "overlay")])
def test_who_dials_for_anybody_but_the_overlay_tells_at_once(wishes: tuple[str, ...]) -> None:
    """An operator's wish is the dialler's business, and no core says it: a dial that nobody wished for is one."""
    wire = overlaid("a", "b")
    for by in wishes:
        tell(wire, "a", LinkWanted(node_of("b"), by, AT))
    wire.connect("a", "b")
    wire.run(SECOND)
    assert told(wire, "a") == [[(node_of("b"), "up")]]
    assert stays(wire, "a") == [2 * MS]


def test_a_wish_for_a_link_that_the_overlay_opened_tells_of_it_at_once() -> None:
    """Whoever dialled; and one that was taken back counts no more."""
    wire = overlaid("a", "b", "c")
    tell(wire, "a", LinkWanted(node_of("c"), "regions", AT))
    tell(wire, "a", LinkWanted(node_of("c"), "overlay", AT))
    tell(wire, "a", LinkWanted(node_of("c"), "regions", ()))
    for name in "bc":
        tell(wire, "a", LinkWanted(node_of(name), "overlay", AT))
        wire.connect("a", name)
    wire.run(SECOND)
    tell(wire, "a", LinkWanted(node_of("b"), "regions", AT))
    tell(wire, "b", LinkWanted(node_of("a"), "bus", AT))
    wire.run(2 * SECOND)
    assert told(wire, "a") == [[(node_of("b"), "up")]]
    assert told(wire, "b") == [[(node_of("a"), "up")]]
    assert not told(wire, "c")


@pytest.mark.parametrize("early", [True, False])
def test_who_was_dialled_tells_as_soon_as_the_other_has_told(early: bool) -> None:
    """It does not know the wish. The other's record may be an old one, and come before the link."""
    wire = overlaid("a", "b")
    if early:
        tell(wire, "b", names("a", "b"))
    wire.connect("a", "b")
    wire.run(SECOND)
    assert bool(told(wire, "b")) is early
    tell(wire, "b", names("a", "b"))
    wire.run(2 * SECOND)
    assert told(wire, "b") == [[(node_of("a"), "up")]]
    assert stays(wire, "b") == [2 * MS if early else SECOND]


def test_a_record_that_says_down_or_names_others_is_no_word_of_a_link_that_stays() -> None:
    """And it takes back what an older one said."""
    wire = overlaid("a", "b", "c")
    tell(wire, "b", names("a", "b"))
    tell(wire, "b", names("a", "b", "down"))
    wire.connect("a", "b")
    wire.run(SECOND)
    tell(wire, "b", names("a", "c"))
    tell(wire, "b", names("c", "b"))
    wire.run(2 * SECOND)
    assert not told(wire, "b")


def test_a_link_of_our_newest_record_that_is_back_is_told_as_before() -> None:
    """Its loss was not even told: a record without it would take away a way that exists."""
    wire = overlaid("a", "b", "c")
    for name in "bc":
        wire.connect(name, "a")
        wire.run(wire.now + SECOND)
        tell(wire, "a", NeighbourUp(node_of(name), chosen=True))
    wire.run(10 * SECOND)
    before = told(wire, "a")
    assert len(before[-1]) == 2
    for here, there in ("ab", "ba"):
        tell(wire, here, TransportDown(node_of(there), "closed"))
    tell(wire, "a", TransportUp(node_of("b"), "quic", False))
    tell(wire, "b", TransportUp(node_of("a"), "quic", True))
    wire.run(12 * SECOND)
    assert told(wire, "a") == before


def test_without_the_overlay_every_link_is_told_and_those_that_waited_are() -> None:
    """What it opened last stays, as far as anybody knows."""
    wire = overlaid("a", "b")
    tell(wire, "a", LinkWanted(node_of("b"), "overlay", AT))
    wire.connect("a", "b")
    wire.run(SECOND)
    tell(wire, "a", OverlayRuns(False, ()))
    wire.run(2 * SECOND)
    assert told(wire, "a") == [[(node_of("b"), "up")]]


def test_links_that_were_handed_over_to_the_overlay_are_its_own() -> None:
    """What it dials again of them may be let go in a moment."""
    wire = Wire("a", "b", delay_us=MS)
    tell(wire, "a", OverlayRuns(True, (node_of("b"),)))
    wire.connect("a", "b")
    wire.run(SECOND)
    assert not told(wire, "a")


@pytest.mark.requirement("R-TR-8")
@pytest.mark.parametrize("seed", [1, 2])
def test_who_is_linked_by_somebodys_wish_is_reached_as_soon_as_its_link_is_back(seed: int) -> None:
    """A spoke that chooses none of its links, at one node of an overlay, cut off and healed: everyone has a way to it
    within four tenths of a second, and keeps it."""
    sim = Simulation(seed)
    for index in range(8):
        sim.add(f"n{index}", links=LinkSettings(auto="overlay"))
    sim.add("x", role="spoke", links=LinkSettings(auto="none"))
    sim.found()
    spoke = sim.processes["x"]
    assert spoke.endpoint is not None
    spoke.endpoint.want(sim.processes["n0"].node_id)
    sim.run_for(20 * SECOND)
    everyone = [sim.processes[name].running.plane for name in ("x", *(f"n{index}" for index in range(8)))]
    plane, *others = [plane for plane in everyone if plane is not None]
    assert len(others) == 8
    sim.cut(["x"], [f"n{index}" for index in range(8)])
    sim.run_for(12 * SECOND)
    assert not any(other.routing.route(spoke.node_id) for other in others)
    sim.heal()
    up = 0
    while up < 4:  # the overlay, which tries to win it too, may close the first
        sim.run_for(SECOND // 10)
        up = up + 1 if plane.links.is_up(sim.processes["n0"].node_id) else 0
    for _ in range(12):
        assert all(other.routing.route(spoke.node_id) for other in others)
        sim.run_for(SECOND // 2)
