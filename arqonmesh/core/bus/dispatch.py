"""Frames that are not events: which command or private message a frame is, and running the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arqonmesh.core.bus.answers import answer
from arqonmesh.core.bus.commands import ALIASES, Request
from arqonmesh.core.bus.envelope import EVENT_KINDS, CommandArgs, Inbound, PayloadCommand, decode_part, is_object
from arqonmesh.core.bus.permissions import check_role
from arqonmesh.core.bus.private import send_private
from arqonmesh.core.bus.refusal import unknown_command, unknown_type
from arqonmesh.core.kernel import Effect, Instant

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.clients import Client


def not_an_event(bus: Bus, now: Instant, sender: Client, message: Inbound, effects: list[Effect]) -> None:
    if message.type == "private" or message.type in EVENT_KINDS:
        send_private(bus, sender, message, effects)
    elif message.type == "command" or ALIASES.get(message.type, message.type) in bus.commands:
        run_command(bus, now, sender, message, effects)
    else:
        raise unknown_type(message.type, bus.commands)


def run_command(bus: Bus, now: Instant, sender: Client, message: Inbound, effects: list[Effect]) -> None:
    asked, args, in_payload = message.command, message.args, False
    if message.type != "command":
        asked = message.type
    elif not asked and is_object(message.payload):
        inner = decode_part(message.payload, PayloadCommand, "payload")
        asked, args, in_payload = inner.command, inner.parameters or inner.args, True
    name = ALIASES.get(asked, asked)
    command = bus.commands.get(name)
    if command is None:
        raise unknown_command(asked, "payload.command" if in_payload else "command", bus.commands)
    bus.counters["commands"] += 1
    counts = bus.command_counts[name]
    counts.refused += 1  # taken back once it is answered
    if command.action is None:
        check_role(sender.identity, command.role, name)
    given = decode_part(args, CommandArgs, "payload.parameters" if in_payload else "args")
    if given.limit is None:
        given.limit = message.limit
    given.since = given.since or message.since
    given.before = given.before or message.before
    request = Request(
        now, sender, given, message.room, message.channel, [], message, name, in_payload, bus.settings.names
    )
    stopwatch = bus.env.stopwatch
    began = stopwatch() if stopwatch is not None else 0
    result = command.run(bus, request)
    counts.refused -= 1
    counts.answered += 1
    if result is not None:
        effects.append(answer(bus, sender, message, name, result, in_payload))
    effects.extend(request.effects)
    if stopwatch is not None:
        bus.analytics.answered(name, stopwatch() - began)
