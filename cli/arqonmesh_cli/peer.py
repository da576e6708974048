"""`arqon peer`: the members this node knows, and what it thinks of them."""

from __future__ import annotations

from typing import Annotated

import typer

from arqonmesh_cli.answer import Answer, noun, verb
from arqonmesh_cli.connect import ask_at
from arqonmesh_cli.options import Context, DataDir, Json
from arqonmesh_cli.screen import Screen, state_word
from arqonmesh_cli.times import clock, day_and_clock

app = noun("Members of the mesh as this node knows them.")


@verb(app, "ls", "arqon peer ls", "arqon peer ls --json | jq '.data.peers[] | select(.ignored)'")
def ls(data_dir: DataDir = None, context: Context = None, as_json: Json = False) -> Answer:
    """List members with state, reputation, standing and latency."""
    peers = ask_at(data_dir, context, lambda node: node.peers())

    def text(screen: Screen) -> None:
        screen.table(
            ("ID", "CLUSTER", "ROLE", "REGION", "STATE", "SCORE", "STANDING", "LATENCY", "SEEN"),
            [
                (
                    peer.id[:8],
                    peer.cluster,
                    peer.role,
                    peer.region or "-",
                    state_word(peer.state),
                    f"{peer.score:.2f}" + (" ignored" if peer.ignored else ""),
                    peer.standing,
                    "-" if peer.latency_ms is None else f"{peer.latency_ms:.1f} ms",
                    clock(peer.last_seen_ms) if peer.last_seen_ms else "-",
                )
                for peer in peers
            ],
            empty="no peers; the mesh grows with: arqon invite new --cluster NAME",
        )

    return Answer({"peers": peers}, text)


@verb(app, "show", "arqon peer show k3v7q2ab", "arqon peer show k3v7 --json | jq .data.causes")
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="The node's id, or the beginning of it.")],
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> Answer:
    """Show one member: addresses, latency, standing, reputation and the cause of each change."""
    peer = ask_at(data_dir, context, lambda node: node.peer(id_))

    def text(screen: Screen) -> None:
        screen.fields(
            (
                ("id", peer.id),
                ("cluster", peer.cluster),
                ("role", peer.role),
                ("region", peer.region or "-"),
                ("state", state_word(peer.state)),
                ("score", f"{peer.score:.3f}" + (" (ignored)" if peer.ignored else "")),
                ("standing", peer.standing),
                ("latency", "-" if peer.latency_ms is None else f"{peer.latency_ms:.2f} ms"),
                ("deliveries", str(peer.deliveries)),
                ("first seen", day_and_clock(peer.first_seen_ms) if peer.first_seen_ms else "-"),
                ("last seen", day_and_clock(peer.last_seen_ms) if peer.last_seen_ms else "-"),
                ("addresses", ", ".join(peer.addresses) or "none told"),
            )
        )
        screen.line()
        screen.table(
            ("WHEN", "CHANGE", "CAUSE", "EVIDENCE"),
            [(day_and_clock(c.at_ms), f"{c.delta:+.3f}", c.cause, c.evidence or "-") for c in peer.causes],
            empty="its score has not changed since it was first seen",
        )

    return Answer(peer, text)
