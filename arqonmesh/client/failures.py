"""What goes wrong between a client and its bus, as errors with a code and the next step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from arqonmesh.client.message import Message, object_of
from arqonmesh.errors import ArqonError, Denied, NotFound, PeerError, TimedOut, UsageError

_DENIED: Final = frozenset(("bus.auth", "bus.denied", "bus.forbidden", "bus.not-allowed", "bus.permission"))


def told_by_the_bus(message: Message) -> ArqonError:
    """An `error` envelope, with the bus's own code, sentence and hint."""
    told = object_of(message)
    code, sentence = str(told.get("code", "bus.refused")), str(told.get("message", "the bus refused it"))
    kind = NotFound if code.startswith("bus.no-such") else Denied if code in _DENIED else PeerError
    return kind(code, sentence, hint=str(told.get("hint", "")))


def bad_address(url: str) -> UsageError:
    return UsageError(
        "bus.address",
        f"{url!r} is no address of a bus; it needs to be ws://HOST:PORT or wss://HOST:PORT",
        hint="arqon node status  # shows where the bus listens",
    )


def unreachable(url: str, wrong: object) -> PeerError:
    return PeerError(
        "bus.unreachable", f"no bus at {url}: {wrong}", hint="arqon node status  # shows where the bus listens"
    )


def not_a_bus(url: str, status: int) -> ArqonError:
    """A handshake answered with an HTTP status."""
    if status == 401:
        return Denied("bus.auth", f"{url} asks for a bearer token, and this one does not fit", hint="--token TOKEN")
    if status == 403:
        return Denied("bus.auth", f"{url} does not let this client in (HTTP 403)", hint="arqon bus token")
    return PeerError("bus.unreachable", f"{url} answered with HTTP {status}, not as a bus")


def no_welcome(url: str, within_s: float) -> TimedOut:
    return TimedOut("bus.timeout", f"no welcome from {url} within {within_s:g} s", hint="arqon node status")


def no_answer(url: str, what: str, within_s: float) -> TimedOut:
    return TimedOut("bus.timeout", f"{url} did not answer {what} within {within_s:g} s", hint="arqon node status")


def nobody_answered(target: str, within_s: float) -> TimedOut:
    return TimedOut(
        "bus.request-timeout",
        f"nobody answered the request to {target} within {within_s:g} s",
        hint='{"type": "info", "channel": "ROOM:CHANNEL"}',
    )


def ended(url: str, why: str) -> PeerError:
    return PeerError("bus.closed", f"{url}: {why}", hint="arqon node status")


def token_failed(wrong: Exception) -> PeerError:
    return PeerError("bus.token-source", f"the function that gives the token failed: {wrong!r}")


def request_failed(target: str, message: Message) -> PeerError:
    """An answer that says that there is none."""
    told = message.metadata["error"]
    code, sentence = str(told.get("code", "bus.request-failed")), str(told.get("message", "it failed"))
    return PeerError(code, f"{target} could not answer: {sentence}", hint=str(told.get("hint", "")))


def none_of(urls: Sequence[str], failures: Sequence[ArqonError]) -> ArqonError:
    """What to say when every node of a cluster was tried: the one failure, or all of them in a sentence."""
    if len(failures) == 1:
        return failures[0]
    last = failures[-1]
    said = "; ".join(failure.sentence for failure in failures)
    return type(last)(last.code, f"none of {len(urls)} nodes took this client: {said}", hint=last.hint)
