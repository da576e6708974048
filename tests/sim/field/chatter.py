"""Cores so small that only the field can be wrong."""

from __future__ import annotations

from typing import ClassVar

from arqonmesh.core.events import LinkDown, LinkMeasured, LinkUp, Persisted, TransportUp
from arqonmesh.core.kernel import Connect, Durable, Effect, Emit, Env, Event, Instant, Lane, Persist, Put, Send
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import Ack, Ping, WireMessage


class Chatter:
    """Answers Ping with Ack and Ack with Ping, as long as `rallies` last; notes all it hears."""

    NAME: ClassVar[str] = "chatter"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = (Ping, Ack)
    EVENTS: ClassVar[tuple[type[Event], ...]] = (LinkUp, LinkDown, LinkMeasured, TransportUp)

    def __init__(self, env: Env, rallies: int = 0, dials: tuple[NodeId, ...] = (), wakes_at: Instant | None = None):
        self._env = env
        self.rallies = rallies
        self.dials = dials
        self.wakes_at = wakes_at
        self.heard: list[tuple[Instant, object]] = []

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        return [Connect(peer, ()) for peer in self.dials]

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        self.heard.append((now, message))
        if isinstance(message, Ping):
            return [Send(link_peer, Lane.DATAGRAM, Ack(seq=message.seq))]
        assert isinstance(message, Ack)
        if not self.rallies:
            return []
        self.rallies -= 1
        return [Send(link_peer, Lane.DATAGRAM, Ping(seq=message.seq + 1, accused=-1))]

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        self.heard.append((now, event))
        if isinstance(event, Persisted):
            return [Emit(LinkDown(NodeId("stored"), ""))]
        return []

    def on_timer(self, now: Instant) -> list[Effect]:
        self.wakes_at = None
        self.heard.append((now, "timer"))
        return [Persist(7, (Put("scalars", ("chatter", "x", b"")),))]

    def next_deadline(self) -> Instant | None:
        return self.wakes_at

    def says(self, peer: NodeId, seq: int, lane: Lane = Lane.CONTROL) -> Send:
        return Send(peer, lane, Ping(seq=seq, accused=-1))
