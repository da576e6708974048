"""API keys are of the cluster: made anywhere, known everywhere, revoked once and for all; only mates are believed."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from arqonmesh.core.bus.cluster import keys as cluster_keys
from arqonmesh.core.bus.cluster.keys import BUCKETS, RECORDS_PER_MESSAGE, joined
from arqonmesh.core.events import KeysHeld
from arqonmesh.core.kernel import Send
from arqonmesh.ids import NodeId
from arqonmesh.wire.codec import encode_message
from arqonmesh.wire.messages import MAX_FRAME_BYTES, KeyDigests, KeyRecord, KeyRecords
from tests.core.bus.cluster.town import Home, Town

pytestmark = pytest.mark.requirement("R-BU-21")

LETTERS = "abc"
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
dice = random.Random(4)


def key(number: int, *, made_at: str = "a", revoked_ms: int = 0, permissions: tuple[str, ...] = ()) -> KeyRecord:
    prefix = "".join(ALPHABET[number >> shift & 31] for shift in range(0, 40, 5))
    hash_ = number.to_bytes(32, "big")
    return KeyRecord(prefix, hash_, f"key-{number}", "user", "", permissions, number, 0, revoked_ms, made_at * 32)


class Disks:
    """Each node's file of keys: what the runtime makes of `KeysLearned`, merged as the file merges (api_keys.py). What
    the core tells has to be all it knows, so a record that says less than before is an error of the core."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.rows: dict[str, dict[str, KeyRecord]] = {letter: {} for letter in LETTERS}

    def hold(self, letter: str, record: KeyRecord) -> None:
        """As `arqon bus key new` or `revoke` there."""
        self.rows[letter][record.prefix] = record
        self.town[letter].tell(KeysHeld((record,)))
        self.write()

    def write(self) -> None:
        for letter in LETTERS:
            home = self.town[letter]
            for record in home.learned:
                before = self.rows[letter].get(record.prefix, record)
                assert joined(before, record) == record
                self.rows[letter][record.prefix] = joined(before, record)
            home.learned.clear()


class Keys(RuleBasedStateMachine):
    """Three nodes; links come and go, messages are lost, nodes start again from their disk; keys are made, revoked."""

    def __init__(self) -> None:
        super().__init__()
        self.town = Town(*LETTERS)
        self.disks = Disks(self.town)
        self.town.mesh()
        self.made = 0
        self.revoked: dict[str, None] = {}
        self.seen_revoked: dict[tuple[str, str], int] = {}
        """(node, prefix) -> the earliest time at which it was revoked, as far as that node has told."""

    @rule(letter=st.sampled_from(LETTERS))
    def make(self, letter: str) -> None:
        self.made += 1
        self.disks.hold(letter, key(self.made, made_at=letter))

    @precondition(lambda self: self.made)
    @rule(letter=st.sampled_from(LETTERS), number=st.integers(1, 50), at_ms=st.integers(1, 99))
    def revoke(self, letter: str, number: int, at_ms: int) -> None:
        """At a node that knows the key."""
        prefix = key(1 + number % self.made).prefix
        known = self.disks.rows[letter].get(prefix)
        if known is not None and not known.revoked_ms:
            self.disks.hold(letter, joined(known, key(1 + number % self.made, made_at="z", revoked_ms=at_ms)))
            self.revoked[prefix] = None

    @rule(pair=st.sampled_from(["ab", "bc", "ac"]))
    def part(self, pair: str) -> None:
        if frozenset(self.town[letter].id for letter in pair) in self.town.links:
            self.town.cut(pair[0], pair[1])

    @rule(pair=st.sampled_from(["ab", "bc", "ac"]))
    def meet(self, pair: str) -> None:
        if frozenset(self.town[letter].id for letter in pair) not in self.town.links:
            self.town.link(pair[0], pair[1])

    @rule(messages=st.integers(1, 4))
    def lose(self, messages: int) -> None:
        self.town.lost += messages

    @rule(letter=st.sampled_from(LETTERS))
    def start_again(self, letter: str) -> None:
        before = self.town[letter]
        linked = [other for other in LETTERS if frozenset((before.id, self.town[other].id)) in self.town.links]
        for other in linked:
            self.town.cut(letter, other)
        home = Home(self.town, letter, boot_epoch=before.bus.env.boot_epoch + 1)
        home.now = before.now
        self.town.homes[home.id] = home
        home.tell(KeysHeld(tuple(self.disks.rows[letter].values())))
        for other in linked:
            self.town.link(letter, other)

    @rule()
    def settle(self) -> None:
        self.town.settle()
        self.disks.write()

    @invariant()
    def what_was_revoked_somewhere_is_never_taken_back_there(self) -> None:
        self.disks.write()
        for letter in LETTERS:
            for prefix, record in self.disks.rows[letter].items():
                assert not record.revoked_ms or prefix in self.revoked
                if before_ms := self.seen_revoked.get((letter, prefix)):
                    assert 0 < record.revoked_ms <= before_ms
                if record.revoked_ms:
                    self.seen_revoked[letter, prefix] = record.revoked_ms

    def teardown(self) -> None:
        self.town.lost = 0
        for pair in ("ab", "bc", "ac"):
            self.meet(pair)
        for _ in range(4):
            self.town.pass_time()
        self.disks.write()
        expected = {key(number).prefix for number in range(1, self.made + 1)}
        for letter in LETTERS:
            told = self.disks.rows[letter]
            assert set(told) == expected
            assert {prefix for prefix, record in told.items() if record.revoked_ms} == set(self.revoked)
            assert told == self.disks.rows["a"]
            assert len(self.town[letter].bus.exchange.keys) == len(expected)
        super().teardown()


TestKeys = Keys.TestCase
TestKeys.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


records = st.builds(
    lambda number, hash_, revoked, made_at: KeyRecord(
        "abcdefgh", bytes([hash_]) * 32, "n", "user", "", (), number, 0, revoked, made_at * 32
    ),
    st.integers(0, 3), st.integers(0, 2), st.integers(0, 3), st.sampled_from("ab"),
)  # fmt: skip


@given(records, records, records)
def test_records_of_one_key_are_joined_in_any_order(one: KeyRecord, two: KeyRecord, three: KeyRecord) -> None:
    """Commutative, associative, idempotent; revoked stays revoked."""
    assert joined(one, two) == joined(two, one)
    assert joined(joined(one, two), three) == joined(one, joined(two, three))
    assert joined(one, one) == one
    assert bool(joined(one, two).revoked_ms) == bool(one.revoked_ms or two.revoked_ms)
    assert joined(joined(one, two), one) == joined(one, two)


def test_a_key_reaches_mates_that_are_linked_only_through_another() -> None:
    """a - b - c: passed on by who learns it, each message once."""
    town = Town(*LETTERS)
    disks = Disks(town)
    town.link("a", "b")
    town.link("b", "c")
    town.settle()
    town.sent = 0
    disks.hold("a", key(1))
    town.settle()
    disks.write()
    assert key(1).prefix in disks.rows["c"]
    assert town.sent == 2
    disks.hold("c", key(1, revoked_ms=9))
    town.settle()
    disks.write()
    assert disks.rows["a"][key(1).prefix].revoked_ms == 9


def test_a_revocation_that_was_lost_on_a_link_that_stays_is_found_by_the_next_repair() -> None:
    """Nobody is told twice of what arrived: one digest finds that something is missing."""
    town = Town("a", "b")
    town.link("a", "b")
    town["a"].tell(KeysHeld((key(1),)))
    town.settle()
    town.lost = 1
    town["a"].tell(KeysHeld((key(1, revoked_ms=9),)))
    town.settle()
    assert [told.revoked_ms for told in town["b"].learned] == [0]
    for _ in range(2):
        town.pass_time()
    assert [told.revoked_ms for told in town["b"].learned] == [0, 9]


def test_a_node_of_another_cluster_is_neither_told_nor_believed() -> None:
    """It is linked, it asks, it tells: dropped and counted."""
    town = Town("a", "x")
    stranger = town["x"].id
    town.clusters[stranger] = "elsewhere"
    town.link("a", "x")
    town["a"].tell(KeysHeld((key(1),)))
    home = town["a"]
    said = home.bus.on_message(home.now, stranger, KeyRecords((key(2), key(1, revoked_ms=5))))
    said += home.bus.on_message(home.now, stranger, KeyDigests(True, (bytes(8),) * BUCKETS))
    assert not [effect for effect in said if isinstance(effect, Send)]
    assert not home.learned
    town.pass_time()
    assert not [message for _, _, message in town.on_the_way if isinstance(message, KeyRecords | KeyDigests)]
    assert len(home.bus.exchange.keys) == 1


@pytest.mark.parametrize("permissions", [("fly:*",), ("publish:",), ("publish:" + "x" * 250,) * 65])
def test_what_a_mate_says_is_looked_at_as_what_an_operator_says(permissions: tuple[str, ...]) -> None:
    """A key that could not be made here is not taken from elsewhere."""
    town = Town("a", "b")
    town.link("a", "b")
    home = town["a"]
    home.perform(home.bus.on_message(home.now, town["b"].id, KeyRecords((key(1, permissions=permissions), key(2)))))
    assert [told.prefix for told in home.learned] == [key(2).prefix]
    assert [(drop.reason, drop.count) for drop in home.dropped] == [("cluster-keys", 1)]


def test_the_keys_of_a_cluster_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond is refused, counted, and known keys are still revoked."""
    monkeypatch.setattr(cluster_keys, "HELD_MAX", 3)
    town = Town("a", "b")
    town.link("a", "b")
    home, mate = town["a"], town["b"].id
    home.perform(home.bus.on_message(home.now, mate, KeyRecords(tuple(key(number) for number in range(1, 6)))))
    assert len(home.bus.exchange.keys) == 3
    assert home.bus.exchange.keys.refused == 2
    home.perform(home.bus.on_message(home.now, mate, KeyRecords((key(2, revoked_ms=7),))))
    assert home.learned[-1].revoked_ms == 7


def test_two_thousand_keys_meet_in_few_messages_of_bounded_size_and_then_none() -> None:
    """A newcomer is given all of them; two that know the same say one digest."""
    town = Town("a", "b")
    many = tuple(
        key(number, permissions=("publish:" + "é" * 200,) * dice.choice((0, 1, 63))) for number in range(2_000)
    )
    town["a"].tell(KeysHeld(many))
    town.link("a", "b")
    sizes = []
    while town.on_the_way:
        sender, to, message = town.on_the_way.popleft()
        if isinstance(message, KeyRecords):
            sizes.append(len(encode_message(message)))
        town.homes[to].perform(town.homes[to].bus.on_message(town.homes[to].now, sender, message))
    assert len(town["b"].learned) == 2_000
    assert max(sizes) < MAX_FRAME_BYTES // 8
    assert len(sizes) >= 2_000 // RECORDS_PER_MESSAGE
    home = town["a"]
    (again,) = home.bus.exchange.keys.repair(NodeId("b" * 32))
    assert isinstance(again, Send)
    assert isinstance(again.message, KeyDigests)
    assert len(again.message.digests) == 1
    other = town["b"]
    assert other.bus.on_message(other.now, home.id, again.message) == []


def test_who_leaves_the_mesh_takes_no_key_along_that_others_made() -> None:
    """Into the next one go its own keys, with whoever ended them; what others made for the cluster stays there."""
    town = Town(*LETTERS)
    town.link("a", "b")
    own, ended, theirs = key(1, made_at="a"), key(2, made_at="a"), key(3, made_at="b")
    town["a"].tell(KeysHeld((own, ended)))
    town["b"].tell(KeysHeld((theirs, key(2, made_at="a", revoked_ms=9))))
    town.settle()
    home = town["a"]
    assert len(home.bus.exchange.keys) == 3
    town.cut("a", "b")
    home.perform(home.bus.left_mesh())
    assert len(home.bus.exchange.keys) == 2
    town.link("a", "c")
    town.settle()
    assert {told.prefix: told.revoked_ms for told in town["c"].learned} == {own.prefix: 0, ended.prefix: 9}
    fresh = Town("a", "z")
    fresh["a"].tell(KeysHeld((own, key(2, made_at="a", revoked_ms=9))))
    assert fresh["a"].bus.exchange.keys.repair(fresh["z"].id) == home.bus.exchange.keys.repair(fresh["z"].id)
    town["a"].tell(KeysHeld((theirs,)))
    assert len(home.bus.exchange.keys) == 3, "who comes back learns them again"
