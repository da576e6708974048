"""`arqon invite`: tickets that let nodes into the mesh."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from arqonmesh.ids import parse_cluster
from arqonmesh_cli.answer import Answer, noun, verb
from arqonmesh_cli.connect import ask_at
from arqonmesh_cli.durations import parse_duration, show_duration
from arqonmesh_cli.options import Context, DataDir, Json
from arqonmesh_cli.screen import Screen, tell_terminal

if TYPE_CHECKING:
    from arqonmesh.api.client import NodeClient
    from arqonmesh.api.mesh_views import InviteView

app = noun("Tickets that let nodes into the mesh.")


@verb(
    app,
    "new",
    "arqon invite new --cluster factory --role spoke --expires 1h --uses 1",
    'ssh factory arqon mesh join "$(arqon invite new --cluster factory)"',
)
def new(
    cluster: Annotated[str, typer.Option("--cluster", metavar="NAME", help="The cluster that the ticket is for.")],
    role: Annotated[
        Literal["hub", "spoke", "leader"] | None,
        typer.Option(
            "--role",
            help="The role it grants, as the node was made; by default spoke, and hub for this node's own cluster.",
            show_default=False,
        ),
    ] = None,
    expires: Annotated[
        str, typer.Option("--expires", metavar="TIME", help="How long it holds: 90s, 15m, 1h, 7d.")
    ] = "1h",
    uses: Annotated[int, typer.Option("--uses", min=1, max=10_000, help="How many nodes may join with it.")] = 1,
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> Answer:
    """Make a ticket and print it: one line, a secret, shown this once."""
    seconds = parse_duration(expires)
    name = parse_cluster(cluster)

    async def make(node: NodeClient) -> tuple[str, InviteView]:
        # Nodes of one cluster are alike, and `arqon init` makes hubs; others are trusted with no more than they need.
        chosen = role or ("hub" if (await node.node_status()).cluster == name else "spoke")
        return await node.invite_new(name, chosen, seconds, uses)

    ticket, invite = ask_at(data_dir, context, make)

    def text(screen: Screen) -> None:
        screen.line(ticket)
        many = "one node" if uses == 1 else f"{uses} nodes"
        if screen.terminal:
            tell_terminal(
                f"for {many} of {name}, {show_duration(seconds)}; there: "
                f"arqon init --cluster {name} --role {invite.role}, arqon node start --detach, arqon mesh join TICKET"
            )

    return Answer({"ticket": ticket, "invite": invite}, text)


@verb(app, "ls", "arqon invite ls")
def ls(data_dir: DataDir = None, context: Context = None, as_json: Json = False) -> Answer:
    """List tickets: for whom, how often used, until when, revoked or not."""
    invites = ask_at(data_dir, context, lambda node: node.invites())

    def text(screen: Screen) -> None:
        screen.table(
            ("TICKET", "CLUSTER", "ROLE", "USED", "STATE", "BY"),
            [(i.ticket_id, i.cluster, i.role, f"{i.used} of {i.uses}", _state(i), i.inviter[:8]) for i in invites],
            empty="no tickets; one is made with: arqon invite new --cluster NAME",
        )

    return Answer({"invites": invites}, text)


@verb(app, "revoke", "arqon invite revoke 01JB3Z0K8M9V4Q2W7X5Y6T1R0P")
def revoke(
    ticket_id: Annotated[str, typer.Argument(metavar="TICKET_ID", help="From `arqon invite ls`.")],
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> Answer:
    """Let nobody in with this ticket from now on; who came in with it stays."""
    invite = ask_at(data_dir, context, lambda node: node.invite_revoke(ticket_id))
    return Answer(invite, lambda screen: screen.line(f"ticket {invite.ticket_id} is revoked"))


def _state(invite: InviteView) -> str:
    left_s = invite.expires_ms / 1_000 - time.time()
    if invite.revoked:
        return "revoked"
    if left_s <= 0:
        return "expired"
    return "used up" if invite.used >= invite.uses else f"open for {show_duration(left_s)}"
