"""Comparison at scale: buckets before heads, ranges where heads are equal, floors in place of tombstones."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arqonmesh.config.model import GossipSettings
from arqonmesh.core.admission.proof import roster_from
from arqonmesh.core.events import LinkUp, Withdrawn
from arqonmesh.core.gossip.core import Gossip
from arqonmesh.core.gossip.limits import Limits
from arqonmesh.core.gossip.log import AuthorLog, Record
from arqonmesh.core.gossip.ranges import ANSWER_MAX, IDS_MAX, answer, opening
from arqonmesh.core.gossip.repair import SAME, SILENCE_US, Repair
from arqonmesh.core.gossip.replica import Replica, bucket_of
from arqonmesh.core.kernel import Send
from arqonmesh.ids import NodeId
from arqonmesh.wire.codec import decode_message, encode_message
from arqonmesh.wire.messages import GossipBuckets, GossipDelta, GossipDigest, GossipRanges, GossipRoot
from arqonmesh.wire.statement import Body, Floor, Invite, JoinPolicy, Kind, decode_statement, statement_hash
from tests.core.gossip.world import SECOND, Member, World, admission_of, chain, genesis_of, node_record, signed
from tests.core.toy import ToyCrypto, env_of, key_of, node_of

BEE = node_of("bee")


def records(count: int) -> list[Record]:
    made = chain("bee", [(f"key{n}", node_record("bee", 1)) for n in range(count)])
    return [Record.of(decode_statement(encoded), encoded) for encoded in made]


MANY = records(3_000)


def log_of(held: list[Record]) -> AuthorLog:
    log = AuthorLog()
    for record in held:
        log.put(record)
    return log


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(0, 3_000),
    holes=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    seed=st.integers(0, 1_000),
)
def test_ranges_find_exactly_what_differs(size: int, holes: tuple[int, int], seed: int) -> None:
    """Two sides with holes of their own end with the union, in a logarithmic number of messages."""
    dice = random.Random(seed)
    full = MANY[:size]
    logs: list[AuthorLog] = []
    for count in holes:
        gone = {record.position for record in dice.sample(full, min(count, size))}
        logs.append(log_of([record for record in full if record.position not in gone]))
    union = {record.position for log in logs for record in log.ordered()}
    sent, messages = 0, 1
    ranges, turn = opening(logs[0]), 1
    while ranges:
        found = answer(logs[turn], ranges)
        assert found is not None and len(found.ranges) <= ANSWER_MAX + 2 * 16 + 2
        for record in found.records:
            if logs[1 - turn].at(record.position) is None:
                logs[1 - turn].put(record)
                sent += 1
        ranges, turn, messages = found.ranges, 1 - turn, messages + 1
        assert messages < 12
    assert {r.position for r in logs[0].ordered()} == {r.position for r in logs[1].ordered()} == union
    assert logs[0].total == logs[1].total


def test_a_range_lists_few_and_splits_many() -> None:
    """32 records are listed, 33 are split into sixteen fingerprints that end where the log may still grow."""
    assert [len(ids) for *_, ids in opening(log_of(MANY[:IDS_MAX]))] == [IDS_MAX]
    split = opening(log_of(MANY[: IDS_MAX + 1]))
    assert len(split) == 16 and all(not ids and len(fingerprint) == 16 for *_, fingerprint, ids in split)


def test_one_lost_record_of_thousands_costs_a_few_kilobytes() -> None:
    """hub holds 2,000 records of bee, ant all but one in the middle with the same head: neither sends the log."""
    world = World(("hub", "ant", "bee"))
    statements = chain("bee", [(f"key{n}", node_record("bee", 1)) for n in range(2_000)])
    for name, gone in (("hub", 2_000), ("ant", 777)):
        rest = [s for index, s in enumerate(statements) if index != gone]
        world[name].receive(BEE, encode_message(GossipDelta(statements=tuple(rest), bases=((BEE, 0, 0),))))
    world.collect()
    world.wire.clear()
    world.link("hub", "ant")
    carried = 0
    while world.wire:
        carried += len(world.wire[0][2])
        world.deliver(0)
    assert world["ant"].gossip.get(BEE, Kind.NODE, "key777") is not None
    assert world["hub"].gossip.root() == world["ant"].gossip.root()
    assert carried < 16_000


def test_many_authors_are_compared_by_buckets_first() -> None:
    """90 authors and one that differs: no digest is longer than a few heads."""
    names = ("hub", "ant", *(f"node{n}" for n in range(90)))
    world = World(names)
    for name in names[2:]:
        [statement] = chain(name, [("", node_record(name, 1))])
        delta = encode_message(GossipDelta(statements=(statement,), bases=((node_of(name), 0, 0),)))
        world["hub"].receive(node_of("node0"), delta)
        if name != "node7":
            world["ant"].receive(node_of("node0"), delta)
    world.collect()
    world.wire.clear()
    world["hub"].sent()
    world["hub"].publish(Kind.NODE, node_record("hub", 1))
    world["hub"].sent()
    ant, hub = world["ant"], world["hub"]
    hub.tell(LinkUp(ant.id, "quic"))
    ant.tell(LinkUp(hub.id, "quic"))
    kinds: list[type] = []
    longest = 0
    while hub.outbox or ant.outbox:
        for source, to in ((hub, ant), (ant, hub)):
            while source.outbox:
                _, data = source.outbox.popleft()
                to.receive(source.id, data)
        for member in (hub, ant):
            for _, data in member.outbox:
                kinds.append(type(message := decode_message(data)))
                longest = max(longest, len(message.heads) if isinstance(message, GossipDigest) else 0)
    assert GossipBuckets in kinds
    assert 0 < longest <= 12
    assert ant.gossip.root() == hub.gossip.root()


@pytest.mark.requirement("R-CR-2")
def test_an_equal_root_is_one_small_message() -> None:
    """32 bytes and their frame, whatever the number of authors."""
    world = World(("hub", "ant"))
    world.link("hub", "ant")
    world.settle()
    deadline = world["hub"].gossip.next_deadline()
    assert deadline is not None
    world["hub"].timer(deadline)
    [(_, message)] = world["hub"].sent()
    assert isinstance(message, GossipRoot) and len(encode_message(message)) < 48


def test_ranges_of_an_author_unknown_here_are_not_answered() -> None:
    """Nothing to compare with: the digest brings such an author, and a stranger costs nothing."""
    world = World(("hub", "ant"))
    world.link("hub", "ant")
    world.settle()
    world["hub"].receive(node_of("ant"), encode_message(GossipRanges(author=BEE, ranges=((1, 1, 2, b"", ()),))))
    assert world["hub"].sent() == []


def test_the_buckets_spread_authors_evenly() -> None:
    """Ids are hashes: of 4,096 no bucket holds more than a few times its share."""
    counts = [0] * 256
    for number in range(4_096):
        counts[bucket_of(node_of(f"node{number}"))] += 1
    assert min(counts) > 0 and max(counts) < 64


def test_a_joiners_own_chain_of_admissions_comes_first_and_fits_whatever_the_roster() -> None:
    """hub admits 5,000, the last of them ant, ant admits bee: both admissions are in what bee is handed, and proven."""
    founder = Member("hub", "hub", limits=Limits(records_per_author=6_000))
    founder.publish(Kind.GENESIS, genesis_of("hub"))
    founder.publish(Kind.JOIN_POLICY, JoinPolicy(policy="open", key_salt=b"", key_public=b""))
    founder.instant_disk = False
    for number in range(4_600):
        founder.publish(Kind.ADMISSION, admission_of(f"node{number}"), node_of(f"node{number}"))
    founder.publish(Kind.ADMISSION, admission_of("ant"), node_of("ant"))
    founder.finish_writes()
    by_ant = signed("ant", 1, admission_of("bee"), kind=Kind.ADMISSION, key=BEE)
    founder.receive(node_of("ant"), encode_message(GossipDelta(statements=(by_ant,), bases=((node_of("ant"), 0, 0),))))
    lineage = founder.admission.lineage(BEE)
    assert lineage == ((node_of("ant"), BEE), (founder.id, node_of("ant")))
    handed = founder.gossip.encoded_for_join(lineage)
    assert sum(map(len, handed)) <= 900_000 and len(handed) <= 4_096
    roster = roster_from(handed, founder.id, env_of("bee").mesh_id, ToyCrypto(key_of("bee")).verify)
    assert BEE in roster.members and node_of("ant") in roster.members


# --- floors ---------------------------------------------------------------------------------------------------------


def invite(expires_ms: int = 1) -> Invite:
    return Invite(public_key=key_of("ticket"), cluster="hq", role="hub", expires_ms=expires_ms, uses=1, revoked_ms=0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    bodies=st.lists(st.tuples(st.sampled_from(["t1", "t2", "t3", "floor"]), st.integers(1, 8)), min_size=1, max_size=8),
    reach=st.lists(st.tuples(st.sampled_from(["hub", "ant", "cat"]), st.integers(0, 8)), max_size=8),
)
def test_what_a_floor_voids_never_comes_back_and_all_agree(
    bodies: list[tuple[str, int]], reach: list[tuple[str, int]]
) -> None:
    """Replicas that heard any prefixes, in any order, end equal, and hold no ticket at or below the floor."""
    world = World(("hub", "ant", "bee", "cat"))
    said: list[tuple[int, str, Body]] = [
        (Kind.FLOOR, "", Floor(1, at)) if key == "floor" else (Kind.INVITE, key, invite(at)) for key, at in bodies
    ]
    statements = chain_of(said)
    for name, count in reach:
        delta = GossipDelta(statements=tuple(statements[:count]), bases=((BEE, 0, 0),))
        world[name].receive(BEE, encode_message(delta))
    world["cat"].receive(BEE, encode_message(GossipDelta(statements=tuple(statements), bases=((BEE, 0, 0),))))
    world.collect()
    world.wire.clear()
    world.link("hub", "ant")
    world.link("ant", "cat")
    world.settle()
    world.pass_time(10 * SECOND)
    world.assert_equal_among("hub", "ant", "cat")
    floors = [(seq, at) for seq, (key, at) in enumerate(bodies, 1) if key == "floor"]
    if floors != sorted(floors, key=lambda floor: floor[1]):
        return  # whoever lowers its floor may get its own tickets back from who still has them; all agree on which
    floor = min(floors[-1]) if floors else 0
    newest = {key: seq for seq, (key, _) in enumerate(bodies, 1) if key != "floor"}
    for name in ("hub", "ant", "cat"):
        held = {key for author, key, _ in world[name].gossip.statements(Kind.INVITE) if author == BEE}
        assert held == {key for key, seq in newest.items() if seq > floor}


def chain_of(said: list[tuple[int, str, Body]]) -> list[bytes]:
    made: list[bytes] = []
    for seq, (kind, key, body) in enumerate(said, 1):
        previous = statement_hash(made[-1]) if made else bytes(32)
        made.append(signed("bee", seq, body, kind=kind, key=key, previous=previous))
    return made


def test_an_author_voids_its_unused_tickets_once_enough_are_long_over() -> None:
    """70 expired invites and one that is good: the good one is said again, then one floor voids the rest everywhere."""
    world = World(("hub", "ant"), GossipSettings(tombstone_horizon_s=60.0))
    world.link("hub", "ant")
    good = invite(expires_ms=4_000_000_000_000)
    for number in range(35):
        world["hub"].publish(Kind.INVITE, invite(), f"T{number:02}")
    world["hub"].publish(Kind.INVITE, good, "GOOD")
    for number in range(35, 70):
        world["hub"].publish(Kind.INVITE, invite(), f"T{number:02}")
    world.collect()
    world.settle()
    assert len(list(world["ant"].gossip.statements(Kind.INVITE))) == 71
    world.pass_time(1_300 * SECOND)
    for name in ("hub", "ant"):
        assert [key for _, key, _ in world[name].gossip.statements(Kind.INVITE)] == ["GOOD"], name
        assert len(world[name].said(Withdrawn)) == 70
        world[name].crash(power_cut=False)
        assert [key for _, key, _ in world[name].gossip.statements(Kind.INVITE)] == ["GOOD"], name
    world.assert_equal()


def test_an_answer_gathers_little_more_than_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever claims to have nothing is told one delta and our root, and makes us look at no more than that takes."""
    replica = Replica(Limits())
    for number in range(200):
        [encoded] = chain(f"n{number}", [("", node_record("ant", 1))])
        replica.put(Record.of(decode_statement(encoded), encoded))
    repair = Repair(env_of("hub"), GossipSettings(delta_bytes_max=1_000), Limits(), replica)
    repair.link_up(0, BEE)
    gathered: list[int] = []
    after = AuthorLog.after

    def counted(log: AuthorLog, position: tuple[int, int]) -> list[Record]:
        gathered.append(1)
        return after(log, position)

    monkeypatch.setattr(AuthorLog, "after", counted)
    effects = repair.on_digest(0, BEE, GossipDigest(buckets=b"\xff" * 32, heads=(), reply=False))
    assert [type(effect.message) for effect in effects if isinstance(effect, Send)] == [GossipDelta, GossipRoot]
    assert 2 <= len(gathered) < 100


def test_a_full_store_still_takes_what_is_new_of_what_it_holds() -> None:
    """Whoever has reached a bound can still refute and leave: what goes makes room for what comes."""
    first, again = chain("ant", [("", node_record("ant", 1)), ("", node_record("ant", 2))])
    [other] = chain("bee", [("", node_record("bee", 1))])
    records = [Record.of(decode_statement(encoded), encoded) for encoded in (first, again, other)]
    for bound in ("bytes_total", "bytes_per_author"):
        replica = Replica(Limits(**{bound: len(first) + 8}))
        replica.put(records[0])
        assert replica.refusal(records[1]) is None
    assert Replica(Limits(bytes_total=8)).refusal(records[2]) == "store-full"


def test_the_root_follows_every_change_and_nothing_else() -> None:
    """Incremental hashes equal hashes made from nothing, after puts, verdicts and forgetting."""
    dice = random.Random(3)
    replica = Replica(Limits())
    made = {name: chain(name, [(f"k{n}", node_record(name, n)) for n in range(6)]) for name in ("ant", "bee", "cat")}
    for name in ("ant", "bee", "cat", "bee", "ant", "bee"):
        encoded = made[name].pop(0)
        replica.put(Record.of(decode_statement(encoded), encoded))
        if dice.getrandbits(1):
            replica.root()
    replica.forget(node_of("ant"))
    anew = Replica(Limits())
    for author in replica.sorted_authors():
        for record in replica.authors[author].ordered():
            anew.put(record)
    assert replica.root() == anew.root()
    assert node_of("ant") not in replica.authors


def test_an_equal_root_is_answered_and_a_silent_partner_replaced_within_the_round() -> None:
    """Whoever says nothing to our root is left aside for this round, and at most two others are asked in its place."""
    gossip = Gossip(env_of("hub"), GossipSettings(repair_interval_ms=10_000), lambda node: None)
    gossip.start(0, {})
    peers = [node_of(name) for name in ("ant", "bee", "cat", "dog")]
    for peer in peers:
        gossip.on_event(0, LinkUp(peer, "quic"))
    [said] = gossip.on_message(0, peers[0], GossipRoot(root=gossip.root()))
    assert isinstance(said, Send) and said.message == SAME
    assert gossip.on_message(0, peers[0], SAME) == [], "or two would answer each other for ever"

    def asked(now: int) -> list[str]:
        return [e.to for e in gossip.on_timer(now) if isinstance(e, Send) and isinstance(e.message, GossipRoot)]

    due = gossip.next_deadline()
    assert due is not None
    first = asked(due)
    second, third = asked(due + SILENCE_US), asked(due + 2 * SILENCE_US)
    assert len({*first, *second, *third}) == 3 and not asked(due + 3 * SILENCE_US)
    assert gossip.counters["silent_partners"] == 3

    due = gossip.next_deadline()
    assert due is not None
    [partner] = asked(due)
    gossip.on_message(due, NodeId(partner), SAME)
    assert not asked(due + SILENCE_US) and gossip.counters["silent_partners"] == 3
