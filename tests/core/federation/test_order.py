"""The order of one origin over two ways, when a node on one of them dies and comes back."""

from __future__ import annotations

import pytest

from arqonmesh.config.model import FederationSettings, OutboxSettings, PinRule, Rules
from arqonmesh.core.events import Dropped, MemberChanged, TransportUp
from arqonmesh.core.federation import spared
from arqonmesh.core.federation.batch import decode_section
from arqonmesh.core.federation.spared import REMINDED_FOR_US, SPARED_FOR_US, Debt, Spared
from arqonmesh.wire.codec import decode_message
from arqonmesh.wire.messages import BusBatch
from tests.core.federation.pretend import Member, Net

CHANNEL = "telemetry:x"
EXPORTS = FederationSettings(export=Rules(allow=("telemetry:*",)))

DROPS = FederationSettings(export=EXPORTS.export, outbox=OutboxSettings(when_down="drop"))


def square(
    *, committed: bool = True, exports: FederationSettings = EXPORTS, witnessing: FederationSettings | None = None
) -> tuple[Net, Member, Member, Member, Member]:
    """Origin, relay and witness know each other; only the relay leads to the last one. The witness has the origin's
    first message by the relay, in its hands or `committed`, and the relay has not yet passed it on to the last one."""
    net = Net()
    origin, relay, last = (net.add(name, name, exports) for name in ("origin", "relay", "last"))
    witness = net.add("witness", "witness", witnessing or exports)
    for one, two in ((origin, relay), (origin, witness), (relay, witness), (relay, last)):
        net.connect(one, two)
    net.settle()
    net.cut(origin, witness)
    net.publish(origin, CHANNEL, b"1")
    net.tick(origin)
    for source, target in ((origin, relay), (relay, witness)):
        net.deliver(source, target)
        net.tick(target)
        if committed or target is relay:
            net.commit(target)
            net.tick(target)
    assert relay.delivered == [(CHANNEL, b"1")]
    assert witness.delivered == relay.delivered[: int(committed)]
    assert last.delivered == []
    return net, origin, relay, witness, last


def lost_at(member: Member) -> list[tuple[str, int]]:
    return [(event.reason, event.count) for event in member.said(Dropped) if isinstance(event, Dropped)]


def on_the_way(net: Net, source: Member, target: Member) -> list[BusBatch]:
    queue = net.queues[source.node_id, target.node_id]
    return [message for message in map(decode_message, queue) if isinstance(message, BusBatch)]


def frames(batches: list[BusBatch]) -> list[bytes]:
    sections = [decode_section(section) for batch in batches for section in batch.sections if section]
    return [frame for section in sections for frame in section.frames]


def exchange(net: Net, source: Member, target: Member) -> None:
    """All that flies between the two, and all that the target's disk has to do."""
    net.tick(source)
    while net.deliver(source, target) or net.commit(target) or net.deliver(target, source):
        net.tick(target)
        net.tick(source)


def relay_dies(net: Net, relay: Member, witness: Member, last: Member) -> None:
    """And comes back, with links to the witness and the last one."""
    net.crash(relay)
    net.boot(relay)
    for other in (witness, last):
        net.connect(relay, other)
    net.settle()


@pytest.mark.requirement("R-FE-6")
@pytest.mark.parametrize("committed", [True, False])
def test_a_node_that_died_with_a_message_in_its_hands_passes_it_on_before_what_is_newer(committed: bool) -> None:
    """Back, it knows that it heard 1 and not that it owes it to the last one; the witness has it again from the origin,
    and sends it to the relay before 2. Also when the witness had not yet written what it knows when the relay was
    back."""
    net, origin, relay, witness, last = square(committed=committed)
    relay_dies(net, relay, witness, last)
    assert last.delivered == []
    net.connect(origin, witness)
    net.publish(origin, CHANNEL, b"2")
    net.settle()
    assert [frame for _, frame in last.delivered] == [b"1", b"2"]
    net.connect(origin, relay)
    net.publish(origin, CHANNEL, b"3")
    net.settle()
    for member in (relay, witness, last):
        assert [frame for _, frame in member.delivered] == [b"1", b"2", b"3"]
    assert not any(member.fed.backlog(peer) for member in net.members.values() for peer in net.members)


def test_who_lives_on_the_connection_that_it_had_is_sent_nothing_that_came_through_it() -> None:
    """It has it, and passes it on."""
    net, origin, relay, witness, last = square()
    net.connect(origin, witness)
    assert net.deliver(origin, witness)
    net.tick(witness)
    assert on_the_way(net, witness, relay) == []
    net.settle()
    assert [frame for _, frame in last.delivered] == [b"1"]


@pytest.mark.requirement("R-FE-6")
def test_what_came_a_second_time_before_the_relay_died_goes_to_it_before_what_is_newer() -> None:
    """The witness had 1 from the origin, too, which settled it there; nobody else can remind the relay in time."""
    net, origin, relay, witness, last = square()
    net.connect(origin, witness)
    exchange(net, origin, witness)
    assert origin.fed.backlog(witness.node_id) == 0
    relay_dies(net, relay, witness, last)
    assert last.delivered == []
    net.publish(origin, CHANNEL, b"2")
    net.settle()
    assert [frame for _, frame in last.delivered] == [b"1", b"2"]


@pytest.mark.requirement("R-FE-6")
def test_what_was_on_its_way_to_the_relay_when_it_died_follows_what_the_relay_had() -> None:
    """2 flies from the witness to the relay when that dies: 1 takes its place before it, in memory and on disk."""
    net, origin, relay, witness, last = square()
    net.connect(origin, witness)
    exchange(net, origin, witness)
    net.publish(origin, CHANNEL, b"2")
    exchange(net, origin, witness)
    assert len(on_the_way(net, witness, relay)) == 1
    net.crash(relay)
    net.tick(witness)
    while net.commit(witness):
        net.tick(witness)
    net.crash(witness)  # what waits for the relay is on disk
    net.boot(witness)
    net.publish(witness, CHANNEL, b"its own")
    net.tick(witness)
    while net.commit(witness):
        net.tick(witness)
    net.crash(witness)
    net.boot(witness)
    net.boot(relay)
    for other in (witness, last):
        net.connect(relay, other)
    net.settle()
    assert [frame for _, frame in last.delivered] == [b"1", b"2", b"its own"]


@pytest.mark.parametrize("since", [0, SPARED_FOR_US, None])
def test_what_came_by_a_third_node_may_be_of_an_earlier_life_while_the_connection_is_young(since: int | None) -> None:
    """The relay had died and come back before the bystander had by the witness what the relay had passed on to it. Or
    it has none: the relay has died again."""
    net, origin, relay, witness, _ = square(committed=False)
    bystander = net.add("bystander", "bystander", EXPORTS)
    net.connect(witness, bystander)
    net.crash(relay)
    net.boot(relay)
    net.now += SPARED_FOR_US
    net.connect(relay, bystander)
    if since is None:
        net.crash(relay)
    net.now += since or 0
    while net.commit(witness):
        net.tick(witness)
    exchange(net, witness, bystander)
    assert bystander.delivered == [(CHANNEL, b"1")]
    net.connect(origin, bystander)
    net.publish(origin, CHANNEL, b"2")
    exchange(net, origin, bystander)
    assert bystander.fed.backlog(relay.node_id) == (1 if since else 2)


@pytest.mark.requirement("R-FE-6")
def test_what_the_relay_had_goes_between_what_came_before_and_after_it() -> None:
    """0 and 2 were on their way to it, and not 1, which had come through it."""
    net = Net()
    origin, relay, witness = (net.add(name, name, EXPORTS) for name in ("origin", "relay", "witness"))
    for one, two in ((origin, relay), (origin, witness), (relay, witness)):
        net.connect(one, two)
    net.settle()
    for frame, first in ((b"0", witness), (b"1", relay), (b"2", witness)):
        net.publish(origin, CHANNEL, frame)
        exchange(net, origin, first)
        while first is relay and (net.deliver(relay, witness) or net.commit(witness)):
            net.tick(witness)
    assert frames(on_the_way(net, witness, relay)) == [b"0", b"2"]
    net.crash(relay)
    net.boot(relay)
    net.connect(relay, witness)
    assert frames(on_the_way(net, witness, relay)) == [b"0", b"1", b"2"]


@pytest.mark.requirement("R-FE-6")
def test_a_connection_that_takes_the_place_of_another_counts_as_a_parting() -> None:
    """The relay is back before the witness has seen that it was gone; 2 flew to its earlier life."""
    net, origin, relay, witness, _ = square()
    net.connect(origin, witness)
    net.publish(origin, CHANNEL, b"2")
    exchange(net, origin, witness)
    assert frames(on_the_way(net, witness, relay)) == [b"2"]
    net.queues[witness.node_id, relay.node_id].clear()
    net.tell(witness, TransportUp(relay.node_id, "test", True))
    assert frames(on_the_way(net, witness, relay)) == [b"1", b"2"]


def test_where_nothing_is_held_for_a_link_that_is_down_what_was_spared_waits_for_the_link() -> None:
    """And is not counted as lost: nobody has lost it."""
    net, origin, relay, witness, last = square(witnessing=DROPS)
    net.connect(origin, witness)
    net.crash(relay)
    net.publish(origin, CHANNEL, b"2")
    exchange(net, origin, witness)
    assert lost_at(witness) == [("link-down", 1)]
    net.boot(relay)
    for other in (witness, last):
        net.connect(relay, other)
    net.publish(origin, CHANNEL, b"3")
    net.settle()
    assert [frame for _, frame in last.delivered] == [b"1", b"3"]
    assert lost_at(witness) == [("link-down", 1)]


def test_where_nothing_is_held_what_flew_on_a_silent_link_is_given_up_with_its_connection() -> None:
    """Also when something may be lost that would go before it."""
    net, origin, relay, witness, _ = square(witnessing=DROPS)
    net.connect(origin, witness)
    net.publish(origin, CHANNEL, b"2")
    exchange(net, origin, witness)
    assert witness.fed.backlog(relay.node_id) == 1
    net.silence(witness, relay)
    net.tell(witness, TransportUp(relay.node_id, "test", True))
    assert witness.fed.backlog(relay.node_id) == 0
    assert lost_at(witness) == [("link-down", 1)]


@pytest.mark.parametrize(
    ("outbox", "room"),
    [(OutboxSettings(messages_max=2), False), (OutboxSettings(bytes_max=250), False), (OutboxSettings(), True)],
)
def test_in_a_full_outbox_it_takes_nobodys_place(outbox: OutboxSettings, room: bool) -> None:
    """Whoever has no acknowledgement of it has it as well; what waits in the outbox nobody else may have."""
    settings = FederationSettings(export=EXPORTS.export, outbox=outbox)
    net, origin, relay, witness, _ = square(committed=False, witnessing=settings)
    net.publish(witness, CHANNEL, b"0")
    net.tick(witness)
    while net.commit(witness):
        net.tick(witness)
    net.connect(origin, witness)
    net.publish(origin, CHANNEL, b"2")
    exchange(net, origin, witness)
    net.crash(relay)
    assert witness.fed.backlog(relay.node_id) == 2 + room
    assert lost_at(witness) == []


@pytest.mark.parametrize("kept_back", ["by nothing", "by its region", "by our rules"])
def test_what_pins_keep_back_by_now_is_not_sent_after_all(kept_back: str) -> None:
    """The relay had it when it was in the region, or before there was a pin."""
    pinning = FederationSettings(export=EXPORTS.export, pin=(PinRule(channels=("telemetry:*",), regions=("eu",)),))
    net, origin, relay, witness, last = square(witnessing=EXPORTS if kept_back == "by our rules" else pinning)
    net.move(relay, "eu")
    relay_dies(net, relay, witness, last)
    if kept_back == "by its region":
        net.move(relay, "us")
    if kept_back == "by our rules":
        witness.fed.adopt(FederationSettings(pin=(PinRule(channels=("telemetry:*",), regions=("us",)),)))
    net.connect(origin, witness)
    net.publish(origin, CHANNEL, b"2")
    exchange(net, origin, witness)
    expected = [b"1", b"2"] if kept_back == "by nothing" else []
    assert frames(on_the_way(net, witness, relay)) == expected


def test_what_the_import_rules_kept_out_is_not_sent_after_all() -> None:
    """It is passed on to nobody, and so not to who was spared it."""
    net = Net()
    both = FederationSettings(export=Rules(allow=("*",)))
    origin, relay = (net.add(name, name, both) for name in ("origin", "relay"))
    choosy = FederationSettings(export=both.export, import_=Rules(allow=("telemetry:*",)))
    witness = net.add("witness", "witness", choosy)
    for one, two in ((origin, relay), (relay, witness)):
        net.connect(one, two)
    for channel, frame in (("raw:x", b"0"), (CHANNEL, b"1")):
        net.publish(origin, channel, frame)
    net.settle()
    net.crash(relay)
    net.boot(relay)
    net.connect(relay, witness)
    net.connect(origin, witness)
    net.publish(origin, CHANNEL, b"2")
    exchange(net, origin, witness)
    assert frames(on_the_way(net, witness, relay)) == [b"1", b"2"]


def test_who_left_is_owed_nothing_when_it_is_back() -> None:
    """Nothing was kept for it."""
    net, origin, relay, witness, last = square()
    net.crash(relay)
    net.tell(witness, MemberChanged(relay.node_id, "alive", "left", 1, "test"))
    net.tell(witness, MemberChanged(relay.node_id, "left", "alive", 2, "test"))
    net.boot(relay)
    for other in (witness, last):
        net.connect(relay, other)
    net.connect(origin, witness)
    net.publish(origin, CHANNEL, b"2")
    exchange(net, origin, witness)
    assert frames(on_the_way(net, witness, relay)) == [b"2"]


def test_who_is_not_on_the_roster_is_sent_nothing_after_all() -> None:
    net, origin, relay, witness, _ = square()
    net.connect(origin, witness)
    net.publish(origin, CHANNEL, b"2")
    exchange(net, origin, witness)
    net.off_the_roster[relay.node_id] = None
    net.crash(relay)
    assert witness.fed.backlog(relay.node_id) == 1


def test_what_came_by_a_third_node_counts_for_everyone_on_the_way() -> None:
    """The relay passed 1 on to the witness, the witness to a bystander; the bystander knows the relay, too."""
    net, origin, relay, witness, last = square(committed=False)
    bystander = net.add("bystander", "bystander", EXPORTS)
    net.connect(witness, bystander)
    net.connect(relay, bystander)
    while net.commit(witness):
        net.tick(witness)
    net.now += SPARED_FOR_US  # the relay's connection is none that it may have made after it died
    exchange(net, witness, bystander)
    assert bystander.delivered == [(CHANNEL, b"1")]
    relay_dies(net, relay, bystander, last)
    net.connect(origin, bystander)
    net.publish(origin, CHANNEL, b"2")
    net.settle()
    assert [frame for _, frame in last.delivered] == [b"1", b"2"]


def test_it_is_told_without_the_detour_that_it_made_over_who_gets_it_again() -> None:
    """Else the relay would take it for a loop."""
    net, origin, relay, witness, last = square()
    relay_dies(net, relay, witness, last)
    net.connect(origin, witness)
    net.publish(origin, CHANNEL, b"2")
    net.tick(origin)
    while net.deliver(origin, witness):
        net.tick(witness)
    while net.commit(witness):
        net.tick(witness)
    ways = [batch.via for batch in on_the_way(net, witness, relay)]
    assert ways == [(origin.node_id, witness.node_id)] * 2


def test_of_a_longer_way_it_is_told_how_it_came_to_who_gets_it_again() -> None:
    """Who is before the relay on it has it, and is not to be sent it by the relay."""
    net = Net()
    origin, before, relay, witness = (net.add(name, name, EXPORTS) for name in ("origin", "before", "relay", "witness"))
    for one, two in ((origin, before), (before, relay), (relay, witness)):
        net.connect(one, two)
    net.publish(origin, CHANNEL, b"1")
    net.settle()
    net.crash(relay)
    net.boot(relay)
    net.connect(relay, witness)
    net.connect(origin, witness)
    net.publish(origin, CHANNEL, b"2")
    exchange(net, origin, witness)
    ways = [batch.via for batch in on_the_way(net, witness, relay)]
    assert ways == [(origin.node_id, before.node_id, witness.node_id), (origin.node_id, witness.node_id)]


@pytest.mark.requirement("R-FE-6")
def test_the_detour_takes_nothing_of_how_far_it_may_go() -> None:
    """With three steps the last one is just within reach by the witness: of the newer, so of what goes before it."""
    net, origin, relay, witness, last = square(exports=FederationSettings(export=EXPORTS.export, ttl=3))
    relay_dies(net, relay, witness, last)
    net.connect(origin, witness)
    net.publish(origin, CHANNEL, b"2")
    exchange(net, origin, witness)
    assert [batch.ttl for batch in on_the_way(net, witness, relay)] == [1, 1]
    exchange(net, witness, relay)
    exchange(net, relay, last)
    assert [frame for _, frame in last.delivered] == [b"1", b"2"]


def test_what_nothing_newer_follows_is_not_sent() -> None:
    """Whoever has no acknowledgement of it sends it again; this is for the order alone. What another origin said is not
    newer."""
    net, _, relay, witness, last = square()
    relay_dies(net, relay, witness, last)
    assert on_the_way(net, witness, relay) == []
    assert witness.fed.backlog(relay.node_id) == 0
    assert last.delivered == []
    other = net.add("other", "other", EXPORTS)
    net.connect(other, witness)
    net.publish(other, CHANNEL, b"its own")
    exchange(net, other, witness)
    assert frames(on_the_way(net, witness, relay)) == [b"its own"]


def test_what_comes_again_through_the_one_that_died_is_not_sent_back_to_it() -> None:
    """The newer as well: it knows both."""
    net, origin, relay, witness, last = square()
    relay_dies(net, relay, witness, last)
    net.connect(relay, origin)
    net.publish(origin, CHANNEL, b"2")
    net.settle()
    assert [frame for _, frame in witness.delivered] == [b"1", b"2"]
    assert witness.fed.counters.forwarded == 0


def test_who_was_silent_for_long_before_its_connection_went_has_passed_on_what_it_had() -> None:
    """For longer than its patience with its own next hops, that is."""
    net, origin, relay, witness, last = square()
    net.now += SPARED_FOR_US + 1
    relay_dies(net, relay, witness, last)
    net.connect(origin, witness)
    net.publish(origin, CHANNEL, b"2")
    net.tick(origin)
    for _ in range(2):
        assert net.deliver(origin, witness)
        net.tick(witness)
    while net.commit(witness):
        net.tick(witness)
    assert len(on_the_way(net, witness, relay)) == 1


def back_for(time_us: int) -> tuple[Net, Member, Member, Member]:
    """Everyone has 1, and the relay was started anew so long ago."""
    net, origin, relay, witness, last = square()
    net.connect(origin, witness)
    net.settle()
    assert last.delivered == [(CHANNEL, b"1")]
    net.crash(relay)
    net.boot(relay)
    for other in (origin, witness, last):
        net.connect(relay, other)
    net.now += time_us
    net.settle(wait_us=0)
    return net, origin, relay, witness


@pytest.mark.requirement("R-FE-6")
def test_who_has_been_back_for_long_is_reminded_of_nothing() -> None:
    """It does not know any more that it passed 1 on, and would send it to who is new: after 2, which it has itself."""
    net, origin, relay, witness = back_for(REMINDED_FOR_US)
    newcomer = net.add("newcomer", "newcomer", EXPORTS)
    net.connect(relay, newcomer)
    net.publish(origin, CHANNEL, b"2")
    exchange(net, origin, witness)
    exchange(net, origin, relay)
    exchange(net, relay, newcomer)
    net.settle()
    assert newcomer.delivered == [(CHANNEL, b"2")]


@pytest.mark.requirement("R-FE-6")
def test_until_then_it_may_have_no_link_to_who_sends_again() -> None:
    net, origin, relay, witness = back_for(REMINDED_FOR_US - 1)
    net.publish(origin, CHANNEL, b"2")
    exchange(net, origin, witness)
    assert frames(on_the_way(net, witness, relay)) == [b"1", b"2"]


def test_what_was_lost_with_one_connection_is_not_with_the_next() -> None:
    net, origin, relay, witness = back_for(REMINDED_FOR_US)
    for other in (origin, witness):
        net.cut(relay, other)
    net.connect(relay, witness)
    net.publish(origin, CHANNEL, b"2")
    exchange(net, origin, witness)
    assert len(on_the_way(net, witness, relay)) == 1


def test_what_is_kept_of_what_a_neighbour_was_spared_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number and by bytes; the oldest is forgotten first."""
    monkeypatch.setattr(spared, "SPARED_MAX", 3)
    monkeypatch.setattr(spared, "SPARED_BYTES_MAX", 1_000)
    book = Spared()
    for order in range(1, 6):
        book.note(debt(order), lost=order == 4)
    assert [kept.order for kept in everything(book)] == [3, 4, 5]
    for order in range(6, 9):
        book.note(debt(order, size=400), lost=False)
    assert [kept.order for kept in everything(book)] == [7, 8]
    assert len(book) == 0
    for order, at in ((10, 0), (11, 1), (12, SPARED_FOR_US + 1)):
        book.note(debt(order, at=at), lost=False)
    assert len(book) == 2


def test_of_what_is_kept_the_oldest_goes_first_wherever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that is larger than all the room takes it alone; what is sent leaves room."""
    monkeypatch.setattr(spared, "SPARED_BYTES_MAX", 1_000)
    book = Spared()
    for order, lost in ((1, True), (2, False), (3, True)):
        book.note(debt(order, size=400), lost=lost)
    assert [kept.order for kept in everything(book)] == [2, 3]
    for order in (4, 5):
        book.note(debt(order, size=400), lost=False)
    assert [kept.order for kept in everything(book)] == [4, 5]
    book.note(debt(6), lost=True)
    book.note(debt(7, size=1_001), lost=False)
    assert [kept.order for kept in everything(book)] == [7]
    for order in (8, 9):
        book.note(debt(order, size=400), lost=True)
    book.forget_lost()
    for order in (10, 11):
        book.note(debt(order, size=400), lost=False)
    assert [kept.order for kept in everything(book)] == [10, 11]


def test_what_may_be_lost_is_due_before_what_is_newer_of_its_origin_alone() -> None:
    book = Spared()
    book.note(debt(1, "a"), lost=True)
    book.note(debt(2, "b"), lost=True)
    book.note(debt(5, "a"), lost=True)
    book.note(debt(6, "a"), lost=False)
    assert [due.order for due in book.due({"a": 4, "c": 9})] == [1]
    assert book.due({"a": 4}) == []
    assert [due.order for due in book.due({"b": 4})] == [2]
    book.note(debt(7, "b"), lost=False)
    book.parted(0)
    assert [due.order for due in book.due({"a": 9, "b": 9})] == [5, 6, 7]
    assert not book.lost


def debt(order: int, origin: str = "origin", *, size: int = 1, at: int = 0) -> Debt:
    return Debt(BusBatch(1, (origin, "relay"), 1, b"", b"", ()), (), order, at, size)


def everything(book: Spared) -> list[Debt]:
    book.parted(0)
    return book.due({"origin": 1_000})
