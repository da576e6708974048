"""What one node of a cluster asks of all others at once: hand this to a client of yours, end this channel.

Carried by federation on channels of its own (`$cluster:...`), which no export rule lets out and which are taken from no
other cluster: signed by the node that asks, kept for a link that is down, taken once. A client cannot name them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct

from arqonmesh.core.bus.protocol.fields import ID_LENGTH_MAX
from arqonmesh.core.bus.tenants import SEPARATOR
from arqonmesh.core.events import CLUSTER_ONLY, Dropped, Imported, Published
from arqonmesh.core.kernel import Effect, Emit

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus

PRIVATE: Final = f"{CLUSTER_ONLY}private"
"""Followed by `|` and the tenant whose message it is, so that federation can tell whose data it carries."""
DELETE: Final = f"{CLUSTER_ONLY}delete"
TARGETS_MAX: Final = 1_024
"""Clients that one private message reaches, aliases resolved."""


class PrivateCall(Struct, gc=False):
    """Hand `frame`, a finished canonical private message, to these clients."""

    to: list[str]
    tenant: str
    frame: Raw


class DeleteCall(Struct, gc=False):
    """End this channel, named inside, with everything in it."""

    channel: str
    by: str
    """The client that asked."""


_private: Final = msgspec.json.Decoder(PrivateCall)
_delete: Final = msgspec.json.Decoder(DeleteCall)
_encode: Final = msgspec.json.Encoder().encode


def call_private(to: list[str], tenant: str, frame: bytes) -> Effect:
    channel = f"{PRIVATE}{SEPARATOR}{tenant}" if tenant else PRIVATE
    return Emit(Published(channel, (_encode(PrivateCall(to, tenant, Raw(frame))),), None))


def call_delete(channel: str, by: str) -> Effect:
    return Emit(Published(DELETE, (_encode(DeleteCall(channel, by)),), None))


def take_calls(bus: Bus, event: Imported) -> list[Effect]:
    """Calls of another node of the cluster. Whatever is in them, this returns."""
    from arqonmesh.core.bus.commands.lifecycle import end_channel
    from arqonmesh.core.bus.private import hand_over

    effects: list[Effect] = []
    refused = 0
    called, _, tenant = event.channel.partition(SEPARATOR)
    for frame in event.frames:
        try:
            if event.origin_cluster != bus.env.cluster:
                refused += 1
            elif called == PRIVATE:
                call = _private.decode(frame)
                if call.tenant != tenant:  # it was judged as another tenant's
                    refused += 1
                    continue
                hand_over(bus, call.to[:TARGETS_MAX], call.tenant, bytes(call.frame), effects)
            elif event.channel == DELETE:
                ended = _delete.decode(frame)
                end_channel(bus, ended.channel, ended.by[:ID_LENGTH_MAX], effects)
            else:
                refused += 1
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            refused += 1
    if refused:
        bus.counters["import_refused"] += refused
        effects.append(Emit(Dropped("bus", "cluster-call", refused, f"{event.origin} {event.channel}")))
    return effects
