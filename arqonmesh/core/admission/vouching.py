"""Whose cluster is vouched for, and why another's is not.

A joiner names its cluster itself. Under the join policies `open` and `key` nothing else says so, and with a ticket any
member that may invite can name any cluster. So a member's cluster is *vouched for* when an admission into it rests on a
ticket made by the founder or by a member of that same cluster which is itself vouched for; the founder's own by the
genesis. That is the least set with this property: two members that invited each other vouch for nobody.

It is worked out from what is on record, whatever the order in which that came. It decides nothing about who belongs to
the mesh; whoever leaves something to the members of a cluster (federation.claim) asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from arqonmesh.ids import NodeId, short

if TYPE_CHECKING:
    from arqonmesh.core.admission.roster import Member

InvitersOf: TypeAlias = Callable[[NodeId], Iterable[NodeId]]
"""Whose tickets let this member into the cluster that it is in; members that may invite, all of them."""

OWN_WORD = "its cluster is its own word: no ticket let it in (join policy open or key)"


def vouched_for(
    founder: NodeId,
    members: Mapping[NodeId, Member],
    inviters_of: InvitersOf,
    invited_by: Callable[[NodeId], Iterable[NodeId]],
) -> dict[NodeId, None]:
    """All members whose cluster is vouched for. `invited_by`: who may have come in on an offer of this member."""
    if founder not in members:
        return {}
    vouched = {founder: None}
    asked: Iterable[NodeId] = members
    while asked:
        found = [
            node
            for node in asked
            if node in members and node not in vouched and vouches(node, founder, members, vouched, inviters_of)
        ]
        vouched.update(dict.fromkeys(found))
        asked = dict.fromkeys(node for inviter in found for node in invited_by(inviter))
    return vouched


def vouches(
    node: NodeId,
    founder: NodeId,
    members: Mapping[NodeId, Member],
    vouched: Mapping[NodeId, None],
    inviters_of: InvitersOf,
) -> bool:
    """Whether one of those that invited this member may say that it is of its cluster."""
    cluster = members[node].cluster
    return any(
        inviter == founder or (inviter in vouched and members[inviter].cluster == cluster)
        for inviter in inviters_of(node)
    )


def doubt(node: NodeId, members: Mapping[NodeId, Member], inviters_of: InvitersOf) -> str:
    """In words, why the cluster of a member that is not vouched for is not to be relied on."""
    if node not in members:
        return "it is not on the roster"
    inviter = min(inviters_of(node), default=None)
    if inviter is None:
        return OWN_WORD
    if members[inviter].cluster != members[node].cluster:
        return f"it was invited by {short(inviter)} of another cluster ({members[inviter].cluster})"
    return f"it was invited by {short(inviter)}, whose own cluster nobody vouches for"
