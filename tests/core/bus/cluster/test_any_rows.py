"""Whatever a node of the cluster says of its clients, nothing breaks, and what is held is bounded by what it says."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from arqonmesh.ids import NodeId
from arqonmesh.wire.codec import decode_message, encode_message
from arqonmesh.wire.messages import PresenceDigest, PresenceRows, WireMessage
from tests.core.bus.cluster.town import Town

small = st.integers(0, 6)
clients = st.sampled_from(["", "arq_1", "arq_2", "arq_3"])
channels = st.sampled_from(
    ["", "lab:one", "lab:two", "acme|lab:one", "lab:*", "$links", "$mesh:state", "no colon", ":"]
)
facts = st.lists(st.sampled_from(["", "human", "x" * 32, "\x00"]), max_size=8).map(tuple)
rows = st.tuples(small, clients, channels, small, st.booleans(), facts)
nodes = st.sampled_from([letter * 32 for letter in "abcx"])
messages: st.SearchStrategy[WireMessage] = st.one_of(
    st.builds(PresenceRows, nodes, small, small, small, st.booleans(), st.lists(rows, max_size=5).map(tuple)),
    st.builds(PresenceDigest, st.booleans(), st.lists(st.tuples(nodes, small, small), max_size=4).map(tuple)),
)


@given(st.lists(messages, max_size=12))
@settings(max_examples=150)
def test_any_rows_are_taken_or_refused(said: list[WireMessage]) -> None:
    """From a mate, about itself, about others, about us: the commands still answer, and forgetting forgets all."""
    town = Town("a", "b", "c")
    town.mesh()
    town.settle()
    a = town["a"]
    here = a.guest("lab:one")
    for message in said:
        a.perform(a.bus.on_message(a.now, NodeId("b" * 32), decode_message(encode_message(message))))
    for frame in (
        {"type": "list_channels"},
        {"type": "channel_info", "channel": "lab:one"},
        {"type": "channel_info", "channel": "lab:*"},
        {"type": "status"},
    ):
        assert a.ask(here, frame)["type"] == "response"
    view = a.bus.exchange.view
    assert all(remote.node in (NodeId("b" * 32), NodeId("c" * 32)) for remote in view.clients.values())
    a.perform(a.bus.left_mesh())
    assert len(view) == 0
    for name in ("lab:one", "lab:two", "acme|lab:one", "lab:*", "no colon", ":"):
        assert not view.has(name)
    assert list(view.names("", "")) == list(view.names("acme", "")) == []
