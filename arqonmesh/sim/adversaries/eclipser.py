"""Wants to be all that its victim knows. A core of `sim.field`, in the place of the overlay."""

from __future__ import annotations

from typing import ClassVar, Final

from arqonmesh.core.events import LinkDown, LinkUp
from arqonmesh.core.kernel import SECOND, Connect, Durable, Effect, Env, Event, Instant, Lane, Send
from arqonmesh.core.overlay.core import Overlay
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import (
    OverlayDisconnect,
    OverlayForwardJoin,
    OverlayJoin,
    OverlayNeighbour,
    OverlayNeighbourReply,
    OverlayShuffle,
    OverlayShuffleReply,
    WireMessage,
)

CROWD: Final = 8
"""Names in one message, all of them of the adversary."""


class Eclipser:
    """Colludes with others like it: links to everyone, takes everyone in, names only its own, floods the victim with
    joins, walks and shuffles, and pushes the victim out of the views of everybody else by asking with priority."""

    NAME: ClassVar[str] = "overlay"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = Overlay.MESSAGES
    EVENTS: ClassVar[tuple[type[Event], ...]] = (LinkUp, LinkDown)

    def __init__(self, env: Env, gang: list[NodeId], honest: list[NodeId], victim: NodeId) -> None:
        self._env = env
        self._gang = gang
        self._honest = honest
        self._victim = victim
        self._linked: dict[NodeId, None] = {}
        self._at: Instant = 0

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        self._at = now + self._env.rng.randrange(0, SECOND)
        return [Connect(peer, ("field:1",)) for peer in [self._victim, *self._honest]]

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        if isinstance(message, OverlayJoin | OverlayNeighbour):
            return [Send(link_peer, Lane.CONTROL, OverlayNeighbourReply(True, self._crowd()))]
        if isinstance(message, OverlayShuffle):
            return [Send(link_peer, Lane.CONTROL, OverlayShuffleReply(message.nonce, message.path, self._crowd()))]
        return []

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        if isinstance(event, LinkUp):
            self._linked[event.peer] = None
        elif isinstance(event, LinkDown):
            self._linked.pop(event.peer, None)
        return []

    def on_timer(self, now: Instant) -> list[Effect]:
        self._at = now + SECOND
        effects: list[Effect] = []
        if self._victim in self._linked:
            effects.append(Send(self._victim, Lane.CONTROL, OverlayNeighbour(True)))
            effects.append(Send(self._victim, Lane.CONTROL, OverlayJoin()))
            path = (self._env.node_id,)
            nonce = self._env.rng.getrandbits(32)
            effects.append(Send(self._victim, Lane.CONTROL, OverlayShuffle(nonce, path, 0, self._crowd())))
            effects += [Send(self._victim, Lane.CONTROL, OverlayForwardJoin(one, 0)) for one in self._crowd()]
        for peer in self._honest:  # whoever has the victim as a given neighbour is made to send it away
            if peer in self._linked and self._env.rng.randrange(0, 20) == 0:
                effects.append(Send(peer, Lane.CONTROL, OverlayDisconnect(self._crowd())))
                effects.append(Send(peer, Lane.CONTROL, OverlayNeighbour(True)))
        return effects

    def next_deadline(self) -> Instant | None:
        return self._at

    def _crowd(self) -> tuple[NodeId, ...]:
        crowd = [node for node in self._gang if node != self._env.node_id]
        self._env.rng.shuffle(crowd)
        return tuple(crowd[:CROWD])
