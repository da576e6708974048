"""`arqon link`: this node's links, those asked for and those that stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from arqonmesh_cli.addresses import link_address
from arqonmesh_cli.answer import Answer, noun, verb
from arqonmesh_cli.connect import ask_at
from arqonmesh_cli.durations import show_duration
from arqonmesh_cli.options import Context, DataDir, Json
from arqonmesh_cli.screen import Screen, milliseconds, share, state_word
from arqonmesh_cli.where import place_of

if TYPE_CHECKING:
    from arqonmesh.api.client import NodeClient
    from arqonmesh.api.node_views import OwnLinkView

app = noun("Links of this node: what was asked for, what stands, and why not.")

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="quic://HOST:PORT or HOST:PORT.")]


@verb(app, "add", "arqon link add quic://10.0.0.7:9130", "arqon link add [fd00::7]:9130 --json")
def add(address: Address, data_dir: DataDir = None, context: Context = None, as_json: Json = False) -> Answer:
    """Want a link to an address: dialled until it stands, and again whenever it falls."""
    wanted = link_address(address)
    link = ask_at(data_dir, context, lambda node: node.link_add(wanted))
    suffix = place_of(data_dir, context).suffix

    def text(screen: Screen) -> None:
        if link.state == "given-up":
            screen.line(f"link to {wanted} is given up, {link.why}: arqon link rm {wanted}{suffix}")
        else:
            screen.line(f"link to {wanted} wanted, now {link.state}; it is tried for ever: arqon link ls{suffix}")

    return Answer(link, text)


@verb(app, "rm", "arqon link rm quic://10.0.0.7:9130")
def rm(address: Address, data_dir: DataDir = None, context: Context = None, as_json: Json = False) -> Answer:
    """End a wish that `link add` made, and close its link, unless the mesh wants it, too."""
    gone = link_address(address)

    async def remove(node: NodeClient) -> bool:
        await node.link_remove(gone)
        wished = {link.peer: link.address for link in await node.links() if link.asked_by == "mesh"}
        if not wished or gone in wished.values():
            return bool(wished)
        return any(peer.id in wished and gone in peer.addresses for peer in await node.peers())

    by_mesh, suffix = ask_at(data_dir, context, remove), place_of(data_dir, context).suffix

    def text(screen: Screen) -> None:
        if by_mesh:
            stays = f"the mesh wants it, so it stays: arqon link ls{suffix}"
            screen.line(f"link to {gone} is no longer wanted by hand; {stays}")
        else:
            screen.line(f"link to {gone} is no longer wanted")

    return Answer({"address": gone, "removed": True, "wanted_by_mesh": by_mesh}, text)


@verb(app, "ls", "arqon link ls", "arqon link ls --context hq --json")
def ls(data_dir: DataDir = None, context: Context = None, as_json: Json = False) -> Answer:
    """List links: state, RTT, loss, transport and why, last error, next try."""
    links = ask_at(data_dir, context, lambda node: node.links())

    def text(screen: Screen) -> None:
        screen.table(
            ("PEER", "ADDRESS", "STATE", "RTT", "LOSS", "HELD", "TRANSPORT", "WHY", "ASKED BY", "TRY"),
            [_row(link) for link in links],
            empty="no links; one is wanted with: arqon link add quic://HOST:PORT",
        )

    return Answer({"links": links}, text)


def _row(link: OwnLinkView) -> tuple[str, ...]:
    tries = ""
    if link.state != "up" and link.attempt:
        tries = str(link.attempt)  # what the last one ended with is WHY
        if link.next_try_in_s is not None:
            tries += f", next in {show_duration(link.next_try_in_s)}"
    return (
        link.peer[:8] or "-",
        link.address or "-",
        state_word(link.state),
        milliseconds(link.rtt_ms),
        share(link.loss),
        str(link.backlog),
        link.transport or "-",
        link.why or "-",
        link.asked_by,
        tries or "-",
    )
