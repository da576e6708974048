"""The order of one origin over two ways, when a node on one of them dies and comes back."""

from __future__ import annotations

import msgspec
import pytest

from arqonmesh.config.model import FederationSettings, Rules
from arqonmesh.core.events import Fault
from arqonmesh.core.federation import spared
from arqonmesh.core.federation.spared import Spared
from arqonmesh.wire.codec import decode_message
from arqonmesh.wire.messages import BusBatch
from tests.core.federation.pretend import Member, Net

CHANNEL = "telemetry:x"
EXPORTS = FederationSettings(export=Rules(allow=("telemetry:*",)))


def square(*, committed: bool = True) -> tuple[Net, Member, Member, Member, Member]:
    """Origin, relay and witness know each other; only the relay leads to the last one. The witness has the origin's
    first message by the relay, in its hands or `committed`, and the relay has not yet passed it on to the last one."""
    net = Net()
    origin, relay, witness, last = (net.add(name, name, EXPORTS) for name in ("origin", "relay", "witness", "last"))
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


def on_the_way(net: Net, source: Member, target: Member) -> list[BusBatch]:
    queue = net.queues[source.node_id, target.node_id]
    return [message for message in map(decode_message, queue) if isinstance(message, BusBatch)]


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


def test_what_comes_again_through_the_one_that_died_is_not_sent_back_to_it() -> None:
    """And what comes twice by another way is sent once, and to nobody else again."""
    net, origin, relay, witness, _last = square()
    bystander = net.add("bystander", "bystander", EXPORTS)
    net.connect(witness, bystander)
    net.crash(relay)
    net.boot(relay)
    net.connect(relay, witness)
    net.connect(relay, origin)
    assert net.deliver(origin, relay)
    for _ in range(2):
        net.tick(relay)
        net.commit(relay)
    assert net.deliver(relay, witness)
    net.tick(witness)
    assert on_the_way(net, witness, relay) == []
    for _ in range(2):
        net.connect(origin, witness)
        assert net.deliver(origin, witness)
        net.tick(witness)
        assert len(on_the_way(net, witness, relay)) == 1
        assert on_the_way(net, witness, bystander) == []
        net.cut(origin, witness)


def test_what_is_forged_takes_nobodys_place() -> None:
    """Only what its origin signed is sent on to who was spared it, and only that settles the matter."""
    net, origin, relay, witness, last = square()
    relay_dies(net, relay, witness, last)
    net.connect(origin, witness)
    (batch,) = on_the_way(net, origin, witness)
    forged = msgspec.structs.replace(batch, link_seq=batch.link_seq - 1, signature=bytes(64))
    net.inject(origin, witness, forged)
    assert [event.cause for event in witness.said(Fault) if isinstance(event, Fault)] == ["bad-signature"]
    assert on_the_way(net, witness, relay) == []
    net.settle()
    assert [frame for _, frame in last.delivered] == [b"1"]


def test_what_is_remembered_of_who_was_spared_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of batches and of neighbours the oldest are forgotten first."""
    monkeypatch.setattr(spared, "SPARED_MAX", 3)
    monkeypatch.setattr(spared, "RENEWED_MAX", 2)
    book, names = Spared(), [member.node_id for member in square()[1:]]
    for first in range(1, 6):
        book.note((names[0], 1, first), (names[1], names[2], names[3]))
    assert len(book) == 3
    for peer in (names[1], names[2], names[3]):
        book.renewed(peer)
    assert book.owed((names[0], 1, 2), ()) == ()
    assert book.owed((names[0], 1, 3), ()) == (names[2], names[3])
    book.paid((names[0], 1, 3), (names[2], names[3]))
    assert book.owed((names[0], 1, 3), ()) == ()


def test_what_came_by_two_ways_is_owed_to_who_was_spared_on_either() -> None:
    """Its sections may have, by the rules of each way; the older one counts."""
    book, names = Spared(), [member.node_id for member in square()[1:]]
    key = (names[0], 1, 1)
    book.note(key, (names[1],))
    book.renewed(names[1])
    book.note(key, (names[1], names[2]))
    assert book.owed(key, ()) == (names[1],)
    book.renewed(names[2])
    assert book.owed(key, ()) == (names[1], names[2])
    assert book.owed(key, (names[1],)) == (names[2],)
