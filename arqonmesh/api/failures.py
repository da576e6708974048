"""ArqonError to gRPC status and back, so that an error reads the same on both ends of the control socket."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any, Final

import grpc

from arqonmesh import errors
from arqonmesh.errors import ArqonError, NotRunning, TimedOut, UsageError

TEXT_MAX: Final = 1_000
"""Characters of a text in the trailing metadata, which is bounded to 8 KiB in all; ours are far shorter."""

_STATUS: Final[tuple[tuple[type[ArqonError], grpc.StatusCode], ...]] = (
    (errors.ConfigError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.UsageError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.NotRunning, grpc.StatusCode.UNAVAILABLE),
    (errors.NotFound, grpc.StatusCode.NOT_FOUND),
    (errors.Denied, grpc.StatusCode.PERMISSION_DENIED),
    (errors.TrustError, grpc.StatusCode.PERMISSION_DENIED),
    (errors.TimedOut, grpc.StatusCode.DEADLINE_EXCEEDED),
    (errors.StorageError, grpc.StatusCode.DATA_LOSS),
    (errors.PeerError, grpc.StatusCode.ABORTED),
    (ArqonError, grpc.StatusCode.UNKNOWN),
)


class QueueFull(TimedOut):
    """The node did not take the call: it may be made again."""


def _kinds(base: type[ArqonError]) -> Iterator[tuple[str, type[ArqonError]]]:
    yield base.__name__, base
    for child in base.__subclasses__():
        yield from _kinds(child)


def status_of(error: ArqonError) -> grpc.StatusCode:
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def metadata_of(error: ArqonError) -> tuple[tuple[str, str | bytes], ...]:
    """The trailing metadata that carries `error`; the keys are documented in arqonmesh.proto."""
    pairs: list[tuple[str, str | bytes]] = [
        ("arqon-code", error.code),
        ("arqon-kind", type(error).__name__),
        ("arqon-sentence-bin", error.sentence[:TEXT_MAX].encode()),
    ]
    if error.hint:
        pairs.append(("arqon-hint-bin", error.hint[:TEXT_MAX].encode()))
    return tuple(pairs)


def error_of(failure: Any, *, socket: str, start_hint: str) -> ArqonError:
    """The error that a failed call (grpc.RpcError with its status) stands for."""
    trailing: dict[str, str | bytes] = {str(key): value for key, value in failure.trailing_metadata() or ()}
    code = trailing.get("arqon-code")
    if isinstance(code, str):
        kind = dict(_kinds(ArqonError)).get(_text(trailing, "arqon-kind"), ArqonError)
        sentence = _text(trailing, "arqon-sentence-bin") or str(failure.details())
        return kind(code, sentence, hint=_text(trailing, "arqon-hint-bin"))
    status = failure.code()
    if status is grpc.StatusCode.UNAVAILABLE and _found_no_place(failure):
        return takes_no_calls(socket)
    if status in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return not_running(socket, start_hint)
    if status is grpc.StatusCode.DEADLINE_EXCEEDED:
        return not_in_time(socket)
    if status is grpc.StatusCode.UNIMPLEMENTED:
        return UsageError(
            "api.version",
            f"the node at {socket} does not know this call; it needs to run the version of this command",
            hint="arqon node stop, then arqon node start",
        )
    return ArqonError(
        "api.failed",
        f"the call to {socket} failed: {status.name.lower()}: {failure.details()}",
        hint="arqon node logs",
    )


def not_running(socket: str, start_hint: str) -> NotRunning:
    return NotRunning("api.not-running", f"no node answers at {socket}; it needs to be started first", hint=start_hint)


def not_in_time(socket: str) -> TimedOut:
    return TimedOut(
        "api.deadline",
        f"the node at {socket} took the call and did not answer in time; it needs to be less busy",
        hint="arqon node logs",
    )


def takes_no_calls(socket: str) -> QueueFull:
    return QueueFull(
        "api.deadline",
        f"the node at {socket} takes no calls, and its queue of them is full; it needs to go on, or to end",
        hint="arqon node logs",
    )


def _found_no_place(failure: Any) -> bool:
    """gRPC takes the EAGAIN of connect(2) for a connection on its way, and finds that it has none (ENOTCONN)."""
    details = str(failure.details())
    return details.startswith("failed to connect") and f"({errno.ENOTCONN})" in details


def _text(trailing: dict[str, str | bytes], key: str) -> str:
    value = trailing.get(key, "")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
