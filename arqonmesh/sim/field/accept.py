"""A core that wants everything: the owner of every topic in a field that measures how payloads travel."""

from __future__ import annotations

from typing import ClassVar

from arqonmesh.core.events import BroadcastArrived, BroadcastJudged
from arqonmesh.core.kernel import Durable, Effect, Emit, Env, Event, Instant
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import WireMessage


class Accepting:
    """Judges each payload "accept"."""

    NAME: ClassVar[str] = "accept"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = ()
    EVENTS: ClassVar[tuple[type[Event], ...]] = (BroadcastArrived,)

    def __init__(self, env: Env) -> None:
        self._env = env

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        return []

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        raise AssertionError(f"accept speaks no messages, got {type(message).__name__}")

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        assert isinstance(event, BroadcastArrived)
        return [Emit(BroadcastJudged(event.id, "accept"))]

    def on_timer(self, now: Instant) -> list[Effect]:
        return []

    def next_deadline(self) -> Instant | None:
        return None
