"""One HTTP connection: requests in, one after the other, answers out. h11 reads and writes; this bounds it.

h11 (https://h11.readthedocs.io) is RFC 9112 without I/O: it refuses what is malformed, counts bodies, and knows when a
connection may be used again. A request has a deadline for all of its bytes, an answer one for being read.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Awaitable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import h11

from arqonmesh.bridge.http.exchange import Request, Response, failure

if TYPE_CHECKING:
    from arqonmesh.bridge.http.server import HttpServer

HEAD_BYTES_MAX: Final = 8_192
BODY_BYTES_MAX: Final = 65_536
_CLOSE: Final = ("Connection", "close")

_log = logging.getLogger("arqonmesh.bridge.http")


class Connection(asyncio.Protocol):
    """Answers every request that is complete, as long as the client reads its answers."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._waiting_for_reader = False
        self._answering: asyncio.Task[None] | None = None
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._begun = False
        """Bytes of a request are here, and it is not answered yet."""

    # --- from asyncio ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._server.admit(self):
            self._refuse(failure(503, "http.too-many", "too many connections; try again later"))
            return
        transport.set_write_buffer_limits(high=0)  # pause_writing as soon as anything waits
        self._expect(self._server.request_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if self._answering is not None:
            self._answering.cancel()
        self._server.forget(self)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        if self._transport.is_closing():
            return
        if not self._begun:
            self._begun = True
            self._expect(self._server.request_timeout_s)
        self._http.receive_data(data)
        if len(self._http.trailing_data[0]) > HEAD_BYTES_MAX + BODY_BYTES_MAX:
            self._transport.pause_reading()  # pipelined requests wait in the kernel
        self._serve()

    def eof_received(self) -> bool:
        """The client sends no more; it may still read its answers."""
        with contextlib.suppress(h11.RemoteProtocolError):
            self._http.receive_data(b"")
        self._serve()
        return self._answering is not None or self._waiting_for_reader

    def pause_writing(self) -> None:
        assert self._transport is not None
        self._waiting_for_reader = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._waiting_for_reader = False
        self._go_on()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # --- requests --------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        assert self._transport is not None
        while not (self._waiting_for_reader or self._answering or self._transport.is_closing()):
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as wrong:
                self._refuse(_refusal(wrong))
                return
            if isinstance(event, h11.Request):
                self._head = event
                if self._http.they_are_waiting_for_100_continue:
                    self._write(h11.InformationalResponse(status_code=100, headers=[]))
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > BODY_BYTES_MAX:
                    self._refuse(failure(413, "http.body", f"the body is over {BODY_BYTES_MAX} bytes"))
                    return
            elif isinstance(event, h11.EndOfMessage):
                self._act()
            elif isinstance(event, h11.ConnectionClosed):
                self._transport.close()
                return
            else:
                return  # NEED_DATA, or PAUSED until the answer is out

    def _act(self) -> None:
        assert self._head is not None
        head, body = self._head, bytes(self._body)
        self._head, self._body = None, bytearray()
        if head.http_version not in (b"1.0", b"1.1"):
            self._refuse(failure(505, "http.version", "HTTP/1.1 is spoken here"))
            return
        headers: dict[str, str] = {}
        for name, value in head.headers:
            key = name.decode("latin-1")
            headers[key] = f"{headers[key]}, {value.decode('latin-1')}" if key in headers else value.decode("latin-1")
        try:
            request = Request.of(head.method.decode(), head.target.decode("latin-1"), headers, body)
        except ValueError:
            self._refuse(failure(400, "http.target", "the request target cannot be read"))
            return
        answered = self._server.respond(request)
        if inspect.isawaitable(answered):
            self._answering = asyncio.create_task(self._later(answered, head.method == b"HEAD"))
        else:
            self._send(answered, head.method == b"HEAD")

    async def _later(self, answered: Awaitable[Response], without_body: bool) -> None:
        try:
            response = await answered
        finally:
            self._answering = None
        if self._transport is not None and not self._transport.is_closing():
            self._send(response, without_body)
            self._go_on()

    def _go_on(self) -> None:
        assert self._transport is not None
        if not self._transport.is_closing() and self._answering is None:
            self._transport.resume_reading()
            self._serve()

    # --- answers ---------------------------------------------------------------------------------------------

    def _send(self, response: Response, without_body: bool) -> None:
        """A whole answer; then the connection is ready for the next request, or closes."""
        assert self._transport is not None
        self._server.counters[str(response.status)] += 1
        headers = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), *response.headers]
        if response.status not in (204, 304):
            headers += [("Content-Type", response.content_type), ("Content-Length", str(len(response.body)))]
        self._write(
            h11.Response(
                status_code=response.status, headers=headers, reason=HTTPStatus(response.status).phrase.encode()
            )
        )
        if response.body and not without_body:
            self._write(h11.Data(data=response.body))
        self._write(h11.EndOfMessage())
        self._begun = False
        if self._http.our_state is h11.MUST_CLOSE:
            self._expect(self._server.request_timeout_s)
            self._transport.close()
            return
        self._http.start_next_cycle()
        self._begun = bool(self._http.trailing_data[0])
        soon = self._waiting_for_reader or self._begun
        self._expect(self._server.request_timeout_s if soon else self._server.idle_timeout_s)

    def _refuse(self, response: Response) -> None:
        """An answer to what is no request, or too much of one; the connection ends with it."""
        assert self._transport is not None
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._send(Response(response.status, response.body, response.content_type, (_CLOSE,)), False)
        if self._answering is None:
            self._transport.close()

    def _write(self, event: h11.Event) -> None:
        assert self._transport is not None
        data = self._http.send(event)
        if data:
            self._transport.write(data)

    # --- time ------------------------------------------------------------------------------------------------

    def _expect(self, within_s: float) -> None:
        """Whatever comes next has this long."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(within_s, self._too_late)

    def _too_late(self) -> None:
        assert self._transport is not None
        if self._begun and not (self._transport.is_closing() or self._waiting_for_reader or self._answering):
            self._refuse(failure(408, "http.timeout", "the request did not arrive in time"))
        else:
            self._transport.abort()


def _refusal(wrong: h11.RemoteProtocolError) -> Response:
    """What h11 does not take, by the status that it suggests."""
    if wrong.error_status_hint == 431:
        return failure(431, "http.head", f"the request's head is over {HEAD_BYTES_MAX} bytes")
    if wrong.error_status_hint == 505:
        return failure(505, "http.version", "HTTP/1.1 is spoken here")
    return failure(400, "http.malformed", f"this is not an HTTP request: {wrong}"[:200], "GET /health HTTP/1.1")
