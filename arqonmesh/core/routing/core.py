"""The routing core: the members' LINKS records and our live links in, source routes out.

Our own links count at once; what others say is taken in with a short delay, so that a burst of records costs one
computation. Routes are computed when somebody asks and something has changed.
"""

from __future__ import annotations

from typing import ClassVar, Final

from arqonmesh.core.events import Applied, LinkDown, LinkMeasured, LinkUp, MemberChanged
from arqonmesh.core.kernel import MILLISECOND, Durable, Effect, Env, Event, Instant
from arqonmesh.core.routing.graph import UNMEASURED_US, Claim, Edge, costs, edges
from arqonmesh.core.routing.paths import Path, cheapest_paths
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import MAX_HOPS, WireMessage
from arqonmesh.wire.statement import Links

SETTLE: Final = 20 * MILLISECOND
"""How long news of others is collected before routes take it in."""
GONE: Final = ("dead", "left")


class Routing:
    """The topology of the mesh and the way to every member."""

    NAME: ClassVar[str] = "routing"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = ()
    EVENTS: ClassVar[tuple[type[Event], ...]] = (Applied, LinkUp, LinkDown, LinkMeasured, MemberChanged)

    def __init__(self, env: Env) -> None:
        self._self = env.node_id
        self._claims: dict[NodeId, dict[NodeId, Claim]] = {env.node_id: {}}
        """What every member says of its links; our own entry is what is live here. Bounded by the store of statements:
        one record per author, at most 128 links in each."""
        self._gone: dict[NodeId, None] = {}
        self._paths: dict[NodeId, Path] | None = None
        self._settle_at: Instant | None = None
        self.computations = 0
        """How often routes were computed; observe shows it."""

    # --- queries ------------------------------------------------------------------------------------------------------

    def route(self, to: NodeId) -> Path | None:
        """The cheapest path from this node to `to`, both included, at most MAX_HOPS nodes; None when there is none."""
        return self._computed().get(to)

    def next_hop(self, to: NodeId) -> NodeId | None:
        """The neighbour through whom `to` is reached; None for ourselves and for whom we cannot reach."""
        path = self.route(to)
        return path[1] if path is not None and len(path) > 1 else None

    def reachable(self) -> tuple[NodeId, ...]:
        """Every other node to which there is a route, sorted."""
        return tuple(sorted(node for node in self._computed() if node != self._self))

    def edges(self) -> list[Edge]:
        """Every link that a member lists, sorted; those of this node as they are right now."""
        return edges(self._claims, self._self)

    # --- the core protocol --------------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        """Nothing of our own is stored: gossip tells the records again, the links come up anew."""
        return []

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        raise AssertionError(f"routing speaks no messages, got {type(message).__name__}")

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        live = self._claims[self._self]
        match event:
            case Applied(body=Links() as links) if event.author != self._self:
                self._claims[event.author] = {
                    NodeId(link.peer): Claim(link.state == "up", link.transport, link.rtt_us, link.loss_ppm)
                    for link in links.adjacencies
                }
                self._later(now)
            case LinkUp():
                live[event.peer] = Claim(True, event.transport, UNMEASURED_US, 0)
                self._paths = None
            case LinkDown():
                if live.pop(event.peer, None) is not None:
                    self._paths = None
            case LinkMeasured() if event.peer in live:
                live[event.peer] = Claim(True, live[event.peer].transport, event.rtt_us, event.loss_ppm)
                self._later(now)
            case MemberChanged() if event.node != self._self and (event.new in GONE) != (event.node in self._gone):
                if event.new in GONE:
                    self._gone[event.node] = None
                else:
                    del self._gone[event.node]
                self._later(now)
        return []

    def on_timer(self, now: Instant) -> list[Effect]:
        if self._settle_at is not None and self._settle_at <= now:
            self._settle_at = None
            self._paths = None
        return []

    def next_deadline(self) -> Instant | None:
        return self._settle_at

    def _later(self, now: Instant) -> None:
        if self._settle_at is None:
            self._settle_at = now + SETTLE

    def _computed(self) -> dict[NodeId, Path]:
        if self._paths is None:
            graph = costs(self._claims, self._self, self._gone)
            self._paths = cheapest_paths(graph, self._self, nodes_max=MAX_HOPS)
            self.computations += 1
        return self._paths
