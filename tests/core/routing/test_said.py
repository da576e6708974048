"""What a member says of its links, packed: nothing that routes or screens need is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.core.routing.said import Said
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Adjacency, Links, peers_up
from tests.core.toy import node_of

ADJACENCIES = st.lists(
    st.builds(
        Adjacency,
        st.sampled_from([node_of(f"n{n}") for n in range(6)]),
        st.sampled_from(["up", "down"]),
        st.sampled_from(["quic", "wss", ""]),
        st.integers(0, 2**63 - 1),
        st.integers(0, 1_000_000),
    ),
    max_size=12,
)


@given(ADJACENCIES)
def test_a_packed_record_says_what_the_record_says(adjacencies: list[Adjacency]) -> None:
    """Of each peer the last word, in the order of the first; round trips beyond 71 minutes are all as long."""
    said, last = Said.of(Links(tuple(adjacencies))), {NodeId(link.peer): link for link in adjacencies}
    long = 0xFFFF_FFFF
    assert list(said.links()) == [
        (peer, link.state == "up", link.transport, min(link.rtt_us, long), link.loss_ppm) for peer, link in last.items()
    ]
    ups = {peer: min(link.rtt_us, long) for peer, link in last.items() if link.state == "up"}
    assert dict(said.ups()) == ups
    assert peers_up(Links(tuple(adjacencies))) == tuple(ups)
    for peer, link in last.items():
        assert said.claim(peer) == (link.state == "up", min(link.rtt_us, long))
    assert said.claim(node_of("nobody")) is None


@given(ADJACENCIES, ADJACENCIES)
def test_routes_depend_on_who_is_up_and_how_far_and_not_on_the_loss(a: list[Adjacency], b: list[Adjacency]) -> None:
    """Equal exactly when peers, states and round trips are."""
    one, other = Said.of(Links(tuple(a))), Said.of(Links(tuple(b)))
    same = [link[:2] + link[3:4] for link in one.links()] == [link[:2] + link[3:4] for link in other.links()]
    assert one.counts_as(other) is same


def test_records_that_list_the_same_peers_as_up_share_one_object() -> None:
    """Several parts of a node remember them."""
    links = Links((Adjacency(node_of("a"), "up", "quic", 5, 0),))
    assert Said.of(links).peers is peers_up(links)
