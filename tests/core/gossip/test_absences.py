"""Since when whom is gone: what is noted of whom, and how much of it."""

from __future__ import annotations

from arqonmesh.config.model import GossipSettings
from arqonmesh.core.events import MemberAdmitted, MemberChanged, MemberExpelled
from arqonmesh.core.gossip.limits import Limits
from arqonmesh.wire.statement import Kind
from tests.core.gossip.world import CUT_OFF, SECOND, WHOLE, World, admission_of
from tests.core.toy import key_of, node_of

HORIZON = GossipSettings(tombstone_horizon_s=60.0)


def mesh(limits: Limits | None = None) -> World:
    world = World(("hub", "ant"), HORIZON, limits)
    world.link("hub", "ant")
    world.settle()
    for member in world.members.values():
        for name in ("hub", "ant"):
            member.tell(MemberChanged(node_of(name), "", "alive", 1, "joined"))
    return world


def test_nobody_who_is_no_member_any_more_is_noted() -> None:
    """Whoever was let go leaves nothing behind, at its admitter and at a node that admits nobody."""
    world = mesh()
    for number in range(40):
        bee = node_of(f"bee{number}")
        world["hub"].publish(Kind.ADMISSION, admission_of(f"bee{number}", role="spoke"), bee)
        world.collect()
        world.settle()
        for member in world.members.values():
            member.tell(MemberChanged(bee, "alive", "dead", 1, "it is"))
            assert len(member.gossip._lapsed) == number + 1
    for number in range(40):
        bee = node_of(f"bee{number}")
        world["ant"].tell(MemberExpelled(bee, "by a floor"))
        assert len(world["ant"].gossip._lapsed) == 39 - number
    world["ant"].tell(MemberExpelled(node_of("never heard of"), "by a floor"))
    assert len(world["ant"].gossip._lapsed) == 0
    assert len(world["hub"].gossip._lapsed) == 40


def test_more_absences_than_the_bound_are_counted_and_count_as_presence() -> None:
    """Nobody is let go because there was no room to note when it went."""
    world = mesh(Limits(absences=2))
    hub, nodes = world["hub"], [node_of(f"bee{n}") for n in range(4)]
    for number, node in enumerate(nodes):
        hub.tell(MemberAdmitted(node, key_of(f"bee{number}"), "hq", "spoke"))
        hub.publish(Kind.ADMISSION, admission_of(f"bee{number}", role="spoke"), node)
    lapsed = hub.gossip._lapsed
    assert len(lapsed) == 2
    assert hub.gossip.counters["absences_unnoted"] >= 2
    is_over = lapsed.test(hub.now + 1_000 * SECOND)
    over = [r.key for r in hub.gossip._records(Kind.ADMISSION) if is_over(r)]
    assert sorted(over) == sorted(nodes[:2])
    lapsed.present(nodes[0])
    hub.tell(MemberChanged(nodes[3], "alive", "dead", 1, "it is"))
    assert len(lapsed) == 2


def test_an_absence_counts_from_when_this_side_may_write_again() -> None:
    """What a read-only side did not see says nothing; being told of a quorum once more changes nothing."""
    world = mesh()
    hub, bee = world["hub"], node_of("bee")
    hub.publish(Kind.ADMISSION, admission_of("bee", role="spoke"), bee)
    hub.tell(MemberChanged(bee, "alive", "dead", 1, "it is"))
    lapsed = hub.gossip._lapsed
    [record] = [r for r in hub.gossip._records(Kind.ADMISSION) if r.key == bee]
    hub.now = 50 * SECOND
    hub.tell(WHOLE)
    assert lapsed.writable and lapsed.test(60 * SECOND)(record)
    hub.tell(CUT_OFF)
    assert not lapsed.writable
    hub.now = 300 * SECOND
    hub.tell(WHOLE)
    assert not lapsed.test(359 * SECOND)(record)
    assert lapsed.test(360 * SECOND)(record)
