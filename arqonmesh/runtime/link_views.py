"""The links of the mesh, and this node's own, as the screens show them: one line for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from arqonmesh.api.mesh_views import LinkView
from arqonmesh.api.node_views import OwnLinkView
from arqonmesh.core.node import Node
from arqonmesh.core.plane import Plane
from arqonmesh.core.topology import NOT_WANTED
from arqonmesh.ids import NodeId
from arqonmesh.net.api import DialInfo, Endpoint, LinkInfo
from arqonmesh.runtime.throughput import Throughput

REMOVED: Final = "link.removed"
"""The code with which a link ends that an operator took back."""
ENDED: Final = (NOT_WANTED, REMOVED)
"""Why links were closed that somebody did not want any more: such a one is not lost."""
_BEST: Final = ("up", "dialling", "waiting", "given-up")
"""Of several wishes for one link the one is told that has come furthest."""


def mesh_links(node: Node, plane: Plane, throughput: Throughput) -> tuple[LinkView, ...]:
    """Every link of the mesh once: ours with live figures, the others as their owners tell. Who has left has none, and
    one between two who are dead is down: nobody is there to say so. What is down has no figures, nor has what a dead
    member last said of a link: they would pass for what is so now."""
    own = node.world.node_id
    views = {}
    for edge in plane.routing.edges():
        ends = plane.membership.state_of(edge.a), plane.membership.state_of(edge.b)
        if "left" in ends:
            continue  # what it last said of its links stands in its records for ever
        a, b = sorted((edge.a, edge.b))
        state = "down" if ends == ("dead", "dead") else edge.state
        measured = state != "down" and "dead" not in ends
        views[a, b] = LinkView(
            a=a,
            b=b,
            state=state,
            transport=edge.transport,
            rtt_ms=edge.rtt_us / 1_000 if measured else None,
            loss=edge.loss_ppm / 1_000_000 if measured else None,
            backlog=plane.federation.backlog(b if a == own else a) if own in (a, b) else 0,
            mine=own in (a, b),
        )
    for report in plane.links.report():
        a, b = sorted((own, report.peer))
        views[a, b] = LinkView(
            a=a,
            b=b,
            state="up" if report.up else "down",
            transport=report.transport,
            rtt_ms=report.rtt_us / 1_000 if report.up else None,
            loss=report.loss_ppm / 1_000_000 if report.up else None,
            bytes_per_s=throughput.bytes_per_s(report.peer) if report.up else None,
            backlog=plane.federation.backlog(report.peer),
            mine=True,
        )
    return tuple(views[pair] for pair in sorted(views))


def round_trips_us(plane: Plane, own: NodeId) -> dict[tuple[NodeId, NodeId], int]:
    """The round trip of every link that is up as all screens show it, by its ends (a < b): ours as measured now,
    another's the larger one of what its ends tell."""
    found = {(edge.a, edge.b): edge.rtt_us for edge in plane.routing.edges() if edge.state == "up"}
    for report in plane.links.report():
        if report.up and report.rtt_us:
            found[min(own, report.peer), max(own, report.peer)] = report.rtt_us
    return found


def own_links(
    node: Node, endpoint: Endpoint, operator: Mapping[str, str], fallen: Mapping[NodeId, str]
) -> tuple[OwnLinkView, ...]:
    """One line per link that is wished, stands or is lost, or absent peer for whom messages are held; `operator`: what
    was added by hand; `fallen`: why the last link with a peer ended. A link that both the operator and the mesh wish
    for is one link, also before it is known who is there."""
    plane = node.plane
    reports = {} if plane is None else {report.peer: report for report in plane.links.report()}
    links, dials = endpoint.links(), endpoint.dials()

    def line(peer: NodeId | None, dial: DialInfo | None, why: str, asked_by: str) -> OwnLinkView:
        link = None if peer is None else links.get(peer)
        report = None if peer is None else reports.get(peer)
        up = report is not None and report.up
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
            last_error=dial.last_error if dial else "" if link or peer is None else fallen.get(peer, ""),
            next_try_in_s=None if link or dial is None else dial.next_try_in_s,
            backlog=plane.federation.backlog(peer) if plane is not None and peer is not None else 0,
            asked_by=asked_by,
        )

    lines = []
    wishes = _by_link(dials, links)
    for wished in wishes.values():
        peer = next((dial.peer for dial in wished if dial.peer is not None), None)
        dial = min(wished, key=lambda dial: _BEST.index(dial.state))
        by_hand = any(address in operator for dial in wished for address in (dial.address, *dial.addresses))
        peer = peer or _who_is_at(dial.address, links)
        lines.append(line(peer, dial, dial.last_error or "dialling", "operator" if by_hand else "mesh"))
    told = {view.peer for view in lines}
    lines += [line(peer, None, "dialled by the other side", "peer") for peer in links if peer not in told]
    if plane is not None:
        lost = _lost(plane, node.world.node_id, fallen)
        absent = (member.node for member in plane.admission.members() if member.node not in links)
        for peer in absent:
            if peer not in told and (peer in lost or plane.federation.backlog(peer)):
                why = "waiting for the other side to dial"
                lines.append(line(peer, None, f"{fallen[peer]}; {why}" if peer in fallen else why, "peer"))
    return tuple(lines)


def _lost(plane: Plane, own: NodeId, fallen: Mapping[NodeId, str]) -> set[NodeId]:
    """With whom this node is to have a link and has none: the other end's record still names it, as all screens show,
    or it fell and that member is not there to say so. Not one that an end closed because nobody wishes it any more."""
    edges = [edge for edge in plane.routing.edges() if own in (edge.a, edge.b) and edge.state != "up"]
    named = {edge.b if edge.a == own else edge.a for edge in edges}
    found = {peer for peer in named if plane.membership.state_of(peer) != "left"}
    found |= {peer for peer in fallen if plane.membership.state_of(peer) not in ("alive", "left")}
    return {peer for peer in found if not any(why in fallen.get(peer, "") for why in ENDED)}


def _by_link(dials: Sequence[DialInfo], links: Mapping[NodeId, LinkInfo]) -> dict[str, list[DialInfo]]:
    """Wishes for one link together: by who answered or is meant, or, where that is not known, by the address."""
    at = {address: dial.peer for dial in dials if dial.peer is not None for address in (dial.address, *dial.addresses)}
    found: dict[str, list[DialInfo]] = {}
    for dial in dials:
        peer = dial.peer or at.get(dial.address) or _who_is_at(dial.address, links)
        found.setdefault(peer or dial.address, []).append(dial)
    return found


def _who_is_at(address: str, links: Mapping[NodeId, LinkInfo]) -> NodeId | None:
    return next((peer for peer, link in links.items() if link.address == address), None)
