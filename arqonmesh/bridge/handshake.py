"""What a WebSocket handshake request is worth: a client, or a refusal that says why. Judged from it alone.

The checks of RFC 6455, 4.2.1, then the origin, then the credentials, then what both sides speak:

| the request                                       | answer                       | reason in `Dropped` |
|---------------------------------------------------|------------------------------|---------------------|
| is plain HTTP                                     | 426                          |                     |
| names another version of WebSocket than 13        | 426, `Sec-WebSocket-Version` | bad-handshake       |
| has no `Host`, or no key of 16 bytes              | 400                          | bad-handshake       |
| has a target that cannot be read as a URL         | 400                          | bad-target          |
| comes from a page of another host (`bus.origins`) | 403                          | origin              |
| shows no token, or one that does not hold up      | 401                          | auth                |
| shows a token of another tenant than its path     | 403                          | auth                |
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from arqonmesh.bridge import deflate
from arqonmesh.bridge.auth.authenticator import Authenticator
from arqonmesh.bridge.auth.refused import AuthRefused
from arqonmesh.bridge.door import needs_no_dns
from arqonmesh.config.model import BusSettings
from arqonmesh.core.bus.envelope import SUBPROTOCOLS
from arqonmesh.core.bus.identity import ANONYMOUS, Identity

NAME_LENGTH_MAX: Final = 64
KIND_LENGTH_MAX: Final = 32
QUERY_FIELDS_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that becomes a client, and what was agreed with it."""

    path: str
    """The target's path, as it stands in the request: `/`."""
    query: Mapping[str, list[str]]
    subprotocol: str
    """The first of the client's offers that is spoken here; empty when none is."""
    name: str
    kind: str
    identity: Identity = ANONYMOUS
    compressed: bool = False
    """Whether permessage-deflate was agreed (deflate.py)."""

    def headers(self) -> dict[str, str]:
        """What the 101 answer says beside RFC 6455's own fields."""
        said = {"Sec-WebSocket-Protocol": self.subprotocol} if self.subprotocol else {}
        if self.compressed:
            said["Sec-WebSocket-Extensions"] = deflate.ANSWER
        return said


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """A request that is refused with an HTTP status and a JSON body {"error": {"code", "message", "hint"}}."""

    status: int
    code: str
    message: str
    hint: str = ""
    reason: str = ""
    """Counted under this in `Dropped`; empty: not counted."""
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        return msgspec.json.encode({"error": {"code": self.code, "message": self.message, "hint": self.hint}})


def judge(
    target: bytes, headers: Any, settings: BusSettings, authenticator: Authenticator | None = None
) -> Admitted | TurnedAway:
    """`headers` maps names of any case to values (a CIMultiDict); `target` stands in the request's first line."""
    refused = _not_websocket(headers)
    if refused is not None:
        return refused
    try:
        split = urlsplit(target.decode("latin-1"))
        query = parse_qs(split.query, max_num_fields=QUERY_FIELDS_MAX)
    except ValueError:
        return TurnedAway(400, "bus.handshake", "the request target cannot be read", _CONNECT, "bad-target")
    origin = headers.get("Origin", "")
    if origin and not origin_is_welcome(origin, headers.get("Host", ""), settings.origins):
        return _stranger(origin, "which is neither this host nor in bus.origins")
    try:
        identity = (authenticator or Authenticator(settings)).identify(split.path, headers, query)
    except AuthRefused as no:
        challenge = {"WWW-Authenticate": 'Bearer realm="arqonbus"'} if no.status == 401 else {}
        return TurnedAway(no.status, no.code, no.sentence, no.hint, "auth", challenge)
    trusting = identity.via == "anonymous" and settings.auth.anonymous == "auto"
    if origin and trusting and not (_is_listed(origin, settings.origins) or needs_no_dns(origin)):
        return _stranger(origin, "a name that may be made to lead here, and the bus asks nobody who it is")
    return Admitted(
        split.path or "/",
        query,
        offered_subprotocol(headers),
        query.get("name", [""])[0][:NAME_LENGTH_MAX],
        query.get("type", [""])[0][:KIND_LENGTH_MAX],
        identity,
        settings.compression and deflate.accepts(_values(headers, "Sec-WebSocket-Extensions")),
    )


def offered_subprotocol(headers: Any) -> str:
    """What of the request's offers is spoken here; empty when nothing is."""
    return choose_subprotocol(_values(headers, "Sec-WebSocket-Protocol"))


def choose_subprotocol(offers: list[str]) -> str:
    """The first offer that is spoken here, in the client's order (RFC 6455, 4.2.2); empty when there is none."""
    return next((offer for offer in offers if offer in SUBPROTOCOLS), "")


def origin_is_welcome(origin: str, host: str, allowed: tuple[str, ...]) -> bool:
    """Whether a page of this origin may connect (RFC 6455, 10.2): it is of the host that it asks, or it is listed.

    Without a list the page's host name has to be that of `Host`; ports may differ, because the page is served by
    another program. An entry of the list is an origin such as `https://app.example.org`, may hold `*`, and `null`
    is the origin of files and sandboxes.
    """
    if _is_listed(origin, allowed):
        return True
    try:
        page, here = urlsplit(origin).hostname, urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return page is not None and page == here


def _is_listed(origin: str, allowed: tuple[str, ...]) -> bool:
    return any(fnmatchcase(origin.lower(), pattern.lower()) for pattern in allowed)


def _stranger(origin: str, why: str) -> TurnedAway:
    return TurnedAway(
        403,
        "bus.origin",
        f"the page comes from {origin[:256]!r}, {why}",
        f'add it to bus.origins in arqon.yaml: origins: ["{origin[:256]}"]',
        "origin",
    )


_CONNECT: Final = "connect with WebSocket to ws://HOST:PORT/"


def _not_websocket(headers: Any) -> TurnedAway | None:
    """The demands of RFC 6455, 4.2.1."""
    if "websocket" not in _tokens(headers, "Upgrade") or "upgrade" not in _tokens(headers, "Connection"):
        return TurnedAway(
            426,
            "bus.handshake",
            "this is the message bus; connect with WebSocket",
            _CONNECT,
            headers={"Upgrade": "websocket"},
        )
    version = headers.get("Sec-WebSocket-Version", "")
    if version != "13":
        return TurnedAway(
            426,
            "bus.handshake",
            f"WebSocket version {version[:16]!r} is not spoken here; it needs to be 13 (RFC 6455)",
            _CONNECT,
            "bad-handshake",
            {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"},
        )
    keys = _values(headers, "Sec-WebSocket-Key")
    if not headers.get("Host") or len(keys) != 1 or not _is_key(keys[0]):
        return TurnedAway(
            400,
            "bus.handshake",
            "the handshake needs a Host and one Sec-WebSocket-Key of 16 bytes in base64",
            _CONNECT,
            "bad-handshake",
        )
    return None


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _values(headers: Any, name: str) -> list[str]:
    """The items of a header that is a list and may be given several times."""
    return [item.strip() for value in headers.getall(name, []) for item in value.split(",")]


def _tokens(headers: Any, name: str) -> list[str]:
    return [item.lower() for item in _values(headers, name)]
