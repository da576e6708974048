"""authenticate: who a connected client is from now on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from arqonmesh.core.bus.commands.request import Command, Request
from arqonmesh.core.bus.credentials import replace_identity, told
from arqonmesh.core.bus.limits import enter
from arqonmesh.core.bus.refusal import Refusal

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus

EXAMPLE: Final = '{"type": "authenticate", "args": {"token": "..."}}'


def _authenticate(bus: Bus, request: Request) -> dict[str, Any]:
    token = request.args.token
    if not token:
        return {"success": True, **told(request.client.identity), "left": []}
    if bus.env.authenticate is None:
        raise Refusal("bus.auth", "this bus knows nobody by token or key", field="token", hint=EXAMPLE)
    identity = bus.env.authenticate(request.client.identity, token)
    if full := enter(bus, request.now, request.client, identity):
        code, _, why = full.partition(": ")
        raise Refusal(code, why, field="token", hint="close a connection of this subject first")
    lost, effects = replace_identity(bus, request.now, request.client, identity)
    request.effects.extend(effects)
    bus.counters["authenticated"] += 1
    return {"success": True, **told(identity), "left": lost}


AUTHENTICATE: Final = Command(
    "authenticate",
    "Show a newer token or another key, and stay connected; without one: who this client is.",
    {"token": "a token or API key of the same tenant"},
    _authenticate,
    example={"type": "authenticate", "args": {"token": "..."}},
)
