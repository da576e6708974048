"""The coordinates core: our own place in the space of round trips, and those that others state.

    timer ──CoordinateReport──▶ one linked peer in turn        (a datagram of some 60 bytes; losing it is harmless)
    CoordinateReport of a linked peer + the round trip that we measured to it ──▶ our coordinate moves
    moved since last told, settled, and not too soon ──Publish(COORDINATE)──▶ everyone
    Applied(COORDINATE) of another ──▶ kept, for whoever asks how far it is

How often one peer reports is for its links to say: one that has many tells each of them seldom, one that has a single
link tells that one every time. So a report is dropped as too often only where no honest node sends so many: more than
one an interval, a few saved up for a receiver that stood still and finds them together. Of what is not dropped that
counts which is its sender's turn among all our linked peers, and the rest is passed over: nobody weighs more than the
others for having fewer links, or for saying so.

What others state is self-reported, so it is used to rank whom to probe or dial and for nothing else; routes rest on
measurements. Whose coordinate contradicts what we measure to it is not used at all, until the two agree again. If
that befalls more than a third of our linked peers the fault is probably ours, and nobody is put aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from struct import Struct as Layout
from typing import ClassVar, Final

from arqonmesh.config.model import CoordinateSettings
from arqonmesh.core.coordinates.residuals import Residuals
from arqonmesh.core.coordinates.vivaldi import LAYOUT, Coordinate, Vivaldi
from arqonmesh.core.events import (
    Applied,
    Dropped,
    LinkDown,
    LinkMeasured,
    LinkUp,
    MemberChanged,
    Publish,
    Withdrawn,
)
from arqonmesh.core.kernel import MILLISECOND, SECOND, Durable, Effect, Emit, Env, Event, Instant, Lane, Send
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import CoordinateReport, WireMessage
from arqonmesh.wire.statement import Coordinate as CoordinateBody
from arqonmesh.wire.statement import Kind

KNOWN_MAX: Final = 65_536
ERROR_USABLE: Final = 0.5
"""A coordinate whose owner trusts it less is not used."""
CONTRADICTIONS_MAX: Final = 3
"""So many guesses in a row that are far from what was measured, and the coordinate is put aside."""
FAR_FACTOR: Final = 3
FAR_US: Final = 20 * MILLISECOND
"""A guess is far off when it misses by more than this and is less than a third, or more than three times, the truth."""
MOVED_US: Final = 1 * MILLISECOND
MOVED_PERCENT: Final = 10
"""Significant: moved by more than a millisecond, and by more than a tenth of the median measured round trip."""
REPORTS_SAVED: Final = 8
"""So many reports of one peer are allowed at once: what it sent while this node stood still for half a minute."""


@dataclass(slots=True)
class _Link:
    rtt_us: int | None = None
    allowed_until: Instant | None = None
    """When all that it has reported will have been allowed."""
    heard_at: Instant | None = None
    """When its newest report was taken in."""


_LAYOUT: Final = Layout(f"<{LAYOUT}i")


@lru_cache(maxsize=1_024)
def _packed(wire: tuple[int, ...]) -> bytes:
    """A coordinate as it is kept of every member: eight numbers, each an object, would be one of the largest things."""
    return _LAYOUT.pack(*wire)


@lru_cache(maxsize=1_024)
def _unpacked(packed: bytes) -> Coordinate:
    return Coordinate.from_wire(_LAYOUT.unpack(packed))


class Coordinates:
    """Vivaldi on the links that exist."""

    NAME: ClassVar[str] = "coordinates"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = (CoordinateReport,)
    EVENTS: ClassVar[tuple[type[Event], ...]] = (Applied, Withdrawn, LinkUp, LinkDown, LinkMeasured, MemberChanged)
    KINDS: ClassVar[tuple[Kind, ...]] = (Kind.COORDINATE,)

    def __init__(self, env: Env, settings: CoordinateSettings) -> None:
        self._env = env
        self._interval_us = settings.report_interval_ms * MILLISECOND
        self._settle_us = int(settings.settle_s * SECOND)
        self._publish_us = int(settings.publish_interval_s * SECOND)
        self._vivaldi = Vivaldi(env.rng)
        self._links: dict[NodeId, _Link] = {}
        self._known: dict[NodeId, bytes] = {}
        """Where members say they are, packed."""
        self._contradictions: dict[NodeId, int] = {}
        """Of linked peers: how often in a row that was far from what we measured. Never more than are known."""
        self._residuals = Residuals()
        self._turn = 0
        self._report_at: Instant | None = None
        self._publish_at: Instant = 0
        self._published: Coordinate | None = None
        self.publications = 0

    # --- queries ------------------------------------------------------------------------------------------

    @property
    def own(self) -> Coordinate:
        return self._vivaldi.coordinate

    @property
    def updates(self) -> int:
        """Round trips taken in since the start."""
        return self._vivaldi.updates

    def coordinate_of(self, node: NodeId) -> Coordinate | None:
        """Where a member says it is, if that is of any use; ourselves included."""
        if node == self._env.node_id:
            return self.own if self.own.error <= ERROR_USABLE else None
        packed = self._known.get(node)
        if packed is None:
            return None
        told = _unpacked(packed)
        return None if told.error > ERROR_USABLE or self._is_aside(node) else told

    def estimate_us(self, one: NodeId, other: NodeId) -> int | None:
        """The round trip between two members as their coordinates have it; None unless both can be used."""
        a, b = self.coordinate_of(one), self.coordinate_of(other)
        return None if a is None or b is None else max(1, round(a.distance_to(b) * SECOND))

    def guess_us(self, node: NodeId) -> int | None:
        """The round trip from here."""
        return self.estimate_us(self._env.node_id, node)

    def aside(self) -> tuple[NodeId, ...]:
        """Whose coordinate contradicts our measurements, sorted."""
        return tuple(sorted(node for node in self._contradictions if self._is_aside(node)))

    # --- Core ---------------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        """Nothing of our own is stored: gossip tells our last coordinate, and we go on from there."""
        self._publish_at = now + self._settle_us
        return []

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        assert isinstance(message, CoordinateReport), f"coordinates does not speak {type(message).__name__}"
        link = self._links.get(link_peer)
        if link is None or link.rtt_us is None:
            return []
        if self._is_too_often(now, link):
            return [Emit(Dropped("coordinates", "too-often", 1, link_peer))]
        if link.heard_at is not None and now - link.heard_at < self._spacing_us():
            return []
        link.heard_at = now
        wire = (*message.vector_us, message.height_us, message.error_ppm, message.adjustment_us)
        told = Coordinate.from_wire(wire)
        if self._note(link_peer, wire):
            self._compare(link_peer, told, link.rtt_us)
            if self._is_aside(link_peer):
                return [Emit(Dropped("coordinates", "contradicts", 1, link_peer))]
        misfit = self._residuals.note(link_peer, self.own.distance_to(told), link.rtt_us / SECOND)
        proven = told if told.error >= misfit else replace(told, error=misfit)  # nobody is surer than it proves to be
        self._vivaldi.update(link_peer, proven, link.rtt_us / SECOND)
        return self._publish(now)

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        match event:
            case LinkMeasured():
                link = self._links.get(event.peer)
                if link is not None:
                    link.rtt_us = event.rtt_us
                    packed = self._known.get(event.peer)
                    if packed is not None:
                        self._compare(event.peer, _unpacked(packed), event.rtt_us)
            case LinkUp():
                self._links[event.peer] = _Link()
                if self._report_at is None:
                    self._report_at = self._after_interval(now)
            case LinkDown():
                self._links.pop(event.peer, None)
                self._residuals.forget(event.peer)
                if not self._links:
                    self._report_at = None
            case Applied(body=CoordinateBody() as body):
                return self._stated(event.author, body)
            case Withdrawn(kind=Kind.COORDINATE):
                self._forget(event.author)
            case MemberChanged(new="left"):
                self._forget(event.node)
                self._vivaldi.forget(event.node)
        return []

    def on_events(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            if not isinstance(event, MemberChanged) or event.new == "left":
                effects += self.on_event(now, event)
        return effects

    def on_timer(self, now: Instant) -> list[Effect]:
        if self._report_at is None or now < self._report_at:
            return []
        self._report_at = self._after_interval(now)
        peers = list(self._links)
        self._turn += 1
        *vector, height_us, error_ppm, adjustment_us = self.own.to_wire()
        report = CoordinateReport(tuple(vector), height_us, error_ppm, adjustment_us)
        return [Send(peers[self._turn % len(peers)], Lane.DATAGRAM, report), *self._publish(now)]

    def next_deadline(self) -> Instant | None:
        return self._report_at

    # --- private ------------------------------------------------------------------------------------------

    def _after_interval(self, now: Instant) -> Instant:
        """One interval, and up to a quarter more so that nodes do not stay in step."""
        return now + self._interval_us + self._env.rng.randrange(0, self._interval_us // 4 + 1)

    def _is_too_often(self, now: Instant, link: _Link) -> bool:
        """More than any honest node sends to one peer, whatever its links: it reports once an interval, and to no one
        sooner than that. A quarter less is allowed, since reports take longer at one time than at another."""
        spacing_us = self._interval_us * 3 // 4
        saved_from = now - REPORTS_SAVED * spacing_us
        begun = saved_from if link.allowed_until is None else max(link.allowed_until, saved_from)
        if begun + spacing_us > now:
            return True
        link.allowed_until = begun + spacing_us
        return False

    def _spacing_us(self) -> int:
        """Between two reports of one peer that count: as if each had as many linked peers as we have and told them by
        turns, so that one that talks to us all the time has no more weight than the others."""
        measured = sum(link.rtt_us is not None for link in self._links.values())
        return self._interval_us * max(1, 3 * measured - 3) // 4

    def _stated(self, author: NodeId, body: CoordinateBody) -> list[Effect]:
        wire = (*body.vector_us, body.height_us, body.error_ppm, body.adjustment_us)
        if author == self._env.node_id:
            told = self._published = Coordinate.from_wire(wire)
            if self._vivaldi.updates == 0:  # an earlier life's: better than to begin at the origin
                self._vivaldi.coordinate = told
            return []
        if not self._note(author, wire):
            return [Emit(Dropped("coordinates", "full", 1, author))]
        return []

    def _note(self, node: NodeId, wire: tuple[int, ...]) -> bool:
        """Keep where it says that it is; False when there is no room."""
        if node not in self._known and len(self._known) >= KNOWN_MAX:
            return False
        self._known[node] = _packed(wire)
        return True

    def _forget(self, node: NodeId) -> None:
        self._known.pop(node, None)
        self._contradictions.pop(node, None)

    def _compare(self, node: NodeId, told: Coordinate, rtt_us: int) -> None:
        """Does what it says fit what we measure? Only once we know ourselves where we are."""
        if self.own.error > ERROR_USABLE or told.error > ERROR_USABLE:
            return
        guess_us = self.own.distance_to(told) * SECOND
        far = abs(guess_us - rtt_us) > FAR_US and (guess_us * FAR_FACTOR < rtt_us or guess_us > rtt_us * FAR_FACTOR)
        if far:
            self._contradictions[node] = min(self._contradictions.get(node, 0) + 1, CONTRADICTIONS_MAX)
        else:
            self._contradictions.pop(node, None)

    def _is_aside(self, node: NodeId) -> bool:
        """Contradicted again and again, and not because we are the ones who moved."""
        if self._contradictions.get(node, 0) < CONTRADICTIONS_MAX:
            return False
        linked = [other for other in self._links if other in self._known]
        contradicted = sum(self._contradictions.get(other, 0) >= CONTRADICTIONS_MAX for other in linked)
        return contradicted * 3 <= len(linked)

    def _publish(self, now: Instant) -> list[Effect]:
        if now < self._publish_at or self._vivaldi.updates == 0 or not self._has_moved():
            return []
        own = self._published = self.own
        self._publish_at = now + self._publish_us
        self.publications += 1
        *vector, height_us, error_ppm, adjustment_us = own.to_wire()
        return [Emit(Publish(Kind.COORDINATE, "", CoordinateBody(tuple(vector), height_us, error_ppm, adjustment_us)))]

    def _has_moved(self) -> bool:
        """Far enough since it was last told, or first good for anything."""
        own, told = self.own, self._published
        if told is None or (own.error <= ERROR_USABLE < told.error):
            return True
        moved = own.raw_distance_to(told) - own.height - told.height
        moved_us = SECOND * (moved + abs(own.height + own.adjustment - told.height - told.adjustment))
        rtts = sorted(link.rtt_us for link in self._links.values() if link.rtt_us is not None)
        median_us = rtts[len(rtts) // 2] if rtts else 0
        return moved_us > max(MOVED_US, median_us * MOVED_PERCENT // 100)
