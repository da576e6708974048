"""The model of what is on the wire counts packets and acknowledgements of quiet times and of bursts."""

from __future__ import annotations

import pytest

from arqonmesh.core.kernel import MILLISECOND, SECOND, Lane
from arqonmesh.sim.network import End
from arqonmesh.sim.simulation import Simulation
from arqonmesh.wire.codec import encode_message
from arqonmesh.wire.messages import GossipDelta
from bench.idle_meter import ACK_DELAY_US, ACK_FRAME_BYTES, ACKS, FRAME_BYTES, PACKET_BYTES, Meter

LATENCY_US = 5 * MILLISECOND


@pytest.fixture(scope="module")
def end() -> End:
    """One of two linked nodes; `far` is the other's."""
    sim = Simulation(1)
    for name in ("hub", "spoke"):
        sim.add(name, role=name)
    sim.found()
    sim.run_for(10 * SECOND)
    endpoint = sim.processes["hub"].endpoint
    assert endpoint is not None
    (end,) = endpoint.ends.values()
    return end


def message(size: int) -> bytes:
    bare = len(encode_message(GossipDelta(statements=(bytes(1_000),), bases=()))) - 1_000
    return encode_message(GossipDelta(statements=(bytes(size - bare),), bases=()))


def around(meter: Meter, end: End, data: bytes, count: int) -> int:
    """Packets around so many messages of one burst; each but the first begins with the rest of a message."""
    more = meter.sent[end.endpoint.node_id] - count * (len(data) + FRAME_BYTES) + FRAME_BYTES
    assert more % (PACKET_BYTES + FRAME_BYTES) == 0
    return more // (PACKET_BYTES + FRAME_BYTES)


@pytest.mark.parametrize(("count", "size", "packets"), [(1, 300, 1), (3, 300, 1), (40, 1_108, 39), (1, 5_000, 5)])
def test_messages_of_one_instant_share_as_many_packets_as_their_bytes_fill(
    end: End, count: int, size: int, packets: int
) -> None:
    """1,200 bytes each, and every second one is acknowledged; the last one too when it is odd."""
    meter, data = Meter(LATENCY_US), message(size)
    for _ in range(count):
        meter.note(end, Lane.BULK, data, 0)
    meter.finish()
    assert len(data) == size
    assert around(meter, end, data, count) == packets
    assert meter.messages[ACKS] == (packets + 1) // 2


def test_a_burst_over_a_datagram_is_counted_by_what_fits(end: End) -> None:
    """Stream data beside a datagram shares its packet; a datagram that does not fit has one of its own."""
    meter, small, large = Meter(LATENCY_US), message(300), message(1_100)
    meter.note(end, Lane.DATAGRAM, small, 0)
    meter.note(end, Lane.CONTROL, small, 0)
    assert around(meter, end, small, 2) == 1
    meter.note(end, Lane.DATAGRAM, large, 0)
    meter.finish()
    assert meter.sent[end.endpoint.node_id] == 2 * len(small) + len(large) + 3 * FRAME_BYTES + 2 * PACKET_BYTES
    assert meter.messages[ACKS] == 1


def test_datagrams_alone_are_not_acknowledged(end: End) -> None:
    """Their acknowledgements wait for company for long."""
    meter = Meter(LATENCY_US)
    for now in range(3):
        meter.note(end, Lane.DATAGRAM, message(300), now)
    meter.finish()
    assert not meter.messages[ACKS]


@pytest.mark.parametrize(("later_us", "alone"), [(0, 0), (ACK_DELAY_US, 0), (ACK_DELAY_US + 1, 1)])
def test_an_acknowledgement_goes_along_with_what_leaves_in_time(end: End, later_us: int, alone: int) -> None:
    """Otherwise it has a packet of its own."""
    meter, data = Meter(LATENCY_US), message(300)
    meter.note(end, Lane.CONTROL, data, 0)
    meter.note(end.far, Lane.DATAGRAM, data, LATENCY_US + later_us)
    meter.finish()
    assert meter.messages[ACKS] == alone
    own = ACK_FRAME_BYTES + alone * PACKET_BYTES
    assert meter.sent[end.peer] == len(data) + FRAME_BYTES + PACKET_BYTES + own


def test_packets_that_come_apart_are_acknowledged_apart(end: End) -> None:
    """One by one while they are farther from each other than an acknowledgement waits, in pairs otherwise."""
    meter, data = Meter(LATENCY_US), message(300)
    for number in range(4):
        meter.note(end, Lane.CONTROL, data, number * (ACK_DELAY_US + 1))
    for number in range(4):
        meter.note(end, Lane.CONTROL, data, SECOND + number)
    meter.finish()
    assert meter.messages[ACKS] == 4 + 2
