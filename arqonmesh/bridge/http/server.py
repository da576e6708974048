"""The listening socket, and what is the same for all endpoints: finding them, who may ask, CORS, failures."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import inspect
import logging
from collections import Counter
from collections.abc import Awaitable
from typing import Any, Final

import msgspec

from arqonmesh.bridge.auth.authenticator import credential
from arqonmesh.bridge.auth.refused import AuthRefused
from arqonmesh.bridge.door import Gate, anyone
from arqonmesh.bridge.http.connection import Connection
from arqonmesh.bridge.http.endpoints import endpoints
from arqonmesh.bridge.http.exchange import (
    JSON,
    Answer,
    Endpoint,
    Given,
    Request,
    Response,
    answer,
    failure,
    match,
    misspelt,
    parameters,
)
from arqonmesh.bridge.http.messages import Index, Nothing, OpenApi
from arqonmesh.bridge.http.openapi import describe
from arqonmesh.bridge.http.sources import HttpSources
from arqonmesh.bridge.listening import no_listen
from arqonmesh.errors import ArqonError, Denied, NotFound

CONNECTIONS_MAX: Final = 128
REQUEST_TIMEOUT_S: Final = 5.0
"""For a whole request to arrive, and for a whole response to be read."""
IDLE_TIMEOUT_S: Final = 30.0
"""Between requests of one connection."""
CORS_MAX_AGE_S: Final = 600
_NEW_ADMIN: Final = "arqon bus key new NAME --role admin"
_CHALLENGE: Final = ("WWW-Authenticate", 'Bearer realm="arqonbus"')

_log = logging.getLogger("arqonmesh.bridge.http")


class HttpServer:
    """Serves the endpoints. `cors_origins`: whose pages may read the answers; `*` is any."""

    def __init__(
        self,
        sources: HttpSources,
        *,
        gate: Gate = anyone,
        version: str = "0",
        cors_origins: tuple[str, ...] = (),
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
    ) -> None:
        self.counters: Counter[str] = Counter()
        """requests, and one per status sent; `too-many` for connections turned away."""
        self.request_timeout_s = request_timeout_s
        self.idle_timeout_s = idle_timeout_s
        self._gate = gate
        self.cors_origins = cors_origins
        """May be changed while it runs."""
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._endpoints = (
            Endpoint(method="GET", path="/", summary="What is served here", handler=self._index, answers={200: Index}),
            *endpoints(sources),
            Endpoint(
                method="GET",
                path="/openapi.json",
                summary="This description",
                handler=lambda request, given: answer(200, self.description),
                answers={200: OpenApi},
            ),
        )
        self._version = version

    @functools.cached_property
    def description(self) -> dict[str, Any]:
        """Of all endpoints, as OpenAPI; made when somebody asks."""
        return describe(self._endpoints, self._version)

    # --- life ------------------------------------------------------------------------------------------------

    async def start(self, host: str, port: int) -> None:
        """Listen on HOST:PORT; port 0 takes a free one. Raises ConfigError when the address cannot be had."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: Connection(self), host, port)
        except OSError as wrong:
            raise no_listen("http.listen", "HTTP", host, port, "listen.http", wrong) from wrong

    @property
    def address(self) -> tuple[str, int]:
        assert self._server is not None
        name = self._server.sockets[0].getsockname()
        return name[0], name[1]

    @property
    def connection_count(self) -> int:
        return len(self._connections)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(0)

    def admit(self, connection: Connection) -> bool:
        if len(self._connections) >= CONNECTIONS_MAX:
            self.counters["too-many"] += 1
            return False
        self._connections.add(connection)
        return True

    def forget(self, connection: Connection) -> None:
        self._connections.discard(connection)

    # --- requests --------------------------------------------------------------------------------------------

    def respond(self, request: Request) -> Answer:
        """The answer to a request; an error of a source becomes a status and a log entry, never more."""
        self.counters["requests"] += 1
        try:
            answered = self._route(request)
        except Exception as wrong:
            answered = _told(request, wrong)
        if inspect.isawaitable(answered):
            return self._respond_later(request, answered)
        return self._with_cors(request, answered)

    async def _respond_later(self, request: Request, answered: Awaitable[Response]) -> Response:
        try:
            response = await answered
        except Exception as wrong:
            response = _told(request, wrong)
        return self._with_cors(request, response)

    def _route(self, request: Request) -> Answer:
        fits: dict[str, tuple[Endpoint, dict[str, str]]] = {}
        for one in self._endpoints:
            found = match(one.path, request.segments)
            if found is not None:
                fits[one.method] = (one, found)
        if not fits:
            paths = ", ".join(dict.fromkeys(one.path for one in self._endpoints))
            return failure(404, "http.not-found", f"no {request.path[:128]} here; there are {paths}")
        methods = [*fits, *(["HEAD"] if "GET" in fits else []), "OPTIONS"]
        if request.method == "OPTIONS":
            return Response(204, headers=(("Allow", ", ".join(methods)), *self._preflight(request, methods)))
        if request.method not in methods:
            allow = ("Allow", ", ".join(methods))
            return failure(405, "http.method", f"{request.method[:16]} is not served here; {allow[1]} are", "", allow)
        endpoint, found = fits["GET" if request.method == "HEAD" else request.method]
        return self._ask(endpoint, request, found)

    def _ask(self, endpoint: Endpoint, request: Request, found: dict[str, str]) -> Answer:
        if endpoint.needs != "nobody":
            try:
                identity = self._gate(request.headers, request.query)
            except (AuthRefused, Denied) as refused:
                if endpoint.needs == "anyone" and not credential(request.headers, request.query):
                    return self._handle(endpoint, request, found)
                if isinstance(refused, Denied):
                    raise
                challenge = (_CHALLENGE,) if refused.status == 401 else ()
                return failure(refused.status, refused.code, refused.sentence, refused.hint, *challenge)
            if endpoint.needs == "admin" and not (identity.via != "anonymous" and identity.at_least("admin")):
                if identity.via == "anonymous":
                    needs = "this needs an admin's token or API key, and none was shown"
                    hint = f"{_NEW_ADMIN}  # the first key ends anonymous access to the bus"
                    return failure(401, "http.admin", needs, hint, _CHALLENGE)
                return failure(403, "http.admin", f"this needs the role admin; yours is {identity.role}", _NEW_ADMIN)
            request = dataclasses.replace(request, identity=identity, let_in=True)
        return self._handle(endpoint, request, found)

    def _handle(self, endpoint: Endpoint, request: Request, found: dict[str, str]) -> Answer:
        given = self._given(endpoint, request, found)
        return given if isinstance(given, Response) else endpoint.handler(request, given)

    def _given(self, endpoint: Endpoint, request: Request, found: dict[str, str]) -> Given | Response:
        """Parameters and body, checked; or the refusal."""
        try:
            if endpoint.body is not None:
                if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
                    return failure(415, "http.content-type", f"the body needs to be {JSON}")
                return msgspec.json.decode(request.body, type=endpoint.body)
            if found:
                return parameters(endpoint.in_path, found)
            if endpoint.query is not Nothing and (wrong_name := misspelt(endpoint.query, request.query)):
                return failure(400, "http.parameter", wrong_name, f"GET /openapi.json describes {endpoint.path}")
            return parameters(endpoint.query, {name: values[-1] for name, values in request.query.items()})
        except msgspec.ValidationError as wrong:
            return failure(400, "http.parameter", _in_words(wrong), f"GET /openapi.json describes {endpoint.path}")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return failure(400, "http.body", "the body is not JSON")

    def _index(self, request: Request, given: Given) -> Answer:
        return answer(200, Index("arqonmesh", list(dict.fromkeys(one.path for one in self._endpoints))))

    # --- CORS (https://fetch.spec.whatwg.org/#http-cors-protocol) ---------------------------------------------

    def _welcome_origin(self, request: Request) -> str:
        origin = request.headers.get("origin", "")
        return origin if origin and ("*" in self.cors_origins or origin in self.cors_origins) else ""

    def _with_cors(self, request: Request, response: Response) -> Response:
        if not self.cors_origins:
            return response
        headers = (*response.headers, ("Vary", "Origin"))
        if origin := self._welcome_origin(request):
            headers = (*headers, ("Access-Control-Allow-Origin", origin))
        return Response(response.status, response.body, response.content_type, headers)

    def _preflight(self, request: Request, methods: list[str]) -> tuple[tuple[str, str], ...]:
        if not self._welcome_origin(request) or "access-control-request-method" not in request.headers:
            return ()
        return (
            ("Access-Control-Allow-Methods", ", ".join(methods)),
            ("Access-Control-Allow-Headers", "Authorization, Content-Type, X-API-Key"),
            ("Access-Control-Max-Age", str(CORS_MAX_AGE_S)),
        )


def _told(request: Request, wrong: Exception) -> Response:
    """A source's refusal by its kind; what nobody meant is a 500, with its trace in the log."""
    if isinstance(wrong, ArqonError):
        forbidden = isinstance(wrong, Denied) or wrong.code == "bus.forbidden"
        status = 403 if forbidden else 404 if isinstance(wrong, NotFound) else 400
        return failure(status, wrong.code, wrong.sentence, wrong.hint)
    _log.error("the answer to %s %s failed", request.method, request.path[:128], exc_info=wrong)
    return failure(500, "http.internal", "the node failed to answer; its log has the trace")


def _in_words(wrong: msgspec.ValidationError) -> str:
    """`Expected `int` <= 500 - at `$.limit`` as it stands, the place without its dollar."""
    return str(wrong).replace("`$.", "`")[:200]
