"""Strangers at the door of a real node: each is refused with a counted reason, and none of them reaches a lane."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from arqonmesh.ids import MeshId, parse_cluster
from arqonmesh.net.tls import PROTOCOLS
from arqonmesh.trust.certificates import NO_MESH, Leaf, mint_leaf
from arqonmesh.trust.keys import NodeKey
from arqonmesh.trust.tickets import Ticket, parse, redemption_bytes, sign_redemption
from arqonmesh.wire.codec import decode_message, encode_message
from arqonmesh.wire.frames import frame
from arqonmesh.wire.messages import JoinAccept, JoinOffer, JoinReject, JoinRequest
from arqonmesh_testbed.loopback import LoopbackMesh, LoopbackNode, until
from tests.e2e.hostile import JOIN_STREAM, Hostile, hostile
from tests.e2e.kit import counters, events, healthy, mesh_status

pytestmark = [pytest.mark.requirement("R-ID-3"), pytest.mark.requirement("R-ID-12")]

MESH_ALPN, JOIN_ALPN = PROTOCOLS.mesh, PROTOCOLS.join
HOUR_MS = 3_600_000
OTHER_MESH = MeshId("01BX5ZZKBKACTAV9WEVGEMMVRZ")
CLUSTER = parse_cluster("factory")


@dataclass(frozen=True)
class Door:
    """A hub with one spoke, so that there is a link and traffic to be disturbed."""

    hq: LoopbackNode
    spoke: LoopbackNode

    @property
    def mesh_id(self) -> MeshId:
        return MeshId(mesh_status(self.hq)["mesh"]["id"])

    def ticket(self, uses: int = 1) -> Ticket:
        return parse(self.hq("invite", "new", "--cluster", "factory", "--uses", str(uses))["ticket"])

    @contextmanager
    def counts(self, reason: str) -> Iterator[None]:
        """In the block one connection is refused for this reason, and nothing else happens to the node."""
        before = counters(self.hq)
        yield
        name = f"refused_{reason}"
        until(name, lambda: counters(self.hq).get(name, 0) == before.get(name, 0) + 1)
        after = counters(self.hq)
        for counter in ("dropped_node_malformed", "dropped_node_not-linked", "dropped_node_bad-route"):
            assert after.get(counter, 0) == before.get(counter, 0)
        metrics = _get(f"http://127.0.0.1:{self.hq.http}/metrics")
        assert f'arqon_link_refusals_total{{reason="{reason}"}} {after[name]}' in metrics.replace(".0\n", "\n")


@pytest.fixture(scope="module")
def door(mesh: LoopbackMesh) -> Iterator[Door]:
    hq = mesh.seed("hq")
    made = Door(hq, mesh.join("spoke", hq))
    until("a healthy mesh", lambda: healthy(hq, made.spoke))
    up = events(hq, "link")
    yield made
    # Whatever was tried at the door, those inside noticed nothing.
    assert hq.links_up() == 1
    assert events(hq, "link") == up
    assert all(peer["score"] == 1.0 for peer in hq("peer", "ls")["peers"])


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def _leaf(key: NodeKey, mesh_id: MeshId, *, age_ms: int = 0, life_ms: int = HOUR_MS) -> Leaf:
    start_ms = time.time_ns() // 1_000_000 - age_ms
    return mint_leaf(key, mesh_id=mesh_id, cluster=CLUSTER, not_before_ms=start_ms, not_after_ms=start_ms + life_ms)


def _no_leaf(door: Door) -> None:
    return None


def _unknown_key(door: Door) -> Leaf:
    return _leaf(NodeKey.generate(), door.mesh_id)


def _expired(door: Door) -> Leaf:
    return _leaf(NodeKey.generate(), door.mesh_id, age_ms=3 * HOUR_MS)


def _wrong_mesh(door: Door) -> Leaf:
    return _leaf(NodeKey.generate(), OTHER_MESH)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_no_leaf, "trust.no-certificate"),
        (_unknown_key, "trust.unknown-key"),
        (_expired, "trust.expired-leaf"),
        (_wrong_mesh, "trust.wrong-mesh"),
    ],
)
def test_who_is_no_member_gets_no_link(door: Door, make: Callable[[Door], Leaf | None], reason: str) -> None:
    """Refused after TLS and before any stream is read: bytes on every lane are for nothing."""
    with door.counts(reason), hostile(door.hq.quic, leaf=make(door), alpn=MESH_ALPN) as client:
        for stream_id in (0, 4, 8):
            client.write(stream_id, frame(b"\x81\x0a") * 50)
        client.datagram(b"\x83\x14\x01\x02")
        assert client.refused() == reason
        assert client.streams == {}


def test_an_expired_leaf_of_a_real_member_is_refused(door: Door) -> None:
    """Being on the roster does not help: the node key is right, the leaf's time is over."""
    key = NodeKey.generate()
    ticket = door.ticket()
    with hostile(door.hq.quic, leaf=_leaf(key, NO_MESH), alpn=JOIN_ALPN) as client:
        assert isinstance(_ask(client, _request(client, key, ticket)), JoinAccept)
    with (
        door.counts("trust.expired-leaf"),
        hostile(door.hq.quic, leaf=_leaf(key, door.mesh_id, age_ms=3 * HOUR_MS), alpn=MESH_ALPN) as client,
    ):
        assert client.refused() == "trust.expired-leaf"
        assert client.streams == {}


def test_a_wrong_protocol_fails_in_the_handshake(door: Door) -> None:
    """ALPN is exact."""
    with door.counts("link.alpn"), hostile(door.hq.quic, leaf=_unknown_key(door), alpn="h3") as client:
        client.until("a refusal", lambda: client.ended is not None)
        assert not client.shaken
        assert client.streams == {}


@pytest.mark.requirement("R-JN-2")
def test_a_ticket_transcript_is_worth_nothing_on_another_connection(door: Door) -> None:
    """The very bytes of a JoinRequest, sent by the same node on a second connection: signed for the first one."""
    key, ticket = NodeKey.generate(), door.ticket()
    leaf = _leaf(key, NO_MESH)
    with hostile(door.hq.quic, leaf=leaf, alpn=JOIN_ALPN) as first:
        overheard = _request(first, key, ticket)
    with (
        door.counts("admission.ticket-signature"),
        hostile(door.hq.quic, leaf=leaf, alpn=JOIN_ALPN) as second,
    ):
        _offer(second)
        answer = _ask(second, overheard)
        assert isinstance(answer, JoinReject)
        assert answer.code == "admission.ticket-signature"
    with hostile(door.hq.quic, leaf=leaf, alpn=JOIN_ALPN) as third:
        assert isinstance(_ask(third, _request(third, key, ticket)), JoinAccept), "the ticket itself is still good"


def test_a_ticket_transcript_is_worth_nothing_to_another_node(door: Door) -> None:
    """Who overhears a successful join has no node key to go with it."""
    key, ticket = NodeKey.generate(), door.ticket(uses=2)
    with hostile(door.hq.quic, leaf=_leaf(key, NO_MESH), alpn=JOIN_ALPN) as client:
        overheard = _request(client, key, ticket)
        assert isinstance(_ask(client, overheard), JoinAccept)
    with (
        door.counts("join.node-key"),
        hostile(door.hq.quic, leaf=_leaf(NodeKey.generate(), NO_MESH), alpn=JOIN_ALPN) as thief,
    ):
        _offer(thief)
        thief.write(JOIN_STREAM, frame(overheard))
        assert thief.refused() == "join.node-key"


def test_a_used_up_ticket_lets_nobody_else_in(door: Door) -> None:
    """One use is one node."""
    ticket = door.ticket()
    first, second = NodeKey.generate(), NodeKey.generate()
    with hostile(door.hq.quic, leaf=_leaf(first, NO_MESH), alpn=JOIN_ALPN) as client:
        assert isinstance(_ask(client, _request(client, first, ticket)), JoinAccept)
    with (
        door.counts("admission.ticket-used-up"),
        hostile(door.hq.quic, leaf=_leaf(second, NO_MESH), alpn=JOIN_ALPN) as client,
    ):
        answer = _ask(client, _request(client, second, ticket))
        assert isinstance(answer, JoinReject)
        assert answer.code == "admission.ticket-used-up"


@pytest.mark.parametrize("stream_id", [0, 4, 8])
def test_a_join_connection_reaches_no_lane(door: Door, stream_id: int) -> None:
    """Anyone may open one; it carries the join exchange and nothing else."""
    with (
        door.counts("link.stream"),
        hostile(door.hq.quic, leaf=_leaf(NodeKey.generate(), NO_MESH), alpn=JOIN_ALPN) as client,
    ):
        _offer(client)
        client.write(stream_id, frame(b"\x81\x0a"))
        assert client.refused() == "link.stream"


def test_rubbish_in_place_of_a_join_request_is_refused(door: Door) -> None:
    """Bytes that are no message at all."""
    with (
        door.counts("wire.malformed"),
        hostile(door.hq.quic, leaf=_leaf(NodeKey.generate(), NO_MESH), alpn=JOIN_ALPN) as client,
    ):
        _offer(client)
        client.write(JOIN_STREAM, frame(b"\xff\xff\xff"))
        assert client.refused() == "wire.malformed"


def _offer(client: Hostile) -> JoinOffer:
    client.until("an offer", lambda: _message(client) is not None)
    offer = _message(client)
    assert isinstance(offer, JoinOffer)
    return offer


def _request(client: Hostile, key: NodeKey, ticket: Ticket) -> bytes:
    """A proper request for this connection."""
    offer = _offer(client)
    signed = redemption_bytes(
        MeshId(offer.mesh_id), key.public, CLUSTER, ticket.role, ticket.ticket_id, client.quic.exported
    )
    return encode_message(
        JoinRequest(
            mesh_id=offer.mesh_id,
            node_key=key.public,
            cluster=CLUSTER,
            role=ticket.role,
            region="",
            ticket_id=ticket.ticket_id,
            signature=sign_redemption(ticket.seed, signed),
        )
    )


def _ask(client: Hostile, request: bytes) -> object:
    """The node's answer to these bytes."""
    client.write(JOIN_STREAM, frame(request))
    client.until("an answer", lambda: _message(client, 1) is not None)
    assert set(client.streams) == {JOIN_STREAM}
    return _message(client, 1)


def _message(client: Hostile, index: int = 0) -> object:
    """The message at this place of the join exchange, once it is whole."""
    data = client.streams.get(JOIN_STREAM, b"")
    for _ in range(index):
        data = data[4 + int.from_bytes(data[:4], "big") :] if len(data) >= 4 else b""
    if len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
        return None
    return decode_message(data[4 : 4 + int.from_bytes(data[:4], "big")])
