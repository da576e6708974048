"""Why a client's frame was not acted upon. Becomes an `error` envelope, never an exception that leaves the bus."""

from __future__ import annotations

from arqonmesh.errors import PeerError


class Refusal(PeerError):
    """`field` names the part of the frame that is meant; empty when it is the frame as a whole."""

    def __init__(self, code: str, sentence: str, *, field: str = "", hint: str = "") -> None:
        super().__init__(code, sentence, hint=hint)
        self.field = field


def too_large(size: int, bytes_max: int) -> Refusal:
    return Refusal(
        "bus.frame-too-large",
        f"the frame has {size} bytes; bus.frame_bytes_max is {bytes_max}",
        hint="send it in parts, or raise bus.frame_bytes_max in arqon.yaml",
    )


def payload_missing() -> Refusal:
    return Refusal(
        "bus.payload-missing",
        "the message has no payload; any JSON value will do",
        field="payload",
        hint='{"type": "event", "channel": "telemetry:host", "payload": {"load": 0.5}}',
    )
