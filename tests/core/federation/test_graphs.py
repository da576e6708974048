"""Random cluster graphs, random policies, links that come and go, nodes that die: what must hold in all of them.

Each seed draws which of these happen at all (swarm testing, Groce et al. 2012). A failing case prints its seed.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arqonmesh.config.model import FederationSettings, OutboxSettings, Rules
from arqonmesh.core.events import Dropped
from arqonmesh.core.federation.patterns import RuleSet
from arqonmesh.ids import NodeId
from tests.core.federation.pretend import Member, Net

CHANNELS = ("telemetry:host", "raw:proc", "alerts:fire")
PATTERNS = ("*", "telemetry:*", "raw:*", "alerts:*", "*:proc")


@dataclass
class Case:
    """One random mesh and the story that it lived through."""

    seed: int
    rng: random.Random
    net: Net
    members: list[Member]
    edges: list[tuple[Member, Member]]
    said: dict[bytes, tuple[Member, str]] = field(default_factory=dict)
    perhaps: dict[bytes, None] = field(default_factory=dict)
    """Messages that may be lost: their origin died before they were safe."""
    moot: dict[tuple[NodeId, bytes], None] = field(default_factory=dict)
    """What a node had marked as seen and died before it could deliver it; its clients died with it."""


def draw_edges(rng: random.Random, members: list[Member]) -> list[tuple[Member, Member]]:
    shape = rng.choice(("line", "ring", "star", "full", "random"))
    count = len(members)
    if shape == "star":
        pairs = [(0, i) for i in range(1, count)]
    elif shape == "full":
        pairs = [(i, j) for i in range(count) for j in range(i)]
    else:
        pairs = [(i, i + 1) for i in range(count - 1)]
        if shape == "ring" and count > 2:
            pairs.append((count - 1, 0))
        if shape == "random":
            pairs += [(i, j) for i in range(count) for j in range(i - 1) if rng.random() < 0.4]
    return [(members[i], members[j]) for i, j in pairs]


def draw_settings(rng: random.Random) -> FederationSettings:
    def rules() -> Rules:
        allow = tuple(rng.sample(PATTERNS, rng.randrange(3)))
        deny = tuple(rng.sample(PATTERNS[1:], rng.randrange(2)))
        return Rules(allow=allow, deny=deny)

    return FederationSettings(
        export=rules() if rng.random() < 0.5 else Rules(allow=("*",)),
        import_=rules() if rng.random() < 0.3 else Rules(allow=("*",)),
        ttl=16,
        outbox=OutboxSettings(window_bytes=rng.choice((300, 4_000, 4 << 20))),
    )


def draw_case(seed: int) -> Case:
    rng = random.Random(seed)
    net = Net(rng.getrandbits(32))
    count = rng.randrange(2, 8)
    clusters = rng.randrange(1, count + 1)
    members = [net.add(f"m{i}", f"c{rng.randrange(clusters)}", draw_settings(rng)) for i in range(count)]
    case = Case(seed, rng, net, members, draw_edges(rng, members))
    for one, two in case.edges:
        net.connect(one, two)
    net.settle()
    return case


def live(case: Case, *, cuts: bool, crashes: bool) -> None:
    rng, net = case.rng, case.net
    for number in range(rng.randrange(5, 60)):
        member = rng.choice(case.members)
        if member.core is not None:
            frame = b"%s %d %d" % (member.name.encode(), member.epoch, number)
            channel = rng.choice(CHANNELS)
            case.said[frame] = (member, channel)
            net.publish(member, channel, frame)
        for _ in range(rng.randrange(6)):
            net.step()
        if cuts and rng.random() < 0.2:
            net.cut(*rng.choice(case.edges))
        if cuts and rng.random() < 0.2:
            net.connect(*rng.choice(case.edges))
        if crashes and rng.random() < 0.05:
            victim = rng.choice(case.members)
            # What had not reached a disk or a neighbour may be gone with its origin.
            case.perhaps.update({frame: None for frame, (origin, _) in case.said.items() if origin is victim})
            if victim.core is not None:
                case.moot.update({(victim.node_id, frame): None for _, _, frame in victim.fed.in_hand()})
            net.crash(victim)
        if crashes and rng.random() < 0.2:
            for member in case.members:
                if member.core is None:
                    net.boot(member)
        if rng.random() < 0.3:
            net.now += rng.choice((1_000, 10_000, 50_000))


def heal(case: Case) -> None:
    for member in case.members:
        if member.core is None:
            case.net.boot(member)
    for one, two in case.edges:
        case.net.connect(one, two)
    case.net.settle()


def allowed_at(case: Case, origin: Member, channel: str) -> dict[NodeId, None]:
    """A second, dumber implementation: whom a message may reach when each hop asks its own rules."""
    neighbours: dict[NodeId, list[Member]] = {member.node_id: [] for member in case.members}
    for one, two in case.edges:
        neighbours[one.node_id].append(two)
        neighbours[two.node_id].append(one)
    reached = {origin.node_id: None}
    queue = deque([origin])
    while queue:
        here = queue.popleft()
        for there in neighbours[here.node_id]:
            leaves = here.cluster == there.cluster or RuleSet("", here.settings.export).ruling(channel).allowed
            enters = origin.cluster == there.cluster or RuleSet("", there.settings.import_).ruling(channel).allowed
            if leaves and enters and there.node_id not in reached:
                reached[there.node_id] = None
                queue.append(there)
    return reached


def check(case: Case) -> None:
    for member in case.members:
        got = [frame for _, frame in member.delivered]
        assert len(set(got)) == len(got), f"seed {case.seed}: {member.name} got something twice"
        newest: dict[tuple[bytes, bytes, str], int] = {}
        for channel, frame in member.delivered:
            name, epoch, number = frame.split()
            line = (name, epoch, channel)
            assert newest.get(line, -1) < int(number), f"seed {case.seed}: {frame!r} came late at {member.name}"
            newest[line] = int(number)
    for frame, (origin, channel) in case.said.items():
        reached = allowed_at(case, origin, channel)
        for member in case.members:
            has = (channel, frame) in member.delivered
            may = member.node_id in reached and member is not origin
            assert may or not has, f"seed {case.seed}: {frame!r} on {channel} leaked to {member.name}"
            if frame not in case.perhaps and (member.node_id, frame) not in case.moot:
                assert has or not may, f"seed {case.seed}: {frame!r} on {channel} never reached {member.name}"
    for member in case.members:
        assert not member.fed._custodies, f"seed {case.seed}: {member.name} still has something in custody"
        assert not any(member.fed.backlog(peer) for peer in case.net.members), f"seed {case.seed}: not drained"
        assert not member.tables.get("outbox"), f"seed {case.seed}: rows left behind at {member.name}"


ANY_SEED = st.integers(0, 2**32 - 1)
PROFILE = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@PROFILE
@given(ANY_SEED)
def test_on_quiet_links_everyone_gets_what_the_policies_allow(seed: int) -> None:
    """Once, in order, and nobody gets more; on a graph of E links a message crosses each at most twice."""
    case = draw_case(seed)
    before = case.net.sent_batches
    live(case, cuts=False, crashes=False)
    heal(case)
    check(case)
    assert case.net.sent_batches - before <= 2 * len(case.edges) * len(case.said)


@PROFILE
@given(ANY_SEED)
def test_what_links_lose_is_held_and_arrives_after_they_heal(seed: int) -> None:
    """Links fall and come back at any moment; after the last heal nothing is missing, doubled or out of order."""
    case = draw_case(seed)
    live(case, cuts=True, crashes=False)
    heal(case)
    check(case)


@PROFILE
@given(ANY_SEED)
def test_nodes_that_die_and_return_lose_nothing_of_others(seed: int) -> None:
    """Only what a node had said itself may be gone with it, and what was in its hands is sent to it again."""
    case = draw_case(seed)
    live(case, cuts=True, crashes=True)
    heal(case)
    check(case)


@pytest.mark.parametrize("bound", [1, 3, 10])
def test_bounds_hold_at_every_moment_and_what_they_cost_is_counted(bound: int) -> None:
    """messages_max per link; nothing is missing that was not counted."""
    case = draw_case(7)
    net = Net(1)
    outbox = OutboxSettings(messages_max=bound)
    open_border = FederationSettings(export=Rules(allow=("*",)), outbox=outbox)
    one, two = net.add("one", "a", open_border), net.add("two", "b", open_border)
    net.connect(one, two)
    for number in range(100):
        if case.rng.random() < 0.1:
            net.cut(one, two)
        if case.rng.random() < 0.1:
            net.connect(one, two)
        net.publish(one, "a:b", b"%d" % number)
        net.tick(one)
        assert one.fed.backlog(two.node_id) <= bound
        net.step()
    net.connect(one, two)
    net.settle()

    dropped = sum(event.count for event in one.said(Dropped) if isinstance(event, Dropped))
    assert dropped > 0
    assert len(two.delivered) + dropped >= 100  # what was dropped in flight may have arrived all the same
    assert len(set(two.delivered)) == len(two.delivered)
