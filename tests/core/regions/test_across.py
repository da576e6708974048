"""What leaders hear from inside crosses to the other regions at once."""

from __future__ import annotations

import pytest

from arqonmesh.config.model import BroadcastSettings
from arqonmesh.core.broadcast import Plumtree
from arqonmesh.core.events import Broadcast, BroadcastArrived, LinkWanted
from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.sim.field import Field, constant
from arqonmesh.sim.field.accept import Accepting

LATENCY_US = 10 * MILLISECOND
INSIDE, LEADER, ONE, OTHER, NODES = 0, 6, 7, 8, 15
"""Nodes 0 to 5 are inside, 9 to 11 are of ONE's region, 12 to 14 of OTHER's: all have links of the tree enough."""


@pytest.mark.requirement("R-PT-4")
def test_a_leader_sends_across_what_it_hears_inside_and_not_what_came_across() -> None:
    """Bridges beside the tree: from inside both other regions have it one link later, without being asked about it;
    from another region it is only announced to the third."""
    field = Field(1, constant(LATENCY_US))
    for _ in range(NODES):
        field.add(lambda env: (Plumtree(env("b"), BroadcastSettings(eager_max=4), lambda: NODES), Accepting(env("a"))))
    field.lay((LEADER, inside) for inside in range(LEADER))
    field.lay((ONE, friend) for friend in (9, 10, 11))
    field.lay((OTHER, friend) for friend in (12, 13, 14))
    field.lay([(LEADER, ONE), (LEADER, OTHER)])
    for peer in (ONE, OTHER):
        field.tell(LEADER, LinkWanted(field.nodes[peer].id, "regions", ("a:1",)))
    field.run_for(SECOND)
    leader = field.nodes[LEADER].core(Plumtree)
    assert leader.lazy == (field.nodes[ONE].id, field.nodes[OTHER].id)
    arrived: dict[int, int] = {}
    field.watch(BroadcastArrived, lambda now, index, event: arrived.update({index: now}))

    began = field.now
    field.tell(INSIDE, Broadcast("news", bytes(400)))
    field.run_for(SECOND)
    assert {index: arrived[index] - began for index in (LEADER, ONE, OTHER)} == {
        LEADER: LATENCY_US,
        ONE: 2 * LATENCY_US,
        OTHER: 2 * LATENCY_US,
    }
    assert len(arrived) == NODES - 1
    assert leader.counters["across_regions"] == 2

    arrived.clear()
    field.tell(9, Broadcast("news", bytes(401)))
    field.run_for(SECOND)
    assert len(arrived) == NODES - 1
    assert leader.counters["across_regions"] == 2
