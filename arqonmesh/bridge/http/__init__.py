"""The node over HTTP/1.1: health, metrics, status, channels, history, and what an operator may change.

    messages.py    every parameter and every body, as types; the description is made from them
    exchange.py    a request, a response, an endpoint
    endpoints.py   the table of endpoints
    openapi.py     the table as OpenAPI 3.1, for /openapi.json and docs/reference/http.md
    connection.py  one connection: h11 reads and writes, everything is bounded and has a deadline
    server.py      the listening socket; who may do what; CORS

Whatever happens here, the bus does not notice.
"""

from __future__ import annotations

from arqonmesh.bridge.http.exchange import Request, Response
from arqonmesh.bridge.http.server import HttpServer
from arqonmesh.bridge.http.sources import HttpSources

__all__ = ("HttpServer", "HttpSources", "Request", "Response")
