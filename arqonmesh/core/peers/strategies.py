"""Whom to prefer, as pure functions over a table of peers (which holds the dice): one interface, four answers.

Random selection resists whoever makes himself look near; near peers are faster, and near peers alone leave a mesh of
islands: every region talks to itself. So a mix never takes less than a fifth at random, and the geographic one takes
somebody of every other region.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

from arqonmesh.ids import NodeId

RANDOM_PERCENT_MIN: Final = 20


class Table(Protocol):
    """The peers that may be selected. Each method returns up to k different ones, none of `exclude`."""

    def random(self, k: int, exclude: Sequence[NodeId] = ()) -> list[NodeId]: ...
    def nearest(self, k: int, exclude: Sequence[NodeId] = ()) -> list[NodeId]: ...
    def regions(self) -> dict[str, list[NodeId]]:
        """Its peers by region, regions sorted, in each the nearest first and those of unknown distance at random."""


Strategy: TypeAlias = Callable[[Table, int, Sequence[NodeId]], list[NodeId]]
"""(table, k, exclude) to up to k different peers, best first."""


def strategy_of(name: str, *, random_percent: int = RANDOM_PERCENT_MIN, region: str = "") -> Strategy:
    """ "random", "nearest", "hybrid" or "geographic"; `random_percent` is for hybrid, at least 20, `region` is ours."""
    if name == "random":
        return lambda table, k, exclude: table.random(k, exclude)
    if name == "nearest":
        return nearest_filled
    if name == "hybrid":
        percent = max(RANDOM_PERCENT_MIN, random_percent)
        return lambda table, k, exclude: hybrid(table, k, percent, exclude)
    assert name == "geographic", f"no strategy is called {name!r}"
    return lambda table, k, exclude: geographic(table, k, region, exclude)


def nearest_filled(table: Table, k: int, exclude: Sequence[NodeId] = ()) -> list[NodeId]:
    """The nearest; where too few distances are known, random ones fill up."""
    near = table.nearest(k, exclude)
    return near + table.random(k - len(near), (*exclude, *near))


def hybrid(table: Table, k: int, random_percent: int, exclude: Sequence[NodeId] = ()) -> list[NodeId]:
    """The nearest, and `random_percent` of k (rounded up) at random; random ones also fill what is not measured."""
    far = -(-k * random_percent // 100)
    near = table.nearest(k - far, exclude)
    return near + table.random(k - len(near), (*exclude, *near))


def geographic(table: Table, k: int, region: str, exclude: Sequence[NodeId] = ()) -> list[NodeId]:
    """Our own region first, the nearest of it first, and one of each other region; those together at most half of k, or
    our own would fall apart. What is left goes to whoever is near."""
    excluded = dict.fromkeys(exclude)
    by_region = {
        name: fit
        for name, nodes in table.regions().items()
        if (fit := [node for node in nodes if node not in excluded])
    }
    own = by_region.pop(region, [])
    abroad = [nodes[0] for nodes in by_region.values()]
    room = k // 2 if own else k
    if len(abroad) > room:  # which regions are left out is drawn anew each time
        chance = table.random(len(abroad) + k, [*exclude, *own])
        drawn = [node for node in chance if node in abroad]
        abroad = (drawn + [node for node in abroad if node not in drawn])[:room]
    chosen = own[: max(0, k - len(abroad))] + abroad
    return chosen + nearest_filled(table, k - len(chosen), (*exclude, *chosen))
