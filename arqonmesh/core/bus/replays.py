"""A client that comes back to many channels at once is replayed to as fast as it reads.

Each join with `since` is one replay (resume.py), and no more than half of what may wait for the client. They run one
after the other; while more than `window_bytes` of them may be unread, the joins that are left wait here, and go on when
the bridge says that the client has read. A join that waits is one that has not come yet: nothing is read for it,
nothing gathers, and what is published meanwhile is part of what it will find missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from arqonmesh.core.bus.answers import refuse
from arqonmesh.core.bus.reads import RETRY_AFTER_MS
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.kernel import AwaitDrain, Effect

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.clients import Client
    from arqonmesh.core.bus.commands.request import Request

WAITING_MAX: Final = 4_096
"""Joins of one client that wait: more than its subscriptions are by default."""

Begin = Callable[[], None]
"""Puts the replay's effects into its request. Raises Refusal."""


class Replays:
    """Of one client."""

    __slots__ = ("asked", "queue", "reading", "unread_bytes")

    def __init__(self) -> None:
        self.queue: deque[tuple[Request, Begin]] = deque()
        self.reading = False
        """The disk is asked for the past of one channel."""
        self.asked = False
        """The bridge was asked to tell when the client has read."""
        self.unread_bytes = 0
        """Sent since the client had last read everything: at most so much of it is unread."""


def window_bytes(bus: Bus) -> int:
    """With a replay on top of it, a quarter of what may wait for a client is left for what is live."""
    return bus.settings.buffer_bytes_max // 4


def replay(bus: Bus, request: Request, begin: Begin) -> None:
    """Begin now, or when it is this join's turn. Raises Refusal."""
    client = request.client
    replays = client.replays
    if replays is None:
        replays = client.replays = Replays()
    if not replays.queue and _may_begin(bus, replays):
        begin()
        return
    if len(replays.queue) >= WAITING_MAX:
        raise Refusal(
            "bus.history-busy",
            f"{len(replays.queue)} joins of this client wait for their past, which is the most",
            hint=f"ask again after {RETRY_AFTER_MS} ms",
            retry_after_ms=RETRY_AFTER_MS,
        )
    replays.queue.append((request, begin))
    bus.counters["replays_held"] += 1


def reading(client: Client, now_reading: bool) -> None:
    """The disk was asked for a replay, or has answered."""
    if client.replays is not None:
        client.replays.reading = now_reading


def sent(bus: Bus, client: Client, size_bytes: int, effects: list[Effect]) -> None:
    """A replay of this size is among the effects."""
    replays = client.replays
    if replays is not None:
        replays.unread_bytes += size_bytes
        if replays.unread_bytes >= window_bytes(bus) and not replays.asked:
            replays.asked = True
            effects.append(AwaitDrain(client.id))


def go_on(bus: Bus, client: Client, effects: list[Effect]) -> None:
    """Begin whatever may begin now."""
    replays = client.replays
    while replays is not None and replays.queue and _may_begin(bus, replays) and not client.closing:
        request, begin = replays.queue.popleft()
        request.effects.clear()
        try:
            begin()
        except Refusal as refusal:
            refuse(bus, client, request.message, refusal, effects)
        effects.extend(request.effects)


def drained(bus: Bus, client: Client) -> list[Effect]:
    """The client has read what it was sent."""
    effects: list[Effect] = []
    replays = client.replays
    if replays is not None:
        replays.asked = False
        replays.unread_bytes = 0
        go_on(bus, client, effects)
    return effects


def _may_begin(bus: Bus, replays: Replays) -> bool:
    return not replays.reading and replays.unread_bytes < window_bytes(bus)
