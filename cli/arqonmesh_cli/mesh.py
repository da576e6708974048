"""`arqon mesh`: make, join, see and leave a mesh."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from arqonmesh.errors import Degraded, NotFound, UsageError
from arqonmesh.ids import those_named
from arqonmesh.observe.printable import printable
from arqonmesh_cli.addresses import link_address
from arqonmesh_cli.answer import Answer, noun, verb
from arqonmesh_cli.connect import ask_at
from arqonmesh_cli.durations import parse_duration
from arqonmesh_cli.events import show_events
from arqonmesh_cli.matrix import show_matrix
from arqonmesh_cli.options import Context, DataDir, Json
from arqonmesh_cli.quorum import quorum_lines, troubles
from arqonmesh_cli.retrying import PASSING_JOIN, patiently, within
from arqonmesh_cli.route import show_route
from arqonmesh_cli.screen import Screen, milliseconds, share, state_word
from arqonmesh_cli.where import Place, place_of

if TYPE_CHECKING:
    from arqonmesh.api.mesh_views import MeshStatus, MeshView

app = noun("The mesh: make, join, see and leave it.")


@verb(app, "seed", "arqon mesh seed acme", 'arqon mesh seed acme --policy key --key "$(pwgen 32 1)"')
def seed(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The mesh's name, for people.")],
    policy: Annotated[
        Literal["key", "open", "closed"],
        typer.Option("--policy", help="Who may join: with the key or a ticket, anyone, or nobody."),
    ] = "key",
    key: Annotated[
        str,
        typer.Option(
            "--key",
            envvar="ARQON_JOIN_KEY",
            metavar="KEY",
            help="The join key; - reads it from standard input.",
            show_default=False,
        ),
    ] = "",
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> Answer:
    """Mint a mesh with this node as its founder."""
    if key and policy != "key":
        raise UsageError(
            "cli.seed-key",
            f"--key was given with --policy {policy}; only --policy key uses one",
            hint=f"arqon mesh seed {name} --key KEY",
        )
    secret = _secret(key)
    mesh = ask_at(data_dir, context, lambda node: node.seed(name, policy, secret))
    place = place_of(data_dir, context)

    def text(screen: Screen) -> None:
        screen.line(f"mesh {mesh.name} is there: {mesh.id}")
        how = {"open": "anyone may join", "closed": "nobody may join"}.get(
            policy, "the key or a ticket lets nodes in" if secret else "tickets let nodes in; no key is set"
        )
        step = "" if policy == "closed" else f"; next: arqon invite new --cluster NAME{place.suffix}"
        screen.line((how + step, "dim"))

    return Answer(mesh, text)


@verb(
    app,
    "join",
    "arqon mesh join TICKET",
    "arqon invite new --cluster factory | ssh factory arqon mesh join -",
    "arqon mesh join --address hq.example.org:9130 --key KEY",
)
def join(
    ticket: Annotated[
        str | None,
        typer.Argument(
            metavar="[TICKET]", help="From `arqon invite new`; - reads it from standard input.", show_default=False
        ),
    ] = None,
    address: Annotated[
        str,
        typer.Option(
            "--address", metavar="HOST:PORT", help="A member to ask, instead of a ticket.", show_default=False
        ),
    ] = "",
    key: Annotated[
        str,
        typer.Option(
            "--key",
            envvar="ARQON_JOIN_KEY",
            metavar="KEY",
            help="The mesh's join key; - reads it from standard input.",
            show_default=False,
        ),
    ] = "",
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="TIME", help="How long to try, and ask a busy member again: 10s, 2m.")
    ] = "60s",
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> Answer:
    """Join a mesh with a ticket, or at a member's address with the mesh's key."""
    if (ticket is None) == (not address):
        seen = "neither a ticket nor an address" if ticket is None else "both a ticket and an address"
        raise UsageError("cli.join", f"{seen}; a join needs one of them", hint="arqon mesh join TICKET")
    patience_s = parse_duration(timeout, "arqon mesh join TICKET --timeout 60s")
    at = ""
    if address:
        at, secret = link_address(address, "arqon mesh join --address {}"), _secret(key)

        def join(seconds: float) -> MeshView:
            return ask_at(data_dir, context, lambda node: node.join_address(at, secret, timeout_s=seconds))
    else:
        text_of_ticket = sys.stdin.readline().strip() if ticket == "-" else (ticket or "").strip()

        def join(seconds: float) -> MeshView:
            return ask_at(data_dir, context, lambda node: node.join_ticket(text_of_ticket, timeout_s=seconds))

    mesh = patiently(lambda left_s: within(left_s, join, at), PASSING_JOIN, patience_s, rng=random.Random())
    place = place_of(data_dir, context)
    return Answer(mesh, lambda screen: _joined(screen, mesh, place))


@verb(app, "event", "arqon mesh event deploy v1.2.3", "arqon mesh event backup-done", "date | arqon mesh event tick -")
def event(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What happened: 1 to 64 bytes.")],
    payload: Annotated[
        str,
        typer.Argument(
            metavar="[PAYLOAD]", help="Up to 1,024 bytes; - reads them from standard input.", show_default=False
        ),
    ] = "",
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> Answer:
    """Send a signed event to every node of the mesh, at most once each; see it with `arqon mesh events`."""
    data = sys.stdin.buffer.read(1_025).rstrip(b"\n") if payload == "-" else payload.encode()
    sent = ask_at(data_dir, context, lambda node: node.send_event(name, data))
    return Answer(
        sent, lambda screen: screen.line(f"event {printable(name)} is on its way: {sent.author[:8]} {sent.lamport}")
    )


@verb(app, "events", "arqon mesh events", "arqon mesh events --follow --json | jq -r .data.fields.name")
def events(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes from now on.")] = False,
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> None:
    """Print the user events that this node has heard, its own included: the newest it remembers, oldest first."""
    show_events(data_dir, context, follow, as_json)


@verb(app, "leave", "arqon mesh leave")
def leave(data_dir: DataDir = None, context: Context = None, as_json: Json = False) -> Answer:
    """Leave the mesh with a farewell; the node keeps its identity, its own API keys and its clients."""
    ask_at(data_dir, context, lambda node: node.leave())
    return Answer({"left": True}, lambda screen: screen.line("left the mesh"))


@verb(
    app,
    "status",
    "arqon mesh status                (live on a terminal; keys: ? for help, q to quit)",
    "arqon mesh status | cat          (a table)",
    "arqon mesh status --json | jq .data.partition",
)
def status(
    once: Annotated[bool, typer.Option("--once", help="Print the table also on a terminal.")] = False,
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> Answer | None:
    """See the whole mesh: nodes, links, quorum; live on a terminal. Exit code 7 when it is not healthy."""
    place = place_of(data_dir, context)
    if not as_json and not once and sys.stdin.isatty() and sys.stdout.isatty():
        from arqonmesh_cli.tui.app import run_live

        run_live(place)
        return None
    mesh = ask_at(data_dir, context, lambda node: node.mesh_status())
    healthy = mesh.mesh is None or mesh.mesh.health == "healthy"
    return Answer(mesh, lambda screen: show_status(screen, mesh, place.suffix), 0 if healthy else Degraded.exit_code)


@verb(app, "regions", "arqon mesh regions", "arqon mesh regions --json | jq '.data[] | {name, leaders}'")
def regions(data_dir: DataDir = None, context: Context = None, as_json: Json = False) -> Answer:
    """See the regions: who leads each, how many of it are alive, and what its leaders tell."""
    mesh = ask_at(data_dir, context, lambda node: node.mesh_status())
    return Answer(mesh.regions, lambda screen: show_regions(screen, mesh, place_of(data_dir, context).suffix))


def show_regions(screen: Screen, status: MeshStatus, suffix: str) -> None:
    """Regions as this node counts them; in brackets what the region's own leader tells where that differs. `suffix` as
    in `show_status`."""
    if status.mesh is None:
        _in_no_mesh(screen, status, suffix)
        return
    screen.table(
        ("REGION", "LEADERS", "ALIVE", "SUSPECT", "DEAD", "CLUSTERS", "SOFTWARE", "SUMMARY BY"),
        [
            (
                (region.name or "-") + (" *" if region.self_ else ""),
                ", ".join(leader[:8] for leader in region.leaders) or "nobody is alive",
                _beside(region.alive, None if region.summary is None else region.summary.alive),
                _beside(region.suspect, None if region.summary is None else region.summary.suspect),
                _beside(region.dead, None if region.summary is None else region.summary.dead),
                ", ".join(region.clusters) or "-",
                ", ".join(f"{count} x {version or '?'}" for version, count in _by_count(region.software)) or "-",
                f"{region.summary.by[:8]}, term {region.summary.term}" if region.summary else "-",
            )
            for region in status.regions
        ],
        empty="no member has told its region yet",
    )


def _by_count(software: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(software.items(), key=lambda item: (-item[1], item[0]))


def _beside(counted: int, told: int | None) -> str:
    return str(counted) if told is None or told == counted else f"{counted} ({told})"


@verb(
    app,
    "matrix",
    "arqon mesh matrix",
    "arqon mesh matrix --node k3v7 --sort rtt",
    "arqon mesh matrix --json | jq '.data.cells[] | select(.measured | not)'",
)
def matrix(
    node: Annotated[
        str, typer.Option("--node", metavar="ID", help="Only the pairs of this node.", show_default=False)
    ] = "",
    sort: Annotated[
        Literal["cluster", "region", "id", "rtt"], typer.Option("--sort", help="The order; rtt lists the pairs.")
    ] = "cluster",
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> Answer:
    """Show round trip and loss between all pairs of members: as measured, or guessed (~) where no link is."""
    view = ask_at(data_dir, context, lambda asked: asked.matrix())
    places = those_named(node, ((member.cluster, member.id) for member in view.nodes))
    found = [view.nodes[place].id for place in places]
    if node and len(found) != 1:
        said = f"{len(found)} members' ids begin with {node!r}" if found else f"no member's id begins with {node!r}"
        said += "; it needs to be the beginning of one's id, or CLUSTER/ID"
        raise NotFound("peer.unknown", said, hint=place_of(data_dir, context).hinted("arqon peer ls"))
    focus = found[0] if node else ""
    if focus:
        cells = tuple(cell for cell in view.cells if focus in (cell.a, cell.b))
        view = type(view)(self_=view.self_, nodes=view.nodes, cells=cells)
    return Answer(view, lambda screen: show_matrix(screen, view, focus, sort))


@verb(app, "route", "arqon mesh route store", "arqon mesh route k3v7q2ab --json | jq .data.hops")
def route(
    to: Annotated[
        str,
        typer.Argument(
            metavar="NODE", help="A node's id or its beginning, CLUSTER/ID, or the cluster of an only node."
        ),
    ],
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> Answer:
    """Show the way of control messages to a member, and who is kept off it. Exit code 7 when there is none."""
    view = ask_at(data_dir, context, lambda node: node.route(to))
    place = place_of(data_dir, context)
    return Answer(view, lambda screen: show_route(screen, view, place.suffix), 0 if view.hops else Degraded.exit_code)


def _in_no_mesh(screen: Screen, status: MeshStatus, suffix: str) -> None:
    step = f"next: arqon mesh seed NAME{suffix}, or arqon mesh join TICKET{suffix}"
    screen.line(f"node {status.self_[:8]} is in no mesh; {step}")


def show_status(screen: Screen, status: MeshStatus, suffix: str) -> None:
    """The mesh as a page of text. `suffix`: what names the data directory in the commands of hints."""
    if status.mesh is None:
        _in_no_mesh(screen, status, suffix)
        return
    screen.line((f"mesh {status.mesh.name}", "bold"), f"  {status.mesh.id}  ", state_word(status.mesh.health))
    for line in quorum_lines(status, suffix):
        screen.line(line)
    screen.line()
    screen.table(
        ("NODE", "CLUSTER", "ROLE", "REGION", "STATE", "ADDRESSES"),
        [
            (
                node.id[:8] + (" *" if node.self_ else ""),
                node.cluster,
                node.role,
                node.region or "-",
                ", ".join((state_word(node.state), *troubles(node))),
                ", ".join(node.addresses) or "-",
            )
            for node in status.nodes
        ],
    )
    screen.line()
    names = {node.id: node.cluster for node in status.nodes}
    screen.table(
        ("LINK", "BETWEEN", "STATE", "TRANSPORT", "RTT", "LOSS", "HELD"),
        [
            (
                f"{link.a[:8]} - {link.b[:8]}",
                f"{names.get(link.a, '?')} - {names.get(link.b, '?')}",
                state_word(link.state),
                link.transport,
                milliseconds(link.rtt_ms),
                share(link.loss),
                str(link.backlog) if link.mine else "-",
            )
            for link in status.links
        ],
        empty="no links yet",
    )


def _joined(screen: Screen, mesh: MeshView, place: Place) -> None:
    screen.line(f"joined mesh {mesh.name}: {mesh.id}")
    screen.line((f"next: arqon mesh status{place.suffix}", "dim"))


def _secret(key: str) -> str:
    return sys.stdin.readline().strip() if key == "-" else key
