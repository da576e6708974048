"""Announces what it does not send, and passes nothing on. A core of `sim.field`, in the place of broadcast."""

from __future__ import annotations

from typing import ClassVar

from arqonmesh.core.broadcast import Plumtree
from arqonmesh.core.events import LinkDown, LinkUp
from arqonmesh.core.kernel import SECOND, Durable, Effect, Env, Event, Instant, Lane, Send
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import BroadcastHave, BroadcastPayload, WireMessage
from arqonmesh.wire.naming import broadcast_id


class PromiseBreaker:
    """Says to have every payload that reaches it, on the shortest way, and now and then one that does not exist."""

    NAME: ClassVar[str] = "broadcast"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = Plumtree.MESSAGES
    EVENTS: ClassVar[tuple[type[Event], ...]] = (LinkUp, LinkDown)

    def __init__(self, env: Env) -> None:
        self._env = env
        self._linked: dict[NodeId, None] = {}
        self._at: Instant = 0

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        self._at = now + self._env.rng.randrange(0, SECOND)
        return []

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        """Grafts go unanswered, payloads end here."""
        if not isinstance(message, BroadcastPayload):
            return []
        return self._announce(broadcast_id(message.topic, message.data))

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        if isinstance(event, LinkUp):
            self._linked[event.peer] = None
        elif isinstance(event, LinkDown):
            self._linked.pop(event.peer, None)
        return []

    def on_timer(self, now: Instant) -> list[Effect]:
        self._at = now + SECOND
        return self._announce(self._env.rng.getrandbits(128).to_bytes(16, "big"))

    def next_deadline(self) -> Instant | None:
        return self._at

    def _announce(self, id_: bytes) -> list[Effect]:
        return [Send(peer, Lane.CONTROL, BroadcastHave(((id_, 0, 0),))) for peer in self._linked]
