"""A client that comes back to many channels at once is replayed to as fast as it reads.

Each join with `since` is one replay (resume.py), and no more than half of what may wait for the client. They run one
after the other; while more than `window_bytes` of them may be unread, the joins that are left wait here, and go on when
the bridge says that the client has read. A join that waits is one that has not come yet: nothing is read for it,
nothing gathers, and what is published meanwhile is part of what it will find missing.

While any waits, somebody will say when it goes on: the disk that reads the past of another, or the bridge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Raw

from arqonmesh.core.bus.answers import refuse
from arqonmesh.core.bus.past import position_of
from arqonmesh.core.bus.reads import RETRY_AFTER_MS
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.bus.tenants import outside
from arqonmesh.core.kernel import AwaitDrain, Effect

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.clients import Client
    from arqonmesh.core.bus.commands.request import Request

WAITING_BYTES_MAX: Final = 1 << 20
"""Positions of one client's joins that wait, as it wrote them: what it has in all channels it may be in by default."""

Begin = Callable[["Bus", "Request", str, dict[str, int]], None]
"""Puts the effects of the replay of this channel since there into its request. Raises Refusal."""


class Waiting(NamedTuple):
    """A join until its turn. Nothing in it holds on to the frame that asked, which may be large."""

    request: Request
    since: bytes
    begin: Begin


class Replays:
    """Of one client."""

    __slots__ = ("asked", "queue", "reading", "unread_bytes", "waiting_bytes")

    def __init__(self) -> None:
        self.queue: dict[str, Waiting] = {}
        """By channel, in the order in which they came."""
        self.waiting_bytes = 0
        self.reading = False
        """The disk is asked for the past of one channel."""
        self.asked = False
        """The bridge was asked to tell when the client has read."""
        self.unread_bytes = 0
        """Sent since the client had last read everything: at most so much of it is unread."""


def window_bytes(bus: Bus) -> int:
    """With a replay on top of it, a quarter of what may wait for a client is left for what is live."""
    return bus.settings.buffer_bytes_max // 4


def replay(bus: Bus, request: Request, name: str, since: Raw, begin: Begin) -> None:
    """Begin now, or when it is this join's turn. Raises Refusal."""
    client = request.client
    position = position_of(since)
    replays = client.replays
    if replays is None:
        replays = client.replays = Replays()
    if not replays.queue and _may_begin(bus, replays):
        begin(bus, request, name, position)
        return
    size_bytes = len(bytes(since))
    if problem := _no_room(bus, replays, name, size_bytes):
        raise Refusal(
            "bus.history-busy",
            problem,
            hint=f"ask again after {RETRY_AFTER_MS} ms",
            retry_after_ms=RETRY_AFTER_MS,
        )
    replays.queue[name] = Waiting(request.kept(), bytes(since), begin)
    replays.waiting_bytes += size_bytes
    bus.counters["replays_held"] += 1
    _see_that_it_goes_on(client, replays, request.effects)


def reading(client: Client, now_reading: bool) -> None:
    """The disk was asked for a replay, or has answered."""
    if client.replays is not None:
        client.replays.reading = now_reading


def sent(bus: Bus, client: Client, size_bytes: int, effects: list[Effect]) -> None:
    """A replay of this size is among the effects."""
    replays = client.replays
    if replays is not None:
        replays.unread_bytes += size_bytes
        if replays.unread_bytes >= window_bytes(bus):
            _ask(client, replays, effects)


def go_on(bus: Bus, client: Client, effects: list[Effect]) -> None:
    """Begin whatever may begin now."""
    replays = client.replays
    if replays is None or client.closing:
        return
    while replays.queue and _may_begin(bus, replays):
        name = next(iter(replays.queue))
        request, since, begin = replays.queue.pop(name)
        replays.waiting_bytes -= len(since)
        try:
            begin(bus, request, name, position_of(Raw(since)))
        except Refusal as refusal:
            refuse(bus, client, request.message, refusal, effects)
        effects.extend(request.effects)
    _see_that_it_goes_on(client, replays, effects)


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


def _no_room(bus: Bus, replays: Replays, name: str, size_bytes: int) -> str:
    """Why another join cannot wait; empty when it can."""
    if name in replays.queue:
        return f"a join of {outside(name)} by this client waits for its past already"
    if len(replays.queue) >= bus.settings.subscriptions_max:
        return f"{len(replays.queue)} joins of this client wait for their past: as many as bus.subscriptions_max allows"
    if replays.waiting_bytes + size_bytes > WAITING_BYTES_MAX:
        return (
            f"joins of this client with {replays.waiting_bytes} bytes of positions wait for their past, and this one "
            f"has {size_bytes}; {WAITING_BYTES_MAX} are the most"
        )
    return ""


def _see_that_it_goes_on(client: Client, replays: Replays, effects: list[Effect]) -> None:
    """A window may have become smaller than what is unread, of which nobody was to tell."""
    if replays.queue and not replays.reading:
        _ask(client, replays, effects)


def _ask(client: Client, replays: Replays, effects: list[Effect]) -> None:
    if not replays.asked:
        replays.asked = True
        effects.append(AwaitDrain(client.id))
