"""Typed identifiers. All are text: they print, sort, compare and travel as themselves.

| id         | form                                            | minted by                              |
|------------|-------------------------------------------------|----------------------------------------|
| NodeId     | 32 characters of RFC 4648 base32, lower case    | hash of the node's Ed25519 public key  |
| MeshId     | ULID, 26 characters of Crockford base32         | `arqon mesh seed`, once per mesh       |
| ClusterId  | a name, `[a-z0-9][a-z0-9._-]{0,62}`             | the operator                           |
| ClientId   | `arq_` + ULID                                   | the bus, at connect                    |
| TicketId   | ULID                                            | `arqon invite new`                     |
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NewType

from arqonmesh.errors import ConfigError, UsageError

NodeId = NewType("NodeId", str)
MeshId = NewType("MeshId", str)
ClusterId = NewType("ClusterId", str)
ClientId = NewType("ClientId", str)
TicketId = NewType("TicketId", str)

NODE_ID_LENGTH: Final = 32
ULID_LENGTH: Final = 26
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CLUSTER: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_NAME_NEEDS: Final = "it needs 1 to 63 characters of a-z, 0-9, '.', '_' or '-', beginning with a letter or digit"
_NODE: Final = re.compile(r"[a-z2-7]{32}")
_ULID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


@lru_cache(maxsize=8_192)
def node_id_of(public_key: bytes) -> NodeId:
    """The id of the node that holds this Ed25519 public key (32 bytes): the first 160 bits of its SHA-256."""
    digest = hashlib.sha256(b"arqonmesh/v1/node-id\x00" + public_key).digest()
    return NodeId(base64.b32encode(digest[:20]).decode().lower())


def short(node_id: str) -> str:
    """The first eight characters, for screens and logs."""
    return node_id[:8]


def is_node_id(text: str) -> bool:
    return _NODE.fullmatch(text) is not None


def is_ulid(text: str) -> bool:
    return _ULID.fullmatch(text) is not None


def encode_ulid(wall_ms: int, randomness: int) -> str:
    """A ULID of 48 bits of wall milliseconds and 80 bits of randomness (https://github.com/ulid/spec)."""
    value = ((wall_ms & 0xFFFF_FFFF_FFFF) << 80) | (randomness & ((1 << 80) - 1))
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


def parse_cluster(text: str) -> ClusterId:
    """Check a cluster name. Raises ConfigError `config.cluster-name` when it is not one."""
    if _CLUSTER.fullmatch(text) is None:
        raise ConfigError("config.cluster-name", f"cluster name {text!r} does not fit; {_NAME_NEEDS}")
    return ClusterId(text)


def parse_mesh_name(text: str) -> str:
    """Check a mesh's name, which has the form of a cluster's. Raises UsageError `mesh.name` when it is not one."""
    if _CLUSTER.fullmatch(text) is None:
        raise UsageError(
            "mesh.name", f"mesh name {text!r} does not fit; {_NAME_NEEDS}", hint="arqon mesh seed acme    # for one"
        )
    return text


def is_named(text: str, cluster: str, node: str) -> bool:
    """Whether `text` may mean this node: the beginning of its id, or CLUSTER/ID, as screens and logs show it. A screen
    that has little room shows the beginning of the cluster too, and marks the node that it asks with a star."""
    named, slash, prefix = text.lower().removesuffix("*").rpartition("/")
    return bool(prefix) and node.startswith(prefix) and (not slash or (bool(named) and cluster.startswith(named)))


def those_named(text: str, members: Iterable[tuple[str, str]]) -> list[int]:
    """The places among `members`, each (cluster, node), of those that `text` may mean; where it has the whole name of
    somebody's cluster, not those whose clusters only begin with it."""
    found = [(place, cluster) for place, (cluster, node) in enumerate(members) if is_named(text, cluster, node)]
    named = text.lower().rpartition("/")[0]
    whole = [place for place, cluster in found if cluster == named]
    return whole or [place for place, _ in found]
