"""The table of round trips between all pairs of members."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from arqonmesh_cli.screen import Screen

if TYPE_CHECKING:
    from arqonmesh.api.mesh_views import MatrixCellView, MatrixNodeView, MatrixView

COLUMNS_MAX: Final = 12
"""So many fit 80 columns; with more members the pairs are listed."""
LOSS_SHOWN: Final = 0.005
DEAD: Final = "✖"


def show_matrix(screen: Screen, view: MatrixView, focus: str, sort: str) -> None:
    """`focus`: the id of one node, of which only its own pairs are told; else empty."""
    nodes = in_order(view.nodes, sort)
    if focus or sort == "rtt" or len(nodes) > COLUMNS_MAX:
        _list(screen, nodes, view.cells, focus, sort)
    else:
        _grid(screen, nodes, view.cells, view.self_)
    screen.line()
    screen.line(("milliseconds of round trip; !N% loss; ~ guessed by coordinates, no link; . nothing known", "dim"))
    dead = dead_of(nodes)
    if any(_is_old(found, dead) for found in view.cells):
        screen.line((f"{DEAD} guessed when both were alive: one of them is dead", "dim"))


def in_order(nodes: Sequence[MatrixNodeView], sort: str) -> list[MatrixNodeView]:
    if sort == "region":
        return sorted(nodes, key=lambda node: (node.region, node.cluster, node.id))
    if sort == "id":
        return sorted(nodes, key=lambda node: node.id)
    return sorted(nodes, key=lambda node: (node.cluster, node.id))


def dead_of(nodes: Sequence[MatrixNodeView]) -> frozenset[str]:
    """Who is not there: a guess of the way to them says what it was."""
    return frozenset(node.id for node in nodes if node.state == "dead")


def cell(found: MatrixCellView | None, dead: Collection[str]) -> str:
    """At most six characters: 0.4, 12, ~140, 12!3%, ✖140."""
    if found is None:
        return "."
    rtt = f"{found.rtt_ms:.1f}" if found.rtt_ms < 9.95 else f"{found.rtt_ms:.0f}"
    if not found.measured:
        return f"{_guess(found, dead)}{rtt}"
    return rtt if found.loss is None or found.loss < LOSS_SHOWN else f"{rtt}!{found.loss:.0%}"


def _grid(screen: Screen, nodes: Sequence[MatrixNodeView], cells: Sequence[MatrixCellView], own: str) -> None:
    """Columns are numbers, because names would not fit: the row of that number has the name."""
    pairs = {(found.a, found.b): found for found in cells}
    rows, dead = [], dead_of(nodes)
    for number, row in enumerate(nodes, 1):
        told = ["-" if row is other else cell(pairs.get(_pair(row.id, other.id)), dead) for other in nodes]
        mark = "*" if row.id == own else ""
        rows.append((f"{number} {row.cluster[:6]}/{row.id[:4]}{mark}", *told))
    width = max([2, *(len(text) for _, *told in rows for text in told)])
    name = max((len(row[0]) for row in rows), default=0)
    screen.line((" " * name + "".join(f" {number:>{width}}" for number in range(1, len(nodes) + 1)), "bold"))
    for title, *told in rows:
        screen.line(title.ljust(name) + "".join(f" {text:>{width}}" for text in told))
    if not rows:
        screen.line("no members yet")


def _list(
    screen: Screen, nodes: Sequence[MatrixNodeView], cells: Sequence[MatrixCellView], focus: str, sort: str
) -> None:
    names, dead = {node.id: f"{node.cluster}/{node.id[:8]}" for node in nodes}, dead_of(nodes)
    told = [found for found in cells if not focus or focus in (found.a, found.b)]
    if sort == "rtt":
        told.sort(key=lambda found: (found.rtt_ms, found.a, found.b))
    else:
        place = {node.id: index for index, node in enumerate(nodes)}
        told.sort(key=lambda found: sorted((place[found.a], place[found.b])))
    screen.table(
        ("BETWEEN", "AND", "RTT", "LOSS"),
        [
            (
                names[focus or found.a],
                names[found.b if focus in ("", found.a) else found.a],
                f"{'' if found.measured else _guess(found, dead)}{found.rtt_ms:.1f} ms",
                "-" if found.loss is None else f"{found.loss:.1%}",
            )
            for found in told
        ],
        empty="nothing is known of any pair yet",
    )


def _is_old(found: MatrixCellView, dead: Collection[str]) -> bool:
    return not found.measured and (found.a in dead or found.b in dead)


def _guess(found: MatrixCellView, dead: Collection[str]) -> str:
    return DEAD if _is_old(found, dead) else "~"


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)
