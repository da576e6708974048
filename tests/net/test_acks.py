"""When acknowledgements leave: with what leaves anyway, else soon."""

from __future__ import annotations

import pytest
from aioquic.quic.events import DatagramFrameReceived

from arqonmesh.net.quic_core import ACK_DELAY_S, MeshQuic
from arqonmesh.net.quic_fast import quic_class
from arqonmesh.net.tls import MESH_PROTOCOL, configuration
from tests.net.kit import key, leaf_of

HERE = ("192.0.2.7", 4_000)


def _pair(*, fast: bool) -> tuple[MeshQuic, MeshQuic]:
    """Client and server, connected in memory, with nothing left to say at time 1.0."""
    client = quic_class(fast=fast)(
        configuration=configuration(leaf_of(key(1)), is_client=True, protocols=[MESH_PROTOCOL], max_datagram_size=1_200)
    )
    client.connect(HERE, 0.0)
    server = quic_class(fast=fast)(
        configuration=configuration(
            leaf_of(key(2)), is_client=False, protocols=[MESH_PROTOCOL], max_datagram_size=1_200
        ),
        original_destination_connection_id=client.original_destination_connection_id,
    )
    for step in range(40):
        now = step * 0.025
        for ends in ((client, server), (server, client)):
            _carry(*ends, now)
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
    later = 1.0 + 2 * ACK_DELAY_S
    assert _carry(server, client, later) == 0
    assert _carry(client, server, later) == 1
    heard = [event.data for event in iter(client.next_event, None) if isinstance(event, DatagramFrameReceived)]
    assert heard == [b"yes"]


@pytest.mark.parametrize("fast", [False, True])
def test_without_an_answer_the_acknowledgement_leaves_by_itself(fast: bool) -> None:
    """After the delay, not at once."""
    client, server = _pair(fast=fast)
    client.send_datagram_frame(b"are you there?")
    _carry(client, server, 1.0)
    assert _carry(server, client, 1.0) == 0
    assert _carry(server, client, 1.0 + 2 * ACK_DELAY_S) == 1
