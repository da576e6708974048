"""Our own statements: numbered, chained, on disk before anyone hears of them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec import to_builtins

from arqonmesh.config.model import GossipSettings
from arqonmesh.core.events import Applied, Dropped, Fault, Forked, LinkUp, Publish
from arqonmesh.core.gossip.disk import slot_of, trimmed
from arqonmesh.core.gossip.limits import Limits
from arqonmesh.core.gossip.reading import runs_of
from arqonmesh.core.kernel import Emit, Lane, Persist, Send
from arqonmesh.ids import encode_ulid
from arqonmesh.wire.cbor import encode
from arqonmesh.wire.messages import GossipDelta, GossipRoot
from arqonmesh.wire.packing import node_text
from arqonmesh.wire.statement import LINK_BYTES, Kind, NodeRecord, decode_statement, statement_hash
from tests.core.gossip.world import SECOND, Member, World, genesis_of, node_record, signed
from tests.core.toy import node_of

SMALL = GossipSettings(delta_bytes_max=1)


def founder(**options: object) -> Member:
    member = Member("hub", "hub", instant_disk=False, **options)  # type: ignore[arg-type]
    member.publish(Kind.GENESIS, genesis_of("hub"))
    member.finish_writes()
    return member


def test_nothing_is_sent_or_told_before_it_is_on_disk() -> None:
    """Publish returns one synchronous Persist and nothing else; Applied and the push follow Persisted."""
    member = founder()
    member.tell(LinkUp(node_of("ant"), "quic"))
    member.sent()
    member.events.clear()

    member.publish(Kind.NODE, node_record("hub", 1))
    assert member.sent() == []
    assert member.said(Applied) == []

    member.finish_writes()
    assert [event.key for event in member.said(Applied)] == [""]
    [(to, delta)] = member.sent()
    assert to == node_of("ant") and isinstance(delta, GossipDelta)
    assert delta.bases == ()  # it directly follows what the peer has


def test_a_publish_is_one_synchronous_persist_of_the_statement_and_the_head() -> None:
    """The two rows of one transaction, sync=True; the statement's row says what the statement says."""
    member = founder()
    publish = Publish(Kind.NODE, "", node_record("hub", 1))
    [_, persist] = member.router.event(0, publish)
    assert isinstance(persist, Persist) and persist.sync
    statement, head = persist.writes
    assert statement.table == "statements" and head.table == "heads"


def test_what_is_published_while_the_disk_is_busy_goes_out_as_one_batch_in_order() -> None:
    """Three publishes during one fsync: one further Persist, one delta, consecutive numbers, linked hashes."""
    member = founder()
    member.tell(LinkUp(node_of("ant"), "quic"))
    member.sent()
    member.publish(Kind.NODE, node_record("hub", 1), "a")
    for key in ("b", "c", "d"):
        member.publish(Kind.NODE, node_record("hub", 2), key)
    assert len(member.tokens) == 1
    member.finish_writes()

    deltas = [message for _, message in member.sent()]
    assert len(deltas) == 2
    statements = [decode_statement(s) for d in deltas if isinstance(d, GossipDelta) for s in d.statements]
    assert [s.key for s in statements] == ["a", "b", "c", "d"]
    assert [s.seq for s in statements] == [2, 3, 4, 5]
    for before, after in pairwise(statements):
        assert after.prev_hash == statement_hash(before.encode())[:LINK_BYTES]


def test_what_is_superseded_before_it_is_signed_is_never_said() -> None:
    """Of several publishes of one (kind, key) that wait for the disk only the last is signed."""
    member = founder()
    member.publish(Kind.NODE, node_record("hub", 1))
    for incarnation in (2, 3, 4):
        member.publish(Kind.NODE, node_record("hub", incarnation))
    member.finish_writes()
    body = member.gossip.get(member.id, Kind.NODE)
    assert isinstance(body, NodeRecord) and body.incarnation == 4
    assert member.gossip.heads() == ((member.id, 1, 3),)


def test_a_split_push_vouches_in_each_part_for_what_that_part_continues() -> None:
    """Parts of one batch have the bases head, last of part 1, last of part 2: any of them may be lost."""
    member = founder(settings=SMALL)
    member.tell(LinkUp(node_of("ant"), "quic"))
    member.publish(Kind.NODE, node_record("hub", 1), "a")
    for key in ("b", "c", "d"):
        member.publish(Kind.NODE, node_record("hub", 2), key)
    member.sent()
    member.finish_writes()
    deltas = [message for _, message in member.sent() if isinstance(message, GossipDelta)]
    read = [runs_of(delta, node_of("ant"), decode_statement(delta.statements[0]).mesh_id) for delta in deltas]  # type: ignore[arg-type]
    assert [run.base for [run] in read] == [(1, 1), (1, 2), (1, 3), (1, 4)]


def test_a_life_begins_above_every_earlier_one_and_names_its_predecessor() -> None:
    """After a restart: epoch = boot epoch, seq 1, prev_hash = hash of the last statement on disk."""
    member = founder()
    member.publish(Kind.NODE, node_record("hub", 1))
    member.finish_writes()
    last = member.gossip.encoded(member.id, Kind.NODE)
    assert last is not None
    member.crash()
    member.publish(Kind.NODE, node_record("hub", 2))
    member.finish_writes()
    encoded = member.gossip.encoded(member.id, Kind.NODE)
    assert encoded is not None
    statement = decode_statement(encoded)
    assert (statement.epoch, statement.seq) == (2, 1)
    assert statement.prev_hash == statement_hash(last)[:LINK_BYTES]


def test_a_crash_between_signing_and_the_disk_never_looks_like_a_fork() -> None:
    """PeerReview's amnesia case: what was signed and lost was never heard, and the next life has its own epoch."""
    world = World(("hub", "ant"))
    world.link("hub", "ant")
    world.settle()
    hub = world["hub"]
    hub.instant_disk = False
    for round_ in range(20):
        hub.publish(Kind.NODE, node_record("hub", round_))
        if round_ % 3 == 0:
            hub.finish_writes()
        world.collect()
        world.crash("hub", power_cut=True)
        world.settle()
        world.assert_prefix_closed()
    world.pass_time(5 * SECOND)
    world.assert_equal()
    for member in world.members.values():
        assert member.said(Forked) == []
        assert member.said(Fault) == []


def test_a_restart_tells_everything_again_roster_first() -> None:
    """start emits Applied for each stored statement, by kind: first what admissions are judged by. Ours are marked."""
    world = World(("hub", "ant"))
    world.link("hub", "ant")
    world["ant"].publish(Kind.NODE, node_record("ant", 1))
    world.collect()
    world.settle()
    root = world["ant"].gossip.root()
    ant = world["ant"]
    ant.bootstrap = ()
    ant.events.clear()
    ant.crash(power_cut=False)
    applied = ant.said(Applied)
    assert [event.kind for event in applied] == [Kind.GENESIS, Kind.JOIN_POLICY, Kind.ADMISSION, Kind.NODE]
    assert [event.ours for event in applied] == [False, False, False, True]
    assert ant.gossip.root() == root


def test_a_row_that_rotted_is_dropped_counted_and_comes_back_from_a_peer() -> None:
    """Corrupt bytes: deleted at start; the unequal root finds the hole though the heads are equal (audit)."""
    world = World(("hub", "ant"))
    world.link("hub", "ant")
    for key in ("a", "b", "c"):
        world["hub"].publish(Kind.NODE, node_record("hub", 1), key)
    world.collect()
    world.settle()
    world.assert_equal()
    ant = world["ant"]
    rows = ant.disk.tables["statements"]
    slot = slot_of(node_of("hub"), Kind.NODE, "b")
    ant.disk.sync()
    rows[slot] = (*rows[slot][:-1], b"rotten")
    world.crash("ant", power_cut=False)
    assert ant.said(Dropped) == [Dropped("gossip", "corrupt-row", 1)]
    assert ant.gossip.get(node_of("hub"), Kind.NODE, "b") is None
    world.settle()
    world.pass_time(30 * SECOND)
    assert ant.gossip.get(node_of("hub"), Kind.NODE, "b") is not None
    world.assert_equal()


@pytest.mark.parametrize("what", ["another record's bytes", "another mesh's statement"])
def test_a_row_that_does_not_say_what_it_holds_is_dropped(what: str) -> None:
    """Author, kind, key, epoch and seq of the row are those of the statement, and the mesh is ours; else it goes."""
    member = founder()
    for key in ("a", "b"):
        member.publish(Kind.NODE, node_record("hub", 1), key)
    member.finish_writes()
    rows = member.disk.tables["statements"]
    a, b = slot_of(member.id, Kind.NODE, "a"), slot_of(member.id, Kind.NODE, "b")
    foreign = signed("hub", 2, node_record("hub", 1), key="a", mesh=encode_ulid(1, 1))
    rows[a] = (*rows[a][:-1], rows[b][-1] if what.endswith("bytes") else foreign)
    member.crash()
    assert member.gossip.get(member.id, Kind.NODE, "a") is None
    assert member.gossip.get(member.id, Kind.NODE, "b") is not None
    member.disk.sync()
    assert a not in rows


def test_a_head_is_stored_where_its_statement_is_not_held_and_always_of_our_own() -> None:
    """Ours with each statement. Of others the statement itself says how far they got, and a row would repeat it."""
    world = World(("hub", "ant"))
    world.link("hub", "ant")
    world["hub"].publish(Kind.NODE, node_record("hub", 1))
    world["ant"].publish(Kind.NODE, node_record("ant", 1))
    world.collect()
    world.settle()
    for member in world.members.values():
        heads = [(node_text(row[0]), *row[1:3]) for row in member.disk.durable()["heads"] if isinstance(row[0], bytes)]
        assert heads == [head for head in member.gossip.heads() if head[0] == member.id]
        before = member.gossip.heads()
        member.crash()
        assert member.gossip.heads() == before


def test_a_node_that_lost_its_disk_gets_its_own_records_back_and_speaks_above_them() -> None:
    """Same key, empty database, boot epochs starting over: the forgotten life is fetched, and we speak beyond it."""
    world = World(("hub", "ant", "bee"))
    world.link("hub", "ant")
    world.link("hub", "bee")
    for key in ("a", "b"):
        world["ant"].publish(Kind.NODE, node_record("ant", 1), key)
    world.collect()
    world.settle()
    ant = world["ant"]
    for table in ant.disk.tables.values():
        table.clear()
    ant.epoch = 0
    world.crash("ant", power_cut=True)
    world.settle()
    world.pass_time(5 * SECOND)
    assert ant.gossip.get(ant.id, Kind.NODE, "a") is not None
    ant.publish(Kind.NODE, node_record("ant", 2), "c")
    world.collect()
    world.settle()
    world.pass_time(5 * SECOND)
    world.assert_equal()
    assert world["bee"].gossip.get(ant.id, Kind.NODE, "c") is not None
    assert all(member.said(Forked) == [] for member in world.members.values())


def test_a_new_epoch_after_a_lost_database_does_not_hide_the_older_records() -> None:
    """The database is gone, the boot epoch is not: what others hold of us comes back by audit, at everyone."""
    world = World(("hub", "ant", "bee"))
    world.link("hub", "ant")
    for key in ("a", "b"):
        world["ant"].publish(Kind.NODE, node_record("ant", 1), key)
    world.collect()
    world.settle()
    world.cut("hub", "ant")
    ant = world["ant"]
    for table in ant.disk.tables.values():
        table.clear()
    world.crash("ant", power_cut=True)
    ant.publish(Kind.NODE, node_record("ant", 2), "c")
    world.link("ant", "bee")
    world.settle()
    world.link("hub", "bee")
    world.settle()
    world.pass_time(60 * SECOND)
    world.assert_equal()
    for member in world.members.values():
        assert [key for _, key, _ in member.gossip.statements(Kind.NODE)] == ["a", "b", "c"]


def test_our_own_statement_beyond_the_bounds_is_refused_and_said_so() -> None:
    """records_per_author bounds us too: Dropped, nothing is written."""
    member = founder(limits=Limits(records_per_author=2))
    member.publish(Kind.NODE, node_record("hub", 1), "a")
    member.finish_writes()
    member.publish(Kind.NODE, node_record("hub", 1), "b")
    assert member.tokens == []
    assert [(event.where, event.reason) for event in member.said(Dropped)] == [("gossip", "too-many-records")]


def test_a_link_begins_with_a_comparison() -> None:
    """LinkUp: the root at once, on the control lane."""
    member = founder()
    effects = member.router.event(0, LinkUp(node_of("ant"), "quic"))
    assert effects == [
        Emit(LinkUp(node_of("ant"), "quic")),
        Send(node_of("ant"), Lane.CONTROL, GossipRoot(root=member.gossip.root())),
    ]


@pytest.mark.parametrize("place", [0, 1, 5, 21, 85, -1])
def test_a_row_with_another_byte_in_it_is_dropped(place: int) -> None:
    """Its mark, the check, the predecessor, the signature, the body: a part of the statement's hash is kept with it."""
    member = founder()
    member.publish(Kind.NODE, node_record("hub", 1), "a")
    member.finish_writes()
    rows = member.disk.tables["statements"]
    slot = slot_of(member.id, Kind.NODE, "a")
    row = rows[slot][-1]
    assert isinstance(row, bytes)
    kept = bytearray(row)
    kept[place] ^= 1
    rows[slot] = (*rows[slot][:-1], bytes(kept))
    member.crash()
    assert member.gossip.get(member.id, Kind.NODE, "a") is None


def test_a_row_is_smaller_than_its_statement_and_one_of_the_first_version_is_kept_whole() -> None:
    """What the other columns say is not said twice; what cannot be made again from them is not cut."""
    encoded = signed("hub", 1, node_record("hub", 1))
    assert len(trimmed(encoded)) + 40 < len(encoded)
    old = encode(to_builtins(decode_statement(encoded), builtin_types=(bytes,)))
    assert trimmed(old) == old
