"""Statements pushed by broadcast: everyone has them, nobody passes on what is not whole, and no link carries more than
without a broadcast core."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from arqonmesh.config.model import BroadcastSettings, GossipSettings
from arqonmesh.core.broadcast import Plumtree
from arqonmesh.core.events import Applied, Broadcast, BroadcastArrived, BroadcastJudged, Fault, LinkUp, Publish
from arqonmesh.core.gossip.core import TOPIC, Gossip
from arqonmesh.core.gossip.early import PER_AUTHOR_MAX
from arqonmesh.core.gossip.early import WAIT_US as EARLY_US
from arqonmesh.core.kernel import MILLISECOND, Core, Emit, Send
from arqonmesh.ids import NodeId
from arqonmesh.sim.crypto import ToyCrypto
from arqonmesh.sim.field import EnvOf, Field, constant, full_graph
from arqonmesh.sim.field.node import MESH
from arqonmesh.wire.codec import encode_message
from arqonmesh.wire.messages import GossipDelta, GossipDigest, GossipRoot
from arqonmesh.wire.statement import JoinPolicy, Kind, Statement, decode_statement, statement_hash
from tests.core.gossip.world import SETTINGS, chain, node_record, signed
from tests.core.toy import env_of, key_of, node_of

BEE = node_of("bee")
POLICY = JoinPolicy(policy="open", key_salt=b"", key_public=b"")


def field(nodes: int, edges: Sequence[tuple[int, int]], *, broadcasts: bool) -> Field:
    made = Field(seed=1, latency=constant(10 * MILLISECOND))

    def keys(node: NodeId) -> bytes | None:
        index = made.by_id.get(node)
        return None if index is None else made.nodes[index].public_key

    def compose(env: EnvOf) -> Sequence[Core]:
        gossip = Gossip(env("gossip"), GossipSettings(repair_interval_ms=1_000_000), keys, broadcasts=broadcasts)
        return (Plumtree(env("broadcast"), BroadcastSettings(), lambda: nodes), gossip) if broadcasts else (gossip,)

    for _ in range(nodes):
        made.add(compose)
    made.lay(edges)
    made.run_for(1_000 * MILLISECOND)
    return made


STAR = [(0, index) for index in range(1, 6)]


@pytest.mark.parametrize("edges", [STAR, full_graph(5), [(n, n + 1) for n in range(5)]], ids=["star", "full", "line"])
def test_by_broadcast_a_statement_is_everywhere_as_soon_as_by_direct_push(edges: list[tuple[int, int]]) -> None:
    """In small meshes of every shape: nobody misses it, and the last one has it in the same instant."""
    nodes = 1 + max(max(edge) for edge in edges)
    last: dict[bool, int] = {}
    for broadcasts in (False, True):
        mesh = field(nodes, edges, broadcasts=broadcasts)
        began, heard = mesh.now, {0}

        def note(now: int, index: int, event: Applied, heard: set[int] = heard, broadcasts: bool = broadcasts) -> None:
            heard.add(index)
            last[broadcasts] = now

        mesh.watch(Applied, note)
        mesh.tell(0, Publish(Kind.JOIN_POLICY, "", POLICY))
        mesh.run_for(500 * MILLISECOND)
        assert heard == set(range(nodes))
        last[broadcasts] -= began
    assert last[True] <= last[False]


def test_many_statements_of_many_authors_leave_all_roots_equal_without_repair() -> None:
    """Twelve nodes say ten things each over a ring with chords: what the broadcast brings is all of it."""
    mesh = field(12, [(n, (n + step) % 12) for n in range(12) for step in (1, 5)], broadcasts=True)
    for turn in range(10):
        for index in range(12):
            mesh.tell(index, Publish(Kind.JOIN_POLICY, f"key{turn % 3}", POLICY))
        mesh.run_for(7 * MILLISECOND)
    mesh.run_for(2_000 * MILLISECOND)
    assert len({node.core(Gossip).root() for node in mesh.nodes}) == 1


@pytest.mark.parametrize("broadcasts", [False, True])
def test_a_proof_reaches_everyone_without_repair_and_costs_one_spread(broadcasts: bool) -> None:
    """One node of a line hears both branches; all of them convict, and nobody says the proof anew for each link."""
    mesh = field(6, [(n, n + 1) for n in range(5)], broadcasts=broadcasts)
    first, second = (signed_by(mesh, 5, number) for number in (1, 2))
    said = GossipDelta(statements=(first, second), bases=())
    gossip = mesh.nodes[0].core(Gossip)
    effects = mesh.nodes[0].router.run(mesh.now, gossip, gossip.on_message(mesh.now, mesh.nodes[1].id, said))
    mesh.sent.clear()
    mesh._perform(mesh.nodes[0], effects)
    mesh.run_for(500 * MILLISECOND)
    assert {node.core(Gossip).forked for node in mesh.nodes} == {(mesh.nodes[5].id,)}
    assert sum(mesh.sent.values()) <= 2 * 5


def signed_by(mesh: Field, index: int, number: int) -> bytes:
    node = mesh.nodes[index]
    body = JoinPolicy(policy="open", key_salt=bytes((number,)), key_public=b"")
    unsigned = Statement(MESH, node.id, 1, 1, bytes(32), Kind.JOIN_POLICY, "", body.encode(), bytes(64))
    signature = ToyCrypto(node.public_key).sign(unsigned.signed_bytes())
    return msgspec.structs.replace(unsigned, signature=signature).encode()


# --- the verdict ------------------------------------------------------------------------------------------------------


def judge(gossip: Gossip, data: bytes) -> tuple[str, list[object]]:
    """The verdict, and all else that was said."""
    effects = gossip.on_event(0, BroadcastArrived(b"id", TOPIC, data, node_of("ant")))
    events = [effect.event for effect in effects if isinstance(effect, Emit)]
    first = events.pop(0)
    assert isinstance(first, BroadcastJudged), "the verdict comes before what the payload leads to"
    return first.verdict, list(events)


def gossip_of() -> Gossip:
    core = Gossip(
        env_of("hub"), SETTINGS, {node_of(name): key_of(name) for name in ("hub", "ant", "bee")}.get, broadcasts=True
    )
    core.on_event(0, LinkUp(node_of("ant"), "quic"))
    return core


def delta(*statements: bytes, base: tuple[int, int] = (0, 0)) -> bytes:
    author = decode_statement(statements[0]).author
    return encode_message(GossipDelta(statements=statements, bases=((author, *base),)))


ONE, TWO, THREE = chain("bee", [(key, node_record("bee", 1)) for key in "abc"])


def test_what_is_whole_and_new_is_accepted_once_and_not_broadcast_again() -> None:
    """Accept leaves the passing on to the broadcast core; the same thing again brings nothing new."""
    gossip = gossip_of()
    verdict, events = judge(gossip, delta(ONE, TWO))
    assert verdict == "accept"
    assert [type(event) for event in events] == [Applied, Applied]
    assert judge(gossip, delta(ONE, TWO)) == ("ignore", [])


def test_what_is_partly_known_and_partly_new_is_still_whole() -> None:
    """Duplicates do not spoil a payload."""
    gossip = gossip_of()
    judge(gossip, delta(ONE))
    assert judge(gossip, delta(ONE, TWO))[0] == "accept"


def test_a_push_that_overtook_its_predecessor_is_passed_on_and_waits_for_it() -> None:
    """Number 3 before 2: spread on at once, told once 2 is here, and not pushed a second time."""
    gossip = gossip_of()
    one, two, three = chain("bee", [("", node_record("bee", number)) for number in (1, 2, 3)])
    judge(gossip, delta(one))
    assert judge(gossip, delta(three, base=(1, 2))) == ("accept", [])
    assert gossip.heads() == ((BEE, 1, 1),)
    verdict, events = judge(gossip, delta(two, base=(1, 1)))
    assert verdict == "accept" and gossip.heads() == ((BEE, 1, 3),)
    assert [event.encoded for event in events if isinstance(event, Applied)] == [two, three]
    assert not [event for event in events if isinstance(event, Broadcast)]
    assert gossip.counters["overtaking"] == 1 and "gaps" not in gossip.counters


def test_what_waits_for_a_predecessor_that_stays_away_is_asked_for() -> None:
    """After a moment, of whom it came from; nobody is blamed."""
    gossip = gossip_of()
    gossip.on_event(0, LinkUp(node_of("ant"), "quic"))
    assert judge(gossip, delta(THREE, base=(1, 2))) == ("accept", [])
    assert not any(isinstance(effect, Send) for effect in gossip.on_timer(EARLY_US - 1))
    [asked] = [effect for effect in gossip.on_timer(EARLY_US) if isinstance(effect, Send)]
    assert asked.to == node_of("ant") and isinstance(asked.message, GossipDigest)
    assert gossip.counters["gaps"] == 1 and not gossip.on_timer(EARLY_US)


def test_a_forged_statement_ahead_is_rejected_and_waits_for_nothing() -> None:
    """Its signature is checked before it is spread, and who brought it is blamed."""
    gossip = gossip_of()
    forged = msgspec.structs.replace(decode_statement(THREE), signature=bytes(64)).encode()
    verdict, events = judge(gossip, delta(forged, base=(1, 2)))
    assert verdict == "reject" and "overtaking" not in gossip.counters
    assert [(event.party, event.cause) for event in events if isinstance(event, Fault)] == [
        (node_of("ant"), "bad-signature")
    ]


def test_what_waits_for_its_predecessor_is_bounded() -> None:
    """A few per author; one more is a gap like any other."""
    gossip = gossip_of()
    for seq in range(3, 3 + PER_AUTHOR_MAX + 1):
        statement = signed("bee", seq, node_record("bee", seq))
        judge(gossip, delta(statement, base=(1, seq - 1)))
    assert gossip.counters == {"overtaking": PER_AUTHOR_MAX, "gaps": 1}


def test_a_payload_with_two_numbers_apart_is_passed_on_for_both() -> None:
    """bee's number 3 is beyond a gap, ant's is new: both are good, so both are spread as they came."""
    gossip = gossip_of()
    [other] = chain("ant", [("", node_record("ant", 1))])
    parts = sorted(((BEE, (1, 2), THREE), (node_of("ant"), (0, 0), other)))
    both = GossipDelta(
        statements=tuple(part[2] for part in parts), bases=tuple((author, *base) for author, base, _ in parts)
    )
    verdict, events = judge(gossip, encode_message(both))
    assert verdict == "accept"
    assert not [event for event in events if isinstance(event, Broadcast)]
    assert [event.encoded for event in events if isinstance(event, Applied)] == [other]


def test_of_a_payload_that_is_not_whole_only_the_good_part_goes_on_as_our_own() -> None:
    """bee's statement is merged, a stranger's waits: the payload is ignored, and bee's part is broadcast by itself."""
    gossip = gossip_of()
    stranger = signed("stranger", 1, node_record("stranger", 1))
    both = GossipDelta(statements=(ONE, stranger), bases=tuple(sorted(((BEE, 0, 0), (node_of("stranger"), 0, 0)))))
    verdict, events = judge(gossip, encode_message(both))
    assert verdict == "ignore"
    [onward] = [event for event in events if isinstance(event, Broadcast)]
    assert onward.data == delta(ONE)


@pytest.mark.parametrize("what", ["forged", "rubbish", "another message", "no statement"])
def test_what_nobody_said_is_rejected_and_blamed_on_who_sent_it(what: str) -> None:
    """A forged signature, or no delta at all: the link peer passed on what it had to check."""
    forged = msgspec.structs.replace(decode_statement(ONE), signature=bytes(64)).encode()
    data = {
        "forged": delta(forged),
        "rubbish": b"\x00",
        "another message": encode_message(GossipRoot(root=bytes(32))),
        "no statement": encode_message(GossipDelta(statements=(b"x",), bases=())),
    }[what]
    verdict, events = judge(gossip_of(), data)
    assert verdict == "reject"
    assert [event.party for event in events if isinstance(event, Fault)] == [node_of("ant")]
    assert not any(isinstance(event, Applied) for event in events)


def test_a_forgery_of_what_is_superseded_here_is_not_passed_on_with_what_is_new() -> None:
    """Where the newer word is known nobody looks at the older one; where it is not, whoever brings it is blamed. So it
    is looked at before the payload is passed on, and ant's part, which is good, goes on by itself."""
    gossip = gossip_of()
    older, newer = chain("bee", [("", node_record("bee", 1)), ("", node_record("bee", 2))])
    judge(gossip, delta(older, newer))
    [other] = chain("ant", [("", node_record("ant", 1))])

    def with_it(statement: bytes) -> tuple[str, list[object]]:
        parts = sorted(((BEE, statement), (node_of("ant"), other)))
        bases = tuple((author, 0, 0) for author, _ in parts)
        return judge(gossip, encode_message(GossipDelta(statements=tuple(said for _, said in parts), bases=bases)))

    forged = msgspec.structs.replace(decode_statement(older), signature=bytes(64)).encode()
    verdict, events = with_it(forged)
    assert verdict == "reject"
    assert [(event.party, event.cause) for event in events if isinstance(event, Fault)] == [
        (node_of("ant"), "bad-signature")
    ]
    assert [event.data for event in events if isinstance(event, Broadcast)] == [delta(other)]
    [other] = signed_next(other)
    assert with_it(older)[0] == "accept"


def signed_next(statement: bytes) -> list[bytes]:
    """ant's next word."""
    return [signed("ant", 2, node_record("ant", 2), key="next", previous=statement_hash(statement))]


def test_another_topic_is_none_of_our_business() -> None:
    """Who understands a topic answers for it."""
    assert gossip_of().on_event(0, BroadcastArrived(b"id", "event", delta(ONE), node_of("ant"))) == []
