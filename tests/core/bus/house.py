"""A bus with a hand-moved clock, and what its clients were sent, read back."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from arqonmesh.config.model import BusSettings
from arqonmesh.core.bus import Bus, BusEnv, ClientInfo
from arqonmesh.core.bus.identity import ANONYMOUS, Identity
from arqonmesh.core.events import ClientCame, ClientWent, Dropped, KeysLearned, Observed, Published
from arqonmesh.core.kernel import (
    AwaitDrain,
    CloseClient,
    Deliver,
    Effect,
    Emit,
    Event,
    ForgetHistory,
    KeepFrames,
    ReadHistory,
    Throttle,
)
from arqonmesh.ids import ClientId, ClusterId, NodeId
from arqonmesh.wire.messages import KeyRecord

START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
Json = dict[str, Any]


class PublishedFrame(NamedTuple):
    """One frame of what the bus said is published."""

    channel: str
    frame: bytes
    client: ClientId | None


class House:
    """One bus; effects are performed into lists that tests look at."""

    def __init__(
        self,
        settings: BusSettings | None = None,
        exported: bool = True,
        *,
        node: str = "n",
        boot_epoch: int = 0,
        durable: bool = False,
        authenticate: Callable[[Identity, str], Identity] | None = None,
    ) -> None:
        self.now = 1_000_000
        self.wall_ms = START_MS
        env = BusEnv(
            node_id=NodeId(node * 32),
            cluster=ClusterId("hq"),
            rng=random.Random(1),
            wall_ms=lambda: self.wall_ms,
            boot_epoch=boot_epoch,
            durable=durable,
            authenticate=authenticate,
        )
        self.bus = Bus(env, settings or BusSettings(), lambda channel: exported)
        self.inboxes: dict[ClientId, list[bytes]] = {}
        self.published: list[PublishedFrame] = []
        self.dropped: list[Dropped] = []
        self.told: list[ClientCame | ClientWent | Observed] = []
        self.closed: list[CloseClient] = []
        self.throttled: list[Throttle] = []
        self.awaited: list[ClientId] = []
        """Who is to be told of when it has read; `tell(ClientDrained(client))` does."""
        self.deliveries: list[Deliver] = []
        self.kept: list[KeepFrames] = []
        self.asked: list[ReadHistory] = []
        self.forgotten: list[str] = []
        self.learned: list[KeyRecord] = []

    def connect(self, subprotocol: str = "arqon.v1", name: str = "", identity: Identity = ANONYMOUS) -> ClientId:
        """A new client; its welcome stays in its inbox only until `take`."""
        client = self.bus.new_client_id()
        self.inboxes[client] = []
        self.perform(
            self.bus.client_connected(self.now, client, ClientInfo("127.0.0.1:5", subprotocol, name, identity=identity))
        )
        return client

    def member(self, channel: str, subprotocol: str = "arqon.v1") -> ClientId:
        """A client that has joined, with an empty inbox; everyone else's notices are gone too."""
        client = self.connect(subprotocol)
        self.send(client, {"type": "command", "command": "join_channel", "args": {"channel": channel}})
        for inbox in self.inboxes.values():
            inbox.clear()
        return client

    def send(self, client: ClientId, *frames: Json | bytes) -> list[Effect]:
        raw = [frame if isinstance(frame, bytes) else json.dumps(frame).encode() for frame in frames]
        return self.perform(self.bus.client_frames(self.now, client, raw))

    def ask(self, client: ClientId, frame: Json | bytes) -> Json:
        """Send one frame and read its one answer."""
        self.inboxes[client].clear()
        self.send(client, frame)
        (answer,) = self.take(client)
        return answer

    def wait(self, ms: int) -> list[Effect]:
        """Time passes, and the bus's deadlines with it."""
        until, effects = self.now + ms * 1_000, []
        while (deadline := self.bus.next_deadline()) is not None and deadline <= until:
            self.wall_ms += max(0, deadline - self.now) // 1_000
            self.now = max(self.now, deadline)
            effects += self.perform(self.bus.on_timer(self.now))
        self.wall_ms += (until - self.now) // 1_000
        self.now = until
        return effects

    def tell(self, event: Event) -> list[Effect]:
        return self.perform(self.bus.on_event(self.now, event))

    def leave(self, client: ClientId) -> None:
        self.perform(self.bus.client_disconnected(self.now, client))

    def take(self, client: ClientId) -> list[Json]:
        """What the client was sent since the last time, decoded."""
        frames, self.inboxes[client] = self.inboxes[client], []
        return [cast(Json, json.loads(frame)) for frame in frames]

    def perform(self, effects: list[Effect]) -> list[Effect]:
        for effect in effects:
            match effect:
                case Deliver():
                    self.deliveries.append(effect)
                    for client in effect.clients:
                        self.inboxes[client].extend(effect.frames)
                case Emit(event=Published() as event):
                    self.published += [PublishedFrame(event.channel, frame, event.client) for frame in event.frames]
                case Emit(event=Dropped() as event):
                    self.dropped.append(event)
                case Emit(event=ClientCame() | ClientWent() | Observed() as event):
                    self.told.append(event)
                case CloseClient():
                    self.closed.append(effect)
                case KeepFrames():
                    self.kept.append(effect)
                case ForgetHistory():
                    self.forgotten.append(effect.channel)
                case ReadHistory():
                    self.asked.append(effect)
                case Emit(event=KeysLearned() as event):
                    self.learned += event.keys
                case AwaitDrain():
                    self.awaited.append(effect.client)
                case Throttle():
                    self.throttled.append(effect)
                case _:
                    raise AssertionError(f"the bus has no business with {effect}")
        return effects
