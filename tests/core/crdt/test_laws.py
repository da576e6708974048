"""The laws of join-semilattices, for every replicated type and for values that anybody may have made."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arqonmesh.errors import DecodeError
from arqonmesh.wire import cbor
from tests.core.crdt.values import BOTTOMS, DECODERS, VALUES

every_type = pytest.mark.parametrize("name", sorted(VALUES))
pytestmark = pytest.mark.requirement("R-CR-2")


@every_type
@given(data=st.data())
@settings(max_examples=40)
def test_a_join_does_not_depend_on_who_joins_whom(name: str, data: st.DataObject) -> None:
    """x join y == y join x."""
    x, y = data.draw(VALUES[name]), data.draw(VALUES[name])

    assert x.join(y) == y.join(x)


@every_type
@given(data=st.data())
@settings(max_examples=40)
def test_a_join_does_not_depend_on_the_order_of_arrival(name: str, data: st.DataObject) -> None:
    """(x join y) join z == x join (y join z)."""
    x, y, z = (data.draw(VALUES[name]) for _ in range(3))

    assert x.join(y).join(z) == x.join(y.join(z))


@every_type
@given(data=st.data())
@settings(max_examples=40)
def test_what_arrives_twice_counts_once(name: str, data: st.DataObject) -> None:
    """x join x == x, and (x join y) join y == x join y: the join is an upper bound of both."""
    x, y = data.draw(VALUES[name]), data.draw(VALUES[name])
    both = x.join(y)

    assert x.join(x) == x
    assert both.join(x) == both
    assert both.join(y) == both


@every_type
@given(data=st.data())
@settings(max_examples=40)
def test_nothing_is_below_the_bottom(name: str, data: st.DataObject) -> None:
    """bottom join x == x == x join bottom."""
    x = data.draw(VALUES[name])

    assert BOTTOMS[name].join(x) == x
    assert x.join(BOTTOMS[name]) == x


@every_type
@given(data=st.data())
@settings(max_examples=40)
def test_a_value_survives_the_wire(name: str, data: st.DataObject) -> None:
    """decode(encode(x)) == x, for values and for joins of them; and one value has one encoding."""
    x = data.draw(VALUES[name]).join(data.draw(VALUES[name]))
    encoded = x.encode()

    assert DECODERS[name](encoded) == x
    assert DECODERS[name](encoded).encode() == encoded


@every_type
@given(data=st.data())
@settings(max_examples=40)
def test_bytes_of_a_liar_are_refused_or_merged_but_never_raise_anything_else(name: str, data: st.DataObject) -> None:
    """Whatever decodes encodes to the same bytes, and joins with any other value; the rest is a DecodeError."""
    honest = data.draw(VALUES[name])
    wire = cbor.decode(honest.encode(), max_bytes=1 << 20)
    forged = data.draw(twisted(wire))
    encoded = cbor.encode(forged)
    try:
        value = DECODERS[name](encoded)
    except DecodeError:
        return

    assert value.encode() == encoded
    assert value.join(honest) == honest.join(value)


def twisted(wire: Any) -> st.SearchStrategy[Any]:
    """The decoded form with one item swapped, doubled, dropped or replaced, at any depth."""
    if not isinstance(wire, list) or not wire:
        return st.sampled_from((0, 1, 2**63, -1, "", "a" * 32, b"", None, [], [[]]))

    @st.composite
    def twist(draw: st.DrawFn) -> Any:
        index = draw(st.integers(0, len(wire) - 1))
        how = draw(st.sampled_from(("inside", "inside", "reverse", "double", "drop")))
        if how == "inside":
            return [*wire[:index], draw(twisted(wire[index])), *wire[index + 1 :]]
        if how == "reverse":
            return wire[::-1]
        return [*wire[:index], *([wire[index]] * 2 if how == "double" else []), *wire[index + 1 :]]

    return twist()
