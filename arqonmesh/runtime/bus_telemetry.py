"""Ties the telemetry server to the bus: who comes and goes, what is published, and figures every minute.

Watches what the host tells, and looks at counts that are kept anyway; nothing here runs per message. Whatever fails
here is counted by the telemetry server and felt by nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from arqonmesh.bridge.auth.authenticator import Authenticator
from arqonmesh.bridge.telemetry import DASHBOARD_STREAM, TELEMETRY_STREAM, Activity, Hub, Origin, TelemetryServer
from arqonmesh.bridge.telemetry.activity import EVENT, Seen
from arqonmesh.config.model import Config, RoomNames
from arqonmesh.core.bus.stamps import Stamps
from arqonmesh.core.events import ClientCame, ClientWent, Observed
from arqonmesh.core.kernel import SECOND, Event, Rng
from arqonmesh.runtime.bus_figures import BusFigures
from arqonmesh.runtime.host import Host

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus

STATS_EVENT: Final = "bus_stats"


def watched(names: RoomNames) -> dict[str, str]:
    """Channels of the bus whose messages are telemetry events, and of which stream."""
    return {
        names.telemetry: TELEMETRY_STREAM,
        f"{names.room}:{names.dashboards}": DASHBOARD_STREAM,
        f"{names.dashboards}:{names.channel}": DASHBOARD_STREAM,
    }


class BusTelemetry:
    """The telemetry of one node's bus."""

    def __init__(
        self,
        host: Host,
        config: Config,
        authenticator: Authenticator,
        figures: BusFigures,
        *,
        rng: Rng,
        wall_ms: Callable[[], int],
    ) -> None:
        self._host = host
        self._bus: Bus = host.node.bus
        self._settings = config.telemetry
        self._adopted = asyncio.Event()
        self._watched = watched(config.bus.names)
        self._figures = figures
        stamps = Stamps(rng)

        def stamp() -> tuple[str, str]:
            stamps.at(wall_ms())
            return stamps.next_id().decode(), f"{stamps.time.decode()}Z"

        origin = Origin(host.node.world.node_id, config.node.cluster)
        hub = Hub(config.telemetry, origin, stamp, host.now())
        self.server = TelemetryServer(hub, config.telemetry, config.bus, authenticator, now=host.now)
        self.activity = Activity(self._tell_activity)

    def adopt(self, config: Config) -> None:
        """Other settings from now on."""
        self._settings = config.telemetry
        self._adopted.set()
        self.server.adopt(config.telemetry, config.bus)

    async def start(self, host: str, port: int) -> asyncio.Task[None]:
        """Listen, watch the bus, and look at it now and then until the task that is returned is cancelled."""
        await self.server.start(host, port)
        self._bus.observed.update(dict.fromkeys(self._watched))
        self._host.watch(ClientCame, self._on_client)
        self._host.watch(ClientWent, self._on_client)
        self._host.watch(Observed, self._on_frames)
        return asyncio.create_task(self._look())

    # --- what the bus tells ----------------------------------------------------------------------------------

    def _on_client(self, event: Event) -> None:
        with self.server.guarded("a client could not be told of"):
            if isinstance(event, ClientCame):
                self.activity.connected(Seen(event.client, event.kind, event.name, 0, event.tenant))
            elif isinstance(event, ClientWent):
                self.activity.disconnected(Seen(event.client, event.kind, event.name, event.published, event.tenant))

    def _on_frames(self, event: Event) -> None:
        if isinstance(event, Observed):
            self.server.take_from_bus(self._watched[event.channel], event.frames)

    def _tell_activity(self, payload: dict[str, Any], source: str, tenant: str) -> None:
        self.server.tell(EVENT, payload, source=source, stream=TELEMETRY_STREAM, tenant=tenant)

    # --- what is looked at -----------------------------------------------------------------------------------

    async def _look(self) -> None:
        now = self._host.now()
        activity_last = stats_last = now
        while True:
            self._adopted.clear()
            due = min(
                activity_last + round(self._settings.activity_s * SECOND),
                stats_last + round(self._settings.stats_s * SECOND),
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(
                    max(0, due - now) / SECOND
                ):  # wait_for loses a cancel that comes with the event
                    await self._adopted.wait()
            now = self._host.now()
            with self.server.guarded("the bus could not be looked at"):
                if now - activity_last >= round(self._settings.activity_s * SECOND):
                    activity_last = now
                    self.activity.look(self._seen())
                if now - stats_last >= round(self._settings.stats_s * SECOND):
                    stats_last = now
                    self.server.tell(STATS_EVENT, self._figures.told(), stream=DASHBOARD_STREAM)

    def _seen(self) -> Iterator[Seen]:
        for client in self._bus.clients.values():
            said = client.profile
            yield Seen(client.id, said.type, said.screen_name, client.published, client.tenant)
