"""What others say: verified before it counts, blamed on whoever proved its own fault, bounded, passed on once."""

from __future__ import annotations

import msgspec
import pytest

from arqonmesh.config.model import GossipSettings
from arqonmesh.core.events import Applied, Dropped, Fault, Forked, LinkUp, Withdrawn
from arqonmesh.core.gossip.disk import fork_of
from arqonmesh.core.gossip.limits import Limits
from arqonmesh.core.gossip.packing import UNVOUCHED
from arqonmesh.ids import encode_ulid
from arqonmesh.wire.codec import encode_message
from arqonmesh.wire.messages import GossipDelta, GossipDigest, GossipRanges, GossipRoot
from arqonmesh.wire.statement import Kind, decode_statement, statement_hash
from tests.core.gossip.world import SECOND, Member, World, admission_of, chain, node_record, signed
from tests.core.toy import node_of

ORIGIN = (0, 0)
EVERYWHERE = b"\xff" * 32
RECORDS = [("a", node_record("bee", 1)), ("b", node_record("bee", 1))]
ELSEWHERE = encode_ulid(1, 1)


def delta(*statements: bytes, base: tuple[int, int] | None = ORIGIN) -> bytes:
    """Statements of one author, vouched for from `base` on."""
    author = decode_statement(statements[0]).author
    bases = () if base is None else ((author, *base),)
    return encode_message(GossipDelta(statements=statements, bases=bases))


def pair(**options: object) -> World:
    """hub (founder) and ant, linked, all settled; bee and cat are members elsewhere."""
    world = World(("hub", "ant", "bee", "cat"), **options)  # type: ignore[arg-type]
    world.link("hub", "ant")
    world.settle()
    for member in world.members.values():
        member.events.clear()
    return world


@pytest.mark.requirement("R-CR-4")
def test_a_forged_statement_is_blamed_on_the_relay_and_not_on_its_alleged_author() -> None:
    """bee's statement with a bad signature, delivered by ant: Fault(ant); nothing merged, nothing said of bee."""
    world = pair()
    hub = world["hub"]
    forged = msgspec.structs.replace(
        decode_statement(signed("bee", 1, node_record("bee", 1))), signature=bytes(64)
    ).encode()
    hub.receive(node_of("ant"), delta(forged))
    assert hub.said(Fault) == [Fault(node_of("ant"), "bad-signature")]
    assert hub.gossip.get(node_of("bee"), Kind.NODE) is None
    assert hub.said(Applied) == []


def test_what_stood_before_a_forgery_in_a_delta_is_merged_and_nothing_after() -> None:
    """Prefix closure under attack: the head stops where the verified part stops."""
    world = pair()
    one, two, three = chain("bee", [(key, node_record("bee", 1)) for key in "abc"])
    bad = msgspec.structs.replace(decode_statement(two), signature=bytes(64)).encode()
    world["hub"].receive(node_of("ant"), delta(one, bad, three))
    assert (node_of("bee"), 1, 1) in world["hub"].gossip.heads()


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda: GossipDelta(statements=(b"rubbish",), bases=()), "malformed"),
        (lambda: GossipDelta(statements=tuple(chain("bee", RECORDS)[::-1]), bases=()), "malformed"),
        (
            lambda: GossipDelta(
                statements=(chain("bee", RECORDS)[0], chain("cat", RECORDS)[0], chain("bee", RECORDS)[1]),
                bases=(),
            ),
            "malformed",
        ),
        (
            lambda: GossipDelta(statements=(signed("bee", 1, node_record("bee", 1), mesh=ELSEWHERE),), bases=()),
            "wrong-mesh",
        ),
        (
            lambda: GossipDigest(
                buckets=EVERYWHERE,
                heads=((node_of("bee"), 1, 1, bytes(16), False), (node_of("bee"), 1, 2, bytes(16), False)),
                reply=True,
            ),
            "malformed",
        ),
        (
            lambda: GossipDigest(buckets=bytes(32), heads=((node_of("bee"), 1, 1, bytes(16), False),), reply=True),
            "malformed",
        ),
        (
            lambda: GossipRanges(author=node_of("hub"), ranges=((2, 1, 0, b"", ()), (1, 1, 0, b"", ()))),
            "malformed",
        ),
    ],
    ids=["no-statement", "descending", "author-twice", "other-mesh", "digest-unsorted", "digest-stray", "ranges-back"],
)
def test_rubbish_is_the_fault_of_the_link_peer(make: object, cause: str) -> None:
    """Nothing of such a message is used, and who sent it is named."""
    world = pair()
    hub = world["hub"]
    hub.receive(node_of("ant"), encode_message(make()))  # type: ignore[operator]
    assert hub.said(Fault) == [Fault(node_of("ant"), cause)]
    assert hub.said(Applied) == []
    assert len(hub.said(Dropped)) == 1


def test_a_signed_body_that_is_not_what_its_kind_says_is_the_authors_fault_told_once() -> None:
    """The signature is good, so the author wrote it: Fault(bee) with the statement as proof, one time."""
    world = pair()
    hub = world["hub"]
    bad = signed("bee", 1, node_record("bee", 1), raw_body=b"\x80")
    for _ in range(3):
        hub.receive(node_of("ant"), delta(bad))
    assert hub.said(Fault) == [Fault(node_of("bee"), "malformed-body", bad)]


def test_an_unknown_kind_is_kept_and_passed_on_but_not_told() -> None:
    """A newer version's statements travel through older nodes."""
    world = pair()
    hub = world["hub"]
    hub.tell(LinkUp(node_of("cat"), "quic"))
    hub.sent()
    strange = signed("bee", 1, node_record("bee", 1), kind=200, raw_body=b"\xf6")
    hub.receive(node_of("ant"), delta(strange))
    assert hub.said(Applied) == []
    assert [(to, m.statements) for to, m in hub.sent() if isinstance(m, GossipDelta)] == [(node_of("cat"), (strange,))]


def test_a_statement_beyond_a_gap_is_not_merged_and_the_gap_is_asked_for_at_once() -> None:
    """Number 3 while we stand at 1 and nobody vouches for 2: no merge, a digest to whoever sent it."""
    world = pair()
    hub = world["hub"]
    one, two, three = chain("bee", [(key, node_record("bee", 1)) for key in "abc"])
    hub.receive(node_of("ant"), delta(one))
    hub.sent()
    hub.now += SECOND
    hub.receive(node_of("ant"), delta(three, base=(1, 2)))
    assert (node_of("bee"), 1, 1) in hub.gossip.heads()
    [(to, digest)] = hub.sent()
    assert to == node_of("ant")
    assert isinstance(digest, GossipDigest) and not digest.reply
    hub.receive(node_of("ant"), delta(two, three, base=(1, 1)))
    assert (node_of("bee"), 1, 3) in hub.gossip.heads()


def test_a_delta_that_vouches_for_nothing_moves_no_head() -> None:
    """Only what is vouched for is contiguous."""
    world = pair()
    hub = world["hub"]
    one, two = chain("bee", RECORDS)
    hub.receive(node_of("ant"), delta(one, base=UNVOUCHED))
    assert hub.gossip.get(node_of("bee"), Kind.NODE, "a") is None
    hub.receive(node_of("ant"), delta(one))
    hub.receive(node_of("ant"), delta(two, base=UNVOUCHED))
    assert (node_of("bee"), 1, 1) in hub.gossip.heads()


def test_what_directly_follows_the_head_needs_no_base() -> None:
    """The place before the first statement goes without saying; the first of an epoch follows nothing by itself."""
    world = pair()
    hub = world["hub"]
    one, two = chain("bee", RECORDS)
    hub.receive(node_of("ant"), delta(one, base=None))
    assert hub.gossip.get(node_of("bee"), Kind.NODE, "a") is None
    hub.receive(node_of("ant"), delta(one))
    hub.receive(node_of("ant"), delta(two, base=None))
    assert (node_of("bee"), 1, 2) in hub.gossip.heads()


def test_superseded_numbers_may_be_missing_when_the_sender_vouches_for_it() -> None:
    """1 and 3 of one key and 2 of another, 1 superseded: the delta 2, 3 from base 0 is whole."""
    world = pair()
    _, two, three = chain(
        "bee", [("a", node_record("bee", 1)), ("b", node_record("bee", 1)), ("a", node_record("bee", 2))]
    )
    world["hub"].receive(node_of("ant"), delta(two, three))
    assert (node_of("bee"), 1, 3) in world["hub"].gossip.heads()


def test_an_unknown_authors_statements_wait_for_its_admission_in_the_same_delta() -> None:
    """The admission and what the admitted node says arrive together: both are merged, without another exchange."""
    world = World(("hub", "ant"))
    world.link("hub", "ant")
    world.settle()
    ant = world["ant"]
    dog = signed("dog", 1, node_record("dog", 1))
    world["hub"].publish(Kind.ADMISSION, admission_of("dog"), node_of("dog"))
    [message] = [m for _, m in world["hub"].sent() if isinstance(m, GossipDelta)]
    both = GossipDelta(
        statements=(dog, *message.statements),
        bases=tuple(sorted((*message.bases, (node_of("dog"), 0, 0)))),
    )
    ant.receive(node_of("hub"), encode_message(both))
    assert ant.gossip.get(node_of("dog"), Kind.NODE) == node_record("dog", 1)
    assert ant.gossip.counters["unknown_author"] == 1


def test_what_did_not_fit_the_waiting_room_is_fetched_after_the_admission() -> None:
    """Room for one author: the evicted one's peer is asked by digest as soon as it is admitted."""
    world = pair(limits=Limits(waiting_authors=1))
    ant = world["ant"]
    ant.now += SECOND
    for name in ("dog", "eel"):
        ant.receive(node_of("hub"), delta(signed(name, 1, node_record(name, 1))))
    ant.sent()
    world["hub"].publish(Kind.ADMISSION, admission_of("dog"), node_of("dog"))
    [message] = [m for _, m in world["hub"].sent() if isinstance(m, GossipDelta)]
    ant.receive(node_of("hub"), encode_message(message))
    assert ant.gossip.get(node_of("dog"), Kind.NODE) is None
    assert [(to, type(m)) for to, m in ant.sent()] == [(node_of("hub"), GossipDigest)]


def test_what_strangers_say_is_bounded() -> None:
    """A thousand unknown authors: a bounded room, nothing in the store, nothing passed on."""
    world = pair(limits=Limits(waiting_authors=8, waiting_bytes=2_000))
    ant = world["ant"]
    for number in range(1_000):
        ant.receive(node_of("hub"), delta(signed(f"stranger{number}", 1, node_record("x", 1))))
    assert ant.gossip.waiting_bytes <= 2_000
    assert ant.gossip.counters["unknown_author"] == 1_000
    assert ant.sent() == []


def test_one_author_cannot_fill_the_store() -> None:
    """The 7th record of an author where 6 fit: refused, counted, the author's fault, told once."""
    world = pair(limits=Limits(records_per_author=6))
    cat = world["ant"]
    statements = chain("bee", [(f"key{n}", node_record("bee", 1)) for n in range(9)])
    for _ in range(3):
        cat.receive(node_of("hub"), delta(*statements))
    assert len(list(cat.gossip.statements(Kind.NODE))) == 6
    assert cat.said(Fault) == [Fault(node_of("bee"), "over-limit")]
    assert cat.gossip.counters["refused"] == 3


def test_flooding_ends() -> None:
    """Full mesh of six, one publish: each pair carries the delta at most once per direction, then silence."""
    names = ("hub", "ant", "bee", "cat", "dog", "eel")
    world = World(names)
    for index, a in enumerate(names):
        for b in names[:index]:
            world.link(a, b)
    world.settle()
    world.deltas_carried = 0
    world["hub"].publish(Kind.NODE, node_record("hub", 1))
    world.collect()
    world.settle()
    assert world.deltas_carried <= len(names) * (len(names) - 1)
    world.assert_equal()


@pytest.mark.requirement("R-CR-2")
def test_equal_roots_cost_a_message_and_its_answer_and_are_counted() -> None:
    """Quiescence: between equal replicas a round is one GossipRoot, which its hearer counts, and an answer as short."""
    world = pair()
    carried = world.deltas_carried
    world.pass_time(10 * SECOND)
    assert world.deltas_carried == carried
    assert world["hub"].gossip.equal_roots > 5


def test_a_backlog_larger_than_a_delta_is_drained_without_waiting_for_the_next_round() -> None:
    """300 records at 700 bytes per delta cross in one go of exchanges at link-up, in well under a repair interval."""
    world = World(("hub", "ant"), GossipSettings(delta_bytes_max=7_000))
    for number in range(300):
        world["hub"].publish(Kind.NODE, node_record("hub", 1), f"key{number}")
    world.collect()
    world.link("hub", "ant")
    world.settle()
    world.assert_equal()
    assert world.now == 0


def test_what_a_peer_can_make_us_send_is_bounded() -> None:
    """More digests than `answers_per_interval` within one interval: counted and not answered."""
    world = pair(limits=Limits(answers_per_interval=3))
    hub = world["hub"]
    hub.now += 5 * SECOND
    for _ in range(5):
        hub.receive(node_of("ant"), encode_message(GossipDigest(buckets=EVERYWHERE, heads=(), reply=False)))
    assert len([m for _, m in hub.sent() if isinstance(m, GossipDelta)]) == 3
    assert hub.gossip.counters["unanswered"] == 2


# --- forks --------------------------------------------------------------------------------------------------------


def fork_of_bee() -> tuple[bytes, bytes]:
    return signed("bee", 1, node_record("bee", 1)), signed("bee", 1, node_record("bee", 2))


def test_two_statements_for_one_number_convict_their_author_once() -> None:
    """Forked and Fault(author, equivocation) with a proof that stands alone; neither of the two counts from then on."""
    world = pair()
    hub = world["hub"]
    first, second = fork_of_bee()
    hub.receive(node_of("ant"), delta(first))
    for _ in range(3):
        hub.receive(node_of("ant"), delta(second))
    [forked] = hub.said(Forked)
    assert (forked.author, forked.epoch, forked.seq) == (node_of("bee"), 1, 1)
    [fault] = hub.said(Fault)
    assert (fault.party, fault.cause) == (node_of("bee"), "equivocation")
    author, fork = fork_of(fault.proof)
    assert (author, fork.first, fork.second) == (node_of("bee"), first, second)
    assert hub.gossip.encoded(node_of("bee"), Kind.NODE) is None
    assert hub.said(Withdrawn) == [Withdrawn(node_of("bee"), Kind.NODE, "")]
    assert hub.gossip.forked == (node_of("bee"),)


def test_a_successor_of_another_history_is_a_fork_too() -> None:
    """Number 2 whose prev_hash is not the hash of the number 1 that we hold."""
    world = pair()
    hub = world["hub"]
    first, second = fork_of_bee()
    hub.receive(node_of("ant"), delta(first))
    stray = signed("bee", 2, node_record("bee", 3), previous=statement_hash(second))
    hub.receive(node_of("ant"), delta(stray, base=(1, 1)))
    assert [(event.author, event.seq) for event in hub.said(Forked)] == [(node_of("bee"), 1)]
    assert hub.gossip.encoded(node_of("bee"), Kind.NODE) is None


def test_a_forged_second_statement_convicts_nobody_but_the_relay() -> None:
    """A framer cannot make a fork: the second signature has to hold."""
    world = pair()
    hub = world["hub"]
    first, second = fork_of_bee()
    hub.receive(node_of("ant"), delta(first))
    forged = msgspec.structs.replace(decode_statement(second), signature=bytes(64)).encode()
    hub.receive(node_of("ant"), delta(forged))
    hub.receive(node_of("ant"), delta(first, forged))
    assert hub.said(Forked) == []
    assert {(fault.party, fault.cause) for fault in hub.said(Fault)} == {(node_of("ant"), "bad-signature")}


def test_everyone_learns_of_a_fork_whichever_branch_they_hold_and_roots_become_equal() -> None:
    """Split view: each half got another first statement. The verdict reaches all, also through a restart."""
    world = World(("hub", "ant", "bee", "cat"))
    world.link("hub", "ant")
    world.link("hub", "cat")
    world.settle()
    first, second = fork_of_bee()
    world["ant"].receive(node_of("bee"), delta(first))
    world["cat"].receive(node_of("bee"), delta(second))
    world.collect()
    world.settle()
    world.pass_time(30 * SECOND)
    for name in ("hub", "ant", "cat"):
        assert world[name].gossip.forked == (node_of("bee"),), name
    assert len({world[name].gossip.root() for name in ("hub", "ant", "cat")}) == 1
    world.crash("cat", power_cut=False)
    assert world["cat"].gossip.forked == (node_of("bee"),)


def test_a_fork_that_only_the_root_shows_is_found_by_ranges() -> None:
    """Equal heads, different content: two nodes meet that each hold one branch and were never pushed the other."""
    world = World(("hub", "ant", "bee"))
    first, second = fork_of_bee()
    world["hub"].receive(node_of("bee"), delta(first))
    world["ant"].receive(node_of("bee"), delta(second))
    world.link("hub", "ant")
    world.settle()
    world.pass_time(30 * SECOND)
    assert world["hub"].gossip.forked == world["ant"].gossip.forked == (node_of("bee"),)
    assert world["hub"].gossip.root() == world["ant"].gossip.root()


def test_a_relay_that_vouches_falsely_cannot_hide_a_record_for_ever() -> None:
    """A lying base makes a hole that no digest shows; the root does, and ranges with an honest peer fill it."""
    world = World(("hub", "ant", "bee"))
    one, two = chain("bee", [("a", node_record("bee", 1)), ("b", node_record("bee", 1))])
    world["hub"].receive(node_of("bee"), delta(one, two))
    world["ant"].receive(node_of("bee"), delta(two))
    assert world["ant"].gossip.get(node_of("bee"), Kind.NODE, "a") is None
    world.link("hub", "ant")
    world.settle()
    world.pass_time(30 * SECOND)
    assert world["ant"].gossip.get(node_of("bee"), Kind.NODE, "a") is not None
    assert world["hub"].gossip.root() == world["ant"].gossip.root()


def test_the_timer_is_harmless_when_early_or_repeated() -> None:
    """Before the deadline nothing happens, and without links there is no deadline."""
    member = Member("hub", "hub")
    assert member.gossip.next_deadline() is None
    member.tell(LinkUp(node_of("ant"), "quic"))
    member.sent()
    deadline = member.gossip.next_deadline()
    assert deadline is not None and SECOND <= deadline <= SECOND * 5 // 4
    assert member.gossip.on_timer(deadline - 1) == []
    member.timer(deadline)
    assert [type(message) for _, message in member.sent()] == [GossipRoot]
    assert member.gossip.on_timer(deadline) == []
