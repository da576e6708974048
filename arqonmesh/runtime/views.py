"""Reads the cores and the driver into the plain views of api/mesh_views.py. Only reads; only formats."""

from __future__ import annotations

from collections.abc import Container
from itertools import takewhile

from arqonmesh.api.mesh_views import (
    CauseView,
    IgnoredView,
    InviteView,
    MeshStatus,
    MeshView,
    MissingView,
    NodeView,
    PartitionView,
    PeerClusterView,
    PeerView,
    RegionSummaryView,
    RegionView,
    SelectionView,
)
from arqonmesh.core.admission.roster import Member
from arqonmesh.core.node import Node
from arqonmesh.core.peers.causes import PARDONED, cause_of
from arqonmesh.core.peers.evidence import summary
from arqonmesh.core.plane import Plane
from arqonmesh.ids import NodeId
from arqonmesh.runtime.link_views import mesh_links
from arqonmesh.runtime.throughput import Throughput
from arqonmesh.wire.statement import Kind, NodeRecord


def mesh_name(plane: Plane) -> str:
    """The mesh's name from its genesis; its id until gossip has brought that."""
    return plane.admission.mesh_name or plane.mesh.mesh_id


def mesh_view(plane: Plane) -> MeshView:
    return MeshView(
        name=mesh_name(plane),
        id=plane.mesh.mesh_id,
        health=plane.partition.view().state,
        root=plane.gossip.root().hex(),
    )


def mesh_status(node: Node, throughput: Throughput, other_version: Container[NodeId] = ()) -> MeshStatus:
    """`other_version`: members with whom there is no link because they speak another version of the protocol."""
    plane = node.plane
    if plane is None:
        return MeshStatus(mesh=None, self_=node.world.node_id, nodes=(_own_view(node),), links=(), partition=None)
    partition = plane.partition.view()
    return MeshStatus(
        mesh=mesh_view(plane),
        self_=node.world.node_id,
        nodes=tuple(_node_view(node, plane, member, other_version) for member in plane.admission.members()),
        links=mesh_links(node, plane, throughput),
        selection=selection_view(node, plane),
        regions=region_views(node, plane),
        partition=PartitionView(
            state=partition.state,
            writable=partition.writable,
            reachable=partition.reachable,
            required=partition.required,
            members=partition.members,
            preset=partition.preset,
            phase=partition.phase,
            votes=partition.votes,
            voters=partition.voters,
            missing=tuple(MissingView(node=node, since_ms=since) for node, since in partition.missing),
            missing_more=partition.missing_more,
            votes_ignored=partition.votes_ignored,
        ),
    )


def region_views(node: Node, plane: Plane) -> tuple[RegionView, ...]:
    """Every region that members tell, with the summary of its best leader."""
    views = []
    for report in plane.regions.report():
        counted, summary = report.counted, report.summary
        told = None
        if summary is not None:
            told = RegionSummaryView(
                by=report.summary_by or "",
                term=summary.term,
                leaders=summary.leaders,
                alive=summary.alive,
                suspect=summary.suspect,
                dead=summary.dead,
                clusters=summary.clusters,
                software=dict(summary.software),
                root=summary.root.hex(),
            )
        views.append(
            RegionView(
                name=report.region,
                leaders=report.leaders,
                alive=counted.alive,
                suspect=counted.suspect,
                dead=counted.dead,
                clusters=counted.clusters,
                software=dict(counted.software),
                self_=report.region == node.config.node.region,
                summary=told,
            )
        )
    return tuple(views)


def _own_view(node: Node) -> NodeView:
    settings = node.config.node
    return NodeView(
        id=node.world.node_id,
        cluster=settings.cluster,
        role=settings.role,
        region=settings.region,
        state="alive",
        self_=True,
    )


def _node_view(node: Node, plane: Plane, member: Member, other_version: Container[NodeId]) -> NodeView:
    record = plane.gossip.get(member.node, Kind.NODE)
    described = record if isinstance(record, NodeRecord) else None
    state = plane.membership.state_of(member.node)
    return NodeView(
        id=member.node,
        cluster=member.cluster,
        role=member.role,
        region=described.region if described else "",
        state=state,
        incarnation=described.incarnation if described else 0,
        addresses=described.addresses if described else (),
        software=described.software if described else "",
        self_=member.node == node.world.node_id,
        ignored=_ignored_view(plane, member.node) if plane.peers.ignored(member.node) else None,
        refused="link.version" if member.node in other_version and state != "alive" else "",
    )


def _ignored_view(plane: Plane, node: NodeId) -> IgnoredView:
    """What turned the scales: the newest proof or ban of one that is convicted, or else the newest thing that this node
    has seen. What lies before a pardon does not count any more."""
    causes, convicted = plane.peers.causes(node), plane.peers.convicted(node)
    since = takewhile(lambda cause: cause.cause != PARDONED, reversed(causes))
    told = next((one for one in since if (cause_of(one.cause).convicts if convicted else one.delta_ppm < 0)), None)
    if told is None:
        return IgnoredView(cause="forgotten", at_ms=0)
    return IgnoredView(cause=told.cause, at_ms=told.at_ms, reason=summary(told.evidence))


def peer_view(node: Node, plane: Plane, peer: NodeId, now: int) -> PeerView:
    """A peer as the peer store has it; raises KeyError for one that is not there."""
    seen = plane.peers.view(now, peer)
    return PeerView(
        id=peer,
        cluster=seen.cluster,
        role=seen.role,
        region=seen.region,
        state=plane.membership.state_of(peer),
        score=seen.score_ppm / 1_000_000,
        ignored=seen.ignored,
        standing=seen.standing,
        latency_ms=None if seen.latency_us is None else seen.latency_us / 1_000,
        first_seen_ms=seen.first_seen_ms,
        last_seen_ms=seen.last_seen_ms,
        addresses=seen.addresses,
        deliveries=seen.deliveries,
        causes=tuple(
            CauseView(
                at_ms=cause.at_ms,
                delta=cause.delta_ppm / 1_000_000,
                cause=cause.cause,
                evidence=cause.evidence.hex(),
                score=cause.score_ppm / 1_000_000,
                summary=summary(cause.evidence),
            )
            for cause in seen.causes
        ),
        inviter=seen.inviter or "",
        probation=seen.probation,
        preferred=seen.preferred,
        guess_ms=_ms(seen.guess_us),
        rtt_min_ms=_ms(seen.rtt_min_us),
        rtt_deviation_ms=_ms(seen.rtt_variance_us),
        loss=None if seen.loss_ppm is None else seen.loss_ppm / 1_000_000,
    )


def selection_view(node: Node, plane: Plane) -> SelectionView:
    """The newest choice of preferred peers; empty before the first."""
    preference = plane.peers.preference
    return SelectionView(
        strategy=node.config.peers.strategy,
        chosen=preference.chosen,
        clusters=tuple(
            PeerClusterView(name=name, peers=count, rtt_ms=rtt_us / 1_000)
            for name, count, rtt_us in preference.clusters
        ),
        gain=preference.gain_ppm / 1_000_000,
        rebalances=preference.times,
    )


def _ms(value_us: int | None) -> float | None:
    return None if value_us is None else value_us / 1_000


def invite_views(plane: Plane) -> tuple[InviteView, ...]:
    return tuple(
        InviteView(
            ticket_id=ticket.ticket_id,
            cluster=ticket.invite.cluster,
            role=ticket.invite.role,
            expires_ms=ticket.invite.expires_ms,
            uses=ticket.invite.uses,
            used=ticket.used,
            revoked=ticket.revoked,
            inviter=ticket.inviter,
        )
        for ticket in plane.admission.invites()
    )
