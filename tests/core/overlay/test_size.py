"""The active view grows with the mesh."""

from __future__ import annotations

import math

import pytest

from arqonmesh.config.model import OverlaySettings
from arqonmesh.core.kernel import SECOND
from arqonmesh.core.overlay.active import SIZE_MIN, ActiveView, size_for
from arqonmesh.core.overlay.neighbourhood import Neighbourhood
from tests.core.toy import env_of


@pytest.mark.parametrize("members", [1, 2, 7, 8, 54, 55, 100, 148, 149, 403, 404, 1_000, 1_096, 1_097, 10_000, 200_000])
def test_a_view_has_one_place_more_than_the_logarithm_of_the_members(members: int) -> None:
    """Rounded up; at least five."""
    assert size_for(members, 64) == max(SIZE_MIN, math.ceil(math.log(members)) + 1)


def test_what_the_operator_allows_is_the_most() -> None:
    """Also where that is fewer than a view usually has."""
    assert size_for(1_000_000, 10) == 10
    assert size_for(1_000, 3) == 3


def test_a_grown_view_has_room_for_given_ones_too_and_never_shrinks() -> None:
    """The quota of chosen ones stays as it is."""
    view = ActiveView(5, 2)
    view.grow(8)
    assert (view.size, view.given_max) == (8, 6)
    view.grow(5)
    assert (view.size, view.given_max) == (8, 6)


def test_the_view_follows_the_members_that_are_known() -> None:
    """More members, more places to fill."""
    members = 10
    hood = Neighbourhood(env_of("a"), OverlaySettings(), lambda _: ("here:1",), lambda: members)
    hood.grow()
    assert (hood.active.size, hood.missing) == (5, 4)
    members = 1_000
    hood.grow()
    assert (hood.active.size, hood.missing) == (8, 7)
    assert hood.repair(SECOND) == []
