"""Whose turn is it? In each round of repair all members stand in a ring, in an order that nobody chose and that is
another one in every round; each compares with who comes after it.

Whoever draws a partner by lot draws some twice and some not at all: of 100 nodes that draw ten each, some are drawn
four times and others sixteen, and every twentieth exchange is one that the other side has begun already. In the ring
everyone begins as many exchanges as others begin with it, and no two of a round are between the same two. With ten
exchanges per node that is mostly two rounds instead of three until all of 100 nodes know (`python -m
bench.gossip_rounds`).

The order is by a hash of the round's number, which is the wall clock's, and of the name. Clocks that disagree only make
rings that differ, and draws out of turns; so does a mesh in which not everyone is linked with everyone, where those who
are linked stand in the same order. A name that stands well in one round stands anywhere in the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from arqonmesh.ids import NodeId

DOMAIN: Final = b"arqonmesh/v1/repair-round\x00"


def place(number: int, node: NodeId) -> bytes:
    """Where this node stands in this round: 8 bytes, in the order of which all stand."""
    return hashlib.sha256(DOMAIN + number.to_bytes(8, "big") + node.encode()).digest()[:8]


def in_turn(number: int, me: NodeId, others: Sequence[NodeId]) -> list[NodeId]:
    """`others` in the order in which they come after us in this round's ring."""
    mine = place(number, me)
    stand = sorted((place(number, node), node) for node in others)
    after = [node for where, node in stand if where > mine]
    return after + [node for where, node in stand if where <= mine]
