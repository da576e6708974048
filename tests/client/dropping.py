"""A bus that drops what a client reads too slowly, and what the client makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from arqonmesh.client import BusClient, Resumed
from arqonmesh.ids import ClientId
from bench.lone_bus import LoneBus


class Dropping:
    """Keeps frames from one client as a policy for slow clients does, and then tells it how many."""

    def __init__(self, bus: LoneBus, client: BusClient, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bus = bus
        self.id = ClientId(client.client_id)
        self.dropped = 0
        self.drops = False
        self._deliver = bus.server.deliver
        monkeypatch.setattr(bus.server, "deliver", self.deliver)

    def deliver(self, clients: tuple[ClientId, ...], frames: tuple[bytes, ...], *rest: Any) -> Any:
        if self.drops and self.id in clients:
            self.dropped += len(frames)
            clients = tuple(client for client in clients if client != self.id)
        return self._deliver(clients, frames, *rest) if clients else None

    def tell(self) -> None:
        self.drops = False
        self._deliver((self.id,), (self.bus.core.gap_notice(self.id, self.dropped),))
        self.dropped = 0


def heard(bus: BusClient, what: str) -> list[Any]:
    seen: list[Any] = []
    bus.on(what, lambda message: seen.append(message.payload))
    return seen


def resumes(bus: BusClient) -> list[Resumed]:
    told: list[Resumed] = []
    bus.on_resume(told.append)
    return told
