"""Everything that is wrong with a frame that was refused, so that its author mends it once.

The hot path stops at the first thing that is wrong. Only then is the frame read again, here, for the rest. What needs
the bus's state (who is connected, which channels there are, who may what) is known to the first refusal alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import DecodeError, Raw
from msgspec.json import decode

from arqonmesh.core.bus.envelope import EVENT_KINDS, CommandArgs, Hints, PayloadCommand, PayloadTarget
from arqonmesh.core.bus.names import resolve_pattern, resolve_target
from arqonmesh.core.bus.protocol.fields import TARGETS_MAX
from arqonmesh.core.bus.protocol.inbound import field_problems, fields_of, part_problems
from arqonmesh.core.bus.refusal import (
    Problem,
    Refusal,
    payload_missing,
    target_missing,
    too_many_targets,
    unknown_command,
    unknown_type,
)

_Fields = Mapping[str, Raw]


def examine(frame: bytes, refusal: Refusal, latest: str, commands: Iterable[str]) -> tuple[Problem, ...]:
    """All problems of a frame, the one that it was refused for first. `commands`: every name that one answers to."""
    first = refusal.problems or (Problem(refusal.code, refusal.field, refusal.sentence),)
    found = {(problem.code, problem.field): problem for problem in first}
    try:
        fields = fields_of(frame)
    except Refusal:
        return first
    for problem in (*field_problems(fields, latest), *_of_its_kind(fields, frozenset(commands))):
        found.setdefault((problem.code, problem.field), problem)
    return tuple(found.values())


def _of_its_kind(fields: _Fields, commands: frozenset[str]) -> Iterator[Problem]:
    """What a frame of this type would need, and has not."""
    kind = _text(fields, "type")
    if kind is None:
        return
    targeted = any(bytes(fields.get(name, b'""')) not in (b'""', b"[]") for name in ("to", "to_client"))
    if kind == "private" or (kind in EVENT_KINDS and targeted):
        yield from _targets(fields)
        yield from _message(fields)
    elif kind in EVENT_KINDS:
        yield from _address(_text(fields, "room"), _text(fields, "channel"), pattern=False)
        yield from _message(fields)
    elif kind == "command" or kind in commands:
        yield from _command(kind, fields, commands)
    else:
        yield _as_problem(unknown_type(kind, commands))


def _message(fields: _Fields) -> Iterator[Problem]:
    if "payload" not in fields:
        yield _as_problem(payload_missing())
    if "metadata" in fields:
        yield from part_problems(fields["metadata"], Hints, "metadata")


def _targets(fields: _Fields) -> Iterator[Problem]:
    to = fields.get("to", Raw(b'""'))
    try:
        named = decode(to)
    except DecodeError:
        return
    if isinstance(named, list) and len(named) > TARGETS_MAX:
        yield _as_problem(too_many_targets(len(named)))
    if named or _text(fields, "to_client") or _target_in_payload(fields):
        return
    yield _as_problem(target_missing())


def _target_in_payload(fields: _Fields) -> bool:
    try:
        return bool(decode(fields.get("payload", Raw(b"{}")), type=PayloadTarget).target)
    except DecodeError:
        return False


def _command(kind: str, fields: _Fields, commands: frozenset[str]) -> Iterator[Problem]:
    args, where = fields.get("args"), "args"
    if kind == "command":
        asked, field = _text(fields, "command"), "command"
        if not asked and bytes(fields.get("payload", b"")).startswith(b"{"):
            wrong = part_problems(fields["payload"], PayloadCommand, "payload")
            yield from wrong
            if wrong:
                return
            inner = decode(fields["payload"], type=PayloadCommand)
            asked, args = inner.command, inner.parameters or inner.args
            field, where = "payload.command", "payload.parameters"
        if asked is not None and asked not in commands:
            yield _as_problem(unknown_command(asked, field, commands))
    if args and bytes(args) != b"null":
        wrong = part_problems(args, CommandArgs, where)
        yield from wrong
        if not wrong:
            given = decode(args, type=CommandArgs)
            yield from _address(given.room, given.channel or given.channel_id or given.name, pattern=True)
    yield from _address(_text(fields, "room"), _text(fields, "channel"), pattern=True)


def _address(room: str | None, channel: str | None, *, pattern: bool) -> Iterator[Problem]:
    if room is None or channel is None or not (room or channel):
        return
    try:
        (resolve_pattern if pattern else resolve_target)(room, channel)
    except Refusal as refusal:
        yield _as_problem(refusal)


def _as_problem(refusal: Refusal) -> Problem:
    return Problem(refusal.code, refusal.field, refusal.sentence)


def _text(fields: _Fields, name: str) -> str | None:
    """A field that is text; empty when it is absent, None when it is something else."""
    try:
        return decode(fields.get(name, Raw(b'""')), type=str)
    except DecodeError:
        return None
