"""The service as its descriptor tells it: one row per method, for server and client alike."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from google.protobuf import message_factory

from arqonmesh.api._generated import arqonmesh_pb2
from arqonmesh.errors import ConfigError

SERVICE: Final = "arqonmesh.v1.MeshService"
SOCKET_PATH_MAX_BYTES: Final = 107
"""`sun_path` of a Unix socket address holds 108 bytes with its terminator (unix(7))."""
MESSAGE_BYTES_MAX: Final = 16 << 20


class Method(NamedTuple):
    name: str
    path: str
    streams: bool
    encode: Callable[[Any], bytes]
    decode_request: Callable[[bytes], Any]
    decode_response: Callable[[bytes], Any]


def _methods() -> dict[str, Method]:
    table = {}
    for method in arqonmesh_pb2.DESCRIPTOR.services_by_name["MeshService"].methods:
        request = message_factory.GetMessageClass(method.input_type)
        response = message_factory.GetMessageClass(method.output_type)
        table[method.name] = Method(
            name=method.name,
            path=f"/{SERVICE}/{method.name}",
            streams=method.server_streaming,
            encode=lambda message: bytes(message.SerializeToString()),
            decode_request=request.FromString,
            decode_response=response.FromString,
        )
    return table


METHODS: Final = _methods()


def target_of(socket: str | os.PathLike[str]) -> str:
    """gRPC's name for a Unix socket path. Raises ConfigError when the kernel cannot hold the path."""
    path = os.path.abspath(socket)
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_MAX_BYTES:
        raise ConfigError(
            "api.socket-path",
            f"the control socket's path has {length} bytes ({path}); it needs to have at most {SOCKET_PATH_MAX_BYTES}",
            hint="arqon init --cluster NAME --data-dir /a/shorter/path",
        )
    return "unix:" + quote(path)
