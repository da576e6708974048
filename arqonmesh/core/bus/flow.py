"""Publishers wait while what they publish cannot leave: paused above the backlog mark, resumed below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arqonmesh.core.events import Backlog
from arqonmesh.core.kernel import Effect, Throttle

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.clients import Client


def pause(bus: Bus, sender: Client, effects: list[Effect]) -> None:
    """Read no more of this client until the backlog is gone."""
    sender.paused = True
    bus.paused[sender.id] = sender
    bus.counters["throttled"] += 1
    effects.append(Throttle(sender.only, True))


def take_backlog(bus: Bus, event: Backlog) -> list[Effect]:
    if event.above:
        bus.backlogged[event.peer] = None
        return []
    bus.backlogged.pop(event.peer, None)
    return [] if bus.backlogged else resume(bus)


def resume(bus: Bus) -> list[Effect]:
    resumed = tuple(bus.paused)
    for client in bus.paused.values():
        client.paused = False
    bus.paused.clear()
    return [Throttle(resumed, False)] if resumed else []
