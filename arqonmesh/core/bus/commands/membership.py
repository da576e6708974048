"""join_channel, leave_channel."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from arqonmesh.core.bus import mesh_room
from arqonmesh.core.bus.commands.request import CHANNEL, Command, Request
from arqonmesh.core.bus.limits import check_subscriptions
from arqonmesh.core.bus.mesh_news import tell_mesh_state
from arqonmesh.core.bus.names import is_pattern
from arqonmesh.core.bus.past import position_of
from arqonmesh.core.bus.permissions import Action
from arqonmesh.core.bus.position import position_now
from arqonmesh.core.bus.presence import notice
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.bus.replays import replay
from arqonmesh.core.bus.resume import hear_live, resume
from arqonmesh.core.bus.survey import survey
from arqonmesh.core.bus.tenants import outside
from arqonmesh.core.kernel import Effect

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.clients import Client

_WITH_PAST: Final[tuple[Action, ...]] = ("join", "history")
"""What a join with `since` takes."""


def _join(bus: Bus, request: Request) -> dict[str, Any] | None:
    name = request.target(pattern=True)
    client = request.client
    if not is_pattern(name):  # a pattern takes what its client may join, whenever it appears (channels.py)
        bus.permissions.check(client.identity, "join", name)
    since = request.args.since
    if not since or bytes(since) == b"null" or name == mesh_room.NAME:
        answer, beside = _enter(bus, client, name)
        request.effects.extend(beside)
        return answer
    if is_pattern(name):  # it has no past of its own: its answer names that of its channels
        position = position_of(since)
        answer, beside = _enter(bus, client, name)
        request.effects.extend(beside)
        return {**answer, **survey(bus, client.identity, name, position)}
    for action in _WITH_PAST:
        bus.permissions.check(client.identity, action, name)
    bus.channels.check_subscriptions(client, name)
    replay(bus, request, name, since, _come_back)
    return None


def _come_back(bus: Bus, request: Request, name: str, since: dict[str, int]) -> None:
    """When it is this join's turn. Raises Refusal."""
    channel = bus.channels.obtain(name, bus.wall_ms)
    try:
        resume(bus, request, channel, since, partial(_enter_with_past, bus, request.client, name))
    except Refusal:
        bus.channels.let_go(channel)
        raise


def _enter_with_past(bus: Bus, client: Client, name: str) -> tuple[dict[str, Any], list[Effect]]:
    """As `_enter`, once its past is read: the client may be someone else by then. Raises Refusal."""
    for action in _WITH_PAST:
        bus.permissions.check(client.identity, action, name)
    return _enter(bus, client, name)


def _enter(bus: Bus, client: Client, name: str) -> tuple[dict[str, Any], list[Effect]]:
    """Subscribe: what the client is answered, and what goes with it. Raises Refusal."""
    effects: list[Effect] = []
    fresh = name not in client.subscriptions
    check_subscriptions(bus, client, name)
    channel = bus.channels.subscribe(client, name, bus.wall_ms)
    client.routes.clear()  # "no address" means the first subscription, which may just have changed
    if client.tails:
        hear_live(bus, client)
    answer: dict[str, Any] = {"success": True, "channel": outside(name), "subscriptions": len(client.subscriptions)}
    if channel is not None:
        if bus.permissions.may(client.identity, "presence", name):
            answer["members"] = len(channel.members) + len(bus.exchange.view.members(name))
        if name == mesh_room.NAME:
            effects.extend(tell_mesh_state(bus, client))
            return answer, effects
        answer["position"] = position_now(bus, channel.streams)
        if fresh:
            effects.extend(notice(bus, name, client, "joined"))
    return answer, effects


def _leave(bus: Bus, request: Request) -> dict[str, Any]:
    name = request.target(pattern=True)
    client = request.client
    if not bus.channels.unsubscribe(client, name):
        listed = ", ".join(map(outside, list(client.subscriptions)[:8])) or "none"
        raise Refusal(
            "bus.not-subscribed",
            f"this client is not in {outside(name)}; its subscriptions: {listed}",
            field="channel",
            hint='{"type": "status"}',
        )
    client.routes.clear()
    if name != mesh_room.NAME:
        request.effects.extend(notice(bus, name, client, "left"))
    return {"success": True, "channel": outside(name), "subscriptions": len(client.subscriptions)}


JOIN: Final = Command(
    "join_channel",
    "Receive what is published there. `room:*`, `*:channel` and `*` take many.",
    {
        "channel": CHANNEL,
        "since": "a position {epoch: offset}: what was missed since comes first, then what is live; of many channels, "
        "the answer names where those stand in which something was published since",
    },
    _join,
    action="join",
    example={"type": "join_channel", "channel": "telemetry:host"},
)
LEAVE: Final = Command(
    "leave_channel",
    "Receive it no longer.",
    {"channel": CHANNEL},
    _leave,
    example={"type": "leave_channel", "channel": "telemetry:host"},
)
