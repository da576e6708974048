"""Reads the cores and the driver into the plain views of api/control.py. Only reads; only formats."""

from __future__ import annotations

from arqonmesh.api.control import (
    CauseView,
    InviteView,
    LinkView,
    MeshStatus,
    MeshView,
    MissingView,
    NodeView,
    OwnLinkView,
    PartitionView,
    PeerClusterView,
    PeerView,
    RegionSummaryView,
    RegionView,
    SelectionView,
)
from arqonmesh.core.admission.roster import Member
from arqonmesh.core.node import Node
from arqonmesh.core.peers.evidence import summary
from arqonmesh.core.plane import Plane
from arqonmesh.ids import NodeId
from arqonmesh.net.api import DialInfo, Endpoint
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


def mesh_status(node: Node, throughput: Throughput) -> MeshStatus:
    plane = node.plane
    if plane is None:
        return MeshStatus(mesh=None, self_=node.world.node_id, nodes=(_own_view(node),), links=(), partition=None)
    partition = plane.partition.view()
    return MeshStatus(
        mesh=mesh_view(plane),
        self_=node.world.node_id,
        nodes=tuple(_node_view(node, plane, member) for member in plane.admission.members()),
        links=_link_views(node, plane, throughput),
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


def _node_view(node: Node, plane: Plane, member: Member) -> NodeView:
    record = plane.gossip.get(member.node, Kind.NODE)
    described = record if isinstance(record, NodeRecord) else None
    return NodeView(
        id=member.node,
        cluster=member.cluster,
        role=member.role,
        region=described.region if described else "",
        state=plane.membership.state_of(member.node),
        incarnation=described.incarnation if described else 0,
        addresses=described.addresses if described else (),
        software=described.software if described else "",
        self_=member.node == node.world.node_id,
    )


def _link_views(node: Node, plane: Plane, throughput: Throughput) -> tuple[LinkView, ...]:
    """Every link of the mesh once: ours with live figures, the others as their owners tell. Who has left has none, and
    one between two who are dead is down: nobody is there to say so."""
    own = node.world.node_id
    views = {}
    for edge in plane.routing.edges():
        ends = plane.membership.state_of(edge.a), plane.membership.state_of(edge.b)
        if "left" in ends:
            continue  # what it last said of its links stands in its records for ever
        a, b = sorted((edge.a, edge.b))
        views[a, b] = LinkView(
            a=a,
            b=b,
            state="down" if ends == ("dead", "dead") else edge.state,
            transport=edge.transport,
            rtt_ms=edge.rtt_us / 1_000,
            loss=edge.loss_ppm / 1_000_000,
            backlog=plane.federation.backlog(b if a == own else a) if own in (a, b) else 0,
            mine=own in (a, b),
        )
    for report in plane.links.report():
        a, b = sorted((own, report.peer))
        views[a, b] = LinkView(
            a=a,
            b=b,
            state="up" if report.state in ("up", "probing") else "down",
            transport=report.transport,
            rtt_ms=report.rtt_us / 1_000,
            loss=report.loss_ppm / 1_000_000,
            bytes_per_s=throughput.bytes_per_s(report.peer),
            backlog=plane.federation.backlog(report.peer),
            mine=True,
        )
    return tuple(views[pair] for pair in sorted(views))


def own_links(node: Node, endpoint: Endpoint, operator: dict[str, str]) -> tuple[OwnLinkView, ...]:
    """One line per wish, connection, or absent peer for whom messages are held; `operator`: what was added by hand."""
    plane = node.plane
    reports = {} if plane is None else {report.peer: report for report in plane.links.report()}
    links, dials = endpoint.links(), endpoint.dials()

    def line(peer: NodeId | None, dial: DialInfo | None, why: str, asked_by: str) -> OwnLinkView:
        link = None if peer is None else links.get(peer)
        report = None if peer is None else reports.get(peer)
        up = report is not None and report.state in ("up", "probing")
        down = "down" if dial is None else dial.state
        return OwnLinkView(
            peer=peer or "",
            address=link.address if link else dial.address if dial else "",
            state="up" if up else "opening" if link else down,
            transport=link.transport if link else "",
            why="QUIC is the default and answered" if up and dial else why,
            rtt_ms=report.rtt_us / 1_000 if report and up else None,
            loss=report.loss_ppm / 1_000_000 if report and up else None,
            attempt=dial.attempt if dial else 0,
            last_error=dial.last_error if dial else "",
            next_try_in_s=None if link or dial is None else dial.next_try_in_s,
            backlog=plane.federation.backlog(peer) if plane is not None and peer is not None else 0,
            asked_by=asked_by,
        )

    lines = []
    for dial in dials:
        by_hand = any(address in operator for address in (dial.address, *dial.addresses))
        lines.append(line(dial.peer, dial, dial.last_error or "dialling", "operator" if by_hand else "mesh"))
    told = {dial.peer for dial in dials}
    lines += [line(peer, None, "dialled by the other side", "peer") for peer in links if peer not in told]
    if plane is not None:
        absent = (member.node for member in plane.admission.members() if member.node not in links)
        waited_for = (peer for peer in absent if peer not in told and plane.federation.backlog(peer))
        lines += [line(peer, None, "waiting for the other side to dial", "peer") for peer in waited_for]
    return tuple(lines)


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
