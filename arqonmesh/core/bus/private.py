"""Private messages: to clients by id, past every channel and history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arqonmesh.core.bus.answers import acknowledge
from arqonmesh.core.bus.envelope import (
    NO_HINTS,
    Inbound,
    canonical_private,
    extras,
    legacy_event,
    parse_hints,
    targets_of,
    text,
)
from arqonmesh.core.bus.identity import same_bus
from arqonmesh.core.bus.permissions import check_role
from arqonmesh.core.bus.refusal import Refusal, payload_missing
from arqonmesh.core.kernel import Deliver, Effect
from arqonmesh.ids import ClientId

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.clients import Client


def send_private(bus: Bus, sender: Client, message: Inbound, effects: list[Effect]) -> None:
    targets = targets_of(message)
    if not targets:
        raise Refusal(
            "bus.target-missing",
            "the private message names nobody; it needs `to`, a list of client ids",
            field="to",
            hint='{"type": "private", "to": ["arq_..."], "payload": {"text": "hello"}}',
        )
    if not message.payload:
        raise payload_missing()
    check_role(sender.identity, "user", "a private message")
    hints = parse_hints(message.metadata) if message.metadata else NO_HINTS
    more = extras(message.correlation_id, message.metadata)
    found = ((target, bus.clients.get(ClientId(target))) for target in targets)
    reached = {target: client for target, client in found if client and same_bus(client.identity, sender.identity)}
    known = list(reached.values())
    id_, time, payload = bus.stamps.next_id(), bus.stamps.time, bytes(message.payload)
    canonical = tuple(client.id for client in known if client.canonical)
    if canonical:
        frame = canonical_private(id_, sender.id, targets, payload, more, time)
        effects.append(Deliver(canonical, (frame,)))
    for client in known:
        if not client.canonical:
            where = b',"to_client":' + text(client.id)
            frame = legacy_event(id_, where, sender.id, payload, more, time + b"+00:00")
            effects.append(Deliver(client.only, (frame,)))
    bus.counters["private"] += 1
    bus.counters["delivered"] += len(known)
    if len(known) < len(targets):
        missing = [target[:64] for target in targets if target not in reached]
        raise Refusal(
            "bus.no-such-client",
            f"not connected to this node: {', '.join(missing[:8])}; the message went to {len(known)} others",
            field="to",
            hint='{"type": "info", "channel": "ROOM:CHANNEL"}',
        )
    if hints.ack:
        acknowledge(bus, sender, message, id_, len(known), effects)
