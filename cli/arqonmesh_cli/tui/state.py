"""What the live screen knows and where the person is looking. Pure: fed by app.py, drawn by page.py."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, Literal

from arqonmesh.api.mesh_views import LinkView, MeshEvent, MeshStatus, NodeView
from arqonmesh.errors import ArqonError

RTT_KEPT: Final = 60
"""RTT samples per link; at two polls a second, half a minute."""
EVENTS_KEPT: Final = 500
LINKS_KEPT: Final = 1_024
FILTER_MAX: Final = 40

LinkKey = tuple[str, str]


@dataclass(slots=True)
class Selection:
    """One row: a node by its id, or a link by its two ends."""

    kind: Literal["node", "link"]
    key: str | LinkKey


@dataclass(slots=True)
class State:
    status: MeshStatus | None = None
    silent_since_s: float | None = None
    """When the node stopped answering; None while it answers."""
    error: ArqonError | None = None
    rtts: dict[LinkKey, deque[float]] = field(default_factory=dict)
    events: deque[MeshEvent] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))
    view: Literal["mesh", "help", "detail"] = "mesh"
    cursor: int = 0
    filter: str = ""
    typing: bool = False
    paused: bool = False
    notes: tuple[str, ...] = ()
    """Lines that whoever opened the screen wants shown where there is room (the demo: what to try)."""
    detail: Selection | None = None
    detail_lines: tuple[tuple[str, str], ...] | None = None
    """Names and values of the selected thing; None while they are being asked for."""

    def answered(self, status: MeshStatus) -> None:
        """A new status; RTTs go on being recorded while the screen is paused."""
        self.silent_since_s, self.error = None, None
        known = {}
        for link in status.links:
            key = link_key(link)
            samples: deque[float] = deque(maxlen=RTT_KEPT)
            if link.rtt_ms is not None:  # where it is not measured, what was says nothing any more
                samples = self.rtts.get(key, samples)
                samples.append(link.rtt_ms)
            known[key] = samples
            if len(known) >= LINKS_KEPT:
                break
        self.rtts = known
        if not self.paused or self.status is None:
            self.status = status
            self.cursor = min(self.cursor, max(len(self.rows()) - 1, 0))

    def silent(self, error: ArqonError | None, asked_s: float) -> None:
        """The node did not answer what it was asked at this time, or has not yet; what was last known stays on the
        screen, marked as old."""
        self.error = error or self.error
        if self.silent_since_s is None:
            self.silent_since_s = asked_s

    def happened(self, event: MeshEvent) -> None:
        """A new event; the newest of a stream that begins anew were seen before and do not count twice."""
        if event not in self.events:
            self.events.append(event)

    def nodes(self) -> list[NodeView]:
        """Nodes that the filter lets through: this one, then those that are not alive, then by cluster and id."""
        if self.status is None:
            return []
        here = self.status.self_
        kept = [
            node for node in self.status.nodes if self._shown(node.id, node.cluster, node.role, node.region, node.state)
        ]
        return sorted(kept, key=lambda node: (node.id != here, node.state == "alive", node.cluster, node.id))

    def links(self) -> list[LinkView]:
        """Links that the filter lets through: those that are not up first, then this node's own."""
        if self.status is None:
            return []
        names = self.names()
        kept = [
            link
            for link in self.status.links
            if self._shown(link.a, link.b, names.get(link.a, ""), names.get(link.b, ""), link.state, link.transport)
        ]
        return sorted(kept, key=lambda link: (link.state == "up", not link.mine, link_key(link)))

    def shown_events(self) -> list[MeshEvent]:
        """Newest first."""
        return [event for event in reversed(self.events) if self._shown(event.kind, event.text)]

    def rows(self) -> list[Selection]:
        """What the cursor moves over, from top to bottom."""
        nodes = [Selection("node", node.id) for node in self.nodes()]
        return nodes + [Selection("link", link_key(link)) for link in self.links()]

    def selected(self) -> Selection | None:
        rows = self.rows()
        return rows[min(self.cursor, len(rows) - 1)] if rows else None

    def move(self, step: int) -> None:
        self.cursor = max(0, min(self.cursor + step, len(self.rows()) - 1))

    def names(self) -> dict[str, str]:
        """Node ids as people call them: the cluster where it has one node, else cluster and the id's beginning."""
        nodes = self.status.nodes if self.status is not None else ()
        sizes: dict[str, int] = {}
        for node in nodes:
            sizes[node.cluster] = sizes.get(node.cluster, 0) + 1
        return {
            node.id: node.cluster if sizes[node.cluster] == 1 else f"{node.cluster}/{node.id[:4]}" for node in nodes
        }

    def _shown(self, *texts: str) -> bool:
        wanted = self.filter.lower()
        return not wanted or any(wanted in text.lower() for text in texts)


def link_key(link: LinkView) -> LinkKey:
    return (link.a, link.b)
