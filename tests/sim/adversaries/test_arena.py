"""What the arena asserts of honest members, and that it notices when one of them is wronged."""

from __future__ import annotations

import pytest

from arqonmesh.core.events import Fault, Forked
from arqonmesh.core.kernel import SECOND
from arqonmesh.core.peers.causes import CAUSES, Cause
from arqonmesh.core.peers.opinion import Opinion
from arqonmesh.sim.adversaries.adversary import Adversary
from arqonmesh.sim.adversaries.arena import Arena, faulty_max, plane_of
from arqonmesh.sim.adversaries.equivocator import Equivocator
from arqonmesh.sim.broken import Broken
from arqonmesh.sim.play import play
from arqonmesh.wire.statement import Accusations, Kind, decode_statement


class Lamb(Adversary):
    """Means no harm."""

    NAME = "lamb"


@pytest.fixture
def arena() -> Arena:
    arena = Arena(3, 7, (Lamb,))
    arena.settle()
    return arena


def test_f_is_less_than_a_third() -> None:
    """ceil(n/3) - 1, as many as an n - f quorum withstands."""
    assert [faulty_max(nodes) for nodes in (1, 3, 4, 7, 10, 100)] == [0, 0, 1, 2, 3, 33]


@pytest.mark.requirement("R-ID-6")
def test_an_adversary_signs_with_its_own_key_alone(arena: Arena) -> None:
    """What it writes in another's name does not hold under that one's key."""
    machine, victim, pen = arena.adversaries[0].process, arena.honest[1], arena.adversaries[0].pen
    forged = decode_statement(pen.write((9, 9), Kind.ACCUSATIONS, Accusations(()), author=victim.node_id))
    own = decode_statement(pen.write((9, 9), Kind.ACCUSATIONS, Accusations(())))
    assert forged.author == victim.node_id
    assert not pen.crypto.verify(victim.public_key, forged.signed_bytes(), forged.signature)
    assert pen.crypto.verify(machine.public_key, own.signed_bytes(), own.signature)


def test_a_mesh_whose_adversaries_do_nothing_is_an_ordinary_mesh(arena: Arena) -> None:
    """Nobody is blamed for anything, them included."""
    arena.begin()
    arena.fight(2 * SECOND)
    arena.peace()
    assert arena.contained_us == {}
    assert all(arena.score_ppm(adversary) == 1_000_000 for adversary in arena.adversaries)


def test_it_sees_an_honest_member_blamed(arena: Arena) -> None:
    """By another honest one, for anything but its absence."""
    one, other = arena.honest[1:3]
    one.perform(one.running.event(one.now(), Fault(other.node_id, "bad-signature")))
    with pytest.raises(Broken, match="node-1 blames honest node-2 for bad-signature"):
        arena.check()


def test_it_sees_an_honest_member_convicted(arena: Arena) -> None:
    """Already by what it costs the founder, who had let it in: with a bad invitee that share is excused."""
    one, other = arena.honest[1:3]
    one.perform(one.running.event(one.now(), Forked(other.node_id, 1, 1, b"a", b"b")))
    with pytest.raises(Broken, match="node-1 blames honest node-0 for invitee-convicted"):
        arena.check()


@pytest.mark.requirement("R-ID-14")
def test_it_sees_a_node_that_turns_away_from_more_than_f(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the bound off, one that blames four of seven ignores four; with it, two."""

    def turned_away() -> Arena:
        arena = Arena(3, 7, (Lamb,), faulty=4)
        arena.settle()
        node = arena.honest[1]
        for adversary in arena.adversaries:
            for _ in range(6):
                node.perform(node.running.event(node.now(), Fault(adversary.node, "malformed")))
        return arena

    turned_away().check()
    monkeypatch.setattr(Opinion, "_ignored_max", 99)
    with pytest.raises(Broken, match="ignores 4 of 7 members on observations alone"):
        turned_away().check()


@pytest.mark.requirement("R-PS-4", "R-PS-5")
def test_a_founder_is_not_ignored_for_those_whom_it_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four of thirteen fork: each costs the founder its share, and the founder stays a member like others."""

    def fought() -> Arena:
        arena = Arena(1, 13, (Equivocator,))
        arena.settle()
        arena.begin()
        arena.fight(SECOND, power=False)
        return arena

    arena = fought()
    founder, *others = arena.honest
    assert not any(plane_of(process).peers.ignored(founder.node_id) for process in others)
    monkeypatch.setitem(CAUSES, "invitee-convicted", Cause(150_000, 300_000))
    with pytest.raises(Broken, match="ignores honest node-0"):
        fought()


@pytest.mark.requirement("R-ID-14")
@pytest.mark.parametrize("seed", [3, 11])
def test_any_adversaries_together(seed: int) -> None:
    """Drawn by the seed: how many nodes, how many bad ones, of which kinds."""
    result, sim = play("byzantine", seed)
    assert result.broken == "", result.replay
    assert any("ends with a score of" in what for _, _, what in sim.world.trace.story)
