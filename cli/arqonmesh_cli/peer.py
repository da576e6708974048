"""`arqon peer`: the members this node knows, and what it thinks of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import takewhile
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from arqonmesh.errors import ArqonError
from arqonmesh_cli.answer import Answer, noun, verb
from arqonmesh_cli.connect import ask_at
from arqonmesh_cli.options import Context, DataDir, Json
from arqonmesh_cli.screen import Screen, state_word
from arqonmesh_cli.times import clock, day_and_clock
from arqonmesh_cli.where import place_of

if TYPE_CHECKING:
    from arqonmesh.api.client import NodeClient
    from arqonmesh.api.mesh_views import PartitionView, PeerView

app = noun("Members of the mesh as this node knows them.")
Id = Annotated[str, typer.Argument(metavar="ID", help="The node's id, the beginning of it, or CLUSTER/ID.")]
IdOrCluster = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="The node's id, the beginning of it, CLUSTER/ID, or its cluster if it is the only one there."
    ),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept in its timeline.", show_default=False)]

JUDGED_S: Final = 0.2
"""A node judges its quorum 50 ms after what changed it."""

SORTS: Final[dict[str, Callable[[Any], Any]]] = {
    "id": lambda peer: (peer.id,),
    "score": lambda peer: (peer.score, peer.id),
    "latency": lambda peer: (_rtt_ms(peer) is None, _rtt_ms(peer) or 0.0, peer.id),
    "cluster": lambda peer: (peer.cluster, peer.id),
    "seen": lambda peer: (-peer.last_seen_ms, peer.id),
}


@verb(
    app,
    "ls",
    "arqon peer ls --sort score",
    "arqon peer ls --json | jq '.data.peers[] | select(.ignored)'",
)
def ls(
    sort: Annotated[
        Literal["id", "score", "latency", "cluster", "seen"],
        typer.Option("--sort", help="What comes first: the lowest score, the nearest, the one seen last."),
    ] = "id",
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> Answer:
    """List members with state, reputation, standing and latency; * is preferred, ~ a guess by coordinates."""
    peers = sorted(ask_at(data_dir, context, lambda node: node.peers()), key=SORTS[sort])

    def text(screen: Screen) -> None:
        screen.table(
            ("ID", "CLUSTER", "ROLE", "REGION", "STATE", "SCORE", "STANDING", "LATENCY", "SEEN"),
            [
                (
                    peer.id[:8] + (" *" if peer.preferred else ""),
                    peer.cluster,
                    peer.role,
                    peer.region or "-",
                    _state(peer),
                    f"{peer.score:.2f}",
                    peer.standing + (" 1/10" if peer.probation else ""),
                    _latency(peer, 1),
                    clock(peer.last_seen_ms) if peer.last_seen_ms else "-",
                )
                for peer in peers
            ],
            empty="no peers; the mesh grows with: arqon invite new --cluster NAME",
        )

    return Answer({"peers": peers}, text)


@verb(
    app, "show", "arqon peer show k3v7q2ab", "arqon peer show factory", "arqon peer show k3v7 --json | jq .data.causes"
)
def show(id_: IdOrCluster, data_dir: DataDir = None, context: Context = None, as_json: Json = False) -> Answer:
    """Show one member: addresses, latency, standing, and the timeline of its reputation with causes."""
    peer = ask_at(data_dir, context, lambda node: node.peer(id_))
    place = place_of(data_dir, context)
    return Answer(peer, lambda screen: _shown(screen, peer, place.suffix))


@verb(app, "ban", 'arqon peer ban k3v7q2ab --reason "floods us since noon"')
def ban(
    id_: Id, reason: Reason = "", data_dir: DataDir = None, context: Context = None, as_json: Json = False
) -> Answer:
    """Ignore a member from now on, whatever its score: this node's decision, for no one else, until forgiven.

    Its vote no longer counts towards this node's quorum: in a small mesh a ban can make this node read-only
    (mesh.read-only). `arqon peer forgive` undoes both.
    """
    peer, quorum = ask_at(data_dir, context, lambda node: _banned(node, id_, reason))
    place = place_of(data_dir, context)

    def text(screen: Screen) -> None:
        screen.line(f"{peer.id[:8]} ({peer.cluster}) is ignored by this node")
        if quorum is not None and not quorum.writable:
            screen.line(
                f"this node is read-only: it counts {quorum.votes} of {quorum.voters} votes, "
                f"{quorum.required} required; a banned member's is none (arqon explain mesh.read-only)"
            )
        screen.line((f"back again with: arqon peer forgive {peer.id[:8]}{place.suffix}", "dim"))

    return Answer(peer, text)


async def _banned(node: NodeClient, id_: str, reason: str) -> tuple[PeerView, PartitionView | None]:
    """The member, banned, and what is left of the quorum; None where that cannot be had, for the ban stands anyway."""
    peer = await node.peer_ban(id_, reason)
    await asyncio.sleep(JUDGED_S)
    try:
        return peer, (await node.mesh_status()).partition
    except ArqonError:
        return peer, None


@verb(app, "forgive", 'arqon peer forgive k3v7q2ab --reason "its disk was replaced"')
def forgive(
    id_: Id, reason: Reason = "", data_dir: DataDir = None, context: Context = None, as_json: Json = False
) -> Answer:
    """Set a member's reputation back to 1 on this node, bans and proofs included; a new proof convicts it again."""
    peer = ask_at(data_dir, context, lambda node: node.peer_forgive(id_, reason))
    return Answer(peer, lambda screen: screen.line(f"{peer.id[:8]} ({peer.cluster}) has reputation {peer.score:.2f}"))


def _state(peer: PeerView) -> str:
    """Whether it lives, and beside it whether this node ignores it: by its operator's ban, or for anything else."""
    if not peer.ignored:
        return state_word(peer.state)
    held = takewhile(lambda change: change.cause != "pardoned", reversed(peer.causes))
    return f"{state_word(peer.state)}, {'banned' if any(change.cause == 'banned' for change in held) else 'ignored'}"


def _shown(screen: Screen, peer: PeerView, suffix: str) -> None:
    samples = "" if peer.rtt_min_ms is None else f" (least {peer.rtt_min_ms:.2f} ms, loss {peer.loss or 0:.1%})"
    screen.fields(
        (
            ("id", peer.id),
            ("cluster", peer.cluster),
            ("role", peer.role),
            ("region", peer.region or "-"),
            ("state", _state(peer)),
            ("score", f"{peer.score:.3f}"),
            ("standing", peer.standing + (" (a tenth of the rate)" if peer.probation else "")),
            ("latency", _latency(peer, 2) + samples),
            ("preferred", "yes" if peer.preferred else "no"),
            ("deliveries", str(peer.deliveries)),
            ("invited by", peer.inviter or "-"),
            ("first seen", day_and_clock(peer.first_seen_ms) if peer.first_seen_ms else "-"),
            ("last seen", day_and_clock(peer.last_seen_ms) if peer.last_seen_ms else "-"),
            ("addresses", ", ".join(peer.addresses) or "none told"),
        )
    )
    screen.line()
    screen.table(
        ("WHEN", "CHANGE", "SCORE", "CAUSE", "EVIDENCE"),
        [(day_and_clock(c.at_ms), f"{c.delta:+.3f}", f"{c.score:.3f}", c.cause, c.summary or "-") for c in peer.causes],
        empty="its score has not changed since it was first seen",
    )
    if peer.ignored:
        screen.line((f"to count it again: arqon peer forgive {peer.id[:8]}{suffix}", "dim"))


def _rtt_ms(peer: PeerView) -> float | None:
    return peer.latency_ms if peer.latency_ms is not None else peer.guess_ms


def _latency(peer: PeerView, digits: int) -> str:
    rtt_ms = _rtt_ms(peer)
    return "-" if rtt_ms is None else f"{'~' if peer.latency_ms is None else ''}{rtt_ms:.{digits}f} ms"
