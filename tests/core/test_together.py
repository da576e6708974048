"""Many events of one type told together come to the same as told one by one, in every core that takes them so."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arqonmesh.core.events import Applied, MemberAdmitted, MemberChanged, MemberDescribed, MemberExpelled
from arqonmesh.core.kernel import SECOND, Core, Event
from arqonmesh.core.node import Node
from arqonmesh.ids import encode_ulid, node_id_of
from arqonmesh.wire.statement import (
    GENESIS_HASH,
    Accusation,
    Accusations,
    Adjacency,
    Admission,
    Body,
    Coordinate,
    Genesis,
    Held,
    Kind,
    Links,
    NodeRecord,
    Statement,
    Vote,
)
from tests.core.toy import MESH, founder_with, key_of, node_of

NAMES: Final = tuple(f"n{number}" for number in range(12))
EARLIER, NOW = SECOND, 60 * SECOND


def lone(preset: str) -> Node:
    """A node that founded its mesh a minute ago; of its twelve members, it knows the first six, alive."""
    node = founder_with(f"node: {{cluster: c0}}\nlinks: {{auto: {preset}, auto_max: 3, full_max: 8}}\n")
    node.event(EARLIER, applied(Kind.GENESIS, ("me", Genesis("toy", 1, key_of("me"), "c0", "hub"))))
    for name in NAMES[:6]:
        node.event(EARLIER, admitted(name))
        node.event(EARLIER, described((name, 0, "hub", "", 1)))
        node.event(EARLIER, changed((name, "", "alive", 1)))
        node.event(EARLIER, applied(Kind.COORDINATE, (name, Coordinate((0,) * 8, 5_000, 9_000, 0))))
    node.on_timer(EARLIER)
    return node


def together_in(node: Node) -> list[Core]:
    """Its cores that take many events together."""
    assert node.plane is not None
    return [core for core in (*node.plane.cores, node.bus) if hasattr(core, "on_events")]


def admitted(name: str) -> MemberAdmitted:
    return MemberAdmitted(node_of(name), key_of(name), f"c{int(name[1:]) % 3}", "hub", node_of("me"))


def described(said: tuple[str, int, str, str, int]) -> MemberDescribed:
    name, cluster, role, region, port = said
    return MemberDescribed(node_of(name), f"c{cluster}", role, region, (f"{name}:{port}",) if port else (), "test")


def changed(said: tuple[str, str, str, int]) -> MemberChanged:
    name, old, new, incarnation = said
    return MemberChanged(node_of(name), old, new, incarnation, "seen")


def applied(kind: Kind, said: tuple[str, Body]) -> Applied:
    name, body = said
    key = node_of("n1") if kind == Kind.VOTE else node_id_of(body.node_key) if isinstance(body, Admission) else ""
    statement = Statement(
        mesh_id=MESH,
        author=node_of(name),
        epoch=1,
        seq=1,
        prev_hash=GENESIS_HASH,
        kind=int(kind),
        key=key,
        body=body.encode(),
        signature=bytes(64),
    )
    return Applied(node_of(name), kind, key, body, statement.encode(), ours=False)


NAME = st.sampled_from(NAMES)
AUTHOR: Final[dict[Kind, st.SearchStrategy[str]]] = {Kind.ADMISSION: st.sampled_from(("me", "me", "me", *NAMES[:3]))}
"""Who says it, where that is not anyone."""
STATE = st.sampled_from(("alive", "suspect", "dead", "left"))
RECORDS = st.builds(
    lambda cluster, port, incarnation, leaving: NodeRecord(
        b"", f"c{cluster}", "hub", "eu", (f"a:{port}",), incarnation, leaving, "test", ()
    ),
    st.integers(0, 2),
    st.integers(1, 9),
    st.integers(1, 3),
    st.booleans(),
)
LINKS = st.dictionaries(NAME, st.sampled_from(("up", "up", "up", "down")), max_size=5).map(
    lambda said: Links(tuple(Adjacency(node_of(name), said[name], "quic", 9_000, 0) for name in sorted(said)))
)
BODIES: Final[dict[Kind, st.SearchStrategy[Body]]] = {
    Kind.ADMISSION: st.builds(
        lambda name, role, ticket_id: Admission(key_of(name), "c1", role, ticket_id, 0, 5, b"", b""),
        NAME,
        st.sampled_from(("hub", "spoke")),
        st.sampled_from(("", "", "", encode_ulid(1, 1))),
    ),
    Kind.NODE: RECORDS,
    Kind.LINKS: LINKS,
    Kind.HELD: st.builds(Held, st.integers(0, 5)),
    Kind.VOTE: st.builds(Vote, st.integers(1, 4), st.just(0), st.booleans(), st.just(False), st.just(bytes(32))),
    Kind.COORDINATE: st.builds(
        Coordinate, st.tuples(*[st.integers(-9_000, 9_000)] * 8), st.integers(1, 9_000), st.just(9_000), st.just(0)
    ),
    Kind.ACCUSATIONS: st.lists(
        st.builds(Accusation, NAME.map(node_of), st.integers(0, 2), st.sampled_from(("suspect", "dead"))), max_size=2
    ).map(lambda accusations: Accusations(tuple(accusations))),
}


def many(events: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Event]]:
    return st.lists(events, min_size=1, max_size=40)


PLACES = st.tuples(
    NAME, st.integers(0, 2), st.sampled_from(("hub", "spoke")), st.sampled_from(("", "eu")), st.integers(0, 3)
)
BATCHES: Final[dict[type[Event], st.SearchStrategy[list[Event]]]] = {
    MemberAdmitted: many(NAME.map(admitted)),
    MemberExpelled: many(NAME.map(lambda name: MemberExpelled(node_of(name), "admission-void"))),
    MemberDescribed: many(PLACES.map(described)),
    MemberChanged: many(st.tuples(NAME, STATE, STATE, st.integers(1, 2)).map(changed)),
}


def batches_for(core: Core) -> st.SearchStrategy[list[Event]]:
    """Of what this core is told at a start, or in a merge."""
    told = [batches for kind, batches in BATCHES.items() if kind in core.EVENTS]
    if Applied in core.EVENTS:
        kinds = getattr(core, "KINDS", tuple(BODIES))
        told += [
            many(st.tuples(AUTHOR.get(kind, NAME), bodies).map(partial(applied, kind)))
            for kind, bodies in BODIES.items()
            if kind in kinds
        ]
    return st.one_of(told)


def state(thing: Any, seen: dict[int, None]) -> Any:
    """All that a core holds, by value. What it was given (dice, functions) is not its state."""
    if thing is None or isinstance(thing, int | str | bytes):
        return thing
    if isinstance(thing, FunctionType | MethodType | BuiltinFunctionType | type | random.Random):
        return type(thing).__name__
    if id(thing) in seen:
        return "as above"
    seen[id(thing)] = None
    if isinstance(thing, dict):
        return [(state(key, seen), state(value, seen)) for key, value in thing.items()]
    if isinstance(thing, Sequence) or hasattr(thing, "__iter__"):
        return [state(item, seen) for item in thing]
    if isinstance(thing, msgspec.Struct):
        return (type(thing).__name__, [state(getattr(thing, name), seen) for name in thing.__struct_fields__])
    names = [*getattr(thing, "__dict__", ())]
    for kind in type(thing).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        names += [slots] if isinstance(slots, str) else slots
    return (type(thing).__name__, [(name, state(getattr(thing, name, None), seen)) for name in names])


SKIPS: Final = ("regions",)
"""Who leaves unsaid what would have been so in between: who led a region until the next of these events."""
PRESETS: Final = ("hubs", "full", "overlay")
CORES: Final = tuple(core.NAME for core in together_in(lone("hubs")))


def core_of(preset: str, name: str) -> Any:
    return next(core for core in together_in(lone(preset)) if name == core.NAME)


@pytest.mark.parametrize("name", CORES)
def test_a_core_is_the_same_after_many_events_whether_told_together_or_not(name: str) -> None:
    """The contract of `on_events`: the same state, the same deadline, and the same answers in some order."""

    @settings(max_examples=20, deadline=None)
    @given(st.sampled_from(PRESETS), batches_for(core_of("hubs", name)))
    def holds(preset: str, events: list[Event]) -> None:
        one, other = core_of(preset, name), core_of(preset, name)
        together = one.on_events(NOW, events)
        singly = [effect for event in events for effect in other.on_event(NOW, event)]
        assert state(one, {}) == state(other, {})
        if name in SKIPS:
            assert set(map(repr, together)) <= set(map(repr, singly))
        else:
            assert sorted(map(repr, together)) == sorted(map(repr, singly))
        assert one.next_deadline() == other.next_deadline()

    holds()
