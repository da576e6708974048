"""The node's state over HTTP/1.1: health, metrics, status, history. GET and HEAD, no bodies, nothing to change.

Small on purpose: one request line, at most 8 KiB of headers, one request at a time per connection, a deadline on
every wait. Whatever happens here, the bus does not notice.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from arqonmesh.bridge.door import Gate, anyone
from arqonmesh.core.bus.identity import Identity
from arqonmesh.errors import ArqonError, ConfigError

HEAD_BYTES_MAX: Final = 8_192
CONNECTIONS_MAX: Final = 128
REQUEST_TIMEOUT_S: Final = 5.0
"""For a whole request to arrive, and for a whole response to be read."""
IDLE_TIMEOUT_S: Final = 30.0
"""Between requests of one connection."""
HISTORY_LIMIT_DEFAULT: Final = 50
HISTORY_LIMIT_MAX: Final = 500

_JSON: Final = "application/json"
_PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
_PHRASES: Final = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}

_log = logging.getLogger("arqonmesh.bridge.http")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSources:
    """Where the answers come from. All are called on the event loop and answer at once."""

    health: Callable[[], Mapping[str, Mapping[str, Any]]]
    """Per component: {"ok": bool, ...}; the node is healthy when all are ok."""
    ready: Callable[[], bool]
    """False while starting and while draining."""
    version: Callable[[], Mapping[str, Any]]
    status: Callable[[], Mapping[str, Any]]
    metrics: Callable[[], bytes]
    """Prometheus text format 0.0.4."""
    history: Callable[[Identity, str, int], Sequence[bytes]]
    """The newest canonical frames of a channel, for one who asks; raises ArqonError for a bad name or no right."""


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request; header names in lower case."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    keep_alive: bool


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, whole."""

    status: int
    body: bytes
    content_type: str = _JSON


class HttpServer:
    """Serves the endpoints. /history asks `gate` who it is, as the bus does; the others carry no messages."""

    def __init__(
        self,
        sources: HttpSources,
        *,
        gate: Gate = anyone,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
    ) -> None:
        self.counters: Counter[str] = Counter()
        """requests, and one per status sent; `too-many` for connections turned away."""
        self.request_timeout_s = request_timeout_s
        self.idle_timeout_s = idle_timeout_s
        self._sources = sources
        self._gate = gate
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._routes: dict[str, Callable[[Request], Response]] = {
            "/": self._index,
            "/health": self._health,
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/version": lambda request: _json(200, sources.version()),
            "/status": lambda request: _json(200, sources.status()),
            "/metrics": lambda request: Response(200, sources.metrics(), _PROMETHEUS),
            "/history": self._history,
        }

    async def start(self, host: str, port: int) -> None:
        """Listen on HOST:PORT; port 0 takes a free one. Raises ConfigError when the address cannot be had."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: _Connection(self), host, port)
        except OSError as wrong:
            raise ConfigError(
                "http.listen",
                f"HTTP cannot listen on {host}:{port}: {wrong.strerror or wrong}",
                hint="set listen.http in arqon.yaml to a free HOST:PORT",
            ) from wrong

    @property
    def address(self) -> tuple[str, int]:
        assert self._server is not None
        name = self._server.sockets[0].getsockname()
        return name[0], name[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(0)

    def admit(self, connection: _Connection) -> bool:
        if len(self._connections) >= CONNECTIONS_MAX:
            self.counters["too-many"] += 1
            return False
        self._connections.add(connection)
        return True

    def forget(self, connection: _Connection) -> None:
        self._connections.discard(connection)

    def respond(self, request: Request) -> Response:
        """The answer to a request; an error of a source becomes 500 and a log entry, never more."""
        self.counters["requests"] += 1
        if request.method not in ("GET", "HEAD"):
            return error(405, "http.method", f"{request.method[:16]} is not served; use GET")
        route = self._routes.get(request.path)
        if route is None:
            return error(404, "http.not-found", f"no {request.path[:128]} here; there are {', '.join(self._routes)}")
        try:
            return route(request)
        except ArqonError as refused:
            return error(403 if refused.code == "bus.forbidden" else 400, refused.code, refused.sentence, refused.hint)
        except Exception:
            _log.exception("the answer to %s failed", request.path)
            return error(500, "http.internal", "the node failed to answer; its log has the trace")

    # --- endpoints -------------------------------------------------------------------------------------------

    def _index(self, request: Request) -> Response:
        return _json(200, {"service": "arqonmesh", "endpoints": list(self._routes)})

    def _health(self, request: Request) -> Response:
        components = self._sources.health()
        healthy = all(component.get("ok") for component in components.values())
        told = {"status": "healthy" if healthy else "unhealthy", "components": components}
        return _json(200 if healthy else 503, told)

    def _livez(self, request: Request) -> Response:
        """The event loop turns: that is what this answer proves."""
        return _json(200, {"status": "alive"})

    def _readyz(self, request: Request) -> Response:
        ready = self._sources.ready()
        return _json(200 if ready else 503, {"status": "ready" if ready else "not-ready"})

    def _history(self, request: Request) -> Response:
        identity = self._gate(request.headers, request.query)
        if identity is None:
            return error(401, "bus.auth", "history needs a token or API key of the bus", "Authorization: Bearer TOKEN")
        channel = request.query.get("channel", [""])[0]
        if not channel:
            return error(400, "bus.channel-missing", "no channel is named", "/history?channel=telemetry:host&limit=50")
        limit_text = request.query.get("limit", [str(HISTORY_LIMIT_DEFAULT)])[0]
        limit = int(limit_text) if limit_text.isascii() and limit_text.isdigit() and len(limit_text) < 10 else 0
        if not 1 <= limit <= HISTORY_LIMIT_MAX:
            sentence = f"limit is {limit_text[:16]!r}; it needs to be 1 to {HISTORY_LIMIT_MAX}"
            return error(400, "http.limit", sentence)
        frames = self._sources.history(identity, channel, limit)
        return _json(200, {"channel": channel, "count": len(frames), "history": [msgspec.Raw(f) for f in frames]})


def error(status: int, code: str, message: str, hint: str = "") -> Response:
    return _json(status, {"error": {"code": code, "message": message, "hint": hint}})


def _json(status: int, body: Mapping[str, Any]) -> Response:
    return Response(status, msgspec.json.encode(body) + b"\n")


class _Connection(asyncio.Protocol):
    """One HTTP connection: requests in, one after the other."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._deadline: asyncio.TimerHandle | None = None
        self._waiting_for_reader = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._server.admit(self):
            self._send(error(503, "http.too-many", "too many connections; try again later"), "GET", False)
            return
        transport.set_write_buffer_limits(high=0)  # pause_writing as soon as anything waits
        self._expect(self._server.request_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._server.forget(self)

    def data_received(self, data: bytes) -> None:
        if not self._received:
            self._expect(self._server.request_timeout_s)
        self._received += data
        self._serve()

    def pause_writing(self) -> None:
        assert self._transport is not None
        self._waiting_for_reader = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        assert self._transport is not None
        self._waiting_for_reader = False
        if not self._transport.is_closing():
            self._transport.resume_reading()
            self._serve()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _serve(self) -> None:
        """Answer every request that is complete, as long as the client reads its answers."""
        assert self._transport is not None
        while not self._waiting_for_reader and not self._transport.is_closing():
            end = self._received.find(b"\r\n\r\n")
            if end > HEAD_BYTES_MAX or (end < 0 and len(self._received) > HEAD_BYTES_MAX):
                self._send(error(431, "http.head", f"the request's head is over {HEAD_BYTES_MAX} bytes"), "GET", False)
                return
            if end < 0:
                return
            head = bytes(self._received[:end])
            del self._received[: end + 4]
            request = parse_request(head)
            if isinstance(request, Response):
                self._send(request, "GET", False)
            else:
                self._send(self._server.respond(request), request.method, request.keep_alive)

    def _send(self, response: Response, method: str, keep_alive: bool) -> None:
        assert self._transport is not None
        self._server.counters[str(response.status)] += 1
        head = (
            f"HTTP/1.1 {response.status} {_PHRASES[response.status]}\r\n"
            f"Content-Type: {response.content_type}\r\n"
            f"Content-Length: {len(response.body)}\r\n"
            "Cache-Control: no-store\r\n"
            "X-Content-Type-Options: nosniff\r\n"
            f"Connection: {'keep-alive' if keep_alive else 'close'}\r\n\r\n"
        ).encode()
        self._transport.write(head if method == "HEAD" else head + response.body)
        if keep_alive and not self._waiting_for_reader:
            self._expect(self._server.idle_timeout_s)
        else:
            self._expect(self._server.request_timeout_s)
        if not keep_alive:
            self._transport.close()

    def _expect(self, within_s: float) -> None:
        """Whatever comes next has this long."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(within_s, self._too_late)

    def _too_late(self) -> None:
        assert self._transport is not None
        if self._received and not self._transport.is_closing() and not self._waiting_for_reader:
            self._send(error(408, "http.timeout", "the request did not arrive in time"), "GET", False)
        else:
            self._transport.abort()


def parse_request(head: bytes) -> Request | Response:
    """A request's line and headers (RFC 9112, 2 to 5), or the refusal of it."""
    lines = head.split(b"\r\n")
    parts = lines[0].split(b" ")
    if len(parts) != 3 or not parts[1].startswith(b"/") or not lines[0].isascii() or not parts[0].isalpha():
        return error(400, "http.request-line", "this is not an HTTP request; try GET /health HTTP/1.1")
    if parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        return error(505, "http.version", "HTTP/1.1 is spoken here")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip() or b"\n" in line or b"\r" in line:
            return error(400, "http.header", "a header line is malformed")
        headers[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        return error(400, "http.body", "requests with a body are not served")
    try:
        split = urlsplit(parts[1].decode())
        query = parse_qs(split.query, max_num_fields=16)
    except ValueError:
        return error(400, "http.target", "the request target cannot be read")
    wish = headers.get("connection", "").lower()
    keep_alive = "keep-alive" in wish if parts[2] == b"HTTP/1.0" else "close" not in wish
    return Request(parts[0].decode(), unquote(split.path), query, headers, keep_alive)
