"""Draws the state as lines of styled text for a screen of any size; 80 x 24 is the one it is made for.

A line is a tuple of (text, style) parts. Styles only repeat what a word or a glyph's shape says.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Final

from rich.cells import cell_len, set_cell_size

from arqonmesh.api.mesh_views import LinkView, NodeView
from arqonmesh.ids import short
from arqonmesh_cli.durations import show_duration
from arqonmesh_cli.quorum import counted, troubles
from arqonmesh_cli.screen import glyph, milliseconds, share, state_word, style
from arqonmesh_cli.times import clock
from arqonmesh_cli.tui.state import Selection, State, link_key

Part = tuple[str, str]
Line = tuple[Part, ...]

BARS: Final = "▁▂▃▄▅▆▇█"
SPARK: Final = 10
EVENTS_MIN: Final = 3
GRID: Final = 20
"""Columns of a node in the grid that replaces the list when the mesh is larger than the screen."""
NAME_MAX: Final = 14
KEYS: Final = "? help   / filter   enter detail   esc back   space pause   q quit"
HELP: Final = (
    ("?", "this page"),
    ("/", "show only what contains the text; enter keeps, esc clears"),
    ("up, down", "choose a node or a link; also k and j"),
    ("enter", "details of the chosen node or link"),
    ("esc", "back; on the first page: clear the filter"),
    ("space", "hold the screen still, and let it go again"),
    ("q", "quit; the node goes on running"),
    ("", ""),
    ("● ◐ ✖ ○", "up or alive · suspect, degraded or trying · down or dead · left"),
    ("*", "the node that this screen asks"),
    ("RTT", "round-trip time; bars: the last ten looks"),
    ("LOSS", "share of heartbeats without an answer"),
    ("RATE", "bytes both ways; own links only"),
    ("HELD", "messages kept until the link is up; own links only"),
    ("reachable", "alive, of all agreed members; below required: read-only"),
    ("banned, ignored", "gets no vote on this node; enter on it says why"),
    ("other version", "of the protocol: no link with it until the older one is updated"),
)


def page(state: State, width: int, height: int, now_s: float) -> list[Line]:
    """Exactly `height` lines of at most `width` cells."""
    if state.view == "help":
        body = [*_title(state, width), (("KEYS AND SIGNS", "bold"),), *_pairs(HELP, width)]
    elif state.view == "detail":
        body = [*_title(state, width), *_detail(state, width)]
    else:
        body = _mesh(state, width, height, now_s)
    lines = body[: height - 1]
    lines += [()] * (height - 1 - len(lines))
    return [_fit(line, width) for line in [*lines, _footer(state)]]


def text_of(lines: Sequence[Line]) -> str:
    """The page as plain text, for captures and tests."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines) + "\n"


def sparkline(samples: Sequence[float], width: int = SPARK) -> str:
    """The newest samples as bars against the largest of them."""
    newest = list(samples)[-width:]
    top = max(newest, default=0.0)
    bars = "".join(BARS[min(int(sample / top * len(BARS)), len(BARS) - 1)] if top > 0 else BARS[0] for sample in newest)
    return bars.rjust(width)


def show_rate(bytes_per_s: float | None) -> str:
    if bytes_per_s is None:
        return "-"
    for unit, size in (("MB/s", 1e6), ("kB/s", 1e3)):
        if bytes_per_s >= size:
            return f"{bytes_per_s / size:.1f} {unit}"
    return f"{bytes_per_s:.0f} B/s"


def _mesh(state: State, width: int, height: int, now_s: float) -> list[Line]:
    head = [*_title(state, width), _banner(state, width, now_s)]
    if state.status is None:
        return head
    if state.status.mesh is None:
        return [*head, (), (("in no mesh yet; next: arqon mesh seed NAME, or arqon mesh join TICKET", ""),)]
    nodes, links, events = state.nodes(), state.links(), state.shown_events()
    room = height - len(head) - 4
    node_lines, link_lines = _split(len(nodes), len(links), max(room - EVENTS_MIN, 2), max(1, width // GRID))
    chosen = state.selected()
    lines = [*head, _heading("NODES  " + _nodes_in_words(nodes, state.status.nodes))]
    if len(nodes) <= node_lines:
        lines += [_node(node, state, chosen) for node in nodes]
    else:
        lines += _grid(nodes, state, chosen, width, node_lines)
    up = sum(link.state == "up" for link in state.status.links)
    first = _window(len(links), link_lines, _position(chosen, [link_key(link) for link in links]))
    part = f", {first + 1}-{first + link_lines} shown" if len(links) > link_lines else ""
    every = state.status.links
    if not part and len(links) < len(every):
        part = f", {len(links)} shown"
    columns = f"{'RTT':>9}{'LOSS':>18}{'RATE':>11}{'HELD':>6}"
    lines.append(_heading(set_cell_size(f"LINKS  {up} of {len(every)} up{part}", 33) + columns))
    lines += [_link(link, state, chosen) for link in links[first : first + link_lines]]
    if state.notes and height - len(lines) - len(state.notes) - 4 >= EVENTS_MIN:
        lines += [(), _heading("TRY IN ANOTHER TERMINAL"), *((("  " + note, ""),) for note in state.notes), ()]
    lines.append(_heading("EVENTS"))
    lines += [((clock(e.at_ms) + " ", "dim"), (e.kind.ljust(12), ""), (e.text, "")) for e in events]
    return lines


def _nodes_in_words(shown: Sequence[NodeView], every: Sequence[NodeView]) -> str:
    """Of the mesh, whatever the filter leaves of it."""
    alive = sum(node.state == "alive" for node in every)
    clusters = len({node.cluster for node in every})
    part = f"; {len(shown)} of {len(every)} shown" if len(shown) < len(every) else ""
    return f"{alive} of {len(every)} alive, {clusters} cluster{'' if clusters == 1 else 's'}{part}"


def _split(nodes: int, links: int, room: int, columns: int) -> tuple[int, int]:
    """Lines for nodes and for links. Nodes come as a list where that leaves links their half, else as a grid."""
    if nodes + links <= room or nodes <= room // 2:
        return nodes, min(links, room - nodes)
    grid = min(-(-nodes // columns), max(room - 3, 1))
    return grid, max(min(links, room - grid), 1)


def _title(state: State, width: int) -> list[Line]:
    if state.status is None:
        return [(("arqon mesh status", "bold"),)]
    mesh = state.status.mesh
    here = next((node for node in state.status.nodes if node.id == state.status.self_), None)
    at = f"at {here.cluster} {short(here.id)}" if here is not None else f"at {short(state.status.self_)}"
    left = f"mesh {mesh.name}  {mesh.id}" if mesh is not None else "no mesh"
    right = ("PAUSED  " if state.paused else "") + at
    return [((left, "bold"), (" " * max(2, width - cell_len(left) - cell_len(right)), ""), (right, ""))]


def _banner(state: State, width: int, now_s: float) -> Line:
    if state.silent_since_s is not None:
        silent = show_duration(max(now_s - state.silent_since_s, 1))
        code = f" [{state.error.code}]" if state.error is not None else ""
        old = "; below is what it last said" if state.status is not None else ""
        return ((f"✖ the node has not answered for {silent}{code}; trying again{old}", "bold red reverse"),)
    if state.status is None:
        return (("asking the node", "dim"),)
    quorum = state.status.partition
    if quorum is None:
        return (("· no quorum to speak of: the node is in no mesh", "dim"),)
    rights = "writable" if quorum.writable else "READ-ONLY"
    if quorum.by_ignoring:
        rights += " by ignoring"
    missing = ""
    if quorum.phase in ("partitioned", "healing"):
        gone = len(quorum.missing) + quorum.missing_more
        rights += f", {quorum.phase}"
        missing = f", {gone} missing" if gone else ""
    word, count, needed = state_word(quorum.state), counted(quorum, state.status), f"{quorum.required} required"
    short_count = count.replace(" members", "")
    texts = (  # what it means for the node must not be what is cut off
        f"{word}: {count}, {needed} ({quorum.preset}), {rights}{missing}",
        f"{word}, {rights}{missing}: {short_count}, {needed}",
        f"{word}, {rights}: {short_count}, {needed}",
        f"{word}, {rights}: {short_count.partition(' (')[0]}, {needed}",
    )
    text = next((text for text in texts if cell_len(text) <= width), texts[-1])
    return ((text, style(quorum.state) + ("" if quorum.state == "healthy" else " bold reverse")),)


def _heading(text: str) -> Line:
    return ((text, "bold"),)


def _node(node: NodeView, state: State, chosen: Selection | None) -> Line:
    mark = " *" if state.status is not None and node.id == state.status.self_ else ""
    return (
        _cursor(chosen, "node", node.id),
        (_cell(state_word(node.state), 10), style(node.state)),
        (_cell(short(node.id) + mark, 11), ""),
        (_cell(node.cluster, 18), ""),
        (_cell(node.role, 8), ""),
        (_cell(node.region or "-", 10), ""),
        *((f"{trouble} ", "yellow") for trouble in troubles(node)),
        (", ".join(node.addresses) or "-", "dim"),
    )


def _grid(nodes: list[NodeView], state: State, chosen: Selection | None, width: int, lines: int) -> list[Line]:
    """Nodes side by side: the whole mesh on one screen; beyond that, those around the cursor."""
    columns = max(1, width // GRID)
    first = _window(-(-len(nodes) // columns), lines, _position(chosen, [n.id for n in nodes], columns)) * columns
    shown = nodes[first : first + lines * columns]
    names = state.names()
    rows = []
    for start in range(0, len(shown), columns):
        parts: list[Part] = []
        for node in shown[start : start + columns]:
            parts.append(_cursor(chosen, "node", node.id))
            parts.append((glyph(node.state) + " ", style(node.state)))
            mark = " *" if state.status is not None and node.id == state.status.self_ else ""
            parts.append((_cell(names[node.id] + mark, GRID - 3), ""))
        rows.append(tuple(parts))
    return rows


def _link(link: LinkView, state: State, chosen: Selection | None) -> Line:
    names = state.names()
    ends = (link.a, link.b)
    if state.status is not None and link.b == state.status.self_:
        ends = (link.b, link.a)  # this node first, as on every line of its own links
    between = " - ".join(names.get(end, short(end)) for end in ends)
    held = str(link.backlog) if link.mine else "-"
    return (
        _cursor(chosen, "link", link_key(link)),
        (_cell(state_word(link.state), 10), style(link.state)),
        (_cell(between, 22), ""),
        (f"{milliseconds(link.rtt_ms):>10} ", ""),
        (sparkline(state.rtts.get(link_key(link), ())) + " ", "cyan"),
        (f"{share(link.loss):>6}", "" if (link.loss or 0) < 0.01 else "yellow"),
        (f"{show_rate(link.bytes_per_s):>11}", ""),
        (f"{held:>6}", "" if held in ("0", "-") else "yellow"),
    )


def _detail(state: State, width: int) -> list[Line]:
    if state.detail is None or state.detail_lines is None:
        return [(("asking the node", "dim"),)]
    heading = "NODE" if state.detail.kind == "node" else "LINK"
    return [((heading, "bold"),), *_pairs(state.detail_lines, width)]


def _pairs(pairs: Sequence[tuple[str, str]], width: int) -> list[Line]:
    """Names and values below each other; a value that is wider than the screen goes on below itself. Long names
    (moments, counters) are a column of their own, and push the short ones' values nowhere."""
    short_width = max((cell_len(name) for name, _ in pairs if cell_len(name) <= NAME_MAX), default=0)
    long_width = max((cell_len(name) for name, _ in pairs), default=0)
    lines: list[Line] = []
    for name, value in pairs:
        column = short_width if cell_len(name) <= NAME_MAX else long_width
        for place, part in enumerate(wrap(value, max(width - column - 2, 20)) or [""]):
            lines.append(((set_cell_size("" if place else name, column) + "  ", "dim"), (part, "")))
    return lines


def _footer(state: State) -> Line:
    if state.typing:
        return (("/" + state.filter + "▏", "bold"), ("   enter keeps, esc clears", "dim"))
    if state.filter:
        return ((f"/{state.filter}", "bold"), ("   " + KEYS, "dim"))
    return ((KEYS, "dim"),)


def _cursor(chosen: Selection | None, kind: str, key: object) -> Part:
    return (">", "bold") if chosen is not None and (chosen.kind, chosen.key) == (kind, key) else (" ", "")


def _position(chosen: Selection | None, keys: Sequence[object], columns: int = 1) -> int:
    return keys.index(chosen.key) // columns if chosen is not None and chosen.key in keys else 0


def _window(count: int, room: int, position: int) -> int:
    """The first shown of `count` rows so that `position` is in view."""
    return max(0, min(position - room // 2, count - room))


def _cell(text: str, width: int) -> str:
    """`text` in exactly `width` cells, the last one a space."""
    if cell_len(text) >= width:
        text = set_cell_size(text, width - 2) + "…"
    return set_cell_size(text, width)


def _fit(line: Line, width: int) -> Line:
    """The line cut at `width` cells, with a sign that it goes on."""
    fitted: list[Part] = []
    left = width
    for text, part_style in line:
        size = cell_len(text)
        fitted.append((text if size <= left else set_cell_size(text, left - 1) + "…", part_style))
        left -= min(size, left)
        if left == 0:
            break
    return tuple(fitted)
