"""A request, a response, and an endpoint: what it takes, what it answers, and who may ask."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import parse_qs, unquote_to_bytes, urlsplit

import msgspec

from arqonmesh.bridge.auth.authenticator import CREDENTIALS_IN_QUERY
from arqonmesh.bridge.http.messages import ErrorDetail, Failure, Nothing
from arqonmesh.core.bus.identity import ANONYMOUS, Identity

JSON: Final = "application/json"
QUERY_FIELDS_MAX: Final = 32

Needs: TypeAlias = Literal["nobody", "anyone", "client", "admin"]
"""Who may ask: anyone; anyone, and whom the bus would let in is told more; whom the bus would let in; an admin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A whole request; header names in lower case."""

    method: str
    path: str
    segments: tuple[str, ...]
    """The path, split at its slashes before they were unquoted."""
    query: Mapping[str, list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    identity: Identity = ANONYMOUS
    let_in: bool = False
    """Whether the bus would let this request's client in; always, where the endpoint needs a client or an admin."""

    @classmethod
    def of(cls, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Request:
        """From a request target (RFC 9112, 3.2.1). Raises ValueError when it cannot be read."""
        split = urlsplit(target)
        segments = tuple(unquote_to_bytes(part).decode() for part in split.path.split("/"))
        if segments[0] or any("\0" in segment for segment in segments):
            raise ValueError("the path does not begin with a slash, or holds a NUL")
        query = parse_qs(split.query, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX, errors="strict")
        return cls(
            method=method, path="/".join(segments), segments=segments, query=query, headers=headers or {}, body=body
        )


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, whole."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


Answer: TypeAlias = "Response | Awaitable[Response]"
Given: TypeAlias = Any
"""The decoded parameters or body of an endpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one path."""

    method: str
    path: str
    """`/clients/{client}`: a name in braces is a parameter, one segment long."""
    summary: str
    handler: Callable[[Request, Given], Answer]
    needs: Needs = "nobody"
    query: type = Nothing
    in_path: type = Nothing
    body: type | None = None
    answers: Mapping[int, type | None] = field(default_factory=dict)
    """By status; None where there is no body. Those of failures are added."""
    content_type: str = JSON
    tag: str = "monitoring"


def answer(status: int, body: Any, *headers: tuple[str, str]) -> Response:
    """A JSON answer."""
    return Response(status, msgspec.json.encode(body) + b"\n", JSON, headers)


def failure(status: int, code: str, message: str, hint: str = "", *headers: tuple[str, str]) -> Response:
    return answer(status, Failure(ErrorDetail(code, message, hint)), *headers)


def parameters(wanted: type, given: Mapping[str, str]) -> Any:
    """Texts to the fields of `wanted`; what it does not know is left alone. Raises msgspec.ValidationError."""
    known = {info.encode_name for info in msgspec.structs.fields(wanted)}
    return msgspec.convert({name: text for name, text in given.items() if name in known}, wanted, strict=False)


def misspelt(wanted: type, given: Iterable[str]) -> str:
    """What is wrong with the names of a query; empty where all of them mean something, a credential included."""
    known = [info.encode_name for info in msgspec.structs.fields(wanted)]
    strange = next((name for name in given if name not in known and name not in CREDENTIALS_IN_QUERY), None)
    if strange is None:
        return ""
    near = difflib.get_close_matches(strange, known, n=1)
    return f"{strange[:64]!r} is no parameter here; " + (f"is `{near[0]}` meant?" if near else f"{_listed(known)} are")


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def match(template: str, parts: tuple[str, ...]) -> dict[str, str] | None:
    """The path's parameters, or None when it is of another shape."""
    wanted = template.split("/")
    if len(parts) != len(wanted):
        return None
    found = {}
    for part, name in zip(parts, wanted, strict=True):
        if name.startswith("{"):
            found[name[1:-1]] = part
        elif part != name:
            return None
    return found
