"""The commands of the bus, one file per group. A command takes the bus, the client and a request, and answers.

`REGISTRY` is what `help` prints: a command that is not in it does not exist.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.core.bus.commands import access, history, lifecycle, lookup, membership, session
from arqonmesh.core.bus.commands.request import Command, Counts, Request

__all__ = ["ALIASES", "REGISTRY", "Command", "Counts", "Request"]

REGISTRY: Final[dict[str, Command]] = {
    command.name: command
    for command in (
        membership.JOIN,
        membership.LEAVE,
        lifecycle.CREATE,
        lifecycle.DELETE,
        lookup.LIST_CHANNELS,
        lookup.CHANNEL_INFO,
        history.HISTORY,
        session.PING,
        session.STATUS,
        session.UPDATE_CLIENT,
        session.HELP,
        access.AUTHENTICATE,
    )
}

ALIASES: Final[dict[str, str]] = {
    "join": "join_channel",
    "subscribe": "join_channel",
    "leave": "leave_channel",
    "unsubscribe": "leave_channel",
    "list": "list_channels",
    "create": "create_channel",
    "delete": "delete_channel",
    "info": "channel_info",
}
"""Short names, also as the `type` of a frame: {"type": "join", "channel": "telemetry:host"}."""
