"""Random graphs, regions and pins; links fall, nodes die, members move: no pinned event ever leaves."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arqonmesh.config.model import FederationSettings, PinRule, Rules
from arqonmesh.core.federation.batch import decode_section
from arqonmesh.core.federation.patterns import covers
from arqonmesh.core.glob import matches
from arqonmesh.core.kernel import Effect, Send
from arqonmesh.wire.messages import BusBatch
from tests.core.federation.pretend import Member, Net

CHANNELS = ("acme|plant:press", "acme|office:desk", "acme|plant:*", "open:x")
REGIONS = ("eu-west", "eu-north", "us-east", "")
PINS = (
    PinRule(channels=("acme|*",), regions=("eu-*",)),
    PinRule(channels=("acme|plant:press",), regions=("eu-west", "us-*")),
    PinRule(channels=("*|office:*", "open:*"), regions=("*",)),
    PinRule(channels=("acme|*",), regions=("@here",)),
)


class Watched(Net):
    """Looks into every batch as it is sent: what is in it may go to this member, by the origin's rules of that time."""

    def __init__(self, seed: int) -> None:
        self.said: dict[bytes, list[tuple[str, ...]]] = {}
        super().__init__(seed)

    def publish(self, member: Member, channel: str, frame: bytes) -> None:
        self.said[frame] = allowed_regions(member, channel)
        super().publish(member, channel, frame)

    def perform(self, member: Member, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.message, BusBatch):
                self.look(member, self.members[effect.to], effect.message)
        super().perform(member, effects)

    def look(self, sender: Member, receiver: Member, batch: BusBatch) -> None:
        for section in (decode_section(encoded) for encoded in batch.sections if encoded):
            for allowed in (*self.said[section.frames[0]], *allowed_regions(sender, section.channel)):
                fits = receiver.region and any(matches(one, receiver.region) for one in allowed)
                assert fits, f"{section.frames[0]!r} left {sender.name} for {receiver.region or 'no region'}"


def allowed_regions(member: Member, channel: str) -> list[tuple[str, ...]]:
    """A second, dumber reading of the rules."""
    return [
        tuple(member.region if region == "@here" else region for region in rule.regions)
        for rule in member.settings.pin
        if any(covers(pattern, channel) for pattern in rule.channels)
    ]


def draw(seed: int) -> tuple[Watched, list[Member], list[tuple[Member, Member]], random.Random]:
    rng = random.Random(seed)
    net = Watched(rng.getrandbits(32))
    members = []
    for number in range(rng.randrange(2, 7)):
        pins = tuple(rng.sample(PINS, rng.choice((0, 0, 1, 2))))
        rules = FederationSettings(export=Rules(allow=("*",)), pin=pins, ttl=16)
        members.append(net.add(f"m{number}", f"c{rng.randrange(4)}", rules, region=rng.choice(REGIONS)))
    edges = [(a, b) for i, a in enumerate(members) for b in members[:i] if rng.random() < 0.6]
    for one, two in edges:
        net.connect(one, two)
    net.settle()
    return net, members, edges, rng


def live(net: Watched, members: list[Member], edges: list[tuple[Member, Member]], rng: random.Random) -> None:
    for number in range(rng.randrange(10, 50)):
        member = rng.choice(members)
        if member.core is not None:
            net.publish(member, rng.choice(CHANNELS), b"%s %d" % (member.name.encode(), number))
        for _ in range(rng.randrange(6)):
            net.step()
        if edges and rng.random() < 0.2:
            net.cut(*rng.choice(edges))
        if edges and rng.random() < 0.3:
            net.connect(*rng.choice(edges))
        if rng.random() < 0.08:
            net.crash(rng.choice(members))
        if rng.random() < 0.1:  # moving takes a restart, and the news of it are everywhere at once
            mover = rng.choice(members)
            net.crash(mover)
            net.move(mover, rng.choice(REGIONS[:3]))
        for member in members:
            if member.core is None and rng.random() < 0.5:
                net.boot(member)
        net.now += rng.choice((0, 1_000, 30_000))


@pytest.mark.requirement("R-RE-1")
@pytest.mark.requirement("R-RE-4")
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32 - 1))
def test_no_path_leads_a_pinned_event_out_of_its_region(seed: int) -> None:
    """Whatever falls, dies or moves; and what may go everywhere still does, as far as links reach."""
    net, members, edges, rng = draw(seed)
    live(net, members, edges, rng)
    for member in members:
        if member.core is None:
            net.boot(member)
    for one, two in edges:
        net.connect(one, two)
    net.settle()
    for member in members:
        assert not any(member.fed.backlog(other.node_id) for other in members), f"seed {seed}: not drained"
        assert not member.tables.get("outbox"), f"seed {seed}: rows left at {member.name}"
        assert not member.fed._custodies, f"seed {seed}: {member.name} holds something that nobody waits for"


@pytest.mark.requirement("R-RE-1")
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32 - 1))
def test_within_its_regions_a_pinned_event_reaches_whom_links_reach(seed: int) -> None:
    """On quiet links: exactly the members that a path inside of all pins on the way leads to."""
    net, members, edges, rng = draw(seed)
    origin, channel = rng.choice(members), rng.choice(CHANNELS)
    net.publish(origin, channel, b"it")
    net.settle()
    reached = [origin]
    for here in reached:
        pins = allowed_regions(origin, channel) + allowed_regions(here, channel)
        for one, two in edges:
            if here in (one, two):
                there = two if here is one else one
                fits = all(there.region and any(matches(r, there.region) for r in pin) for pin in pins)
                if fits and there not in reached:
                    reached.append(there)
    got = [member.name for member in members if member.delivered]
    assert sorted(got) == sorted(member.name for member in reached if member is not origin), f"seed {seed}"
