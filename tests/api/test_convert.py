"""Views and messages carry the same fields, and nothing is lost between them."""

from __future__ import annotations

from typing import Any, get_args, get_origin

import msgspec
import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from arqonmesh.api import mesh_views, node_views
from arqonmesh.api._generated import arqonmesh_pb2 as pb
from arqonmesh.api.convert import to_message, to_view

PAIRS: list[tuple[type[msgspec.Struct], type[Message]]] = [
    (mesh_views.MeshStatus, pb.MeshStatus),
    (mesh_views.MeshView, pb.Mesh),
    (mesh_views.NodeView, pb.Node),
    (mesh_views.LinkView, pb.Link),
    (mesh_views.RegionView, pb.Region),
    (mesh_views.RegionSummaryView, pb.RegionSummary),
    (mesh_views.PartitionView, pb.Partition),
    (mesh_views.MeshEvent, pb.MeshEvent),
    (node_views.OwnLinkView, pb.OwnLink),
    (mesh_views.PeerView, pb.Peer),
    (mesh_views.CauseView, pb.Cause),
    (mesh_views.InviteView, pb.Invite),
    (node_views.CertificateView, pb.Certificate),
    (node_views.PolicyView, pb.Policy),
    (node_views.PolicyRuleView, pb.PolicyRule),
    (node_views.PolicyVerdictView, pb.PolicyVerdict),
    (node_views.NodeStatus, pb.NodeStatus),
]


@pytest.mark.parametrize(("view", "message"), PAIRS, ids=lambda side: side.__name__)
def test_every_field_of_a_view_has_its_field_in_the_message(view: type[msgspec.Struct], message: type[Message]) -> None:
    """A field added on one side only would be dropped on the way without anybody noticing."""
    assert set(view.__struct_encode_fields__) == set(message.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize(("view", "message"), PAIRS, ids=lambda side: side.__name__)
def test_a_field_that_may_be_none_has_presence_in_the_message(
    view: type[msgspec.Struct], message: type[Message]
) -> None:
    """None and 0 are different answers: an RTT nobody measured is not an RTT of 0 ms."""
    for field in msgspec.structs.fields(view):
        nullable = "None" in str(field.type)
        descriptor = message.DESCRIPTOR.fields_by_name[field.encode_name]
        assert descriptor.has_presence is nullable, field.name


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
INT = st.integers(-(2**63), 2**63 - 1)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
SCALARS: dict[Any, st.SearchStrategy[Any]] = {int: INT, float: NUMBER, str: TEXT, bool: st.booleans()}


def views(view: type[msgspec.Struct]) -> st.SearchStrategy[msgspec.Struct]:
    """Every field drawn, also those with a default: hypothesis does not know msgspec's default factories."""
    return st.builds(view, **{field.name: values(field.type) for field in msgspec.structs.fields(view)})


def values(kind: Any) -> st.SearchStrategy[Any]:
    if kind in SCALARS:
        return SCALARS[kind]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return views(kind)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is tuple:
        return st.lists(values(inner[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(values(inner[0]), values(inner[1]), max_size=3)
    return st.one_of(*(st.none() if part is type(None) else values(part) for part in inner))


@pytest.mark.parametrize(
    ("view", "message"),
    [pair for pair in PAIRS if pair[0] is not node_views.PolicyView],
    ids=lambda side: side.__name__,
)
def test_a_view_survives_the_way_there_and_back(view: type[msgspec.Struct], message: type[Message]) -> None:
    """What the runtime answers is what the command prints."""

    @settings(max_examples=30, deadline=None)
    @given(views(view))
    def there_and_back(value: msgspec.Struct) -> None:
        wire = to_message(value, message).SerializeToString()
        assert to_view(message.FromString(wire), view) == value

    there_and_back()


def test_policy_decisions_survive_the_way_there_and_back() -> None:
    """Decisions are plain dictionaries in the view and typed in the message."""
    policy = node_views.PolicyView(
        export_allow=("telemetry:*",),
        export_deny=(),
        import_allow=("*",),
        import_deny=("raw:*",),
        decisions=(
            {
                "direction": "export",
                "channel": "raw:proc",
                "cluster": "hq",
                "allowed": False,
                "rule": "export.default",
                "messages": 12,
            },
        ),
    )
    assert to_view(to_message(policy, pb.Policy), node_views.PolicyView) == policy
