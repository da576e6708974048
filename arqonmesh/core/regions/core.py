"""Regions: two leaders for each, chosen by everyone alike, linked to the leaders of the other regions.

Who leads follows from records (choice.py). A node that finds itself seated claims the seat with a signed summary of its
region, after a moment in which gossip may tell it better; from then on it stays while it lives. It gives the seat up
when better candidates have been there for `hysteresis_s` without a break, or when others took it while it was gone.

    not seated ──seated for CLAIM_AFTER──▶ claims ──better ones there for hysteresis_s──▶ gives up
                                             └────────outranked by later claims───────────▶ gives up

Summaries go out when something in them changed, at most every `summary_interval_s`. A mesh of one region has leaders
too, but nobody to tell: nothing is published there.

Links: a leader wants links to the leaders of the other regions, all of them or, of many, `bridges_max` by rendezvous;
and one to the leader beside it, so that what crosses a region on its way to a third does not wander through all of it.
Whether these wishes count is up to topology: with `links.auto: none` they do not, and the operator links the regions.
What is told to everyone crosses between regions on these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from arqonmesh.config.model import RegionSettings
from arqonmesh.core.events import (
    Applied,
    Dropped,
    LeadersChanged,
    LinkWanted,
    MemberChanged,
    MemberDescribed,
    MemberExpelled,
    Publish,
    Withdrawn,
)
from arqonmesh.core.kernel import SECOND, Durable, Effect, Emit, Env, Event, Instant
from arqonmesh.core.regions.choice import Region, rank_of
from arqonmesh.core.regions.summary import Resident, root_of, says_the_same, summarise
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import WireMessage
from arqonmesh.wire.statement import Kind, RegionSummary

CLAIM_AFTER_US: Final = 3 * SECOND
"""How long a seat is held before it is claimed: a node that starts knows only itself for a moment."""
REFUSED_AFTER_US: Final = 30 * SECOND
"""A disk that takes longer to write one statement has other worries."""
SUMMARIES_PER_AUTHOR: Final = 4
"""Regions of which one author's summaries are kept: its own, and those that it told before it moved."""
TERM_MAX: Final = (1 << 63) - 1

Heads = Callable[[], Sequence[tuple[NodeId, int, int]]]
"""(author, epoch, seq) of every author's newest statement, sorted by author; core/gossip keeps them."""


@dataclass(frozen=True, slots=True)
class RegionReport:
    """One region as this node sees it, for screens. `summary` is the best leader's that published one."""

    region: str
    leaders: tuple[NodeId, ...]
    counted: RegionSummary
    """The same counts by what this node knows itself."""
    summary: RegionSummary | None
    summary_by: NodeId | None


class Regions:
    """Emits LeadersChanged for every region, and for our own what a leader has to say and whom to link."""

    NAME: ClassVar[str] = "regions"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = ()
    EVENTS: ClassVar[tuple[type[Event], ...]] = (MemberDescribed, MemberChanged, MemberExpelled, Applied, Withdrawn)
    KINDS: ClassVar[tuple[Kind, ...]] = (Kind.REGION_SUMMARY,)

    def __init__(self, env: Env, settings: RegionSettings, heads: Heads) -> None:
        self._me = env.node_id
        self._here = env.region
        self._heads = heads
        self._seats = settings.leaders
        self._hysteresis_us = int(settings.hysteresis_s * SECOND)
        self._interval_us = int(settings.summary_interval_s * SECOND)
        self._bridges_max = settings.bridges_max
        self._residents: dict[NodeId, Resident] = {}
        self._states: dict[NodeId, str] = {}
        """States of members that have not been described yet."""
        self._regions: dict[str, Region] = {}
        self._summaries: dict[NodeId, dict[str, RegionSummary]] = {}
        self._wished: dict[NodeId, tuple[str, ...]] = {}
        self._awaiting: Instant | None = None
        """A summary of ours is on its way to disk; after this moment it must have been refused."""
        self._step: tuple[str, Instant] | None = None
        """"claim" or why we give up, and when."""
        self._changed = False
        self._summary_at: Instant = 0
        self._several = False
        """There are at least two regions with someone alive in them."""

    # --- what the node asks -------------------------------------------------------------------------------

    def leaders(self, region: str) -> tuple[NodeId, ...]:
        """Best first; empty when nobody of it is alive."""
        known = self._regions.get(region)
        return () if known is None else known.leaders

    @property
    def leading(self) -> bool:
        """This node is a leader of its region."""
        return self._me in self.leaders(self._here)

    @property
    def alive(self) -> int:
        """Regions with a member alive."""
        return sum(1 for region in self._regions.values() if region.leaders)

    def report(self) -> tuple[RegionReport, ...]:
        """Every region that a member tells, sorted by name."""
        return tuple(self._report(name) for name in sorted(self._regions))

    # --- Core ---------------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        return []

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        raise AssertionError(f"regions speaks no messages, got {type(message).__name__}")

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        if isinstance(event, Applied):
            if event.kind != Kind.REGION_SUMMARY or not isinstance(event.body, RegionSummary):
                return []
            return self._told(now, event.author, event.key, event.body)
        if isinstance(event, MemberChanged):
            return self._changed_state(now, event.node, event.new)
        if isinstance(event, MemberDescribed):
            return self._described(now, event)
        if isinstance(event, Withdrawn):
            return self._told(now, event.author, event.key, None) if event.kind == Kind.REGION_SUMMARY else []
        assert isinstance(event, MemberExpelled), f"regions does not listen to {type(event).__name__}"
        return self._expelled(now, event.node)

    def on_events(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        """Who leads is weighed once for each region, when all have their places."""
        effects: list[Effect] = []
        touched: dict[str, None] = {}
        described = False
        for event in events:
            if isinstance(event, MemberDescribed):
                effects += self._settled(now, event)
                touched[event.region], described = None, True
            elif isinstance(event, MemberChanged):
                region = self._stands_as(event.node, event.new)
                if region is not None:
                    touched[region] = None
            else:
                effects += self.on_event(now, event)
        for name in touched:
            if name in self._regions:
                effects += self._weigh(now, name)
        return effects + (self._wish() if described else [])

    def on_timer(self, now: Instant) -> list[Effect]:
        if self._awaiting is not None:
            if now < self._awaiting:
                return []
            self._refused(now)
        step, region = self._step, self._regions.get(self._here)
        if region is None:
            return []
        if step is not None and step[1] <= now:
            self._step = None
            if step[0] == "claim":
                return self._publish(now, min(region.term + 1, TERM_MAX), region.leaders)
            others = tuple(node for node in region.leaders if node != self._me)
            return self._publish(now, self._own_term(), others)
        if self._due() and self._summary_at <= now:
            self._changed = False
            summary, last = self._summary(self._own_term(), region.leaders), self._own_summary()
            if last is None or not says_the_same(summary, last):
                return self._publish(now, summary.term, region.leaders)
        return []

    def next_deadline(self) -> Instant | None:
        if self._awaiting is not None:
            return self._awaiting
        steps = [] if self._step is None else [self._step[1]]
        if self._due():
            steps.append(self._summary_at)
        return min(steps, default=None)

    def _refused(self, now: Instant) -> None:
        """What we said did not come back: the store takes no more of us. Say it again when it is due; a seat that is
        not claimed for long is nobody's, and what is not told of a region, nobody knows."""
        self._awaiting, self._changed = None, True
        self._summary_at = now + self._interval_us
        self._consider(now)

    # --- members ------------------------------------------------------------------------------------------

    def _described(self, now: Instant, event: MemberDescribed) -> list[Effect]:
        return self._settled(now, event) + self._weigh(now, event.region) + self._renewed(event)

    def _settled(self, now: Instant, event: MemberDescribed) -> list[Effect]:
        """It has its place in its region; who leads there is weighed by the caller."""
        node, old = event.node, self._residents.get(event.node)
        state = old.state if old is not None else self._states.pop(node, "")
        rank = rank_of(event.region, node, event.role)
        resident = Resident(event.region, event.role, event.cluster, event.software, event.addresses, state)
        self._residents[node] = resident
        effects: list[Effect] = []
        if old is not None and old.region != event.region:
            effects += self._moved_out(now, node, old.region)
        region = self._regions.setdefault(event.region, Region())
        region.stand(node, rank, state)
        region.residents += old is None or old.region != event.region
        region.claim(node, self._term_of(node, event.region))
        return effects

    def _renewed(self, event: MemberDescribed) -> list[Effect]:
        """Somebody whose link we want listens elsewhere."""
        node = event.node
        return self._wish() if node in self._wished and self._wished[node] != event.addresses else []

    def _changed_state(self, now: Instant, node: NodeId, state: str) -> list[Effect]:
        region = self._stands_as(node, state)
        return [] if region is None else self._weigh(now, region)

    def _stands_as(self, node: NodeId, state: str) -> str | None:
        """Its state is this from now on; the region that is to be weighed."""
        resident = self._residents.get(node)
        if resident is None:
            self._states[node] = state
            return None
        resident.state = state
        self._regions[resident.region].stand(node, rank_of(resident.region, node, resident.role), state)
        return resident.region

    def _expelled(self, now: Instant, node: NodeId) -> list[Effect]:
        self._states.pop(node, None)
        self._summaries.pop(node, None)
        resident = self._residents.pop(node, None)
        if resident is None:
            return []
        return self._moved_out(now, node, resident.region)

    def _moved_out(self, now: Instant, node: NodeId, name: str) -> list[Effect]:
        """A region that nobody tells any more is forgotten: names are what members make them."""
        region = self._regions[name]
        region.forget(node)
        region.residents -= 1
        effects = self._weigh(now, name)
        if not region.residents:
            del self._regions[name]
        return effects

    def _told(self, now: Instant, author: NodeId, region: str, summary: RegionSummary | None) -> list[Effect]:
        """An author's newest summary of a region, or that there is none any more."""
        if author == self._me and region == self._here:
            self._awaiting = None
        kept = self._summaries.setdefault(author, {})
        kept.pop(region, None)
        dropped: list[Effect] = []
        if summary is not None:
            kept[region] = summary
            if len(kept) > SUMMARIES_PER_AUTHOR:
                del kept[next(iter(kept))]
                dropped.append(Emit(Dropped("regions", "summaries-full", 1, author)))
        resident = self._residents.get(author)
        if resident is None or resident.region != region:
            return dropped
        self._regions[region].claim(author, self._term_of(author, region))
        return dropped + self._weigh(now, region)

    def _term_of(self, node: NodeId, region: str) -> int | None:
        """The term of the seat that it claims there, or None."""
        summary = self._summaries.get(node, {}).get(region)
        return summary.term if summary is not None and node in summary.leaders else None

    # --- leaders ------------------------------------------------------------------------------------------

    def _weigh(self, now: Instant, name: str) -> list[Effect]:
        """Something in a region changed: who leads it now, and what follows for us."""
        region = self._regions[name]
        leaders = region.seated(self._seats)
        effects: list[Effect] = []
        if leaders != region.leaders:
            region.leaders = leaders
            self._several = self.alive > 1
            effects.append(Emit(LeadersChanged(name, leaders)))
            effects += self._wish()
            self._consider(now)
        elif name == self._here:
            self._consider(now)
        if name == self._here:
            self._changed = True
        return effects

    def _consider(self, now: Instant) -> None:
        """Is it on us to claim our seat, or to give it up, and since when?"""
        region = self._regions.get(self._here)
        wish = None
        if region is not None and self._several:
            seated, claims = self._me in region.leaders, region.claims(self._me)
            if seated and not claims:
                wish = ("claim", CLAIM_AFTER_US)
            elif claims and not seated and self._stands():
                wish = ("outranked", CLAIM_AFTER_US)
            elif seated and self._me not in region.best(self._seats):
                wish = ("better", self._hysteresis_us)
        if wish is None:
            self._step = None
        elif self._step is None or self._step[0] != wish[0]:
            self._step = (wish[0], now + wish[1])

    def _stands(self) -> bool:
        resident = self._residents.get(self._me)
        return resident is not None and resident.state in ("alive", "suspect")

    def _wish(self) -> list[Effect]:
        """A leader wants links to the leaders of the other regions, and to those beside it; nobody else does. Those
        beside it stay wanted when the last other region is gone, also while they are held dead: theirs may be the only
        links that are left."""
        wanted: list[NodeId] = []
        if self.leading:
            mates = [node for node in self.leaders(self._here) if node != self._me]
            beside = mates if self._several else [node for node in self._wished if self._may_be_back(node)]
            across = [node for name, region in self._regions.items() if name != self._here for node in region.leaders]
            wanted = beside + sorted(across, key=self._bridge_rank)[: self._bridges_max]
        addresses = {node: self._residents[node].addresses for node in wanted}
        effects: list[Effect] = [
            Emit(LinkWanted(node, self.NAME, ())) for node in self._wished if not addresses.get(node)
        ]
        effects += [
            Emit(LinkWanted(node, self.NAME, at))
            for node, at in addresses.items()
            if at and self._wished.get(node) != at
        ]
        self._wished = {node: at for node, at in addresses.items() if at}
        return effects

    def _may_be_back(self, node: NodeId) -> bool:
        """It lives here, or did and has not left."""
        resident = self._residents.get(node)
        return resident is not None and resident.region == self._here and resident.state != "left"

    def _bridge_rank(self, node: NodeId) -> bytes:
        return hashlib.sha256(f"{self._me} {node}".encode()).digest()

    # --- summaries ----------------------------------------------------------------------------------------

    def _due(self) -> bool:
        """There is news of our region, and it is ours to tell."""
        region = self._regions.get(self._here)
        return self._changed and self._several and region is not None and self.leading and region.claims(self._me)

    def _publish(self, now: Instant, term: int, leaders: tuple[NodeId, ...]) -> list[Effect]:
        self._awaiting, self._changed = now + REFUSED_AFTER_US, False
        self._summary_at = now + self._interval_us
        return [Emit(Publish(Kind.REGION_SUMMARY, self._here, self._summary(term, leaders)))]

    def _summary(self, term: int, leaders: tuple[NodeId, ...]) -> RegionSummary:
        here = {node: None for node, resident in self._residents.items() if resident.region == self._here}
        root = root_of(head for head in self._heads() if head[0] in here)
        return summarise(term, leaders, (self._residents[node] for node in here), root)

    def _own_summary(self) -> RegionSummary | None:
        return self._summaries.get(self._me, {}).get(self._here)

    def _own_term(self) -> int:
        summary = self._own_summary()
        return 0 if summary is None else summary.term

    def _report(self, name: str) -> RegionReport:
        leaders = self.leaders(name)
        counted = summarise(0, leaders, (r for r in self._residents.values() if r.region == name))
        for leader in leaders:
            summary = self._summaries.get(leader, {}).get(name)
            if summary is not None:
                return RegionReport(name, leaders, counted, summary, leader)
        return RegionReport(name, leaders, counted, None, None)
