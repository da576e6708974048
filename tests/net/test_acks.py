"""When acknowledgements leave: with what leaves anyway, else soon."""

from __future__ import annotations

import pytest
from aioquic.quic.events import DatagramFrameReceived, StreamDataReceived
from aioquic.tls import Epoch

from arqonmesh.net.pacer import BATCH_PACKETS
from arqonmesh.net.quic_core import ACK_DELAY_S, MeshQuic
from arqonmesh.net.quic_datagrams import DATAGRAM_ACK_DELAY_S, DATAGRAMS_UNACKED_MAX
from arqonmesh.net.quic_fast import FastQuic, quic_class
from arqonmesh.net.tls import PROTOCOLS, configuration
from tests.net.kit import hall, key, leaf_of

HERE = ("192.0.2.7", 4_000)


def _pair(*, fast: bool, server_fast: bool | None = None) -> tuple[MeshQuic, MeshQuic]:
    """Client and server, connected in memory, with nothing left to say at time 1.0; Hellos have been exchanged."""
    client = quic_class(fast=fast)(
        configuration=configuration(
            leaf_of(key(1)), is_client=True, protocols=[PROTOCOLS.mesh], max_datagram_size=1_200
        )
    )
    client.connect(HERE, 0.0)
    server = quic_class(fast=fast if server_fast is None else server_fast)(
        configuration=configuration(
            leaf_of(key(2)), is_client=False, protocols=[PROTOCOLS.mesh], max_datagram_size=1_200
        ),
        original_destination_connection_id=client.original_destination_connection_id,
    )
    for step in range(40):
        now = step * 0.025
        for ends in ((client, server), (server, client)):
            _carry(*ends, now)
    client.peer_spares_probes, server.peer_spares_probes = server.spares_probes, client.spares_probes
    return client, server


def _carry(sender: MeshQuic, receiver: MeshQuic, now: float) -> int:
    """Bring what is due across; the number of packets."""
    sender.pacer.open_batch()
    packets = sender.datagrams_to_send(now)
    for data, _ in packets:
        receiver.receive_datagram(data, HERE, now)
    return len(packets)


@pytest.mark.parametrize("fast", [False, True])
def test_an_answer_takes_the_acknowledgement_along(fast: bool) -> None:
    """Question, answer with its ACK, and the ACK of the answer: three packets, not four."""
    client, server = _pair(fast=fast)
    client.send_datagram_frame(b"are you there?")
    assert _carry(client, server, 1.0) == 1
    server.send_datagram_frame(b"yes")
    assert _carry(server, client, 1.0) == 1
    later = 1.0 + (DATAGRAM_ACK_DELAY_S + ACK_DELAY_S if fast else 2 * ACK_DELAY_S)
    assert _carry(server, client, later) == 0
    assert _carry(client, server, later) == 1
    heard = [event.data for event in iter(client.next_event, None) if isinstance(event, DatagramFrameReceived)]
    assert heard == [b"yes"]


@pytest.mark.parametrize("fast", [False, True])
def test_without_an_answer_the_acknowledgement_leaves_by_itself(fast: bool) -> None:
    """After the delay, not at once; the short path waits longer, for the next heartbeat to take it along."""
    client, server = _pair(fast=fast)
    client.send_datagram_frame(b"are you there?")
    _carry(client, server, 1.0)
    delay_s = DATAGRAM_ACK_DELAY_S if fast else ACK_DELAY_S
    assert _carry(server, client, 1.0 + delay_s / 2) == 0
    assert _carry(server, client, 1.0 + delay_s + ACK_DELAY_S) == 1


def _fast_pair() -> tuple[FastQuic, FastQuic]:
    client, server = _pair(fast=True)
    assert isinstance(client, FastQuic)
    assert isinstance(server, FastQuic)
    return client, server


def test_an_idle_link_is_one_packet_per_heartbeat() -> None:
    """Ten seconds of heartbeats each way, out of step: no packet that only acknowledges, no probe, nothing kept."""
    client, server = _fast_pair()
    taken = client.fast_received + server.fast_received
    packets = 0
    for tick in range(400):
        now = 1.0 + tick * 0.025
        if tick % 4 == 0:
            client.send_datagram_frame(b"beat")
        if tick % 4 == 2:
            server.send_datagram_frame(b"beat")
        for sender, receiver in ((client, server), (server, client)):
            at = sender.get_timer()
            if at is not None and now >= at:
                sender.handle_timer(now)
            packets += _carry(sender, receiver, now)
    assert packets == 200
    assert client.fast_received + server.fast_received - taken == 200
    assert _beats(client) == _beats(server) == 100
    for quic in (client, server):
        assert len(quic._spaces[Epoch.ONE_RTT].sent_packets) <= 1
        assert len(quic._spaces[Epoch.ONE_RTT].ack_queue) <= 1
        assert quic._loss.bytes_in_flight < 100


@pytest.mark.parametrize("fast", [False, True])
def test_a_peer_that_probes_for_datagrams_has_their_acknowledgement_in_time(fast: bool) -> None:
    """RFC 9000, 13.2.1: within the advertised 25 ms. So it sends one packet per heartbeat, too, and no probe."""
    client, server = _pair(fast=fast, server_fast=not fast)
    plain, other = (server, client) if fast else (client, server)
    sent = 0
    for tick in range(400):
        now = 1.0 + tick * 0.0125
        if tick % 8 == 0:
            plain.send_datagram_frame(b"beat")
        for sender, receiver in ((plain, other), (other, plain)):
            at = sender.get_timer()
            if at is not None and now >= at:
                sender.handle_timer(now)
            packets = _carry(sender, receiver, now)
            sent += packets if sender is plain else 0
        if tick % 8 == 2:
            assert plain._loss.bytes_in_flight == 0, "acknowledged 25 ms after it was sent"
    assert sent == 50
    assert sum(isinstance(event, DatagramFrameReceived) for event in iter(other.next_event, None)) == 50


@pytest.mark.parametrize("plain", [False, True])
async def test_hellos_say_whose_datagrams_may_wait(plain: bool) -> None:
    """Only a peer that arms no probe for its own has to wait for long."""
    async with hall() as made:
        a, b = made.member(1), made.member(2, fast=not plain)
        await made.linked(a, b)
        to_b, to_a = a.endpoint._links[b.id].connection.quic, b.endpoint._links[a.id].connection.quic
        assert to_b.peer_spares_probes is not plain
        assert to_a.peer_spares_probes is True


def _beats(quic: FastQuic) -> int:
    return sum(isinstance(event, DatagramFrameReceived) for event in iter(quic.next_event, None))


def test_many_datagrams_one_way_are_acknowledged_in_groups() -> None:
    """The delay must not fill the sender's window."""
    client, server = _fast_pair()
    for n in range(DATAGRAMS_UNACKED_MAX):
        assert _carry(server, client, 1.0 + n * 0.001) == 0
        client.send_datagram_frame(b"probe")
        _carry(client, server, 1.0 + n * 0.001)
    assert _carry(server, client, 1.0 + DATAGRAMS_UNACKED_MAX * 0.001 + ACK_DELAY_S) == 1
    assert client._loss.bytes_in_flight == 0


def test_stream_data_after_a_datagram_does_not_wait_for_a_heartbeat() -> None:
    """Its ACK leaves within 2 ms and takes the datagram's along."""
    client, server = _fast_pair()
    client.send_stream_data(0, b"opens it")
    _carry(client, server, 0.99)
    _carry(server, client, 0.999)
    client.send_datagram_frame(b"beat")
    _carry(client, server, 1.0)
    client.send_stream_data(0, b"bulk")
    _carry(client, server, 1.001)
    assert _carry(server, client, 1.001 + 2 * ACK_DELAY_S) == 1
    assert client._loss.bytes_in_flight == 0


def test_a_lost_heartbeat_is_not_probed_for_and_the_gap_is_told() -> None:
    """Only the next ones are news. What was lost leaves the window when the ACK of later ones shows it."""
    client, server = _fast_pair()
    client.send_datagram_frame(b"lost on the way")
    assert len(client.datagrams_to_send(1.0)) == 1
    at = client.get_timer()
    assert at is not None
    assert at > 2.0
    for n in range(4):
        client.send_datagram_frame(b"beat")
        _carry(client, server, 1.1 + n * 0.1)
    server.send_datagram_frame(b"beat")
    _carry(server, client, 1.5)
    client.handle_timer(1.6)
    assert client._loss.bytes_in_flight == 0
    assert _beats(server) == 4


@pytest.mark.parametrize(
    "plain",
    [b"\x31\x05beat", b"\x31", b"\x02\x01", b"\x01\x31\x04beat", b"\x02\x05\x00\x00\x06\x31\x04beat", b"\x00\x00"],
)
def test_what_is_no_whole_packet_of_datagrams_goes_the_long_way(plain: bytes) -> None:
    """Cut frames, other frames, an ACK below zero, padding alone: nothing has changed."""
    _, server = _fast_pair()
    assert server._take_datagrams(plain, 1.0) is None
    assert _beats(server) == 0


@pytest.mark.parametrize("beside", ["an acknowledgement", "a datagram", "both"])
def test_what_stands_in_the_way_of_a_batch_costs_one_packet_the_long_way(beside: str) -> None:
    """The ACK or the datagram goes with the first packet; the others are stream data alone, and all of it arrives."""
    client, server = _pair(fast=True)
    assert isinstance(client, FastQuic)
    client.send_stream_data(0, b"opened")
    _carry(client, server, 1.0)
    if beside != "a datagram":
        server.send_stream_data(0, b"to be acknowledged")
    _carry(server, client, 1.0 + ACK_DELAY_S)
    if beside != "an acknowledgement":
        client.send_datagram_frame(b"first")
    data = bytes(range(256)) * 40
    client.send_stream_data(0, data)
    now, before = 1.0 + 3 * ACK_DELAY_S, client.fast_sent
    client.pacer.open_batch()
    packets = client.datagrams_to_send(now)

    assert len(packets) >= 8
    assert client.fast_sent - before == len(packets) - 1
    assert client._spaces[Epoch.ONE_RTT].ack_at is None
    for packet, _ in packets:
        server.receive_datagram(packet, HERE, now)
    for step in range(1, 20):
        _carry(server, client, now + step * 0.025)
        _carry(client, server, now + step * 0.025)
    came = b"".join(server.brought.get(0, []))
    came += b"".join(event.data for event in iter(server.next_event, None) if isinstance(event, StreamDataReceived))
    assert came == b"opened" + data


def test_a_batch_is_no_longer_for_the_packet_that_goes_the_long_way() -> None:
    """The pacer's batch is of all packets together, and that it was full is told."""
    client, _ = _pair(fast=True)
    client._loss._cc.congestion_window = 1 << 20
    client.pacer.update_rate(1 << 20, 0.001)
    client.send_datagram_frame(b"first")
    client.send_stream_data(0, bytes(200_000))
    client.datagrams_to_send(1.0)
    client.pacer.open_batch()
    client.send_datagram_frame(b"second")

    assert len(client.datagrams_to_send(1.1)) == BATCH_PACKETS
    assert client.pacer.cut
