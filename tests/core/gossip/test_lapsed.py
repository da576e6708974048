"""Admissions of those who are gone for good are let go, and nothing old brings them back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arqonmesh.config.model import GossipSettings
from arqonmesh.core.admission.judge import Refuse
from arqonmesh.core.events import MemberAdmitted, MemberChanged, MemberExpelled
from arqonmesh.core.gossip import core, own
from arqonmesh.core.gossip.packing import UNVOUCHED
from arqonmesh.ids import NodeId
from arqonmesh.trust.tickets import redemption_bytes
from arqonmesh.wire.codec import encode_message
from arqonmesh.wire.messages import GossipDelta, JoinRequest
from arqonmesh.wire.statement import Admission, Floor, Invite, JoinPolicy, Kind, Vote, decode_statement, statement_hash
from tests.core.gossip.world import SECOND, Member, World, admission_of, chain, signed
from tests.core.toy import MESH, ToyCrypto, key_of, node_of

WALL_MS = 1_700_000_000_000
HORIZON = GossipSettings(tombstone_horizon_s=60.0, repair_interval_ms=30_000)
BINDING = b"the connection of then"


@pytest.fixture(autouse=True)
def small_batches() -> Iterator[None]:
    """One record that is over is worth a floor, and whether there is one is looked at every half minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own, "VOID_BATCH", 1)
        patch.setattr(core, "FLOOR_INTERVAL", 30 * SECOND)
        yield


@dataclass(frozen=True)
class Joiner:
    """How one came in, and what became of it."""

    name: str
    admitter: str
    ticket: str
    """Empty: by the founder's word."""
    fate: str

    @property
    def node(self) -> NodeId:
        return node_of(self.name)


def mesh(*names: str) -> World:
    world = World(names, HORIZON)
    world[names[0]].publish(Kind.JOIN_POLICY, JoinPolicy(policy="key", key_salt=b"", key_public=b""))
    for name in names[1:]:
        world.link(names[0], name)
    world.settle()
    for member in world.members.values():
        for name in names:
            member.tell(MemberChanged(node_of(name), "", "alive", 1, "joined"))
    return world


def offer(world: World, inviter: str, ticket: str, *, uses: int = 1, expires_ms: int = WALL_MS - 120_000) -> None:
    body = Invite(key_of(ticket), "factory", "spoke", expires_ms, uses, 0)
    world[inviter].publish(Kind.INVITE, body, ticket)
    world.collect()
    world.settle()


def proven(name: str, ticket: str) -> Admission:
    said = redemption_bytes(MESH, key_of(name), "factory", "spoke", ticket, BINDING)
    signature = ToyCrypto(key_of(ticket)).sign(said)
    return Admission(key_of(name), "factory", "spoke", ticket, 1, WALL_MS - 200_000, BINDING, signature)


def join(world: World, joiner: Joiner, ordinal: int) -> None:
    body = proven(joiner.name, joiner.ticket) if joiner.ticket else admission_of(joiner.name, role="spoke")
    world[joiner.admitter].publish(Kind.ADMISSION, body, joiner.node)
    if joiner.fate == "dead voter":
        vote = Vote(ordinal=ordinal, settled=0, granted=True, consent=False, roll=bytes(32))
        world["hub"].publish(Kind.VOTE, vote, joiner.node)
    world.collect()
    world.settle()
    for member in world.members.values():
        if joiner.fate != "never came":
            member.tell(MemberChanged(joiner.node, "", "alive", 1, "joined"))
        if joiner.fate in ("left", "dead", "dead voter"):
            member.tell(MemberChanged(joiner.node, "alive", joiner.fate.split()[0], 1, "it is"))


def names(member: Member) -> set[NodeId]:
    return {m.node for m in member.admission.members()}


def ever_said(world: World) -> list[bytes]:
    return [encoded for said in world.spoken.values() for _, (_, encoded) in sorted(said.items())]


FATES = ("alive", "left", "dead", "dead voter", "never came")
JOINERS = st.lists(
    st.tuples(st.sampled_from(["hub", "ant"]), st.sampled_from(["", "hub-1", "ant-1", "many"]), st.sampled_from(FATES)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(told=JOINERS, seed=st.integers(0, 1_000))
def test_a_reclaimed_admission_is_never_replayed_back_into_membership(
    told: list[tuple[str, str, str]], seed: int
) -> None:
    """Whatever of old a member shows again, in any order, under its author's name or its own, with the ticket too, at
    a running node, after a restart and to whoever judges a join: who was reclaimed stays out, all others stay in."""
    dice, world = random.Random(seed), mesh("hub", "ant", "cat")
    for inviter, ticket, uses in (("hub", "hub-1", 1), ("ant", "ant-1", 1), ("ant", "many", 6)):
        offer(world, inviter, ticket, uses=uses)
    joiners: list[Joiner] = []
    for number, (admitter, ticket, fate) in enumerate(told):
        if not ticket and admitter != "hub":
            continue  # only the founder's word alone lets anyone in
        if ticket in ("hub-1", "ant-1") and any(j.ticket == ticket for j in joiners):
            continue  # used up
        joiners.append(Joiner(f"j{number}", admitter, ticket, fate))
        join(world, joiners[-1], number + 1)
    before = world["hub"].gossip.encoded_for_join()
    old, was = ever_said(world), names(world["hub"])
    assert was >= {joiner.node for joiner in joiners}
    world.pass_time(400 * SECOND)
    world.assert_equal()
    many_is_used = any(j.ticket == "many" and j.fate in ("alive", "dead voter") for j in joiners)
    kept = {j.node for j in joiners if j.fate in ("alive", "dead voter") or (j.ticket == "many" and many_is_used)}
    out = {joiner.node for joiner in joiners} - kept
    for name in ("hub", "ant", "cat"):
        assert names(world[name]) == was - out, name
        assert not out & {key for _, key, _ in world[name].gossip.statements(Kind.ADMISSION)}, name

    cat = world["cat"]
    for encoded in dice.sample(old, len(old)):
        said = decode_statement(encoded)
        for base in (UNVOUCHED, (0, 0), (said.epoch, said.seq - 1)):
            delta = GossipDelta(statements=(encoded,), bases=((said.author, *base),))
            for name in ("hub", "ant"):
                world[name].receive(cat.id, encode_message(delta))
    for joiner in joiners:
        if joiner.node in out:
            body = proven(joiner.name, joiner.ticket) if joiner.ticket else admission_of(joiner.name, role="spoke")
            cat.publish(Kind.ADMISSION, body, joiner.node)
    world.collect()
    world.settle()
    world["ant"].bootstrap = before  # what it was told when it joined, before they were gone
    world.crash("ant", power_cut=False)
    world.settle()
    world.pass_time(30 * SECOND)
    for name in ("hub", "ant", "cat"):
        assert names(world[name]) == was - out, name
    for joiner in joiners:
        if joiner.node in out and joiner.ticket:
            binding = b"a connection of today"
            said_now = redemption_bytes(MESH, key_of(joiner.name), "factory", "spoke", joiner.ticket, binding)
            signature = ToyCrypto(key_of(joiner.ticket)).sign(said_now)
            request = JoinRequest(MESH, key_of(joiner.name), "factory", "spoke", "eu", joiner.ticket, signature)
            judged = world["hub"].admission.judge(WALL_MS - 300_000, request, joiner.node, binding)
            assert isinstance(judged, Refuse) and judged.code == "admission.ticket-unknown"


@pytest.mark.parametrize("admitter", ["ant", "cat"])
def test_who_came_in_by_somebody_gone_keeps_it_on_the_roster(admitter: str) -> None:
    """ant invited bee and left: bee is alive and rests on ant, whoever admitted it, so ant's admission is kept; once
    bee has left, too, both go."""
    world = mesh("hub", "ant", "cat")
    offer(world, "ant", "T", expires_ms=WALL_MS - 120_000)
    join(world, Joiner("bee", admitter, "T", "alive"), 1)
    for member in world.members.values():
        member.tell(MemberChanged(node_of("ant"), "alive", "left", 1, "left"))
    world.pass_time(300 * SECOND)
    assert names(world["hub"]) == {node_of(name) for name in ("hub", "ant", "bee", "cat")}
    for member in world.members.values():
        member.tell(MemberChanged(node_of("bee"), "alive", "left", 1, "left"))
    world.pass_time(300 * SECOND)
    assert names(world["hub"]) == {node_of("hub"), node_of("cat")}


def test_whoever_returns_within_the_horizon_stays() -> None:
    """The horizon begins anew with every absence, with every admission, and with every life of ours."""
    world = mesh("hub", "ant")
    join(world, Joiner("bee", "hub", "", "dead"), 1)
    hub, bee = world["hub"], node_of("bee")
    lapsed = hub.gossip._lapsed
    [record] = [r for r in hub.gossip._records(Kind.ADMISSION) if r.key == bee]

    def over(at_s: int) -> bool:
        return lapsed.test(hub.now + at_s * SECOND)(record)

    assert not over(59)
    assert over(60)
    lapsed.present(bee)
    assert not over(10_000)
    lapsed.gone(hub.now + 50 * SECOND, bee)
    assert not over(109)
    assert over(110)
    lapsed.admitted(hub.now + 100 * SECOND, bee)
    assert not over(159)
    hub.crash(power_cut=False)
    assert not hub.gossip._lapsed.test(hub.now + 10 * SECOND)(record)


def test_an_admission_floor_voids_no_ticket_and_the_other_way_round() -> None:
    """Each kind has a floor of its own, so an old floor for tickets takes no admission along."""
    world = mesh("hub", "ant")
    said = chain(
        "ant",
        [("T", Invite(key_of("T"), "hq", "hub", 1, 1, 0))],
        kind=Kind.INVITE,
    )
    admission = signed(
        "ant", 2, proven("bee", "T"), kind=Kind.ADMISSION, key=node_of("bee"), previous=statement_hash(said[0])
    )
    floor = signed("ant", 3, Floor(1, 2), kind=Kind.FLOOR, key="admissions", previous=statement_hash(admission))
    delta = GossipDelta(statements=(*said, admission, floor), bases=((node_of("ant"), 0, 0),))
    world["hub"].receive(node_of("ant"), encode_message(delta))
    gossip = world["hub"].gossip
    assert [key for _, key, _ in gossip.statements(Kind.INVITE)] == ["T"]
    assert gossip.get(node_of("ant"), Kind.ADMISSION, node_of("bee")) is None
    assert [e.node for e in world["hub"].said(MemberExpelled)] == []
    assert node_of("bee") not in [e.node for e in world["hub"].said(MemberAdmitted)]
