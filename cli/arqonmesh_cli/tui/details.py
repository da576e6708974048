"""What the detail page says about one node or link, asked when the page opens and with every look."""

from __future__ import annotations

from arqonmesh.api.client import NodeClient
from arqonmesh.api.mesh_views import MeshStatus, NodeView
from arqonmesh.errors import ArqonError
from arqonmesh.ids import short
from arqonmesh_cli.durations import show_duration
from arqonmesh_cli.quorum import troubles, why_ignored
from arqonmesh_cli.screen import state_word
from arqonmesh_cli.times import day_and_clock
from arqonmesh_cli.traffic import bus_traffic, http_of, telemetry_of
from arqonmesh_cli.tui.state import Selection

Lines = tuple[tuple[str, str], ...]


async def details(client: NodeClient, status: MeshStatus, chosen: Selection) -> Lines:
    """Names and values; a failure to ask is one of them."""
    try:
        if chosen.kind == "link":
            return await _link(client, status, chosen)
        if chosen.key == status.self_:
            return await _self(client)
        node = next((node for node in status.nodes if node.id == chosen.key), None)
        return await _peer(client, node, str(chosen.key))
    except ArqonError as error:
        return (("error", f"{error} [{error.code}]"), ("try", error.hint or "esc"))


async def _self(client: NodeClient) -> Lines:
    node = await client.node_status()
    counters = tuple((name, str(count)) for name, count in sorted(node.counters.items()) if count)
    return (
        ("id", node.node_id),
        ("cluster", f"{node.cluster}, {node.role}" + (f", {node.region}" if node.region else "")),
        ("process", f"{node.pid}, version {node.version}, up {show_duration(node.uptime_s)}"),
        ("quic", node.quic),
        ("bus", f"{node.bus}, clients: {node.clients}, channels: {node.channels}"),
        ("traffic", bus_traffic(node)),
        ("telemetry", node.telemetry_failure or telemetry_of(node)),
        ("http", http_of(node)),
        ("data", node.data_dir),
        *counters,
    )


async def _peer(client: NodeClient, node: NodeView | None, node_id: str) -> Lines:
    peer = await client.peer(node_id)
    causes = tuple(
        (day_and_clock(c.at_ms), f"{c.delta:+.3f} {c.cause} {c.summary or c.evidence}".rstrip()) for c in peer.causes
    )
    aside = () if node is None or node.ignored is None else (("ignored", why_ignored(node.ignored)),)
    back = (("try", f"arqon peer forgive {short(peer.id)}"),) if aside else ()
    return (
        ("id", peer.id),
        *aside,
        *back,
        ("cluster", f"{peer.cluster}, {peer.role}" + (f", {peer.region}" if peer.region else "")),
        ("state", ", ".join((state_word(peer.state), *(() if node is None else troubles(node))))),
        ("score", f"{peer.score:.3f}" + (" (ignored)" if peer.ignored else "") + f", standing {peer.standing}"),
        ("latency", "-" if peer.latency_ms is None else f"{peer.latency_ms:.2f} ms"),
        ("first seen", _at(peer.first_seen_ms)),
        ("last seen", _at(peer.last_seen_ms)),
        ("addresses", ", ".join(peer.addresses) or "none told"),
        ("causes", "why its score changed, newest last" if causes else "its score has not changed"),
        *causes,
    )


async def _link(client: NodeClient, status: MeshStatus, chosen: Selection) -> Lines:
    link = next((link for link in status.links if (link.a, link.b) == chosen.key), None)
    if link is None:
        return (("link", "is not in the mesh any more"),)
    lines: Lines = (
        ("a", link.a),
        ("b", link.b),
        ("state", state_word(link.state)),
        ("transport", link.transport),
        ("rtt", "-" if link.rtt_ms is None else f"{link.rtt_ms:.2f} ms"),
        ("loss", "-" if link.loss is None else f"{link.loss:.2%}"),
    )
    other = link.b if link.a == status.self_ else link.a
    own = next((own for own in await client.links() if own.peer == other), None) if link.mine else None
    if own is None:
        return (*lines, ("source", "the members' own records"))
    return (
        *lines,
        ("address", own.address or "-"),
        ("why", own.why or "-"),
        ("asked by", own.asked_by),
        ("held", f"{own.backlog} messages"),
        ("attempt", str(own.attempt)),
        *((("last error", own.last_error),) if own.last_error not in ("", own.why) else ()),
        ("next try", "-" if own.next_try_in_s is None else f"in {show_duration(own.next_try_in_s)}"),
    )


def _at(at_ms: int) -> str:
    return day_and_clock(at_ms) if at_ms else "-"
