"""How much of the mesh counts, who does not and why, in words: for `arqon mesh status` and its live screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arqonmesh.ids import short
from arqonmesh_cli.screen import state_word
from arqonmesh_cli.times import day_and_clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arqonmesh.api.mesh_views import IgnoredView, MeshStatus, NodeView, PartitionView

PROOFS = ("equivocation", "double-redemption")


def quorum_lines(status: MeshStatus, suffix: str) -> Iterator[str]:
    """One line for the whole, and one for each that is missing. `suffix`: what names the data directory in commands."""
    quorum = status.partition
    if quorum is None:
        return
    nodes = {node.id: node for node in status.nodes}
    yield (
        f"partition {state_word(quorum.state)}: {counted(quorum, status)}, {quorum.required} required "
        f"({quorum.preset}), {_rights(quorum)}"
    )
    for missed in quorum.missing:
        node = nodes.get(missed.node)
        name = f"{'?' if node is None else node.cluster}/{short(missed.node)}"
        ignored = None if node is None else node.ignored
        if ignored is not None and not _gone(node):
            yield f"  not counted: {name}, {why_ignored(ignored)}"
            yield f"    to count it again: arqon peer forgive {short(missed.node)}{suffix}"
        else:
            phase = "" if quorum.phase == "healthy" else f" ({quorum.phase})"
            aside = "" if ignored is None else f", and {why_ignored(ignored)}"
            yield f"  missing {name} since {day_and_clock(missed.since_ms)}{phase}{aside}"
        if node is not None and node.refused:
            yield "    it speaks another protocol version: arqon version on both, and update the older one"
    if quorum.missing_more:
        yield f"  and {quorum.missing_more} more"


def counted(quorum: PartitionView, status: MeshStatus) -> str:
    """How many members count. One that is ignored could be reached, and does not count; the dead cannot."""
    ignored = sum(node.ignored is not None and not _gone(node) for node in status.nodes)
    aside = f" ({ignored} ignored)" if ignored else ""
    return f"{quorum.reachable} of {quorum.members} members {'count' if ignored else 'reachable'}{aside}"


def _gone(node: NodeView | None) -> bool:
    """To count it again it has to come back, whatever this node thinks of it."""
    return node is not None and node.state in ("dead", "left")


def _rights(quorum: PartitionView) -> str:
    if quorum.writable:
        return "writable"
    if quorum.by_ignoring:
        return (
            f"read-only because of whom this node ignores: {quorum.votes} of {quorum.voters} votes count, "
            f"with theirs it would be {quorum.votes + quorum.votes_ignored}"
        )
    if quorum.votes >= quorum.required:
        return "read-only: enough can be reached, but for less than a second so far"
    return f"read-only: {quorum.votes} of {quorum.voters} votes can be reached"


def why_ignored(ignored: IgnoredView) -> str:
    """By whom and when, and in what words."""
    since = f" {day_and_clock(ignored.at_ms)}" if ignored.at_ms else ""
    reason = f": {ignored.reason}" if ignored.reason else ""
    if ignored.cause == "banned":
        return f"banned on this node{since}{reason}"
    if ignored.cause in PROOFS:
        return f"convicted of {ignored.cause}{since}{reason}"
    if ignored.cause == "forgotten":
        return "ignored for something that its timeline does not reach back to"
    return f"ignored for what this node saw ({ignored.cause}){since}{reason}"


def troubles(node: NodeView) -> tuple[str, ...]:
    """What is to be said of a member beside whether it lives, a word or two each."""
    ignored = () if node.ignored is None else ("banned" if node.ignored.cause == "banned" else "ignored",)
    return (*ignored, *(("other version",) if node.refused else ()))
