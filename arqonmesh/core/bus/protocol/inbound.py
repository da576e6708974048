"""Reading a client's frame, once, into the few fields that routing needs.

A good frame with known fields costs one decoding and a few comparisons. Whatever is unusual (a field that the protocol
does not know, a null, a mistake) makes the decoder stop, and the frame is read again, field by field: what is unknown
is kept to travel on, null is absent, and of a frame that is wrong every problem is told.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct, field

from arqonmesh.core.bus.protocol.bounds import ARRAYS_BYTES_MAX, is_too_deep, timestamp_problem
from arqonmesh.core.bus.protocol.fields import DEPTH_MAX, ID_LENGTH_MAX, UNKNOWN_MAX, UNKNOWN_NAME_MAX
from arqonmesh.core.bus.refusal import Problem, Refusal

EMPTY: Final = Raw(b"")
HELP: Final = '{"type": "help"}'
NO_DATE: Final = "9999-12-31"
"""As the latest date: any will do."""

_Bounded = Annotated[str, Meta(max_length=ID_LENGTH_MAX)]


class Inbound(Struct, gc=False, forbid_unknown_fields=True):
    """The fields that the protocol knows. What only the bus may say (`from`, `epoch`, answers) is read past."""

    type: str = ""
    id: _Bounded = ""
    room: str = ""
    channel: str = ""
    payload: Raw = EMPTY
    metadata: Raw = EMPTY
    correlation_id: _Bounded = ""
    v: Literal[0, 1, "1", "1.0"] = 0
    to: list[_Bounded] | str = ""
    command: str = ""
    args: Raw = EMPTY
    limit: int | None = None
    since: Raw = EMPTY
    before: Raw = EMPTY
    timestamp: str = ""
    version: Literal["", "1", "1.0", "1.1"] = ""
    sender: Raw = EMPTY
    from_client: Raw = EMPTY
    to_client: _Bounded = ""
    from_: Raw = field(default=EMPTY, name="from")
    epoch: Raw = EMPTY
    offset: Raw = EMPTY
    request_id: Raw = EMPTY
    status: Raw = EMPTY
    result: Raw = EMPTY
    error: Raw = EMPTY
    error_code: Raw = EMPTY


class Extended(Inbound):
    """A frame with fields that the protocol does not know; they go on to whoever gets the message."""

    unknown: dict[str, Raw] = field(default_factory=dict)


KNOWN: Final = {one.encode_name: one.type for one in msgspec.structs.fields(Inbound)}
"""Name as it stands in the frame, and type, of every field of `Inbound`."""

_RIGHT: Final = {
    "id": f"text of printable ASCII characters, at most {ID_LENGTH_MAX}",
    "correlation_id": f"text of printable ASCII characters, at most {ID_LENGTH_MAX}",
    "to": f"a client id, or a list of them, each of at most {ID_LENGTH_MAX} characters",
    "to_client": f"a client id of at most {ID_LENGTH_MAX} characters",
    "v": "1, the version of the envelope that is spoken here",
    "version": '"1.0", the version of ArqonBus that is spoken here',
    "limit": "a whole number",
    "timestamp": "ISO 8601, such as 2026-03-01T12:00:00.123Z",
}
_Part = TypeVar("_Part", bound=Struct)
_Fields = dict[str, Raw]

_inbound: Final = msgspec.json.Decoder(Inbound)
_extended: Final = msgspec.json.Decoder(Extended)
_fields: Final = msgspec.json.Decoder(_Fields)
_encode: Final = msgspec.json.Encoder().encode
_by_type: Final = {name: msgspec.json.Decoder(kind) for name, kind in KNOWN.items()}


def parse(frame: bytes, latest: str = NO_DATE) -> Inbound:
    """Read a client's frame; an `Extended` when it has unknown fields. Raises Refusal, and nothing else, whatever the
    bytes are. `latest`: the last date that its timestamp may have (bounds.timestamp_problem)."""
    try:
        message = _inbound.decode(frame)
        if not frame.isascii():
            frame.decode()
    except msgspec.ValidationError:
        return _parse_again(frame, latest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise unreadable(wrong) from None
    if _is_odd(message, latest) or (len(frame) > ARRAYS_BYTES_MAX and is_too_deep(frame)):
        return _parse_again(frame, latest)
    return message


def fields_of(frame: bytes) -> _Fields:
    """Every field of a frame, unread; a known one that is null, the payload apart, counts as absent. Raises Refusal."""
    try:
        fields = _fields.decode(frame)
        frame.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise unreadable(wrong) from None
    if is_too_deep(frame):
        raise _too_deep()
    return {
        name: raw for name, raw in fields.items() if name == "payload" or name not in KNOWN or bytes(raw) != b"null"
    }


def field_problems(fields: _Fields, latest: str) -> list[Problem]:
    """What is wrong with single fields, in the order in which they stand: types, lengths, forms, dates."""
    problems = []
    unknown = 0
    for name, raw in fields.items():
        if name not in KNOWN:
            unknown += 1
            if len(name) > UNKNOWN_NAME_MAX:
                sentence = f"a field's name has {len(name)} characters; at most {UNKNOWN_NAME_MAX} are taken"
                problems.append(Problem("bus.invalid-field", name[:UNKNOWN_NAME_MAX], sentence))
            continue
        sentence = _field_problem(name, raw, latest)
        if sentence:
            problems.append(Problem("bus.invalid-field", name, sentence))
    if unknown > UNKNOWN_MAX:
        sentence = f"the frame has {unknown} fields that the protocol does not know; at most {UNKNOWN_MAX} travel on"
        problems.append(Problem("bus.invalid-field", "", sentence))
    return problems


def unknown_json(message: Inbound) -> bytes:
    """The unknown fields of a frame, each with a comma before it, to be spliced into another."""
    if type(message) is not Extended:
        return b""
    return joined(message.unknown)


def joined(fields: _Fields) -> bytes:
    return b"".join([b",%b:%b" % (_encode(name), bytes(raw)) for name, raw in fields.items()])


def decode_part(raw: Raw, kind: type[_Part], field: str) -> _Part:
    """Read an object inside a frame; absent and null give the defaults. Raises Refusal."""
    if not raw or bytes(raw) == b"null":
        return kind()
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        problems = part_problems(raw, kind, field) if isinstance(wrong, msgspec.ValidationError) else []
        if not problems:
            raise unreadable(wrong, field) from None
        raise Refusal.of(problems, HELP) from None


def part_problems(raw: Raw, kind: type[Struct], field: str) -> list[Problem]:
    """What is wrong with the fields of an object inside a frame; only with the object itself when it is none."""
    try:
        fields = _fields.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [Problem("bus.invalid-field", field, f"{field} is {shown(raw)}; it needs to be an object")]
    problems = []
    for one in msgspec.structs.fields(kind):
        if one.encode_name not in fields:
            continue
        try:
            msgspec.json.decode(fields[one.encode_name], type=one.type)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
            name = f"{field}.{one.encode_name}"
            problems.append(
                Problem("bus.invalid-field", name, f"{name} is {shown(fields[one.encode_name])}; {_expected(wrong)}")
            )
    return problems


def unreadable(wrong: Exception, field: str = "") -> Refusal:
    """Why bytes are no frame at all."""
    if isinstance(wrong, RecursionError):
        return _too_deep(field)
    if isinstance(wrong, UnicodeDecodeError):
        return Refusal("bus.invalid-json", "the frame is not UTF-8", field=field, hint=HELP)
    if isinstance(wrong, msgspec.ValidationError):
        where = field or "the frame"
        return Refusal("bus.invalid-field", f"{where}: {_expected(wrong)}", field=field, hint=HELP)
    return Refusal("bus.invalid-json", f"the frame is not JSON: {wrong}"[:200], field=field, hint=HELP)


def shown(raw: Raw | bytes) -> str:
    """A value as it stands in the frame, cut to what a sentence holds."""
    data = bytes(raw)
    return data.decode("utf-8", "replace") if len(data) <= 64 else data[:61].decode("utf-8", "replace") + "..."


def _is_odd(message: Inbound, latest: str) -> bool:
    """Whether a field has the right type and still is wrong."""
    id_, correlation, timestamp = message.id, message.correlation_id, message.timestamp
    return bool(
        (id_ and not (id_.isascii() and id_.isprintable()))
        or (correlation and not (correlation.isascii() and correlation.isprintable()))
        or (timestamp and timestamp_problem(timestamp, latest))
    )


def _parse_again(frame: bytes, latest: str) -> Inbound:
    fields = fields_of(frame)
    unknown = {name: raw for name, raw in fields.items() if name not in KNOWN}
    try:
        message = _extended.decode(b"{%b}" % joined({n: raw for n, raw in fields.items() if n in KNOWN})[1:])
    except msgspec.ValidationError as wrong:
        raise Refusal.of(field_problems(fields, latest), HELP) from wrong
    if _is_odd(message, latest) or len(unknown) > UNKNOWN_MAX or max(map(len, unknown), default=0) > UNKNOWN_NAME_MAX:
        raise Refusal.of(field_problems(fields, latest), HELP)
    message.unknown = unknown
    return message


def _field_problem(name: str, raw: Raw, latest: str) -> str:
    """What is wrong with the value of a known field; empty when nothing is."""
    try:
        value = _by_type[name].decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        return f"{name} is {shown(raw)}; {'it needs to be ' + _RIGHT[name] if name in _RIGHT else _expected(wrong)}"
    if name == "timestamp" and value:
        return timestamp_problem(value, latest)
    if name in ("id", "correlation_id") and not (value.isascii() and value.isprintable()):
        return f"{name} is {shown(raw)}; it needs to be {_RIGHT[name]}"
    return ""


def _expected(wrong: Exception) -> str:
    """The decoder's own sentence, without its path: "expected `str`, got `int`"."""
    sentence = str(wrong).partition(" - at ")[0]
    return sentence[:1].lower() + sentence[1:]


def _too_deep(field: str = "") -> Refusal:
    return Refusal(
        "bus.invalid-json",
        f"the frame is nested too deeply; at most {DEPTH_MAX} arrays and objects are taken",
        field=field,
        hint=HELP,
    )
