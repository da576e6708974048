"""The field carries what cores send, when it should, and tells them what happens to their links."""

from __future__ import annotations

import pytest

from arqonmesh.core.events import LinkDown, LinkMeasured, LinkUp, Persisted, TransportUp
from arqonmesh.core.kernel import MILLISECOND, SECOND, Connect, Disconnect, Lane
from arqonmesh.sim.field import Field, constant, full_graph, regular_graph, ring_graph, uniform
from arqonmesh.sim.field.field import RETRANSMIT_MIN_US
from arqonmesh.wire.codec import encode_message
from arqonmesh.wire.messages import Ack, Ping
from tests.sim.field.chatter import Chatter

DELAY = 20 * MILLISECOND


def chatters(field: Field, count: int, rallies: int = 0) -> list[Chatter]:
    return [field.add(lambda env: (Chatter(env("chatter"), rallies),)).core(Chatter) for _ in range(count)]


def say(field: Field, source: int, target: int, seq: int = 0, lane: Lane = Lane.CONTROL) -> None:
    """As if the core had sent it."""
    node = field.nodes[source]
    field._perform(node, [node.core(Chatter).says(field.nodes[target].id, seq, lane)])


def messages(chatter: Chatter) -> list[tuple[int, object]]:
    return [(now, heard) for now, heard in chatter.heard if isinstance(heard, Ping | Ack)]


def test_a_message_arrives_after_the_latency_of_its_pair() -> None:
    """One way there, one way back, to the microsecond."""
    field = Field(1, lambda one, other: 7_000 if one < other else 11_000)
    one, other = chatters(field, 2)
    field.link(0, 1)
    say(field, 0, 1, seq=5)
    field.run_for(SECOND)
    assert messages(other) == [(7_000, Ping(seq=5, accused=-1))]
    assert messages(one) == [(18_000, Ack(seq=5))]
    assert field.sent == {Ping: 1, Ack: 1}


def test_without_a_link_nothing_arrives_and_it_is_counted() -> None:
    """A Send is not a wish for a link."""
    field = Field(1, constant(DELAY))
    _, other = chatters(field, 2)
    say(field, 0, 1)
    field.run_for(SECOND)
    assert messages(other) == []
    assert field.unlinked == 1
    assert field.sent == {}


def test_direct_carries_a_message_without_a_link() -> None:
    """As if a source route worked."""
    field = Field(1, constant(DELAY), unlinked="direct")
    one, other = chatters(field, 2)
    say(field, 0, 1)
    field.run_for(SECOND)
    assert [now for now, _ in messages(other)] == [DELAY]
    assert [now for now, _ in messages(one)] == [2 * DELAY]


def test_a_link_is_told_to_both_with_its_measure() -> None:
    """TransportUp, LinkUp, LinkMeasured: what the link core of a real node would say."""
    field = Field(1, constant(DELAY))
    one, other = chatters(field, 2)
    field.link(0, 1)
    a, b = (node.id for node in field.nodes)
    assert [heard for _, heard in one.heard] == [
        TransportUp(b, "field", True),
        LinkUp(b, "field"),
        LinkMeasured(b, 2 * DELAY, 0, 0),
    ]
    assert next(heard for _, heard in other.heard) == TransportUp(a, "field", False)


def test_connect_takes_one_and_a_half_round_trips() -> None:
    """And two dials that cross make one link."""
    field = Field(1, constant(DELAY))
    chatters(field, 2)
    a, b = field.nodes
    field._perform(a, [Connect(b.id, ())])
    field._perform(b, [Connect(a.id, ()), Connect(a.id, ())])
    field.run_for(3 * DELAY - 1)
    assert not a.links
    field.run_for(1)
    assert list(a.links) == [b.id]
    assert list(b.links) == [a.id]
    ups = [heard for _, heard in a.core(Chatter).heard if isinstance(heard, LinkUp)]
    assert len(ups) == 1


def test_a_dial_is_repeated_until_the_peer_answers() -> None:
    """For ever, unless the wish is withdrawn."""
    field = Field(1, constant(DELAY), redial_us=SECOND)
    chatters(field, 3)
    field.kill(1)
    field.kill(2)
    a, b, c = field.nodes
    field._perform(a, [Connect(b.id, ()), Connect(c.id, ())])
    field.run_for(5 * SECOND)
    field._perform(a, [Disconnect(c.id, "enough", forget=True)])
    for index in (1, 2):
        field.restart(index, lambda env: (Chatter(env("chatter")),))
    field.run_for(5 * SECOND)
    assert list(a.links) == [b.id]


def test_the_neighbours_of_a_killed_node_hear_of_it_after_the_detection_time() -> None:
    """And what was under way to it is lost."""
    field = Field(1, constant(DELAY), detection_us=300 * MILLISECOND)
    one, _ = chatters(field, 2)
    field.link(0, 1)
    say(field, 0, 1)
    field.run_for(DELAY - 1)
    dead = field.nodes[1]
    field.kill(1)
    field.run_for(SECOND)
    downs = [(now, heard) for now, heard in one.heard if isinstance(heard, LinkDown)]
    assert downs == [(DELAY - 1 + 300 * MILLISECOND, LinkDown(dead.id, "timeout"))]
    assert messages(one) == []
    assert messages(dead.core(Chatter)) == []
    assert field.unheard == 1


def test_disconnect_tells_both_ends_and_what_is_under_way_is_lost() -> None:
    """The caller at once, the peer one way later."""
    field = Field(1, constant(DELAY))
    one, other = chatters(field, 2)
    field.link(0, 1)
    a, b = field.nodes
    say(field, 1, 0)
    field._perform(a, [Disconnect(b.id, "done", forget=True)])
    field.run_for(SECOND)
    assert [(now, heard) for now, heard in one.heard if isinstance(heard, LinkDown)] == [(0, LinkDown(b.id, "done"))]
    assert [now for now, heard in other.heard if isinstance(heard, LinkDown)] == [DELAY]
    assert messages(one) == []


def test_a_mute_node_keeps_its_links_and_says_nothing() -> None:
    """A silent node is not a dead one: its neighbours hear of no loss."""
    field = Field(1, constant(DELAY))
    one, other = chatters(field, 2)
    field.link(0, 1)
    field.mute(1)
    say(field, 0, 1)
    field.run_for(5 * SECOND)
    assert messages(one) == messages(other) == []
    assert not any(isinstance(heard, LinkDown) for _, heard in one.heard)
    field.mute(1, mute=False)
    say(field, 0, 1)
    field.run_for(SECOND)
    assert len(messages(one)) == 1


def test_loss_takes_datagrams_and_delays_streams() -> None:
    """A stream loses nothing and reorders nothing; it waits."""
    field = Field(3, constant(DELAY), loss_ppm=300_000)
    _, other = chatters(field, 2)
    field.link(0, 1)
    for seq in range(200):
        say(field, 0, 1, seq, Lane.CONTROL)
    for seq in range(1_000, 1_200):
        say(field, 0, 1, seq, Lane.DATAGRAM)
    field.run_for(10 * SECOND)
    pings = [(now, heard.seq) for now, heard in messages(other) if isinstance(heard, Ping)]
    stream = [seq for _, seq in pings if seq < 1_000]
    assert stream == list(range(200))
    assert max(now for now, seq in pings if seq < 1_000) >= 3 * DELAY + RETRANSMIT_MIN_US
    assert 100 < sum(seq >= 1_000 for _, seq in pings) < 180


def test_a_timer_fires_at_its_deadline_and_persist_is_answered() -> None:
    """At once, or after the delay of a disk."""
    for persist_us, answered in ((0, 40_000), (5_000, 45_000)):
        field = Field(1, constant(DELAY), persist_us=persist_us)
        chatter = field.add(lambda env: (Chatter(env("chatter"), wakes_at=40_000),)).core(Chatter)
        field.run_for(SECOND)
        assert chatter.heard == [(40_000, "timer"), (answered, Persisted(7))]


def test_bytes_are_what_the_codec_would_send() -> None:
    """Weighed by the real encoding."""
    field = Field(1, constant(DELAY), weighs=True)
    chatters(field, 2)
    field.link(0, 1)
    say(field, 0, 1, seq=300)
    field.run_for(SECOND)
    assert field.bytes_by_type[Ping] == len(encode_message(Ping(seq=300, accused=-1))) == field.nodes[0].bytes_sent


def test_one_seed_is_one_run() -> None:
    """Same seed, same deliveries in the same order; another seed, others."""

    def run(seed: int) -> tuple[int, int]:
        field = Field(seed, uniform(seed, 1_000, 50_000), loss_ppm=50_000, traced=True)
        chatters(field, 20, rallies=20)
        field.lay(regular_graph(20, 3, seed))
        for index in range(20):
            for target in sorted(field.nodes[index].links):
                say(field, index, field.by_id[target])
        field.run_for(3 * SECOND)
        return field.fingerprint, field.steps

    assert run(1) == run(1)
    assert run(1) != run(2)


@pytest.mark.parametrize(("count", "degree"), [(10, 3), (101, 4), (1_000, 5)])
def test_a_regular_graph_is_regular_simple_and_connected(count: int, degree: int) -> None:
    """No loops, no double edges, everyone reachable."""
    edges = regular_graph(count, degree, seed=4)
    assert len({*edges}) == len(edges) == count * degree // 2
    near: dict[int, list[int]] = {}
    for one, other in edges:
        assert one != other
        near.setdefault(one, []).append(other)
        near.setdefault(other, []).append(one)
    assert {len(others) for others in near.values()} == {degree}
    reached, front = {0}, [0]
    while front:
        front = [other for node in front for other in near[node] if other not in reached and not reached.add(other)]  # type: ignore[func-returns-value]
    assert len(reached) == count


def test_small_graphs() -> None:
    """Rings close, full graphs are full."""
    assert ring_graph(4) == [(0, 1), (1, 2), (2, 3), (3, 0)]
    assert len(full_graph(6)) == 15
