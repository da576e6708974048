"""A command as it reaches its handler, from whichever place its dialect wrote it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, get_type_hints

from arqonmesh.config.model import RoomNames
from arqonmesh.core.bus.answers import answer
from arqonmesh.core.bus.envelope import CommandArgs, Inbound
from arqonmesh.core.bus.identity import Role
from arqonmesh.core.bus.names import USUAL, resolve, resolve_pattern
from arqonmesh.core.bus.permissions import Action
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.bus.tenants import inside
from arqonmesh.core.kernel import Effect, Instant

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.clients import Client


NO_MESSAGE: Final = Inbound()
CHANNEL: Final = "ROOM:CHANNEL, or room and channel apart; also `channel_id` or `name`"


@dataclass(frozen=True, slots=True)
class Request:
    """One command of one client. `effects` collects what it does beside its answer; they follow the answer."""

    now: Instant
    client: Client
    args: CommandArgs
    room: str
    """The envelope's own room and channel: the target when the arguments name none."""
    channel: str
    effects: list[Effect]
    message: Inbound = NO_MESSAGE
    """The frame that asked."""
    name: str = ""
    in_payload: bool = False
    rooms: RoomNames = USUAL
    """What a room or channel that is named alone belongs to."""

    def target(self, *, pattern: bool = False) -> str:
        """The channel that is meant, as it is named inside (tenants.py). Raises Refusal when none is named."""
        args = self.args
        channel = args.channel or args.channel_id or args.name
        room = args.room
        if not channel and not room:
            channel, room = self.channel, self.room
        elif not room:
            room = self.room
        if not channel and not room:
            raise Refusal(
                "bus.channel-missing",
                "no channel is named; it needs a `channel`, such as telemetry:host",
                field="channel",
                hint='{"type": "join", "channel": "telemetry:host"}',
            )
        name = resolve_pattern(room, channel, self.rooms) if pattern else resolve(room, channel, self.rooms)
        return inside(self.client.identity.tenant, name)

    def answer(self, bus: Bus, result: dict[str, Any]) -> list[Effect]:
        """The answer of a command whose `run` returned None, once it is known; nothing when the client has gone."""
        if bus.clients.get(self.client.id) is not self.client:
            return []
        return [answer(bus, self.client, self.message, self.name, result, self.in_payload)]

    def kept(self) -> Request:
        """The same for an answer that comes later: without what was asked, whose raw fields hold the whole frame."""
        message = Inbound(type=self.message.type, id=self.message.id, correlation_id=self.message.correlation_id)
        return replace(self, args=CommandArgs(), room="", channel="", message=message, effects=[])

    def limit(self, default: int, most: int) -> int:
        """Raises Refusal unless it is 1 to `most`."""
        limit = default if self.args.limit is None else self.args.limit
        if not 1 <= limit <= most:
            raise Refusal(
                "bus.invalid-field",
                f"limit is {limit}; it needs to be 1 to {most}",
                field="limit",
                hint='{"type": "help"}',
            )
        return limit


@dataclass(slots=True)
class Counts:
    """What became of one command's askings: an answer now or later, or an error."""

    answered: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Command:
    """`run` returns the answer's payload, or None when it answers later (`Request.answer`); it raises Refusal for an
    `error` instead."""

    name: str
    help: str
    args: dict[str, str]
    """What it takes, in words; the types are those of `CommandArgs` (`schema`)."""
    run: Callable[[Bus, Request], dict[str, Any] | None]
    role: Role = "guest"
    """The least role. With an `action`, what holds where no rule of `bus.auth.rooms` and no permission does."""
    action: Action | None = None
    """The permission in the channel that `run` asks for (permissions.py)."""
    example: dict[str, Any] = field(default_factory=dict)
    """A whole frame that works."""

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments, made of the type that reads them. Unknown ones are ignored."""
        properties = {name: {**_type_of(name), "description": words} for name, words in self.args.items()}
        return {"type": "object", "properties": properties}

    def told(self) -> dict[str, Any]:
        """This entry of the registry as `help` answers it."""
        return {
            "name": self.name,
            "description": self.help,
            "role": self.role,
            "permission": self.action,
            "parameters": self.args,
            "schema": self.schema(),
            "example": self.example or {"type": self.name},
        }


_HINTS: Final = get_type_hints(CommandArgs)


def _type_of(name: str) -> dict[str, Any]:
    """Of one argument, in JSON Schema; an argument that is read in several forms says so in words."""
    kinds = {str: "string", int: "integer"}
    hint = _HINTS[name]
    found = [word for kind, word in kinds.items() if hint is kind or kind in getattr(hint, "__args__", ())]
    return {"type": found[0]} if found else {}
