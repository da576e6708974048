"""The routing core: the members' LINKS records and our live links in, source routes out.

Our own links count at once; what others say is taken in with a short delay, so that a burst of records costs one
computation. Routes are computed when somebody asks, and only as far as the destination asked for (paths.py); what is
found is kept until the graph changes. A round trip time that only trembles changes nothing.

Members that this node thinks ill of carry nothing, or are a last resort (transit.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from arqonmesh.config.model import RoutingSettings
from arqonmesh.core.events import (
    Applied,
    LinkDown,
    LinkMeasured,
    LinkUp,
    MemberChanged,
    MemberExpelled,
    ScoreChanged,
    Withdrawn,
)
from arqonmesh.core.kernel import MILLISECOND, Durable, Effect, Env, Event, Instant
from arqonmesh.core.routing.graph import UNMEASURED_US, Claim, Edge, Graph, edges
from arqonmesh.core.routing.paths import Path, Search
from arqonmesh.core.routing.said import NOTHING, Said, said_of
from arqonmesh.core.routing.transit import Transit
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import MAX_HOPS, WireMessage
from arqonmesh.wire.statement import Kind, Links

SETTLE: Final = 20 * MILLISECOND
"""How long news of others is collected before routes take it in."""
TREMBLE_US: Final = MILLISECOND
TREMBLE_SHARE: Final = 8
"""A measurement of ours counts for routes when it moved by more than this and by more than an eighth."""
GONE: Final = ("dead", "left")


class Routing:
    """The topology of the mesh and the way to every member."""

    NAME: ClassVar[str] = "routing"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = ()
    EVENTS: ClassVar[tuple[type[Event], ...]] = (
        Applied,
        Withdrawn,
        LinkUp,
        LinkDown,
        LinkMeasured,
        MemberChanged,
        MemberExpelled,
        ScoreChanged,
    )
    KINDS: ClassVar[tuple[Kind, ...]] = (Kind.LINKS,)

    def __init__(
        self, env: Env, settings: RoutingSettings, is_member: Callable[[NodeId], bool] = lambda node: True
    ) -> None:
        """`is_member`: whether a node is on the roster; standing counts of members only."""
        self._self = env.node_id
        self.transit = Transit(settings, is_member)
        self._says: dict[NodeId, Said] = {}
        """Every other member's record of its links, as gossip holds it. Bounded by the store of statements: one record
        per author, at most 128 links in each."""
        self._live: dict[NodeId, Claim] = {}
        """Our own links that are up, as measured last."""
        self._counted_us: dict[NodeId, int] = {}
        """The round trip time with which they count for routes; 0 until the first measurement."""
        self._gone: dict[NodeId, None] = {}
        self._news: dict[NodeId, Said | None] = {}
        """Records since the graph was last looked at as a whole; None takes one back."""
        self._gone_news: dict[NodeId, bool] = {}
        self._search: Search | None = None
        self._search_of_all: Search | None = None
        """As if everybody carried what is meant for others; only where somebody does not."""
        self._settle_at: Instant | None = None
        self.computations = 0
        """How often a search for routes began; observe shows it."""
        self.last_resorts = 0
        """Messages of ours that went over somebody whom we would rather not use."""

    def adopt(self, settings: RoutingSettings) -> None:
        """Another policy of transit from now on."""
        if self.transit.adopt(settings):
            self._anew()

    # --- queries ------------------------------------------------------------------------------------------------------

    def route(self, to: NodeId) -> Path | None:
        """The cheapest path from this node to `to`, both included, at most MAX_HOPS nodes; None when there is none."""
        return self._searched().path(to)

    def route_of_all(self, to: NodeId) -> Path | None:
        """The path that would be taken if everybody carried what is meant for others."""
        if self.transit.plain:
            return self.route(to)
        if self._search_of_all is None:
            self._search_of_all = Search(self._self, self._graph().neighbours, nodes_max=MAX_HOPS)
            self.computations += 1
        return self._search_of_all.path(to)

    def used(self, route: Path) -> NodeId | None:
        """A message of ours leaves on this route. Counts last resorts on it; the first that was not warned of yet."""
        if self.transit.plain:
            return None
        doubted = [node for node in route[1:-1] if self.transit.last_resort(node)]
        self.last_resorts += bool(doubted)
        return next((node for node in doubted if self.transit.warn(node)), None)

    def reachable(self) -> tuple[NodeId, ...]:
        """Every other node to which there is a route, sorted."""
        return tuple(sorted(node for node in self._searched().all() if node != self._self))

    def edges(self) -> list[Edge]:
        """Every link that a member lists, sorted; those of this node as they are right now."""
        said = {**self._says, **self._news}
        claims = {
            author: {peer: Claim(up, kind, rtt, loss) for peer, up, kind, rtt, loss in links.links()}
            for author, links in said.items()
            if links is not None
        }
        return edges({**claims, self._self: self._live}, self._self)

    # --- the core protocol --------------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        """Nothing of our own is stored: gossip tells the records again, the links come up anew."""
        return []

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        raise AssertionError(f"routing speaks no messages, got {type(message).__name__}")

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        match event:
            case Applied(body=Links() as links) if event.author != self._self:
                self._told(now, event.author, said_of(links))
            case Withdrawn(kind=Kind.LINKS) if event.author != self._self:
                self._told(now, event.author, None)
            case LinkUp():
                self._live[event.peer] = Claim(True, event.transport, UNMEASURED_US, 0)
                self._counted_us[event.peer] = 0
                self._anew()
            case LinkDown():
                if self._live.pop(event.peer, None) is not None:
                    del self._counted_us[event.peer]
                    self._anew()
            case LinkMeasured() if event.peer in self._live:
                transport = self._live[event.peer].transport
                self._live[event.peer] = Claim(True, transport, event.rtt_us, event.loss_ppm)
                self._measured(now, event.peer, event.rtt_us)
            case MemberChanged() if event.node != self._self:
                self._changed(now, event.node, event.new in GONE)
            case MemberExpelled() if self.transit.expelled(event.node):
                self._anew()
            case ScoreChanged() if event.node != self._self and self.transit.scored(now, event):
                self._anew()
        return []

    def on_events(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            if isinstance(event, MemberChanged):
                if event.node != self._self:
                    self._changed(now, event.node, event.new in GONE)
            elif isinstance(event, Applied) and isinstance(event.body, Links):
                if event.author != self._self:
                    self._told(now, event.author, said_of(event.body))
            else:
                effects += self.on_event(now, event)
        return effects

    def on_timer(self, now: Instant) -> list[Effect]:
        if self.transit.review(now):
            self._anew()
        if self._settle_at is not None and self._settle_at <= now:
            self._settle_at = None
            self._anew()
        return []

    def next_deadline(self) -> Instant | None:
        settle_at, due_at = self._settle_at, self.transit.due_at
        if settle_at is None or due_at is None:
            return due_at if settle_at is None else settle_at
        return min(settle_at, due_at)

    # --- private ------------------------------------------------------------------------------------------------------

    def _told(self, now: Instant, author: NodeId, links: Said | None) -> None:
        """An author's present record, or that it has none any more."""
        known = self._news[author] if author in self._news else self._says.get(author)
        self._news[author] = links
        if self._settle_at is None and not (known or NOTHING).counts_as(links or NOTHING):
            self._later(now)

    def _changed(self, now: Instant, node: NodeId, gone: bool) -> None:
        if gone != self._gone_news.get(node, node in self._gone):
            self._gone_news[node] = gone
            self._later(now)

    def _measured(self, now: Instant, peer: NodeId, rtt_us: int) -> None:
        counted_us = self._counted_us[peer]
        moved_us = abs(rtt_us - counted_us)
        if not counted_us or (moved_us > TREMBLE_US and moved_us * TREMBLE_SHARE > counted_us):
            self._counted_us[peer] = rtt_us
            self._later(now)

    def _later(self, now: Instant) -> None:
        if self._settle_at is None:
            self._settle_at = now + SETTLE

    def _anew(self) -> None:
        """Take all news in; what was found before does not hold any more."""
        for author, links in self._news.items():
            if links is None:
                self._says.pop(author, None)
            else:
                self._says[author] = links
        for node, gone in self._gone_news.items():
            if gone:
                self._gone[node] = None
            else:
                self._gone.pop(node, None)
        self._news.clear()
        self._gone_news.clear()
        self._search = self._search_of_all = None

    def _searched(self) -> Search:
        if self._search is None:
            graph = self._graph(None if self.transit.plain else self.transit)
            self._search = Search(self._self, graph.neighbours, nodes_max=MAX_HOPS)
            self.computations += 1
        return self._search

    def _graph(self, transit: Transit | None = None) -> Graph:
        live = {peer: rtt_us or UNMEASURED_US for peer, rtt_us in self._counted_us.items()}
        return Graph(self._says, self._self, live, self._gone, transit)
