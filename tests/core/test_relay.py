"""Control messages between members without a link travel a source route, and only there."""

from __future__ import annotations

import pytest

from arqonmesh.core.kernel import Lane, Send
from arqonmesh.core.relay import arrived, wrap
from arqonmesh.errors import DecodeError, PeerError
from arqonmesh.wire.codec import encode_message
from arqonmesh.wire.messages import GossipRoot, Ping, Relay
from tests.core.toy import node_of

A, B, C = node_of("a"), node_of("b"), node_of("c")
PING = Ping(seq=7, accused=-1)


@pytest.mark.requirement("R-TR-16")
def test_a_message_is_passed_on_along_its_route_and_unwrapped_at_its_end() -> None:
    """a -> b -> c: b passes it on, c gets the message with a as its author."""
    first = wrap((A, B, C), Lane.DATAGRAM, PING)
    assert first.to == B
    assert first.lane is Lane.DATAGRAM

    second = arrived(B, A, first.message)  # type: ignore[arg-type]
    assert isinstance(second, Send)
    assert second.to == C

    assert arrived(C, B, second.message) == (A, PING)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("route", "hop", "link_peer"),
    [
        ((A, B, C), 1, C),  # came from another than the node before us
        ((A, C, B), 1, A),  # we are not the node at this hop
        ((A, B, C), 0, A),  # the origin itself is no hop
        ((A, B, C), 5, A),  # beyond the end
        ((A, B, A), 1, A),  # visits a node twice
    ],
)
def test_a_route_that_does_not_fit_is_the_link_peers_fault(route: tuple[str, ...], hop: int, link_peer: str) -> None:
    """Every hop checks that it is where the path says, so a path cannot loop or be grafted."""
    relay = Relay(route=route, hop=hop, lane=0, inner=encode_message(PING))
    with pytest.raises(PeerError, match="relayed message"):
        arrived(B, link_peer, relay)  # type: ignore[arg-type]


def test_only_the_failure_detectors_messages_travel_by_relay() -> None:
    """What a relay could forge must be signed; gossip goes link by link."""
    relay = Relay(route=(A, B), hop=1, lane=1, inner=encode_message(GossipRoot(root=bytes(32))))
    with pytest.raises(PeerError, match="does not travel by relay"):
        arrived(B, A, relay)


@pytest.mark.parametrize("route", [(A, B), (A, B, C)], ids=["for-us", "for-another"])
def test_rubbish_inside_a_relay_is_a_decode_error(route: tuple[str, ...]) -> None:
    """Also on the way: passed on, it would be blamed on us at its end."""
    with pytest.raises(DecodeError):
        arrived(B, A, Relay(route=route, hop=1, lane=1, inner=b"\xff"))
    with pytest.raises(PeerError, match="does not travel by relay"):
        arrived(B, A, Relay(route=route, hop=1, lane=1, inner=encode_message(GossipRoot(root=bytes(32)))))
