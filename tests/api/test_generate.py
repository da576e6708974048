"""The generated messages are those of arqonmesh.proto."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2

from arqonmesh.api._generated import arqonmesh_pb2
from arqonmesh.api.control import NodeControl
from arqonmesh.api.generate import descriptor_of
from arqonmesh.api.methods import METHODS
from arqonmesh.api.server import MeshService


def test_the_generated_messages_are_current() -> None:
    """After a change of arqonmesh.proto: python -m arqonmesh.api.generate."""
    pytest.importorskip("grpc_tools")
    wanted = descriptor_pb2.FileDescriptorSet.FromString(descriptor_of()).file[0]
    wanted.ClearField("source_code_info")
    for message in [m for top in wanted.message_type for m in (top, *top.nested_type)]:
        for field in message.field:
            field.ClearField("json_name")
    assert wanted == descriptor_pb2.FileDescriptorProto.FromString(arqonmesh_pb2.DESCRIPTOR.serialized_pb)


def test_every_rpc_has_its_handler_and_no_handler_is_left_over() -> None:
    """The proto file is the list; the service answers all of it."""
    assert {name for name in vars(MeshService) if not name.startswith("_")} == set(METHODS)


def test_there_is_an_rpc_for_every_verb_of_the_control_protocol() -> None:
    """Joining by ticket and by address are one rpc; everything else is one to one."""
    verbs = {name for name, value in vars(NodeControl).items() if not name.startswith("_") and callable(value)}
    assert len(verbs) == len(METHODS) + 1
