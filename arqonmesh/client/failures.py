"""What goes wrong between a client and its bus, as errors with a code and the next step."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Final

import msgspec

from arqonmesh.client.message import Message, object_of
from arqonmesh.errors import ArqonError, Denied, NotFound, PeerError, TimedOut, UsageError

_DENIED: Final = frozenset(("bus.auth", "bus.denied", "bus.forbidden", "bus.not-allowed", "bus.permission"))
_NOT_AUTHENTICATED: Final = "closed with 4401 "
WHERE: Final = "arqon node status  # shows where the bus listens"


class Busy(PeerError):
    """The bus has too much to do just now: the same may be asked again on the same connection."""

    def __init__(self, code: str, sentence: str, *, hint: str = "", retry_after_s: float) -> None:
        super().__init__(code, sentence, hint=hint)
        self.retry_after_s = retry_after_s


class _Told(msgspec.Struct):
    code: str = ""
    message: str = ""
    hint: str = ""


class _Body(msgspec.Struct):
    error: _Told = msgspec.field(default_factory=_Told)


def told_by_the_bus(message: Message) -> ArqonError:
    """An `error` envelope, with the bus's own code, sentence and hint."""
    told = object_of(message)
    code, sentence = str(told.get("code", "bus.refused")), str(told.get("message", "the bus refused it"))
    pause_ms = told.get("retry_after_ms")
    if isinstance(pause_ms, int) and pause_ms > 0:
        return Busy(code, sentence, hint=str(told.get("hint", "")), retry_after_s=pause_ms / 1_000)
    kind = NotFound if code.startswith("bus.no-such") else Denied if code in _DENIED else PeerError
    return kind(code, sentence, hint=_for_a_program(str(told.get("hint", ""))))


def bad_address(url: str) -> UsageError:
    return UsageError(
        "bus.address",
        f"{url!r} is no address of a bus; it needs to be ws://HOST:PORT or wss://HOST:PORT",
        hint=WHERE,
    )


def unreachable(url: str, wrong: object) -> PeerError:
    hint = WHERE
    if isinstance(wrong, ssl.SSLError) and not isinstance(wrong, ssl.SSLCertVerificationError):
        hint = f"{_plain(url)}  # unless something in front of the bus speaks TLS"
        wrong = f"no TLS is spoken there ({wrong.reason or wrong})"
    return PeerError("bus.unreachable", f"no bus at {url}: {wrong}", hint=hint)


def not_a_bus(url: str, status: int, body: bytes = b"") -> ArqonError:
    """A handshake answered with an HTTP status; a bus says in the body why: {"error": {"code", "message", "hint"}}."""
    told = _told_over_http(body)
    if status in (401, 403):
        code = told.code or "bus.auth"
        sentence = told.message or ("it asks for a token" if status == 401 else "it gives no reason (HTTP 403)")
        hint = "--token TOKEN, or connect(url, token)" if code == "bus.auth" else told.hint or f"arqon explain {code}"
        return Denied(code, f"{url} does not let this client in: {sentence}", hint=hint)
    if told.code.startswith("bus."):
        return PeerError(told.code, f"{url} did not take this client: {told.message}", hint=told.hint or WHERE)
    return PeerError("bus.unreachable", f"{url} answered with HTTP {status}, not as a bus", hint=WHERE)


def no_welcome(url: str, within_s: float) -> TimedOut:
    hint = f"{_plain(url)}  # unless something in front of the bus speaks TLS" if url.startswith("wss:") else WHERE
    return TimedOut("bus.timeout", f"no welcome from {url} within {within_s:g} s", hint=hint)


def telemetry_instead(url: str) -> PeerError:
    return PeerError("bus.unreachable", f"{url} is a node's telemetry, not its bus", hint=WHERE)


def no_answer(url: str, what: str, within_s: float) -> TimedOut:
    return TimedOut("bus.timeout", f"{url} did not answer {what} within {within_s:g} s", hint="arqon node status")


def nobody_answered(target: str, within_s: float) -> TimedOut:
    return TimedOut(
        "bus.request-timeout",
        f"nobody answered the request to {target} within {within_s:g} s",
        hint="bus.presence('ROOM:CHANNEL')  # who is there",
    )


def ended(url: str, why: str) -> ArqonError:
    """A connection that is over; `closed with 4401 CODE: SENTENCE` says that the token or key is."""
    code, _, sentence = why.removeprefix(_NOT_AUTHENTICATED).partition(": ")
    if why.startswith(_NOT_AUTHENTICATED) and code.startswith("bus.") and sentence:
        return Denied(code, f"{url} closed this connection: {sentence}", hint="connect again with a newer token or key")
    hint = "arqon node status  # a client may connect again: arqon sub --reconnect, BusClient.connect(reconnect=True)"
    return PeerError("bus.closed", f"{url}: {why}", hint=hint)


def token_failed(wrong: Exception) -> PeerError:
    return PeerError("bus.token-source", f"the function that gives the token failed: {wrong!r}")


def request_failed(target: str, message: Message) -> PeerError:
    """An answer that says that there is none."""
    told = message.metadata["error"]
    code, sentence = str(told.get("code", "bus.request-failed")), str(told.get("message", "it failed"))
    return PeerError(code, f"{target} could not answer: {sentence}", hint=str(told.get("hint", "")))


def frame_too_large(url: str, size_bytes: int, bytes_max: int) -> UsageError:
    return UsageError(
        "bus.frame-too-large",
        f"the message makes a frame of {size_bytes} bytes; bus.frame_bytes_max at {url} is {bytes_max}",
        hint="send it in parts, or raise bus.frame_bytes_max in that node's arqon.yaml and start it again",
    )


def none_of(urls: Sequence[str], failures: Sequence[ArqonError]) -> ArqonError:
    """What to say when every node of a cluster was tried: the one failure, or all of them in a sentence."""
    if len(failures) == 1:
        return failures[0]
    last = failures[-1]
    said = "; ".join(failure.sentence for failure in failures)
    return type(last)(last.code, f"none of {len(urls)} nodes took this client: {said}", hint=last.hint)


def _told_over_http(body: bytes) -> _Told:
    """What the body of a refusal says; nothing where it is cut off or somebody else's."""
    try:
        return msgspec.json.decode(body, type=_Body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Told()


def _for_a_program(hint: str) -> str:
    """The bus shows its clients the frame that would be right; a program has a method for it."""
    try:
        frame = msgspec.json.decode(hint) if hint.startswith("{") else None
    except msgspec.DecodeError:
        return hint
    if not isinstance(frame, dict) or "type" not in frame:
        return hint
    kind, channel = frame["type"], frame.get("channel", "ROOM:CHANNEL")
    if kind == "authenticate":
        return "connect(url, token) with a token or key that may  # bus.reauthenticate() shows a newer one"
    if kind in ("join", "leave"):
        return f"bus.{kind}({channel!r})"
    if kind == "event":
        return f"bus.publish({channel!r}, {frame.get('payload', {})!r})"
    if kind == "private":
        return f"bus.private('arq_...', {frame.get('payload', {})!r})"
    if kind == "command":
        kind, frame = frame.get("command", "help"), frame.get("args", {})
    arguments = "".join(f", {name}={value!r}" for name, value in frame.items() if name != "type")
    return f"bus.command({kind!r}{arguments})"


def _plain(url: str) -> str:
    return "ws://" + url.partition("://")[2]
