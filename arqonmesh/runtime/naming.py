"""Which member is meant by what an operator typed: the beginning of an id, CLUSTER/ID, or the name of a cluster."""

from __future__ import annotations

from arqonmesh.core.plane import Plane
from arqonmesh.errors import NotFound, UsageError
from arqonmesh.ids import NodeId, is_named, short, those_named


def named(plane: Plane, own: NodeId, text: str, command: str) -> NodeId:
    """The one other member that `text` names by its id; `command`: what it is needed for, such as `arqon peer ban`.

    Raises NotFound `peer.unknown`; UsageError `peer.is-self`, `peer.is-cluster` or `peer.ambiguous`.
    """
    members = plane.admission.members()
    places = those_named(text, ((member.cluster, member.node) for member in members))
    found = [members[place].node for place in places]
    others = [node for node in found if node != own]
    if not others:
        raise _nobody(plane, own, text, command, is_self=bool(found))
    if len(others) > 1:
        several = ", ".join(short(member) for member in others[:5])
        raise UsageError(
            "peer.ambiguous", f"{len(others)} members begin with {text!r}: {several}", hint="arqon peer ls"
        )
    return others[0]


def named_or_only(plane: Plane, own: NodeId, text: str, command: str) -> NodeId:
    """As `named`, or the only other member of the cluster of this name; ids go before names."""
    if not any(is_named(text, member.cluster, member.node) for member in plane.admission.members()):
        nodes = _others_of(plane, own, text)
        if len(nodes) == 1:
            return nodes[0]
    return named(plane, own, text, command)


def _nobody(plane: Plane, own: NodeId, text: str, command: str, *, is_self: bool) -> NotFound | UsageError:
    if not is_self and (cluster := _others_of(plane, own, text)):
        return UsageError(
            "peer.is-cluster",
            f"{text!r} is a cluster, of which this node knows {_listed(cluster)}; it needs to be one of them",
            hint=f"{command} {short(cluster[0])}" if len(cluster) == 1 else "arqon peer ls --sort cluster",
        )
    if is_self or any(member.node == own and member.cluster == text for member in plane.admission.members()):
        return UsageError(
            "peer.is-self",
            f"{text!r} is this node itself ({short(own)}); it needs to be another member",
            hint="arqon peer ls",
        )
    return NotFound(
        "peer.unknown",
        f"no member's id begins with {text!r}; it needs to be the beginning of an id, or CLUSTER/ID",
        hint="arqon peer ls",
    )


def _others_of(plane: Plane, own: NodeId, cluster: str) -> list[NodeId]:
    """The other members of a cluster."""
    return [member.node for member in plane.admission.members() if member.cluster == cluster and member.node != own]


def _listed(nodes: list[NodeId]) -> str:
    shown = ", ".join(short(node) for node in nodes[:5])
    return f"{shown} and {len(nodes) - 5} more" if len(nodes) > 5 else shown
