"""Values of every replicated type, drawn from few identities so that they meet; anything that decoding would take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, Self

from hypothesis import strategies as st

from arqonmesh.core.crdt import add_wins_map, g_counter, max_map, min_map
from arqonmesh.core.crdt.add_wins_map import AddWinsMap
from arqonmesh.core.crdt.dots import Dots, Entry
from arqonmesh.core.crdt.g_counter import GCounter, Share
from arqonmesh.core.crdt.lww_register import Register
from arqonmesh.core.crdt.max_map import MaxMap
from arqonmesh.core.crdt.min_map import MinMap
from arqonmesh.core.crdt.pn_counter import PNCounter
from arqonmesh.ids import NodeId

NODES: Final = tuple(NodeId(letter * 32) for letter in "abc2")
nodes = st.sampled_from(NODES)
small = st.integers(0, 3)


class Lattice(Protocol):
    """What all of them can do."""

    def join(self, other: Self) -> Self: ...
    def encode(self) -> bytes: ...


@st.composite
def shares(draw: st.DrawFn) -> Share:
    floor = draw(small)
    counts = draw(st.dictionaries(st.integers(floor, 12), small, max_size=g_counter.MAX_EPOCHS))
    return Share(floor, draw(small), tuple(sorted(counts.items())))


@st.composite
def dots(draw: st.DrawFn) -> Dots:
    """Also such in which one dot stands for different writes in different replicas."""
    upto, early = draw(small), draw(st.lists(st.integers(1, 8), max_size=4))
    keys, contents = st.sampled_from("xy"), st.sampled_from((b"", b"1"))
    held = draw(
        st.lists(st.builds(Entry, st.integers(1, 8), keys, contents), max_size=6, unique_by=lambda entry: entry.seq)
    )
    return Dots.of(draw(st.integers(0, 1)), upto, early, held)


g_counters = st.dictionaries(nodes, shares(), max_size=4).map(lambda d: GCounter(tuple(sorted(d.items()))))
VALUES: Final[dict[str, st.SearchStrategy[Any]]] = {
    "MinMap": st.lists(st.tuples(nodes, st.tuples(small, small))).map(MinMap.of),
    "MaxMap": st.lists(st.tuples(nodes, small)).map(MaxMap.of),
    "GCounter": g_counters,
    "PNCounter": st.builds(PNCounter, g_counters, g_counters),
    "Register": st.just(Register())
    | st.builds(Register.written, st.integers(0, 2), nodes, st.sampled_from((b"", b"1", b"2", b"3"))),
    "AddWinsMap": st.dictionaries(nodes, dots(), max_size=4).map(lambda d: AddWinsMap.of(d.items())),
}
DECODERS: Final[dict[str, Callable[[bytes], Any]]] = {
    "MinMap": MinMap.decode,
    "MaxMap": MaxMap.decode,
    "GCounter": GCounter.decode,
    "PNCounter": PNCounter.decode,
    "Register": Register.decode,
    "AddWinsMap": AddWinsMap.decode,
}
BOTTOMS: Final[dict[str, Any]] = {
    "MinMap": MinMap(),
    "MaxMap": MaxMap(),
    "GCounter": GCounter(),
    "PNCounter": PNCounter(),
    "Register": Register(),
    "AddWinsMap": AddWinsMap(),
}
BOUNDED: Final = (min_map, max_map, g_counter, add_wins_map)
