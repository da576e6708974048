"""What the bus says to one client: answers, acknowledgements, refusals. In the dialect that the client speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from arqonmesh.core.bus.envelope import Inbound, from_bus
from arqonmesh.core.bus.refusal import Problem, Refusal
from arqonmesh.core.events import Dropped
from arqonmesh.core.kernel import CloseClient, Deliver, Effect, Emit

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.clients import Client

UNREADABLE_IN_A_ROW_MAX: Final = 100
"""Frames that make no sense, one after the other, after which a client is cut off (1008)."""
POLICY_VIOLATION: Final = 1008

_UNREADABLE: Final = frozenset(
    (
        "bus.invalid-json",
        "bus.invalid-cbor",
        "bus.invalid-field",
        "bus.unknown-type",
        "bus.unknown-command",
        "bus.frame-too-large",
    )
)


def say(
    bus: Bus, client: Client, kind: str, payload: dict[str, Any], about: Inbound | None = None, **fields: Any
) -> Deliver:
    """One frame from the bus to one client, tied to the frame that it is about."""
    id_ = ""
    if about is not None:
        fields["request_id"] = about.id
        fields["correlation_id"] = about.correlation_id or about.id
        if about.id and not client.canonical:
            id_ = f"{about.id}_response"  # what the 1.0 example client waits for
    frame = from_bus(client.dialect, kind, id_ or bus.stamps.next_id().decode(), bus.stamps.time, payload, **fields)
    return Deliver(client.only, (frame,))


def answer(bus: Bus, client: Client, message: Inbound, name: str, result: dict[str, Any], in_payload: bool) -> Deliver:
    if client.canonical:
        return say(bus, client, "response", result, message, command=name, status="success")
    if message.type == "ping":
        return say(bus, client, "pong", result, message)
    fields = {"command": name, "status": "success", "result": result}
    if in_payload:
        payload = {"request_id": message.id, "status": "success", "result": result}
        return say(bus, client, "command_response", payload, message, **fields)
    return say(bus, client, "response", {"message": f"{name} done", "data": result}, message, **fields)


def acknowledge(bus: Bus, sender: Client, message: Inbound, id_: bytes, reached: int, effects: list[Effect]) -> None:
    payload = {"id": id_.decode(), "delivered": reached}
    kind = "response" if sender.canonical else "message_response"
    effects.append(say(bus, sender, kind, payload, message, status="success"))


def refuse(bus: Bus, client: Client, message: Inbound | None, refusal: Refusal, effects: list[Effect]) -> None:
    """Tell the client why not; cut it off when nothing that it sends makes sense."""
    bus.counters["refused"] += 1
    problems = refusal.problems or (Problem(refusal.code, refusal.field, refusal.sentence),)
    told: dict[str, Any] = {
        "code": refusal.code,
        "message": refusal.sentence,
        "hint": refusal.hint,
        "field": refusal.field,
        "problems": [problem._asdict() for problem in problems],
    }
    if refusal.retry_after_ms:
        told["retry_after_ms"] = refusal.retry_after_ms
    if client.canonical:
        effects.append(say(bus, client, "error", told, message, status="error"))
    else:
        effects.append(
            say(
                bus,
                client,
                "error",
                {"errors": [problem.message for problem in problems], "hint": refusal.hint},
                message,
                status="error",
                error=told,
                error_code=refusal.code,
            )
        )
    effects.append(Emit(Dropped("bus", refusal.code.removeprefix("bus."), 1, client.id)))
    if refusal.code not in _UNREADABLE:
        return
    client.bad_in_a_row += 1
    if client.bad_in_a_row >= UNREADABLE_IN_A_ROW_MAX:
        client.closing = True
        reason = f"{client.bad_in_a_row} frames in a row made no sense; the last: {refusal.code}"
        effects.append(CloseClient(client.id, POLICY_VIOLATION, reason))
        effects.append(Emit(Dropped("bus", "client-rubbish", 1, client.id)))
