"""The verdict on a fork is a lattice: whoever has seen the same proofs, in any order, holds the same state."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arqonmesh.core.crdt.min_map import MinMap
from arqonmesh.core.events import Applied, Fault, Forked, MemberExpelled, Withdrawn
from arqonmesh.core.gossip.forks import Fork
from arqonmesh.core.gossip.limits import Limits
from arqonmesh.core.gossip.log import Position, Record
from arqonmesh.core.gossip.merge import merge
from arqonmesh.core.gossip.replica import Replica
from arqonmesh.core.gossip.waiting import Run
from arqonmesh.wire.codec import encode_message
from arqonmesh.wire.messages import GossipDelta
from arqonmesh.wire.statement import Body, Kind, decode_statement, statement_hash
from tests.core.gossip.world import SECOND, World, admission_of, chain, node_record, signed
from tests.core.toy import ToyCrypto, key_of, node_of

BEE = node_of("bee")
KEYS = ("a", "b", "c")
FAULT = st.sampled_from(["ok", "sig", "body"])


def branches(seed: int, count: int, length: int) -> list[list[bytes]]:
    """Histories of one author that share a beginning, drawn by lot, and then go apart."""
    dice = random.Random(seed)
    trunk: list[tuple[str, Body]] = [(dice.choice(KEYS), node_record("bee", n)) for n in range(length)]
    made = [chain("bee", trunk)]
    for number in range(1, count):
        at = dice.randrange(length)
        tail: list[tuple[str, Body]] = [
            (dice.choice(KEYS), node_record("bee", 100 * number + n)) for n in range(length)
        ]
        made.append(chain("bee", [*trunk[:at], *tail[at:]]))
    return made


def run_of(statements: list[bytes], base: Position | None = (0, 0)) -> Run:
    return Run(node_of("ant"), BEE, base, tuple((decode_statement(s), s) for s in statements))


def state(replica: Replica) -> dict[tuple[int, str], bytes]:
    log = replica.authors.get(BEE)
    return {} if log is None else {(record.kind, record.key): record.encoded for record in log.ordered()}


@pytest.mark.requirement("R-CR-8")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 3),
    length=st.integers(1, 6),
    order=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 6), st.integers(0, 2)), max_size=14),
)
def test_any_interleaving_of_branches_and_proofs_ends_in_equal_roots_and_states(
    seed: int, count: int, length: int, order: list[tuple[int, int, int]]
) -> None:
    """Three nodes in a line hear prefixes of up to three branches of bee in any order; repair makes them one."""
    world = World(("hub", "ant", "bee", "cat"))
    made = branches(seed, count, length)
    names = ("hub", "ant", "cat")
    for branch, size, to in order:
        statements = made[branch % count][:size]
        delta = GossipDelta(statements=tuple(statements), bases=((BEE, 0, 0),))
        world[names[to]].receive(node_of("bee"), encode_message(delta))
    world.collect()
    world.wire.clear()  # even the push of the proof is lost
    world.link("ant", "hub")
    world.link("hub", "cat")
    world.settle()
    world.pass_time(20 * SECOND)
    roots = {world[name].gossip.root() for name in names}
    assert len(roots) == 1
    assert len({world[name].gossip.verdicts for name in names}) == 1
    told = {name: sorted(world[name].gossip.statements(Kind.NODE), key=repr) for name in names}
    assert told["hub"] == told["ant"] == told["cat"]
    for name in names:
        assert applied(world, name) == {(key, repr(body)) for author, key, body in told[name] if author == BEE}
        if count == 1:
            assert world[name].said(Forked) == []
        for author, cut in world[name].gossip.verdicts:
            assert author == BEE
            assert all((epoch, seq) < cut for a, epoch, seq in world[name].gossip.heads() if a == BEE)


def applied(world: World, name: str) -> set[tuple[str, str]]:
    """What a consumer of Applied and Withdrawn believes of bee's node records."""
    held: dict[str, str] = {}
    for event in world[name].events:
        if isinstance(event, Applied) and event.author == BEE and event.kind == Kind.NODE:
            held[event.key] = repr(event.body)
        elif isinstance(event, Withdrawn) and event.author == BEE:
            held.pop(event.key, None)
    return set(held.items())


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.permutations(range(4)))
def test_proofs_join_by_minimum_in_any_order_and_repetition(seed: int, order: list[int]) -> None:
    """Commutative, associative, idempotent: the verdict is the lowest point whatever came first, or twice."""
    proofs = [proof_at(seq, seed) for seq in (2, 3, 5, 7)]
    replica = Replica(Limits())
    expected = MinMap()
    for index in (*order, *order):
        replica.convict(BEE, proofs[index])
        expected = expected.join(MinMap.at(BEE, *proofs[index].cut))
        assert replica.verdict == expected
    assert replica.cut(BEE) == (1, 2)


def proof_at(seq: int, salt: int = 0) -> Fork:
    first, second = (signed("bee", seq, node_record("bee", salt + n)) for n in (1, 2))
    return Fork(first, second, ((1, seq), (1, seq)))


def test_a_lower_proof_replaces_a_higher_one_and_takes_back_more() -> None:
    """Forked again with the lower place, blamed once; what lay between does not count any more; a restart keeps it."""
    world = World(("hub", "ant", "bee"))
    hub = world["hub"]
    statements = chain("bee", [(key, node_record("bee", 1)) for key in "abcd"])
    hub.receive(BEE, encode_message(GossipDelta(statements=tuple(statements), bases=((BEE, 0, 0),))))
    for seq in (4, 2, 3):
        proof = proof_at(seq)
        hub.receive(BEE, encode_message(GossipDelta(statements=(proof.first, proof.second), bases=())))
    points = [(event.epoch, event.seq) for event in hub.said(Forked)]
    assert points == sorted(points, reverse=True) and len(points) == 2
    assert hub.gossip.verdicts == ((BEE, (1, 2)),)
    assert len(hub.said(Fault)) == 1
    held = {key for author, key, _ in hub.gossip.statements(Kind.NODE) if author == BEE}
    hub.crash(power_cut=False)
    assert {key for author, key, _ in hub.gossip.statements(Kind.NODE) if author == BEE} == held == {"a"}
    assert hub.gossip.verdicts == ((BEE, (1, 2)),)


def test_nothing_at_or_beyond_a_fork_is_taken_in_again() -> None:
    """A replica that knows the verdict refuses the branch that others still hold, and blames nobody for bringing it."""
    world = World(("hub", "ant", "bee"))
    hub = world["hub"]
    proof = proof_at(2)
    hub.receive(BEE, encode_message(GossipDelta(statements=(proof.first, proof.second), bases=())))
    hub.events.clear()
    statements = chain("bee", [(key, node_record("bee", 1)) for key in "abc"])
    hub.receive(node_of("ant"), encode_message(GossipDelta(statements=tuple(statements), bases=((BEE, 0, 0),))))
    assert [event.key for event in hub.said(Applied)] == ["a"]
    assert [fault.party for fault in hub.said(Fault)] == []


def test_who_was_admitted_before_the_fork_stays_and_who_was_after_goes() -> None:
    """bee admits dog, then forks, and admits eel beyond it: dog is a member everywhere, eel and its word nowhere."""
    world = World(("hub", "ant", "bee"))
    world.link("hub", "ant")
    world.settle()
    one = signed("bee", 1, admission_of("dog"), kind=Kind.ADMISSION, key=node_of("dog"))
    two = signed("bee", 2, admission_of("eel"), kind=Kind.ADMISSION, key=node_of("eel"), previous=statement_hash(one))
    other = signed("bee", 2, node_record("bee", 9), previous=statement_hash(one))
    eel = signed("eel", 1, node_record("eel", 1))
    everything = GossipDelta(statements=(one, two, eel), bases=((BEE, 0, 0), (node_of("eel"), 0, 0)))
    for name in ("hub", "ant"):
        world[name].receive(BEE, encode_message(everything))
        assert world[name].admission.key_of(node_of("eel")) is not None
    world["hub"].receive(BEE, encode_message(GossipDelta(statements=(other,), bases=((BEE, 1, 1),))))
    world.collect()
    world.settle()
    world.pass_time(5 * SECOND)
    world.assert_equal_among("hub", "ant")
    for name in ("hub", "ant"):
        assert world[name].admission.key_of(node_of("dog")) is not None
        assert world[name].admission.key_of(node_of("eel")) is None
        assert world[name].gossip.get(node_of("eel"), Kind.NODE) is None
        assert [event.node for event in world[name].said(MemberExpelled)] == [node_of("eel")]
        world[name].crash(power_cut=False)
        assert world[name].admission.key_of(node_of("eel")) is None
    assert world["hub"].gossip.root() == world["ant"].gossip.root()


def test_a_verdict_is_told_again_after_a_restart_as_one_of_before() -> None:
    """Who judges by verdicts has no disk of its own for them; who charges for them has charged already."""
    world = World(("hub", "ant", "bee"))
    hub, proof = world["hub"], proof_at(2)
    hub.receive(node_of("ant"), encode_message(GossipDelta(statements=(proof.first, proof.second), bases=())))
    assert [(fork.author, fork.restored) for fork in hub.said(Forked)] == [(BEE, False)]
    hub.crash(power_cut=False)
    told = hub.said(Forked)[-1]
    assert (told.author, told.epoch, told.seq, told.restored) == (BEE, 1, 2, True)
    assert {told.first, told.second} == {proof.first, proof.second}


@pytest.mark.parametrize("restart", [False, True])
def test_a_proof_outlasts_an_expulsion(*, restart: bool) -> None:
    """bee forks, is put out, and is admitted again, with a restart in between or not: it is forked still."""
    world = World(("hub", "ant", "bee"))
    hub = world["hub"]
    proof = proof_at(1)
    hub.receive(node_of("ant"), encode_message(GossipDelta(statements=(proof.first, proof.second), bases=())))
    before = hub.gossip.root()
    hub.tell(Withdrawn(hub.id, Kind.ADMISSION, BEE))
    assert hub.said(MemberExpelled) == [MemberExpelled(BEE, hub.said(MemberExpelled)[0].reason)]
    assert BEE not in hub.gossip.forked
    hub.events.clear()
    if restart:
        hub.crash(power_cut=False)
    else:
        hub.publish(Kind.ADMISSION, admission_of("bee", at_ms=9), BEE)
        hub.finish_writes()
        told = hub.said(Forked)
        assert [(event.author, event.epoch, event.seq, event.restored) for event in told] == [(BEE, *proof.cut, True)]
    assert hub.gossip.forked == (BEE,)
    assert restart is (hub.gossip.root() == before)


def test_who_is_put_out_does_not_begin_its_own_log_anew() -> None:
    """Numbers go on after an expulsion: the same number twice would be a fork of our own making."""
    world = World(("hub", "ant"))
    ant = world["ant"]
    ant.publish(Kind.NODE, node_record("ant", 1))
    ant.tell(MemberExpelled(ant.id, "test"))
    ant.publish(Kind.NODE, node_record("ant", 2))
    assert (ant.id, 1, 2) in ant.gossip.heads()


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 5),
            st.integers(0, 5),
            st.sampled_from(KEYS),
            st.integers(0, 3),
            st.sampled_from(["ok", "sig", "body"]),
        ),
        max_size=12,
    ),
    base=st.none() | st.tuples(st.integers(0, 3), st.integers(0, 5)),
)
def test_merge_never_raises_and_never_holds_what_is_not_signed(
    rows: list[tuple[int, int, str, int, str]], base: Position | None
) -> None:
    """Byzantine runs in any shape, twice: no exception, nothing forged is held, the second time brings nothing new."""
    statements: list[bytes] = []
    for epoch, seq, key, content, fault in sorted(rows):
        body = b"\x80" if fault == "body" else None
        made = signed("bee", seq, node_record("bee", content), key=key, epoch=epoch, raw_body=body)
        if fault == "sig":
            made = made[:-64] + bytes(64)
        statements.append(made)
    replica = Replica(Limits())
    verify = ToyCrypto(key_of("bee")).verify
    merge(replica, run_of(statements, base), key_of("bee"), verify)
    held = state(replica)
    assert all(encoded[-64:] != bytes(64) for encoded in held.values())
    cut = replica.cut(BEE)
    log = replica.authors.get(BEE)
    if log is not None:
        assert all(cut is None or record.position < cut for record in log.ordered())
        assert log.bytes_held == replica.bytes_held == sum(len(r.encoded) for r in log.ordered())
        assert log.total == sum(int.from_bytes(r.hash, "big") for r in log.ordered()) % (1 << 256)
    again = merge(replica, run_of(statements, base), key_of("bee"), verify)
    assert again.new == [] and state(replica).items() <= held.items()


@pytest.mark.parametrize("length", [0, 1, 33, 600])
def test_records_as_dict_order_do_not_matter_to_the_fingerprint(length: int) -> None:
    """Two replicas that took the same records in different orders have equal fingerprints and roots."""
    statements = chain("bee", [(f"key{n}", node_record("bee", 1)) for n in range(length)])
    records = [Record.of(s, e) for s, e in ((decode_statement(e), e) for e in statements)]
    one, two = Replica(Limits()), Replica(Limits())
    for record in records:
        one.put(record)
    for record in reversed(records):
        two.put(record)
    assert one.fingerprint(BEE) == two.fingerprint(BEE)
    assert one.root() == two.root()
