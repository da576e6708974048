"""Graphs to lay links by: lists of unordered edges over the indexes 0 .. n - 1."""

from __future__ import annotations

import random

Edge = tuple[int, int]


def full_graph(count: int) -> list[Edge]:
    """Everyone with everyone."""
    return [(one, other) for one in range(count) for other in range(one + 1, count)]


def ring_graph(count: int) -> list[Edge]:
    """Each with the next, and the last with the first."""
    return [(one, (one + 1) % count) for one in range(count)] if count > 2 else full_graph(count)


def regular_graph(count: int, degree: int, seed: int) -> list[Edge]:
    """A random graph in which every node has `degree` neighbours: stubs paired at random, and what is a loop or a
    double edge swapped away against edges drawn at random (the usual repair of the pairing model; connected with
    high probability from degree 3 on)."""
    assert degree < count, f"{count} nodes cannot have {degree} neighbours each"
    assert count * degree % 2 == 0, f"{count} x {degree} stubs is an odd number; take one more node or another degree"
    dice = random.Random(f"{seed} graph {count} {degree}")
    stubs = [node for node in range(count) for _ in range(degree)]
    dice.shuffle(stubs)
    edges = [_edge(stubs[index], stubs[index + 1]) for index in range(0, len(stubs), 2)]
    seen: dict[Edge, int] = {}
    for edge in edges:
        seen[edge] = seen.get(edge, 0) + 1
    bad = [index for index, edge in enumerate(edges) if edge[0] == edge[1] or seen[edge] > 1]
    while bad:
        index = bad.pop()
        (a, b), other = edges[index], dice.randrange(0, len(edges))
        c, d = edges[other]
        if a != b and seen[edges[index]] == 1:
            continue
        one, two = _edge(a, d), _edge(c, b)
        if a == d or c == b or one == two or seen.get(one) or seen.get(two):
            bad.append(index)
            continue
        for edge in (edges[index], edges[other]):
            seen[edge] -= 1
        edges[index], edges[other] = one, two
        seen[one] = seen[two] = 1
    return edges


def _edge(one: int, other: int) -> Edge:
    return (one, other) if one < other else (other, one)
