"""What an operator does to the bus from outside it: the commands of lifecycle.py without a client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arqonmesh.core.bus.cluster.calls import call_delete
from arqonmesh.core.bus.commands.lifecycle import end_channel
from arqonmesh.core.bus.names import resolve
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.bus.tenants import inside
from arqonmesh.core.kernel import Effect, Instant

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.identity import Identity

OPERATOR = "operator"
"""The `client_id` of notices about what nobody on the bus did."""


def create_channel(bus: Bus, now: Instant, identity: Identity, channel: str) -> tuple[str, bool]:
    """(the name as this identity knows it, whether it is new): a channel that stays. Raises Refusal."""
    bus.look_at_the_clock(now)
    name = inside(identity.tenant, resolve("", channel, bus.settings.names))
    bus.permissions.check(identity, "create", name)
    existed = bus.channels.find(name) is not None or bus.exchange.view.has(name)
    made = bus.channels.obtain(name, bus.wall_ms)
    if not made.kept:
        made.kept = True
        bus.exchange.own.kept(name, made.created_ms)
    return made.shown, not existed


def delete_channel(bus: Bus, now: Instant, identity: Identity, channel: str) -> tuple[bool, list[Effect]]:
    """(whether there was one, what follows): its end on every node of the cluster. Raises Refusal."""
    bus.look_at_the_clock(now)
    name = inside(identity.tenant, resolve("", channel, bus.settings.names))
    bus.permissions.check(identity, "delete", name)
    found = bus.channels.find(name)
    if found is None and not bus.exchange.view.has(name):
        return False, []
    if found is not None and found.fixed:
        raise Refusal("bus.channel-fixed", f"{found.shown} is named in bus.rooms, so it stays", field="channel")
    effects: list[Effect] = []
    end_channel(bus, name, OPERATOR, effects)
    if not bus.exchange.alone:
        effects.append(call_delete(name, OPERATOR))
    return True, effects
