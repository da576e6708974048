"""Why a client's frame was not acted upon. Becomes an `error` envelope, never an exception that leaves the bus."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from arqonmesh.core.bus.protocol.fields import TARGETS_MAX
from arqonmesh.errors import PeerError

_HELP: Final = '{"type": "help"}'


class Problem(NamedTuple):
    """One thing that is wrong with a frame. `field`: which part of it, with dots; empty for the frame as a whole."""

    code: str
    field: str
    message: str


class Refusal(PeerError):
    """`field` names the part of the frame that is meant; empty when it is the frame as a whole. `retry_after_ms`: the
    same frame may be sent again after this pause; 0: that would not help."""

    def __init__(self, code: str, sentence: str, *, field: str = "", hint: str = "", retry_after_ms: int = 0) -> None:
        super().__init__(code, sentence, hint=hint)
        self.field = field
        self.retry_after_ms = retry_after_ms
        self.problems: tuple[Problem, ...] = ()
        """Everything that is known to be wrong, the first included; empty: this alone."""

    @classmethod
    def of(cls, problems: Sequence[Problem], hint: str) -> Refusal:
        """Of one problem or more; the first is what the refusal is called after."""
        first = problems[0]
        refusal = cls(first.code, first.message, field=first.field, hint=hint)
        refusal.problems = tuple(problems)
        return refusal


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


def target_missing() -> Refusal:
    return Refusal(
        "bus.target-missing",
        "the private message names nobody; it needs `to`, a list of client ids or aliases",
        field="to",
        hint='{"type": "private", "to": ["arq_..."], "payload": {"text": "hello"}}',
    )


def too_many_targets(count: int) -> Refusal:
    return Refusal(
        "bus.invalid-field",
        f"to names {count} clients; at most {TARGETS_MAX} fit, a channel reaches more",
        field="to",
        hint=_HELP,
    )


def unknown_type(kind: str, commands: Iterable[str]) -> Refusal:
    known = ", ".join(("event", "private", "command", "telemetry", *sorted(commands)))
    return Refusal("bus.unknown-type", f"type is {kind[:64]!r}; a client may send {known}", field="type", hint=_HELP)


def unknown_command(name: str, field: str, commands: Iterable[str]) -> Refusal:
    """`field`: where in the frame the command is named."""
    known = ", ".join(sorted(commands))
    return Refusal("bus.unknown-command", f"command is {name[:64]!r}; this bus knows {known}", field=field, hint=_HELP)
