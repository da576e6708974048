"""The add-wins map against the plain meaning of its words: writes, and removals of what was seen."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from arqonmesh.core.crdt.add_wins_map import MAX_VALUE_BYTES, AddWinsMap
from arqonmesh.core.crdt.dots import WINDOW
from arqonmesh.errors import DecodeError
from arqonmesh.ids import NodeId
from arqonmesh.wire import cbor
from tests.core.crdt.values import NODES

A, B, C = NODES[:3]
keys = st.sampled_from("xyz")
replicas = st.sampled_from((A, B, C))


class Replicas(RuleBasedStateMachine):
    """Three replicas exchange deltas and whole states in any order; beside each the sets of writes it should know."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = {node: AddWinsMap() for node in (A, B, C)}
        self.epochs = dict.fromkeys((A, B, C), 0)
        self.numbers = iter(range(10_000))
        self.added: dict[NodeId, dict[tuple[str, int], NodeId]] = {node: {} for node in (A, B, C)}
        """(key, number of the write) to writer, that this replica has heard of."""
        self.gone: dict[NodeId, dict[tuple[str, int], None]] = {node: {} for node in (A, B, C)}

    @rule(node=replicas, key=keys)
    def put(self, node: NodeId, key: str) -> None:
        number = next(self.numbers)
        before = self.maps[node]
        self.maps[node] = before.join(before.put(node, self.epochs[node], key, number.to_bytes(2, "big")))
        self._see_off(node, key)
        self.added[node][key, number] = node

    @rule(node=replicas, key=keys)
    def remove(self, node: NodeId, key: str) -> None:
        before = self.maps[node]
        self.maps[node] = before.join(before.remove(key))
        self._see_off(node, key)

    @rule(to=replicas, come_from=replicas)
    def merge(self, to: NodeId, come_from: NodeId) -> None:
        wire = self.maps[come_from].encode()
        self.maps[to] = self.maps[to].join(AddWinsMap.decode(wire))
        self.added[to].update(self.added[come_from])
        self.gone[to].update(self.gone[come_from])

    @invariant()
    def each_replica_holds_what_was_added_and_not_seen_off(self) -> None:
        for node, held in self.maps.items():
            want: dict[str, list[bytes]] = {}
            for key, number in self.added[node]:
                if (key, number) not in self.gone[node]:
                    want.setdefault(key, []).append(number.to_bytes(2, "big"))
            assert list(held) == sorted(want)
            for key, values in want.items():
                assert held.values(key) == tuple(sorted(values))

    def _see_off(self, node: NodeId, key: str) -> None:
        """A write or removal here takes every write of the key that this replica has heard of."""
        for written, number in self.added[node]:
            if written == key:
                self.gone[node][written, number] = None


Replicas.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestReplicas = Replicas.TestCase


def test_an_add_wins_over_a_removal_that_did_not_see_it() -> None:
    """A removes what it knows while B writes the key again: the key stays, with B's value."""
    start = AddWinsMap().put(A, 0, "x", b"old")
    removed = start.join(start.remove("x"))
    rewritten = start.join(start.put(B, 0, "x", b"new"))

    assert "x" not in removed
    assert removed.join(rewritten).values("x") == (b"new",)


def test_a_removed_write_does_not_come_back_with_a_late_message() -> None:
    """The delta that added it arrives again, after the removal: it was seen."""
    added = AddWinsMap().put(A, 0, "x")
    removed = added.join(added.remove("x"))

    assert list(removed.join(added)) == []


@given(st.permutations(range(6)))
def test_deltas_in_any_order_make_one_map(order: list[int]) -> None:
    """Gaps are remembered as single dots and closed as they fill."""
    here, deltas = AddWinsMap(), []
    for number in range(6):
        deltas.append(here.put(A, 0, str(number)))
        here = here.join(deltas[-1])
    there = AddWinsMap()
    for number in order:
        there = there.join(deltas[number])

    assert there == here
    assert dict(there.parts)[A].early == ()


def test_a_writer_holds_as_many_keys_as_the_window_has_room_for() -> None:
    """The oldest write makes room for the newest: bounded, and the same on every replica."""
    here = AddWinsMap()
    for number in range(WINDOW + 5):
        here = here.join(here.put(A, 0, f"{number:03}"))

    assert list(here) == [f"{number:03}" for number in range(5, WINDOW + 5)]
    assert AddWinsMap.decode(here.encode()) == here


def test_a_newer_epoch_carries_over_what_the_writer_still_holds() -> None:
    """After a restart the first write moves all others with it; deltas of the old epoch change nothing any more."""
    old = AddWinsMap().put(A, 1, "x", b"1")
    old = old.join(old.put(A, 1, "y", b"2"))
    late = old.put(A, 1, "z", b"too late")
    new = old.join(old.put(A, 2, "y", b"3"))

    assert {key: new.values(key) for key in new} == {"x": (b"1",), "y": (b"3",)}
    assert new.join(late) == new
    with pytest.raises(ValueError, match="epoch 2 or later"):
        new.put(A, 1, "x")
    with pytest.raises(ValueError, match="256 bytes"):
        new.put(A, 2, "x", bytes(MAX_VALUE_BYTES + 1))


def test_two_writes_under_one_dot_lose_each_other_everywhere() -> None:
    """An author that signs both gains nothing, and no two replicas differ."""
    one, other = AddWinsMap().put(A, 0, "x", b"1"), AddWinsMap().put(A, 0, "y", b"2")

    assert one.join(other) == other.join(one)
    assert list(one.join(other)) == []


@pytest.mark.parametrize(
    ("upto", "early", "held"),
    [
        (0, [1], []),
        (3, [2], []),
        (0, [5, 3], []),
        (0, [WINDOW + 2], []),
        (1, [], [[2, "x", b""]]),
        (2, [], [[2, "x", b""], [1, "y", b""]]),
        (2, [], [[1, "x", b""], [1, "y", b""]]),
        (WINDOW + 1, [], [[1, "x", b""]]),
    ],
)
def test_dots_in_another_form_are_refused(upto: int, early: list[int], held: list[list[object]]) -> None:
    """Seen twice, out of order, a gap that is none, held without having been seen, one dot for two writes, too old."""
    with pytest.raises(DecodeError) as caught:
        AddWinsMap.decode(cbor.encode([[[A, 0, upto, early, held]]]))

    assert caught.value.code == "wire.not-canonical"
