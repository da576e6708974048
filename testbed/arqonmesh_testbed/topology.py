"""Who is in a lab and who is linked to whom: the file, checked."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

import msgspec

from arqonmesh.errors import ConfigError
from arqonmesh.sim.link_model import LinkModel
from arqonmesh_testbed.fabric import set_model
from arqonmesh_testbed.files import load

NODES_MAX: Final = 64
NODE_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?")
QUIC_PORT: Final = 9130
LOCAL_BUS: Final = "127.0.0.1:9100"
LOCAL_HTTP: Final = "127.0.0.1:9180"
"""Each node has a loopback of its own, so all use the same ports."""


class NodeSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cluster: str
    role: Literal["hub", "spoke", "leader"] = "hub"
    region: str = ""
    export: tuple[str, ...] = ("telemetry:*",)
    """Channels that its cluster lets out."""


class LinkSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    between: tuple[str, str]
    model: dict[str, Any] = {}
    """Over the topology's own; both directions."""


class Topology(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of topologies/. The first node seeds the mesh; each other joins through a neighbour that is in it."""

    says: str
    nodes: Annotated[dict[str, NodeSpec], msgspec.Meta(min_length=1, max_length=NODES_MAX)]
    links: tuple[LinkSpec, ...]
    model: dict[str, Any] = {}
    dial: Literal["roles", "links"] = "roles"
    """roles: nodes dial as their roles say; links: each node is told its neighbours with `arqon link add`."""
    settings: dict[str, str | int | float | bool] = {}
    """Settings of every node, such as `links.heartbeat_ms: 50`."""
    outbound_only: tuple[str, ...] = ()

    def address(self, node: str) -> str:
        return f"10.89.0.{list(self.nodes).index(node) + 1}"

    def model_of(self, link: LinkSpec) -> dict[str, Any]:
        return {**self.model, **link.model}

    def neighbours(self, node: str) -> list[str]:
        return [other for link in self.links if node in link.between for other in link.between if other != node]

    def joining_order(self) -> list[tuple[str, str]]:
        """(node, the neighbour that invites it) for all but the first, nearest to it first."""
        first = next(iter(self.nodes))
        order: list[tuple[str, str]] = []
        inside = [first]
        for inviter in inside:
            for node in self.neighbours(inviter):
                if node not in inside:
                    inside.append(node)
                    order.append((node, inviter))
        return order


def read(name: str) -> tuple[str, Topology]:
    """A topology by name or path. Raises NotFound, ConfigError."""
    short, topology = load("topology", name, Topology)
    check(topology, name)
    return short, topology


def check(topology: Topology, name: str) -> None:
    """Raises ConfigError `lab.file` for what no lab can be built from."""
    for node in topology.nodes:
        if not NODE_NAME.fullmatch(node):
            raise _wrong(name, f"the node name {node!r} needs to be 1 to 16 of a-z, 0-9 and hyphen")
    for link in topology.links:
        a, b = link.between
        if a == b or a not in topology.nodes or b not in topology.nodes:
            raise _wrong(name, f"a link between {a} and {b} needs two nodes of {', '.join(topology.nodes)}")
        set_model(LinkModel(), topology.model_of(link))
    pairs = [tuple(sorted(link.between)) for link in topology.links]
    if len(set(pairs)) != len(pairs):
        raise _wrong(name, "two nodes are linked twice; one link each is enough")
    for node in topology.outbound_only:
        if node not in topology.nodes:
            raise _wrong(name, f"outbound_only names {node!r}; it needs to be one of {', '.join(topology.nodes)}")
    left_out = set(topology.nodes) - {node for node, _ in topology.joining_order()} - {next(iter(topology.nodes))}
    if left_out:
        raise _wrong(name, f"no links lead to {', '.join(sorted(left_out))}; every node needs a way to the first")


def _wrong(name: str, sentence: str) -> ConfigError:
    return ConfigError("lab.file", f"{name}: {sentence}")
