"""One overlay core by hand: links come up when a test says so, and what it sends is looked at."""

from __future__ import annotations

from typing import TypeVar

from arqonmesh.config.model import OverlaySettings
from arqonmesh.core.events import LinkDown, LinkUp, LinkWanted, MemberIntroduced, OverlayRuns
from arqonmesh.core.kernel import MILLISECOND, Effect, Emit, Event, Instant, Send
from arqonmesh.core.overlay.attempts import Why
from arqonmesh.core.overlay.core import Overlay
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import OverlayNeighbour, OverlayNeighbourReply, WireMessage
from tests.core.toy import env_of, node_of

MessageT = TypeVar("MessageT", bound=WireMessage)
EventT = TypeVar("EventT", bound=Event)
FOUNDER = node_of("founder")


class Hand:
    """Drives one overlay; `now` moves only when told to."""

    def __init__(self, settings: OverlaySettings | None = None, *, name: str = "me", runs: bool = True) -> None:
        self.settings = settings or OverlaySettings(active_max=5)
        self.now: Instant = 1_000_000
        self.unknown: list[NodeId] = []
        self.overlay = Overlay(env_of(name), self.settings, FOUNDER, self._addresses)
        self.said: list[Effect] = self.overlay.start(self.now, {})
        if runs:
            self.event(OverlayRuns(True, ()))

    def _addresses(self, node: NodeId) -> tuple[str, ...]:
        return () if node in self.unknown else ("here:1",)

    def event(self, event: Event) -> list[Effect]:
        return self._note(self.overlay.on_event(self.now, event))

    def hears(self, peer: str, message: WireMessage) -> list[Effect]:
        return self._note(self.overlay.on_message(self.now, node_of(peer), message))

    def link(self, *peers: str) -> list[Effect]:
        return [effect for peer in peers for effect in self.event(LinkUp(node_of(peer), "test"))]

    def unlink(self, peer: str) -> list[Effect]:
        return self.event(LinkDown(node_of(peer), "liveness"))

    def wait(self, milliseconds: int) -> list[Effect]:
        """Move the clock, firing every deadline on the way."""
        until, effects = self.now + milliseconds * MILLISECOND, []
        while (due := self.overlay.next_deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            effects += self._note(self.overlay.on_timer(self.now))
        self.now = until
        return effects

    # --- what tests do often ------------------------------------------------------------------------------

    def given(self, *peers: str) -> None:
        """Neighbours that came to us."""
        for peer in peers:
            self.link(peer)
            self.hears(peer, OverlayNeighbour(True))

    def chosen(self, *peers: str) -> None:
        """Neighbours of our own choice: told of at the join, dialled, asked, and they took us in."""
        for peer in peers:
            self.event(MemberIntroduced(node_of(peer)))
            self.wait(0)
            if node_of(peer) not in self.wished():
                self.overlay._hood.begin(self.now, node_of(peer), Why.PROMOTE)
            self.link(peer)
            self.hears(peer, OverlayNeighbourReply(True, ()))

    def wished(self) -> list[NodeId]:
        """Links that it wants now."""
        wishes: dict[NodeId, None] = {}
        for effect in self.said:
            if isinstance(effect, Emit) and isinstance(effect.event, LinkWanted):
                wishes.pop(effect.event.peer, None)
                if effect.event.addresses:
                    wishes[effect.event.peer] = None
        return list(wishes)

    @property
    def active(self) -> tuple[NodeId, ...]:
        return self.overlay.active

    @property
    def passive(self) -> tuple[NodeId, ...]:
        return self.overlay.report().passive

    def _note(self, effects: list[Effect]) -> list[Effect]:
        self.said += effects
        return effects


def sent(effects: list[Effect], kind: type[MessageT]) -> list[tuple[NodeId, MessageT]]:
    """(to, message) of this type among the effects."""
    return [(e.to, e.message) for e in effects if isinstance(e, Send) and isinstance(e.message, kind)]


def events(effects: list[Effect], kind: type[EventT]) -> list[EventT]:
    """What it emitted of this type."""
    return [e.event for e in effects if isinstance(e, Emit) and isinstance(e.event, kind)]
