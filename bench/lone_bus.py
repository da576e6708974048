"""A bus without a mesh: the bus core and its WebSocket server, tied together as a node does it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence

from arqonmesh.bridge.auth.authenticator import Authenticator
from arqonmesh.bridge.server import BusServer
from arqonmesh.config.model import BusSettings
from arqonmesh.core.bus import Bus, BusEnv, ClientInfo
from arqonmesh.core.events import ClientDrained, Dropped
from arqonmesh.core.kernel import AwaitDrain, CloseClient, Deliver, Effect, Emit, Event, Throttle
from arqonmesh.ids import ClientId, ClusterId, NodeId


class LoneBus:
    """Runs one bus on loopback. `heard` gets every event that the core emits and every drop of the bridge."""

    def __init__(
        self,
        settings: BusSettings,
        heard: Callable[[Event], None] = lambda event: None,
        authenticator: Authenticator | None = None,
        **limits: float,
    ) -> None:
        self.authenticator = authenticator or Authenticator(settings)
        env = BusEnv(
            node_id=NodeId("a" * 32),
            cluster=ClusterId("hq"),
            rng=random.Random(7),
            wall_ms=lambda: time.time_ns() // 1_000_000,
            authenticate=self.authenticator.renew,
        )
        self.core = Bus(env, settings)
        self.server = BusServer(self, settings, authenticator=self.authenticator, **limits)  # type: ignore[arg-type]
        self._heard = heard
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> str:
        """Listen on a free port; the URL to connect to."""
        await self.server.start("127.0.0.1", 0)
        host, port = self.server.address
        return f"ws://{host}:{port}/"

    async def stop(self) -> None:
        await self.server.close()
        if self._timer is not None:
            self._timer.cancel()

    def on_event(self, event: Event) -> None:
        """As if another core had emitted it."""
        self._perform(self.core.on_event(_now(), event))

    # --- BusPort ---------------------------------------------------------------------------------------------

    def new_client_id(self) -> ClientId:
        return self.core.new_client_id()

    def client_connected(self, client: ClientId, info: ClientInfo) -> None:
        self._perform(self.core.client_connected(_now(), client, info))

    def client_frames(self, client: ClientId, frames: Sequence[bytes]) -> None:
        self._perform(self.core.client_frames(_now(), client, frames))

    def client_disconnected(self, client: ClientId) -> None:
        self._perform(self.core.client_disconnected(_now(), client))

    def client_drained(self, client: ClientId) -> None:
        self.on_event(ClientDrained(client))

    def gap_notice(self, client: ClientId, missing: int) -> bytes:
        return self.core.gap_notice(client, missing)

    def dropped(self, event: Dropped) -> None:
        self._heard(event)

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Deliver():
                    self.server.deliver(effect.clients, effect.frames)
                case Emit():
                    self._heard(effect.event)
                case Throttle():
                    self.server.throttle(effect.clients, effect.paused)
                case AwaitDrain():
                    self.server.await_drain(effect.client)
                case CloseClient():
                    self.server.close_client(effect.client, effect.code, effect.reason)
        self._rearm()

    def _rearm(self) -> None:
        """Wake up for the core's next deadline; early is harmless."""
        deadline = self.core.next_deadline()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            delay_s = max(0, deadline - _now()) / 1_000_000
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._perform(self.core.on_timer(_now()))


def _now() -> int:
    return time.monotonic_ns() // 1_000
