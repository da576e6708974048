"""One story by a seed: a mesh grows, is cut and cut again with members coming and going, and heals."""

from __future__ import annotations

from itertools import combinations
from typing import Final

from arqonmesh.core.events import ScoreChanged
from arqonmesh.core.kernel import MILLISECOND, SECOND
from bench.partitions.changes import down, leave, try_admission, try_invite
from bench.partitions.node import Preset
from bench.partitions.shapes import both, shape, whole
from bench.partitions.world import World

NOTICE_US: Final = 200 * MILLISECOND
"""After this a side has noticed what it reaches (here links tell at once; the judgement waits 50 ms)."""
CALM_US: Final = 30 * SECOND
NEW_MAX: Final = 7
"""Nodes that come during one story, so that what is new can outnumber what was there."""


def play(seed: int, preset: Preset, *, tell: bool = False, size: int = 0) -> World:
    """One story: grow, cut and cut again with members coming and going, heal. Raises Broken."""
    world = World(seed, preset, tell=tell)
    dice = world.dice
    size = size or (dice.randrange(2, 8) if dice.random() < 0.97 else dice.randrange(8, 24))
    grow(world, size)
    world.nodes_max = size + NEW_MAX
    for _ in range(dice.randrange(2, 6)):
        rush(world)
        name, pairs = shape(world)
        world.tell(f"cut: {name}")
        world.connect(pairs)
        rush(world)  # nobody has noticed yet
        world.pass_time(NOTICE_US)
        for _ in range(dice.randrange(1, 4)):
            act(world)
            world.pass_time(dice.choice((NOTICE_US, 2 * SECOND)))
        if dice.random() < 0.3:
            world.connect(whole(world))
            world.pass_time(dice.choice((NOTICE_US, 3 * SECOND)))
    heal(world)
    return world


def grow(world: World, size: int) -> None:
    """A mesh of this size, everyone with a vote."""
    while len(world.nodes) < size:
        for _ in range(min(size - len(world.nodes), 1 + len(world.nodes))):
            by = next((node for node in world.alive() if node.accepts), None)
            if by is None or not try_admission(world, by):
                world.tickets = []
        world.connect(whole(world))
        world.pass_time(3 * SECOND)


def rush(world: World) -> None:
    """What is under way in the moment of a cut: writes by anyone who still may, some records crossing, some not."""
    dice = world.dice
    for _ in range(dice.randrange(0, 6)):
        by = dice.choice(world.alive())
        if dice.random() < 0.7:
            try_admission(world, by)
        else:
            try_invite(world, by)
        if dice.random() < 0.4:
            world.gossip(authors=0.5)
        if dice.random() < 0.3:
            world.now += 60 * MILLISECOND
            for node in world.alive():
                node.perform(node.router.timer(world.now))


def act(world: World) -> None:
    """Something happens during the split."""
    dice = world.dice
    what = dice.random()
    alive = world.alive()
    if what < 0.35:
        for by in alive[:12]:  # on all sides
            try_admission(world, by) if dice.random() < 0.5 else try_invite(world, by)
    elif what < 0.5:
        leavers = [node for node in alive if node.id != world.founder or dice.random() < 0.1]
        for node in dice.sample(leavers, min(len(leavers), dice.randrange(1, 3))):
            if len(world.alive()) > 2:
                leave(world, node)
    elif what < 0.65:
        gone = [node for node in world.nodes.values() if not node.up]
        for node in gone[:2]:
            by = dice.choice(world.alive())
            world.tell(f"{node.name} comes {'back' if node.left else 'up'} at {by.name}")
            node.boot()
            beside = [pair for peer in (*by.links, by.id) for pair in ((node.id, peer), (peer, node.id))]
            world.connect([*world.edges, *beside])
    elif what < 0.75 and len(alive) > 2:
        down(world, dice.choice(alive))
    elif what < 0.85:
        one, other = dice.choice(alive), dice.choice(alive)
        if one is not other:
            one.perform(one.router.event(world.now, ScoreChanged(other.id, 100_000, "malformed", True)))
    else:
        _, pairs = shape(world)
        world.connect(pairs)
    world.changes += 1


def heal(world: World) -> None:
    """Everyone up who did not leave for good, all links whole, nobody ignored; then all agree."""
    world.tell("heal")
    for node in world.nodes.values():
        if not node.up and not node.left:
            node.boot()
    for node in world.alive():
        for other in world.nodes:
            node.perform(node.router.event(world.now, ScoreChanged(other, 1_000_000, "forgiven", False)))
    founder = world.nodes[world.founder]
    for _ in range(2):
        world.connect(both(combinations([node.id for node in world.alive()], 2)))
        world.pass_time(CALM_US)
        for node in list(world.nodes.values()):
            if node.up and founder.up and founder.admission.member(node.id) is None:
                down(world, node)  # expelled: nobody links with it any more
            elif not node.up and founder.up and founder.partition.electorate.votes(node.id):
                node.boot()  # it left with a vote that nobody else could take: it is missed, and has to come back
    world.connect(whole(world))
    world.pass_time(CALM_US)
    if founder.up:
        world.check_equal()
