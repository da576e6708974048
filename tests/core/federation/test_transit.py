"""Who is barred from transit gets what is for itself, and hands on nothing."""

from __future__ import annotations

import random
from collections import deque
from itertools import pairwise

import pytest

from arqonmesh.core.events import Dropped
from arqonmesh.ids import NodeId
from tests.core.federation.pretend import Member, Net

CHANNEL = "lab:bench"


def line(names: str, seed: int = 1) -> tuple[Net, list[Member]]:
    """a - b - c - ..., one cluster."""
    net = Net(seed)
    members = [net.add(name, "lab") for name in names]
    for one, two in pairwise(members):
        net.connect(one, two)
    net.settle()
    return net, members


def bar(net: Net, by: Member, *whom: Member) -> None:
    net.barred[by.node_id] = {member.node_id: None for member in whom}


def drops(member: Member) -> int:
    return sum(
        event.count
        for event in member.said(Dropped)
        if isinstance(event, Dropped) and event.reason == "untrusted-transit"
    )


@pytest.mark.requirement("R-PT-9")
@pytest.mark.parametrize("by", ["origin", "end", "both"])
def test_a_barred_neighbour_gets_what_is_for_it_and_passes_nothing_on(by: str) -> None:
    """a - b - c: barred by a, b is not asked to pass on; barred by c, what it passes on is refused, and counted."""
    net, (a, b, c) = line("abc")
    if by != "end":
        bar(net, a, b)
    if by != "origin":
        bar(net, c, b)
    net.publish(a, CHANNEL, b"1")
    net.settle()
    assert [frame for _, frame in b.delivered] == [b"1"]
    assert c.delivered == []
    assert drops(c) == (by == "end")
    assert a.fed.backlog(b.node_id) == b.fed.backlog(c.node_id) == 0, "nobody waits for what is refused"


def test_what_a_barred_neighbour_says_itself_is_heard() -> None:
    """It is an end, not an outcast."""
    net, (a, b, c) = line("abc")
    bar(net, a, b)
    bar(net, c, b)
    net.publish(b, CHANNEL, b"mine")
    net.settle()
    assert [frame for _, frame in a.delivered] == [frame for _, frame in c.delivered] == [b"mine"]


def test_what_was_refused_counts_when_it_comes_another_way() -> None:
    """a - b - c and a - d - e - c, longer: c gets it once, over e, whichever was first."""
    for seed in range(12):
        net, (a, b, c) = line("abc", seed)
        d, e = net.add("d", "lab"), net.add("e", "lab")
        for one, two in ((a, d), (d, e), (e, c)):
            net.connect(one, two)
        net.settle()
        bar(net, c, b)
        for number in range(5):
            net.publish(a, CHANNEL, b"%d" % number)
            net.step()
        net.settle()
        assert [frame for _, frame in c.delivered] == [b"%d" % number for number in range(5)]


def test_a_neighbour_that_is_trusted_again_carries_what_comes_from_then_on() -> None:
    """What was refused meanwhile stays lost to who was reached over it alone."""
    net, (a, b, c) = line("abc")
    bar(net, c, b)
    net.publish(a, CHANNEL, b"1")
    net.settle()
    net.barred.clear()
    net.publish(a, CHANNEL, b"2")
    net.settle()
    assert [frame for _, frame in c.delivered] == [b"2"]


@pytest.mark.requirement("R-PT-6")
@pytest.mark.requirement("R-PT-9")
@pytest.mark.parametrize("seed", range(60))
def test_views_of_trust_that_differ_make_no_message_go_in_circles(seed: int) -> None:
    """Random graphs in which everyone bars whom it likes: each message reaches, once, exactly those to whom a way leads
    on which neither side of any node between bars it; no link carries it twice each way, and all outboxes empty."""
    dice = random.Random(f"transit {seed}")
    net = Net(seed)
    members = [net.add(f"m{index}", "lab") for index in range(dice.randrange(3, 9))]
    edges = [(members[at], members[dice.randrange(at)]) for at in range(1, len(members))]
    edges += [(one, two) for one in members for two in members if one.name < two.name and dice.random() < 0.25]
    for one, two in edges:
        net.connect(one, two)
    net.settle()
    for member in members:
        bar(net, member, *(other for other in members if other is not member and dice.random() < 0.3))
    before = net.sent_batches
    said = []
    for number in range(4):
        origin = dice.choice(members)
        net.publish(origin, CHANNEL, b"%d" % number)
        net.tick(origin)
        said.append((b"%d" % number, origin))
        for _ in range(dice.randrange(12)):
            net.step()
    net.settle()
    links = len({frozenset((one.node_id, two.node_id)) for one, two in edges})
    assert net.sent_batches - before <= len(said) * 2 * links
    for frame, origin in said:
        reached = ways(net, edges, origin)
        for member in members:
            copies = [got for _, got in member.delivered].count(frame)
            assert copies == (member is not origin and member.node_id in reached), (member.name, frame)
    for one, two in edges:
        assert one.fed.backlog(two.node_id) == two.fed.backlog(one.node_id) == 0


def ways(net: Net, edges: list[tuple[Member, Member]], origin: Member) -> dict[NodeId, None]:
    """Whom a flood from `origin` reaches, by the rule itself: x - y - z only if neither x nor z bars y."""
    near: dict[NodeId, dict[NodeId, None]] = {}
    for one, two in edges:
        near.setdefault(one.node_id, {})[two.node_id] = None
        near.setdefault(two.node_id, {})[one.node_id] = None
    reached: dict[NodeId, None] = {origin.node_id: None}
    seen: dict[tuple[NodeId, NodeId], None] = {}
    queue: deque[tuple[NodeId, NodeId]] = deque((origin.node_id, peer) for peer in near[origin.node_id])
    while queue:
        x, y = queue.popleft()
        if (x, y) in seen:
            continue
        seen[x, y] = None
        reached[y] = None
        if y in net.barred.get(x, {}):
            continue
        queue.extend((y, z) for z in near[y] if z != x and y not in net.barred.get(z, {}))
    return reached
