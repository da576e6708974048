"""Cuts: which directions still work between whom."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import combinations, pairwise

from arqonmesh.ids import NodeId
from bench.partitions.world import World


def both(pairs: Iterable[tuple[NodeId, NodeId]]) -> Iterator[tuple[NodeId, NodeId]]:
    for a, b in pairs:
        yield a, b
        yield b, a


def web(dice: random.Random, ids: list[NodeId]) -> Iterator[tuple[NodeId, NodeId]]:
    """Links that hold these together: everyone with everyone in small sets, else a tree with some more."""
    if len(ids) <= 8:
        yield from both(combinations(ids, 2))
        return
    for index, one in enumerate(ids[1:], 1):
        yield from both([(one, ids[dice.randrange(max(0, index - 6), index)])])
    for _ in range(len(ids)):
        yield from both([(dice.choice(ids), dice.choice(ids))])


def shape(world: World) -> tuple[str, list[tuple[NodeId, NodeId]]]:
    """A cut by the dice: its name, and which directions still work."""
    dice = world.dice
    ids = [node.id for node in world.alive()]
    dice.shuffle(ids)
    kind = dice.choice(("two", "two", "many", "chain", "one-way", "alone"))
    if kind == "two":
        middle = dice.randrange(1, max(2, len(ids)))
        parts = [ids[:middle], ids[middle:]]
    elif kind == "many":
        parts = [[] for _ in range(dice.randrange(2, max(3, min(7, len(ids)))))]
        for node in ids:
            dice.choice(parts).append(node)
    elif kind == "alone":
        parts = [ids[:1], ids[1:]]
    elif kind == "chain":  # everyone sees its neighbours only; some links of the chain are missing
        return kind, list(both((a, b) for a, b in pairwise(ids) if dice.random() < 0.85))
    else:
        middle = dice.randrange(1, max(2, len(ids)))
        across = [(a, b) for a in ids[:middle] for b in ids[middle:]]
        return kind, [*web(dice, ids[:middle]), *web(dice, ids[middle:]), *across]
    return kind, [pair for part in parts for pair in web(dice, part)]


def whole(world: World) -> list[tuple[NodeId, NodeId]]:
    return list(web(world.dice, [node.id for node in world.alive()]))
