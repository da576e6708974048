"""Many overlays together: joining, mass failure, a cut that heals."""

from __future__ import annotations

import pytest

from arqonmesh.core.kernel import MILLISECOND
from tests.core.overlay.mesh import Mesh


@pytest.fixture(scope="module")
def settled() -> Mesh:
    """A hundred nodes, joined one by one, after four shuffles."""
    mesh = Mesh()
    mesh.grow(100)
    mesh.run(120)
    return mesh


def test_all_who_join_are_in_one_piece_and_edges_are_symmetric(settled: Mesh) -> None:
    """In-degree between 1 and active_max + 2 for everyone, and views full or nearly."""
    settled.check_always()
    assert [len(part) for part in settled.components()] == [100]
    sizes = [len(settled.report(index).active) for index in settled.live()]
    assert min(sizes) >= 3
    assert max(sizes) <= 5
    assert min(len(settled.report(index).passive) for index in settled.live()) >= 20


def test_most_nodes_have_neighbours_of_their_own_choice(settled: Mesh) -> None:
    """The quota is reached within a few shuffles, although everyone else's places are taken."""
    chosen = [settled.report(index).chosen for index in settled.live()]
    assert sum(count >= 2 for count in chosen) >= 85
    assert sum(count >= 1 for count in chosen) >= 98


def test_everyone_through_one_contact_does_not_make_it_a_hub() -> None:
    """Walks spread the newcomers; the contact keeps no more links than anyone."""
    mesh = Mesh(seed=3)
    for index in range(60):
        mesh.join(0 if index else None)
        mesh.field.run_for(50 * MILLISECOND)
    mesh.run(60)
    assert [len(part) for part in mesh.components()] == [60]
    assert len(mesh.field.nodes[0].links) <= 10


@pytest.mark.parametrize("percent", [50, 80])
def test_who_is_left_after_a_mass_failure_is_in_one_piece_before_the_next_shuffle(percent: int) -> None:
    """The broken links are the signal, spare members the repair: within ten seconds."""
    mesh = Mesh(seed=percent)
    mesh.grow(100)
    mesh.run(60)
    for index in mesh.dice.sample(range(100), percent):
        mesh.field.kill(index)
    mesh.run(10)
    assert [len(part) for part in mesh.components()] == [100 - percent]


def test_two_sides_of_a_cut_find_each_other_again() -> None:
    """After so long a cut that neither side's views know the other: what was lost is tried for ever."""
    mesh = Mesh(seed=5)
    mesh.grow(24)
    mesh.run(60)
    mesh.field.cut(12)
    mesh.run(120)
    sides = [{index >= 12 for index in part} for part in mesh.components()]
    assert sorted(map(list, sides)) == [[False], [True]]
    mesh.field.heal()

    mesh.run(90)

    assert [len(part) for part in mesh.components()] == [24]
