"""One hop and two: what crosses, what stays, what is held, who is blamed."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from arqonmesh.config.model import FederationSettings, OutboxSettings, Rules
from arqonmesh.core.events import (
    Backlog,
    Dropped,
    Fault,
    Imported,
    MemberAdmitted,
    Published,
    TransportUp,
    Verdict,
)
from arqonmesh.core.federation import commits
from arqonmesh.core.federation.batch import FRAME_BYTES_MAX, Head, decode_head, encode_sections, parcel_of, signed_bytes
from arqonmesh.core.federation.custody import CUSTODY_PATIENCE_US
from arqonmesh.core.federation.exports import EARLY_FLUSH_BYTES
from arqonmesh.core.federation.strangers import STRANGER_PATIENCE_US
from arqonmesh.core.kernel import Persist, Send
from arqonmesh.ids import node_id_of
from arqonmesh.wire.codec import decode_message
from arqonmesh.wire.messages import BusAck, BusBatch
from tests.core.federation.pretend import MESH, KeyedHash, Member, Net


def exporting(*allow: str, **outbox: object) -> FederationSettings:
    settings = msgspec.convert(outbox, OutboxSettings)
    return FederationSettings(export=Rules(allow=allow), outbox=settings)


def pair(a: FederationSettings | None = None, b: FederationSettings | None = None) -> tuple[Net, Member, Member]:
    """Two clusters with one link."""
    net = Net()
    one = net.add("one", "north", a or exporting("telemetry:*"))
    two = net.add("two", "south", b or exporting("telemetry:*"))
    net.connect(one, two)
    return net, one, two


def line() -> tuple[Net, Member, Member, Member]:
    """Three clusters in a row; the middle one passes on what it may."""
    net = Net()
    a, b, c = (net.add(name, f"cluster-{name}", exporting("telemetry:*")) for name in "abc")
    net.connect(a, b)
    net.connect(b, c)
    return net, a, b, c


def batch_of(origin: Member, *frames: bytes, cluster: str = "", first: int = 1, sign: bool = True) -> BusBatch:
    """A batch as `origin` could have signed it."""
    head_cluster = cluster or origin.cluster
    section, messages = next(iter(encode_sections("telemetry:x", list(frames))))
    head = Head(origin.node_id, head_cluster, 1, first, (hashlib.sha256(section).digest(),)).encode()
    signature = KeyedHash(origin.public_key).sign(signed_bytes(MESH, head)) if sign else bytes(64)
    return parcel_of((origin.node_id,), 7, head, signature, (section,), messages).numbered(1)


def drops(member: Member) -> list[tuple[str, int]]:
    return [(event.reason, event.count) for event in member.said(Dropped) if isinstance(event, Dropped)]


def faults(member: Member) -> list[tuple[str, str]]:
    return [(event.party, event.cause) for event in member.said(Fault) if isinstance(event, Fault)]


# --- the border ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-FE-3")
@pytest.mark.requirement("R-FE-5")
def test_only_what_a_rule_allows_leaves_the_cluster() -> None:
    """telemetry:* crosses, raw:proc stays, and both are counted with their rule."""
    net, one, two = pair()
    for frame in (b"1", b"2"):
        net.publish(one, "telemetry:host", frame)
        net.publish(one, "raw:proc", frame)
    net.settle()

    assert two.delivered == [("telemetry:host", b"1"), ("telemetry:host", b"2")]
    assert set(one.fed.decisions()) == {
        ("export", "telemetry:host", "south", True, "export.allow[0] telemetry:*", 2),
        ("export", "raw:proc", "*", False, "default deny", 2),
    }
    assert one.fed.counters.exported == one.fed.counters.kept_local == 2


def test_what_stays_is_not_even_named_on_the_link() -> None:
    """With no other node of our cluster on a link, a denied section is neither numbered nor hashed."""
    net, one, two = pair()
    net.publish(one, "raw:proc", b"1")
    net.tick(one)
    assert not net.queues[one.node_id, two.node_id]

    net.publish(one, "telemetry:host", b"2")
    net.publish(one, "raw:proc", b"3")
    net.tick(one)
    batch = decode_message(net.queues[one.node_id, two.node_id][0])
    assert isinstance(batch, BusBatch)
    assert len(batch.sections) == len(decode_head(batch.head).hashes) == 1


@pytest.mark.requirement("R-FE-10")
def test_a_verdict_is_told_once_and_counted_always() -> None:
    """One Verdict per direction, channel, cluster and rule."""
    net, one, two = pair(b=FederationSettings(import_=Rules(allow=("*",), deny=("telemetry:noise",))))
    for _ in range(3):
        net.publish(one, "telemetry:noise", b"n")
        net.settle()

    told = [event for event in two.said(Verdict) if isinstance(event, Verdict)]
    assert [(v.direction, v.cluster, v.allowed, v.rule) for v in told] == [
        ("import", "north", False, "import.deny[0] telemetry:noise")
    ]
    assert two.fed.decisions()[0].messages == 3
    assert two.delivered == []
    assert two.fed.counters.import_denied == 3


def test_nodes_of_one_cluster_exchange_everything() -> None:
    """No rule is asked between them, in either direction."""
    net = Net()
    closed = FederationSettings(import_=Rules())
    one, two = net.add("one", "north", closed), net.add("two", "north", closed)
    net.connect(one, two)
    net.publish(one, "raw:proc", b"1")
    net.settle()

    assert two.delivered == [("raw:proc", b"1")]
    assert one.fed.exported("raw:proc")


def test_one_batch_carries_different_sections_to_different_clusters() -> None:
    """A neighbour of ours gets all, a foreign one the allowed section and an empty place; one signature for both."""
    net, one, two = pair()
    sister = net.add("sister", "north")
    net.connect(one, sister)
    net.publish(one, "telemetry:host", b"1")
    net.publish(one, "raw:proc", b"2")
    net.tick(one)
    foreign = decode_message(net.queues[one.node_id, two.node_id][0])
    near = decode_message(net.queues[one.node_id, sister.node_id][0])

    assert isinstance(foreign, BusBatch) and isinstance(near, BusBatch)
    assert foreign.signature == near.signature
    assert [bool(section) for section in foreign.sections] == [True, False]
    assert all(near.sections)
    net.settle()
    assert two.delivered == [("telemetry:host", b"1")]
    assert sister.delivered == [("telemetry:host", b"1"), ("raw:proc", b"2")]


def test_a_transit_cluster_checks_its_own_export_rules() -> None:
    """a allows both channels, b in the middle only one: c gets one."""
    net, a, b, c = line()
    b.settings = exporting("telemetry:open")
    net.crash(b)
    net.boot(b)
    net.connect(a, b)
    net.connect(b, c)
    net.publish(a, "telemetry:open", b"1")
    net.publish(a, "telemetry:inner", b"2")
    net.settle()

    assert b.delivered == [("telemetry:open", b"1"), ("telemetry:inner", b"2")]
    assert c.delivered == [("telemetry:open", b"1")]
    assert ("transit", "telemetry:inner", "cluster-c", False, "default deny", 1) in b.fed.decisions()


def test_what_the_importer_refuses_goes_no_further() -> None:
    """An import denial ends the journey: it is neither delivered nor forwarded."""
    net, a, b, c = line()
    b.settings = FederationSettings(export=Rules(allow=("*",)), import_=Rules())
    net.crash(b)
    net.boot(b)
    net.connect(a, b)
    net.connect(b, c)
    net.publish(a, "telemetry:x", b"1")
    net.settle()

    assert b.delivered == c.delivered == []


def test_ttl_bounds_the_journey() -> None:
    """ttl 1 reaches neighbours only."""
    net, a, b, c = line()
    a.settings = FederationSettings(export=Rules(allow=("*",)), ttl=1)
    net.crash(a)
    net.boot(a)
    net.connect(a, b)
    net.publish(a, "telemetry:x", b"1")
    net.settle()

    assert b.delivered == [("telemetry:x", b"1")]
    assert c.delivered == []


# --- ticks and bounds ------------------------------------------------------------------------------------------


def test_a_tick_is_one_batch_with_one_section_per_channel() -> None:
    """A thousand messages on two channels: one batch, two sections, one signature."""
    net, one, _ = pair()
    for number in range(1_000):
        net.publish(one, f"telemetry:{number % 2}", b"%d" % number)
    effects = one.fed.flush(net.now)

    batches = [effect.message for effect in effects if isinstance(effect, Send)]
    assert len(batches) == 1
    assert isinstance(batches[0], BusBatch) and len(batches[0].sections) == 2


def test_a_large_tick_is_split_into_batches_that_fit_a_frame() -> None:
    """1,500 channels and 3 MiB: no batch above 1,024 sections or 1 MiB, nothing lost, order kept."""
    net, one, two = pair()
    frames = [b"%06d" % number + bytes(60_000) for number in range(50)]
    for frame in frames:
        net.publish(one, "telemetry:big", frame)
    for number in range(1_500):
        net.publish(one, f"telemetry:{number}", b"x")
    net.settle()

    assert [frame for channel, frame in two.delivered if channel == "telemetry:big"] == frames
    assert len(two.delivered) == 1_550


def test_an_event_too_large_for_any_batch_is_refused_and_counted() -> None:
    """The bound is stated; one byte less passes."""
    net, one, two = pair()
    net.publish(one, "telemetry:x", bytes(FRAME_BYTES_MAX + 1))
    net.publish(one, "telemetry:x", b"y" * FRAME_BYTES_MAX)
    net.publish(one, "telemetry:" + "x" * 256, b"z")
    net.settle()

    assert drops(one) == [("frame-too-large", 1), ("channel-name-too-long", 1)]
    assert [len(frame) for _, frame in two.delivered] == [FRAME_BYTES_MAX]


def test_a_tick_that_never_ends_is_flushed_when_much_has_been_published() -> None:
    """What is collected between two flushes is bounded."""
    _, one, _ = pair()
    frame = bytes(200_000)
    effects = [
        one.fed.on_event(0, Published("telemetry:x", (frame,), None))
        for _ in range(EARLY_FLUSH_BYTES // len(frame) + 1)
    ]

    assert effects[0] == []
    assert any(isinstance(effect, Send) for effect in effects[-1])


# --- settling, holding, dropping -------------------------------------------------------------------------------


def test_nothing_is_written_to_the_outbox_while_nothing_is_down() -> None:
    """The quick path: the inbox row before delivery, and an acknowledgement; no outbox row at any hop."""
    net, a, b, c = line()
    for number in range(20):
        net.publish(a, "telemetry:x", b"%d" % number)
        net.settle(wait_us=0)

    assert len(c.delivered) == 20
    assert a.writes == b.writes == c.writes == 0
    assert a.fed.backlog(b.node_id) == b.fed.backlog(c.node_id) == 0


def test_delivery_and_acknowledgement_wait_for_the_inbox_row() -> None:
    """Persist first; with Persisted come the delivery and, at the end of the tick, the acknowledgement."""
    net, one, two = pair()
    net.publish(one, "telemetry:x", b"1")
    net.tick(one)
    net.deliver(one, two)
    net.tick(two)
    assert two.delivered == [] and not net.queues[two.node_id, one.node_id]

    net.commit(two)
    assert two.delivered == [("telemetry:x", b"1")]
    net.tick(two)
    assert [type(decode_message(data)) for data in net.queues[two.node_id, one.node_id]] == [BusAck]


def test_all_batches_of_a_tick_share_one_transaction_and_one_acknowledgement() -> None:
    """Ten batches in one tick: one Persist, one BusAck for the last."""
    net, one, two = pair()
    for number in range(10):
        net.publish(one, "telemetry:x", b"%d" % number)
        net.tick(one)
    while net.deliver(one, two):
        pass
    effects = two.fed.flush(net.now)
    assert [type(effect) for effect in effects] == [Persist]
    net.perform(two, effects)
    net.commit(two)
    net.tick(two)

    assert len(two.delivered) == 10
    assert len(net.queues[two.node_id, one.node_id]) == 1


@pytest.mark.requirement("R-FE-6")
def test_what_is_published_while_a_link_is_down_is_held_and_arrives_once_and_in_order() -> None:
    """hold: rows on disk meanwhile, replayed in order when the link is back, and deleted when acknowledged."""
    net, one, two = pair()
    net.publish(one, "telemetry:x", b"before")
    net.settle()
    net.cut(one, two)
    for number in range(50):
        net.publish(one, "telemetry:x", b"%d" % number)
        net.settle()
    assert len(one.tables["outbox"]) == 50
    assert one.fed.backlog(two.node_id) == one.fed.counters.held == 50

    net.connect(one, two)
    net.settle()
    assert two.delivered == [("telemetry:x", frame) for frame in (b"before", *(b"%d" % n for n in range(50)))]
    assert one.tables["outbox"] == {}
    assert one.fed.backlog(two.node_id) == 0


def test_drop_is_the_other_policy_and_is_counted() -> None:
    """drop: what is published while the link is down, and what flew when it fell, is gone and counted."""
    net, one, two = pair(exporting("telemetry:*", when_down="drop"))
    net.publish(one, "telemetry:x", b"flying")
    net.tick(one)
    net.cut(one, two)
    net.publish(one, "telemetry:x", b"down")
    net.settle()
    net.connect(one, two)
    net.publish(one, "telemetry:x", b"after")
    net.settle()

    assert two.delivered == [("telemetry:x", b"after")]
    assert drops(one) == [("link-down", 1), ("link-down", 1)]
    assert one.tables.get("outbox", {}) == {}


@pytest.mark.parametrize("bound", [{"messages_max": 10}, {"bytes_max": 2_000}])
def test_a_full_outbox_drops_its_oldest_and_counts_it(bound: dict[str, int]) -> None:
    """Whichever bound is reached first; on disk as in memory."""
    net, one, two = pair(exporting("telemetry:*", **bound))
    net.cut(one, two)
    for number in range(100):
        net.publish(one, "telemetry:x", b"%d" % number)
        net.settle()
    kept = one.fed.backlog(two.node_id)
    assert 0 < kept < 30
    assert len(one.tables["outbox"]) == kept
    assert sum(count for reason, count in drops(one) if reason == "outbox-full") == 100 - kept

    net.connect(one, two)
    net.settle()
    assert two.delivered == [("telemetry:x", b"%d" % number) for number in range(100 - kept, 100)]


def test_at_most_a_window_flies_and_publishers_are_paused_above_it() -> None:
    """Above window_bytes unacknowledged: Backlog(above); below half of it: Backlog(below)."""
    net, one, two = pair(exporting("telemetry:*", window_bytes=10_000))
    for _ in range(30):
        net.publish(one, "telemetry:x", bytes(1_000))
        net.tick(one)
    assert 10 <= len(net.queues[one.node_id, two.node_id]) <= 11
    assert one.said(Backlog) == [Backlog(two.node_id, True)]

    net.settle()
    assert len(two.delivered) == 30
    assert one.said(Backlog) == [Backlog(two.node_id, True), Backlog(two.node_id, False)]


def test_a_link_that_falls_lets_its_publishers_go() -> None:
    """A paused publisher is not paused for a link that is down: that one is held for."""
    net, one, two = pair(exporting("telemetry:*", window_bytes=100))
    net.publish(one, "telemetry:x", bytes(1_000))
    net.tick(one)
    net.cut(one, two)

    assert one.said(Backlog)[-1] == Backlog(two.node_id, False)


# --- restarts --------------------------------------------------------------------------------------------------


def test_a_restart_keeps_what_was_held() -> None:
    """Rows of an earlier life go out with the head and the signature of that life."""
    net, one, two = pair()
    net.cut(one, two)
    net.publish(one, "telemetry:x", b"old")
    net.settle()
    net.crash(one)
    net.boot(one)
    net.publish(one, "telemetry:x", b"new")
    net.settle()
    net.connect(one, two)
    net.settle()

    assert two.delivered == [("telemetry:x", b"old"), ("telemetry:x", b"new")]
    assert one.tables["outbox"] == {}


def test_a_restarted_node_holds_for_the_links_it_had() -> None:
    """The links are remembered, so that what is published before they are back is not lost."""
    net, one, two = pair()
    net.settle()
    net.crash(one)
    net.boot(one)
    net.publish(one, "telemetry:x", b"early")
    net.settle()
    net.connect(one, two)
    net.settle()

    assert two.delivered == [("telemetry:x", b"early")]


def test_a_receiver_that_dies_between_delivery_and_acknowledgement_delivers_once() -> None:
    """The inbox row was on disk before the delivery; what is sent again is a duplicate."""
    net, one, two = pair()
    net.publish(one, "telemetry:x", b"1")
    net.tick(one)
    net.deliver(one, two)
    net.tick(two)
    net.commit(two)
    assert two.delivered == [("telemetry:x", b"1")]
    net.crash(two)
    net.boot(two)
    net.connect(one, two)
    net.settle()

    assert two.delivered == [("telemetry:x", b"1")]
    assert two.fed.counters.duplicates == 0  # unforwarded in this life, so judged once more, and delivered no more
    assert one.fed.backlog(two.node_id) == 0


def test_a_transit_that_dies_after_delivery_still_passes_on() -> None:
    """b delivered and died before c had it: upstream sends again, b knows it, c gets it all the same."""
    net, a, b, c = line()
    net.publish(a, "telemetry:x", b"1")
    net.tick(a)
    net.deliver(a, b)
    net.tick(b)
    net.commit(b)
    assert b.delivered == [("telemetry:x", b"1")]
    net.crash(b)
    net.boot(b)
    net.connect(a, b)
    net.connect(b, c)
    net.settle()

    assert b.delivered == c.delivered == [("telemetry:x", b"1")]


def test_a_transit_acknowledges_only_what_the_next_hop_has_or_its_disk() -> None:
    """c is silent: after 20 ms the batch becomes a row at b, and only then is a told."""
    net, a, b, c = line()
    net.publish(a, "telemetry:x", b"1")
    net.tick(a)
    net.deliver(a, b)
    net.tick(b)
    net.commit(b)
    net.tick(b)
    net.now += CUSTODY_PATIENCE_US - 1
    net.timers()
    assert b.writes == 0 and a.fed.backlog(b.node_id) == 1

    net.now += 1
    net.timers()
    assert not net.queues[b.node_id, a.node_id]
    net.commit(b)
    net.tick(b)
    net.deliver(b, a)
    assert b.writes == 1 and a.fed.backlog(b.node_id) == 0
    net.crash(b)
    net.boot(b)
    net.connect(b, c)
    net.settle()
    assert c.delivered == [("telemetry:x", b"1")]


def ring() -> tuple[Net, Member, Member, Member]:
    """Three clusters, each linked to both others."""
    net = Net()
    a, b, c = (net.add(name, f"cluster-{name}", exporting("telemetry:*")) for name in "abc")
    for one, two in ((a, b), (a, c), (b, c)):
        net.connect(one, two)
    return net, a, b, c


def test_a_duplicate_is_acknowledged_no_earlier_than_its_twin() -> None:
    """b owes a's batch to d; the copy that comes over c is not acknowledged before d has it: a and c both keep it."""
    net, a, b, c = ring()
    d = net.add("d", "cluster-d", exporting("telemetry:*"))
    net.connect(b, d)
    net.publish(a, "telemetry:x", b"1")
    net.tick(a)
    for target in (b, c):
        net.deliver(a, target)
        net.tick(target)
        net.commit(target)
        net.tick(target)
    net.deliver(c, b)
    net.tick(b)
    assert not [m for m in map(decode_message, net.queues[b.node_id, c.node_id]) if isinstance(m, BusAck)]

    net.deliver(b, d)
    net.tick(d)
    net.commit(d)
    net.tick(d)
    net.deliver(d, b)
    net.tick(b)
    assert [m for m in map(decode_message, net.queues[b.node_id, c.node_id]) if isinstance(m, BusAck)]


def test_a_node_that_dies_with_a_batch_in_its_hands_gets_it_again_from_whoever_is_there() -> None:
    """b had the batch from a, c's copy too, and died before d had it; a is gone, so c sends it again, in order."""
    net, a, b, c = ring()
    d = net.add("d", "cluster-d", exporting("telemetry:*"))
    net.connect(b, d)
    net.publish(a, "telemetry:x", b"1")
    net.tick(a)
    for target in (b, c):
        net.deliver(a, target)
        net.tick(target)
        net.commit(target)
        net.tick(target)
    net.deliver(c, b)
    net.tick(b)
    net.crash(b)
    net.crash(a)
    net.boot(b)
    net.connect(b, d)
    net.connect(b, c)
    net.settle()

    assert d.delivered == [("telemetry:x", b"1")]


def test_two_who_send_each_other_the_same_batch_do_not_wait_for_each_other() -> None:
    """On a ring b and c both pass a's batch to the other; all is settled at once and no row is written for it."""
    net, a, b, c = ring()
    net.publish(a, "telemetry:x", b"1")
    net.settle(wait_us=0)

    assert b.delivered == c.delivered == [("telemetry:x", b"1")]
    assert not any(member.fed.backlog(peer) for member in (a, b, c) for peer in net.members)
    assert a.writes == b.writes == c.writes == 0


# --- peers that misbehave --------------------------------------------------------------------------------------


def tampered(batch: BusBatch, what: str) -> BusBatch:
    if what == "signature":
        return msgspec.structs.replace(batch, signature=bytes(64))
    if what == "section":
        return msgspec.structs.replace(batch, sections=(batch.sections[0][:-1] + b"!",))
    if what == "head":
        return msgspec.structs.replace(batch, head=batch.head[:-1] + b"!")
    if what == "rubbish":
        return msgspec.structs.replace(batch, head=b"\xff")
    return msgspec.structs.replace(batch, via=(node_id_of(bytes(32)),))


@pytest.mark.parametrize(
    ("what", "cause"),
    [
        ("signature", "bad-signature"),
        ("head", "bad-signature"),
        ("section", "tampered"),
        ("rubbish", "malformed"),
        ("via", "malformed"),
    ],
)
def test_what_a_hop_tampered_with_is_refused_and_the_hop_is_blamed(what: str, cause: str) -> None:
    """An honest hop checked the same before it passed the batch on. The link goes on: the refusal is settled."""
    net, one, two = pair()
    net.inject(one, two, tampered(batch_of(one, b"1"), what))
    net.settle()

    assert two.delivered == []
    assert faults(two) == [(one.node_id, cause)]
    assert sum(count for _, count in drops(two)) == 1


def test_a_signed_lie_about_the_cluster_is_the_origins_fault() -> None:
    """The roster says where a node belongs; a head that says otherwise convicts its author, not the hop."""
    net, a, b, c = line()
    lie = batch_of(a, b"1", cluster="cluster-c")
    net.inject(b, c, msgspec.structs.replace(lie, via=(a.node_id, b.node_id)))

    assert faults(c) == [(a.node_id, "wrong-cluster")]
    assert c.delivered == []


def test_a_batch_that_has_been_here_before_is_not_taken() -> None:
    """Our own id in `via` ends it, whoever sends it."""
    net, one, two = pair()
    batch = batch_of(one, b"1")
    net.inject(one, two, msgspec.structs.replace(batch, via=(one.node_id, two.node_id)))
    net.settle()

    assert two.delivered == []
    assert drops(two) == [("loop", 1)]


def test_a_missing_number_closes_the_link_instead_of_losing_a_batch() -> None:
    """Numbers on a link are contiguous: a gap means that the link lost something, and a new link brings it."""
    net, one, two = pair()
    net.publish(one, "telemetry:x", b"0")
    net.settle()
    for number in range(1, 4):
        net.publish(one, "telemetry:x", b"%d" % number)
        net.tick(one)
    del net.queues[one.node_id, two.node_id][1]
    net.settle()
    assert (one.node_id, two.node_id) not in net.up
    assert drops(two) == [("batch-gap", 1)]

    net.connect(one, two)
    net.settle()
    assert two.delivered == [("telemetry:x", b"%d" % number) for number in range(4)]


def test_a_connection_that_replaces_another_carries_again_what_flew_on_the_old_one() -> None:
    """Both sides see TransportUp and nothing else; unsettled batches take off again, and nothing is doubled."""
    net, one, two = pair()
    for number in range(3):
        net.publish(one, "telemetry:x", b"%d" % number)
        net.tick(one)
    net.deliver(one, two)
    net.queues[one.node_id, two.node_id].clear()
    net.tell(two, TransportUp(one.node_id, "test", False))
    net.tell(one, TransportUp(two.node_id, "test", True))
    net.settle()

    assert two.delivered == [("telemetry:x", b"%d" % number) for number in range(3)]
    assert drops(two) == []


def test_an_acknowledgement_of_what_was_never_sent_settles_nothing() -> None:
    """Late, early or invented numbers are harmless."""
    net, one, two = pair()
    net.publish(one, "telemetry:x", b"1")
    net.tick(one)
    for number in (0, 1, 1 << 62):
        net.inject(two, one, BusAck(number))

    assert one.fed.backlog(two.node_id) == 1


def test_a_batch_of_an_origin_that_the_roster_does_not_know_yet_waits_for_it() -> None:
    """Gossip may be slower than the bus: five seconds, then it is dropped and counted."""
    net, one, two = pair()
    late = net.members[one.node_id]
    del net.members[one.node_id]
    net.inject(one, two, batch_of(one, b"1"))
    assert two.delivered == [] and drops(two) == []

    net.members[one.node_id] = late
    net.tell(two, MemberAdmitted(one.node_id, one.public_key, one.cluster, "hub"))
    net.settle()
    assert two.delivered == [("telemetry:x", b"1")]

    del net.members[one.node_id]
    net.inject(one, two, msgspec.structs.replace(batch_of(one, b"2", first=2), link_seq=2))
    net.now += STRANGER_PATIENCE_US
    net.timers()
    assert drops(two) == [("unknown-origin", 1)]


def test_the_imported_event_names_origin_and_cluster() -> None:
    """Provenance travels with the frames."""
    net, one, two = pair()
    net.publish(one, "telemetry:x", b"1")
    net.settle()

    assert two.said(Imported) == [Imported(one.node_id, "north", "telemetry:x", (b"1",))]


def test_what_is_delivered_is_marked_in_the_same_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when so much has to be held in one tick that it takes several: no crash in between delivers it twice."""
    monkeypatch.setattr(commits, "COMMIT_BYTES_MAX", 1)
    net = Net()
    a, b, c = (net.add(name, f"cluster-{name}", exporting("telemetry:*")) for name in "abc")
    net.connect(a, b)
    net.connect(b, c)
    net.settle()
    for frame in (b"held", b"held too"):
        net.publish(b, "telemetry:y", frame)
        net.tick(b)
    net.publish(a, "telemetry:x", b"1")
    net.tick(a)
    net.deliver(a, b)
    net.cut(b, c)
    net.tick(b)
    assert len(b.commits) > 1
    net.commit(b)

    assert b.delivered == [("telemetry:x", b"1")]
    assert b.tables["inbox"]
