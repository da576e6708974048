"""Private messages: to clients by id or alias, past every channel and history, wherever in the cluster they are.

| alias       | who that is                                                                          |
|-------------|--------------------------------------------------------------------------------------|
| `human`     | clients of type human that share a channel with the sender                           |
| `dashboard` | clients of type dashboard that share a channel with the sender                       |
| `owner`     | humans and dashboards that showed the same credentials (subject) as the sender, and  |
|             | clients of type owner that share a channel with it                                   |

An alias never leads to another tenant, nor back to the sender. A private message is marked as one: `type: "private"`,
and for clients of ArqonBus 1.0 `"private": true` beside `to_client`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct

from arqonmesh.core.bus.answers import acknowledge
from arqonmesh.core.bus.cluster.calls import PRIVATE, TARGETS_MAX, call_private
from arqonmesh.core.bus.envelope import (
    NO_HINTS,
    Inbound,
    canonical_private,
    extras,
    legacy_event,
    parse_hints,
    targets_of,
    text,
    unknown_json,
    unknown_of,
)
from arqonmesh.core.bus.flow import pause
from arqonmesh.core.bus.names import is_pattern
from arqonmesh.core.bus.profile import PEOPLE
from arqonmesh.core.bus.protocol.inbound import EMPTY
from arqonmesh.core.bus.refusal import Refusal, payload_missing, target_missing
from arqonmesh.core.kernel import Deliver, Effect
from arqonmesh.ids import ClientId

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.clients import Client
    from arqonmesh.core.bus.cluster.view import Remote

ALIASES: Final = ("human", "dashboard", "owner")


class _Finished(Struct, gc=False):
    """A canonical private message, read back to be rendered for a client of ArqonBus 1.0."""

    id: str
    type: str
    from_: str = msgspec.field(name="from")
    payload: Raw
    timestamp: str
    correlation_id: str = ""
    metadata: Raw = EMPTY


_finished: Final = msgspec.json.Decoder(_Finished)


def send_private(bus: Bus, sender: Client, message: Inbound, effects: list[Effect]) -> None:
    """Hand a private message to those whom it names. Raises Refusal when it names nobody, or some who are not there;
    the others have it then."""
    targets = targets_of(message)
    if not targets:
        raise target_missing()
    if not message.payload:
        raise payload_missing()
    for target in targets:
        bus.permissions.check_tell(sender.identity, target)
    hints = parse_hints(message.metadata) if message.metadata else NO_HINTS
    reached: dict[ClientId, bool] = {}
    missing: list[str] = []
    for target in targets:
        found = dict(_found(bus, sender, target))
        if not found:
            missing.append(target[:64])
        reached.update(found)
    if len(reached) > TARGETS_MAX:
        raise Refusal(
            "bus.invalid-field",
            f"to leads to {len(reached)} clients; at most {TARGETS_MAX} are reached, a channel reaches more",
            field="to",
            hint='{"type": "event", "channel": "ROOM:CHANNEL", "payload": {}}',
        )
    more = extras(message.correlation_id, message.metadata) + unknown_json(message)
    id_ = bus.stamps.next_id()
    frame = canonical_private(id_, sender.id, targets, bytes(message.payload), more, bus.stamps.time)
    tenant = sender.identity.tenant
    hand_over(bus, [client for client, here in reached.items() if here], tenant, frame, effects)
    elsewhere: list[str] = [client for client, here in reached.items() if not here]
    if elsewhere:
        effects.append(call_private(elsewhere, tenant, frame))
        if bus.backlogged and not sender.paused and bus.exported(PRIVATE):
            pause(bus, sender, effects)
    bus.counters["private"] += 1
    if missing:
        raise Refusal(
            "bus.no-such-client",
            f"not connected to this cluster: {', '.join(missing[:8])}; the message went to {len(reached)} others",
            field="to",
            hint='{"type": "info", "channel": "ROOM:CHANNEL"}',
        )
    if hints.ack:
        acknowledge(bus, sender, message, id_, len(reached), effects)


def hand_over(bus: Bus, to: list[ClientId] | list[str], tenant: str, frame: bytes, effects: list[Effect]) -> None:
    """Deliver a finished private message to clients of this node that belong to the tenant; others are passed over.
    Raises msgspec.DecodeError for a frame of another node that is none."""
    clients = [client for id_ in to if (client := bus.clients.get(ClientId(id_))) and client.identity.tenant == tenant]
    canonical = tuple(client.id for client in clients if client.canonical)
    if canonical:
        effects.append(Deliver(canonical, (frame,)))
    if len(canonical) < len(clients):
        finished = _finished.decode(frame)
        time = finished.timestamp.removesuffix("Z").encode() + b"+00:00"
        more = extras(finished.correlation_id, finished.metadata) + unknown_of(frame)
        for client in clients:
            if not client.canonical:
                where = b',"private":true,"to_client":' + text(client.id)
                legacy = legacy_event(finished.id.encode(), where, finished.from_, bytes(finished.payload), more, time)
                effects.append(Deliver(client.only, (legacy,)))
    bus.counters["delivered"] += len(clients)


def _found(bus: Bus, sender: Client, target: str) -> Iterator[tuple[ClientId, bool]]:
    """Whom a target means: (client, whether it is connected here)."""
    tenant = sender.identity.tenant
    if target not in ALIASES:
        id_ = ClientId(target)
        client, remote = bus.clients.get(id_), bus.exchange.view.clients.get(id_)
        if client is not None and client.identity.tenant == tenant:
            yield id_, True
        elif remote is not None and remote.tenant == tenant:
            yield id_, False
        return
    for other in _in_shared_channels(bus, sender):
        if other.profile.type == target and other.id != sender.id and other.tenant == tenant:
            yield other.id, other.id in bus.clients
    subject = sender.identity.subject
    if target == "owner" and subject:
        everyone: Iterator[Client | Remote] = chain(bus.clients.values(), bus.exchange.view.clients.values())
        for person in everyone:
            same = person.subject == subject and person.tenant == tenant
            if same and person.profile.type in PEOPLE and person.id != sender.id:
                yield person.id, person.id in bus.clients


def _in_shared_channels(bus: Bus, sender: Client) -> Iterator[Client | Remote]:
    for name in sender.subscriptions:
        channel = None if is_pattern(name) else bus.channels.find(name)
        if channel is not None:
            yield from channel.members.values()
            yield from bus.exchange.view.members(name).values()
