"""Whatever the wire does, repair makes all replicas equal, and no replica ever believes to hold what it lacks."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arqonmesh.config.model import GossipSettings
from arqonmesh.core.events import Fault, Forked
from arqonmesh.wire.statement import Kind
from tests.core.gossip.world import SECOND, World, node_record

NAMES = ("hub", "ant", "bee", "cat")
STEP = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from(NAMES), st.integers(1, 6)),
    st.tuples(st.just("deliver"), st.integers(0, 1_000), st.integers(1, 4)),
    st.tuples(st.just("repeat"), st.integers(0, 1_000), st.just(0)),
    st.tuples(st.just("lose"), st.integers(0, 1_000), st.just(0)),
    st.tuples(st.just("deaf"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("crash"), st.sampled_from(NAMES), st.booleans()),
    st.tuples(st.just("time"), st.integers(1, 3), st.just(0)),
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(STEP, max_size=60),
    shape=st.sampled_from(["line", "star", "ring", "full"]),
    budget=st.sampled_from([1, 700, 60_000]),
)
def test_any_order_loss_and_repetition_ends_in_equal_roots(
    steps: list[tuple[str, object, object]], shape: str, budget: int
) -> None:
    """Prefix closure after every step; nobody is convicted or blamed; equal roots once the wire is whole again."""
    world = World(NAMES, GossipSettings(delta_bytes_max=budget))
    for a, b in LINKS[shape]:
        world.link(a, b)
    world.settle()
    for count, step in enumerate(steps):
        perform(world, count, step)
        world.assert_prefix_closed()
    world.settle()
    world.pass_time(20 * SECOND)
    world.assert_prefix_closed()
    world.assert_equal()
    for member in world.members.values():
        assert member.said(Forked) == []
        assert member.said(Fault) == []


LINKS = {
    "line": [("hub", "ant"), ("ant", "bee"), ("bee", "cat")],
    "star": [("hub", "ant"), ("hub", "bee"), ("hub", "cat")],
    "ring": [("hub", "ant"), ("ant", "bee"), ("bee", "cat"), ("cat", "hub")],
    "full": [("hub", "ant"), ("hub", "bee"), ("hub", "cat"), ("ant", "bee"), ("ant", "cat"), ("bee", "cat")],
}


def perform(world: World, count: int, step: tuple[str, object, object]) -> None:
    match step:
        case ("publish", str(name), int(number)):
            for n in range(number):
                world[name].publish(Kind.NODE, node_record(name, count), f"key{(count + n) % 5}")
                world.collect()
        case ("deliver", int(index), int(number)):
            for _ in range(min(number, len(world.wire))):
                world.deliver(index % len(world.wire))
        case ("repeat", int(index), _) if world.wire:
            world.deliver(index % len(world.wire), keep=True)
        case ("lose", int(index), _) if world.wire:
            world.wire.pop(index % len(world.wire))
        case ("deaf", str(source), str(to)):
            world.lose_between(source, to)
        case ("crash", str(name), bool(power_cut)):
            world.crash(name, power_cut=power_cut)
        case ("time", int(seconds), _):
            world.pass_time(seconds * SECOND)


@pytest.mark.requirement("R-CR-8")
def test_two_sides_of_a_partition_meet_again_at_link_up() -> None:
    """Both sides wrote while apart: one round of comparison at the healed link makes all four equal."""
    world = World(NAMES)
    for a, b in LINKS["line"]:
        world.link(a, b)
    world.settle()
    world.cut("ant", "bee")
    for name in NAMES:
        for key in ("a", "b"):
            world[name].publish(Kind.NODE, node_record(name, 1), key)
    world.collect()
    world.settle()
    world.link("ant", "bee")
    messages = world.settle()
    world.assert_equal()
    assert messages < 20
    assert world.now == 0
