"""What `arqon policy` shows: the rules of a node's border, what they decided, and what they would say of a channel."""

from __future__ import annotations

from collections.abc import Iterator

from arqonmesh.api.node_views import PolicyRuleView, PolicyVerdictView, PolicyView
from arqonmesh.config.model import RoomNames
from arqonmesh.core.bus.names import resolve_target
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.bus.tenants import SEPARATOR, is_tenant
from arqonmesh.core.federation.policy import Policy
from arqonmesh.core.node import Node
from arqonmesh.core.plane import Plane
from arqonmesh.errors import NotFound, UsageError
from arqonmesh.ids import is_named


def policy_view(node: Node, channel: str = "", target: str = "") -> PolicyView:
    """With a channel, and of a node in a mesh, the verdicts for `target`, too; raises NotFound when that is nobody, and
    UsageError for a channel that no event could be on."""
    settings, plane = node.config.federation, node.plane
    channel = _full_name(channel, node.config.bus.names) if channel else ""
    rules = Policy(node.config.node.region, settings).rules()
    verdicts = tuple(_verdicts(node, plane, channel, target)) if channel and plane is not None else ()
    if target and channel and not verdicts:
        raise NotFound(
            "policy.target",
            f"{target!r} is nobody; it needs to be the beginning of a member's id, a cluster or a region",
            hint="arqon peer ls",
        )
    return PolicyView(
        export_allow=settings.export.allow,
        export_deny=settings.export.deny,
        import_allow=settings.import_.allow,
        import_deny=settings.import_.deny,
        decisions=() if plane is None else tuple(one._asdict() for one in plane.federation.decisions()),
        rules=tuple(PolicyRuleView(**rule._asdict()) for rule in rules),
        verdicts=verdicts,
        channel=channel,
    )


def _full_name(channel: str, names: RoomNames) -> str:
    """The channel that an event published to `channel` is on; a tenant's with the tenant in front."""
    tenant, bar, name = channel.rpartition(SEPARATOR)
    if not bar and channel.startswith("$"):
        return channel  # what only the node itself speaks on: it has a verdict, too
    try:
        full = resolve_target("", name, names)
    except Refusal as refusal:
        raise UsageError(refusal.code, refusal.sentence, hint="arqon policy explain telemetry:host") from refusal
    if bar and not is_tenant(tenant):
        raise UsageError(
            "bus.tenant",
            f"{tenant!r} is no tenant; a tenant's channel is TENANT|ROOM:CHANNEL",
            hint="arqon policy explain 'acme|plant:press'",
        )
    return f"{tenant}{bar}{full}"


def _verdicts(node: Node, plane: Plane, channel: str, target: str) -> Iterator[PolicyVerdictView]:
    federation, own = plane.federation, node.world.node_id
    linked = {report.peer: report.state == "up" for report in plane.links.report()}
    for member in plane.admission.members():
        region = federation.region_of(member.node)
        if member.node == own or (
            target and not is_named(target, member.cluster, member.node) and target not in (member.cluster, region)
        ):
            continue
        explained = federation.verdict(channel, member.node)
        yield PolicyVerdictView(
            node=member.node,
            cluster=member.cluster,
            region=region,
            linked=linked.get(member.node, False),
            allowed=explained.allowed,
            rule=explained.rule,
            reason=explained.reason,
        )
