"""How a handshake is refused: with an HTTP status, or, where a web page asks, with a close code.

Browsers hide the answer to a refused handshake from the page's script. So a request that carries an `Origin`, as those
of browsers do (RFC 6455, 4.1), is taken and closed at once: with 4000 + the HTTP status, and `CODE: SENTENCE` as the
reason. No other frame goes either way, and it is no client. Requests that are no WebSocket handshake have HTTP alone.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)

from arqonmesh.bridge.closing import CLOSE_GRACE_S, fitting
from arqonmesh.bridge.handshake import TurnedAway, offered_subprotocol

CLOSE_CODES_FROM: Final = 4_000
"""Added to an HTTP status: 4401, 4403, 4503."""
TOLD_MAX: Final = 1_024
"""Pages at one time that are being told; beyond it they get the HTTP status."""


class Refusals:
    """Of one server."""

    def __init__(self) -> None:
        self.told: dict[_Told, None] = {}
        """Whose close frame is on its way."""

    def answer(self, request: WSUpgradeRequest, refusal: TurnedAway) -> WSUpgradeResponseWithListener:
        headers = request.headers
        if refusal.code == "bus.handshake" or not headers.get("Origin") or len(self.told) >= TOLD_MAX:
            extra = {"Content-Type": "application/json", **refusal.headers}
            response = WSUpgradeResponse.create_error_response(refusal.status, refusal.body(), extra)
            return WSUpgradeResponseWithListener(response, None)
        chosen = offered_subprotocol(headers)  # without one of its offers a browser fails the handshake by itself
        headers["Connection"] = "Upgrade"
        response = WSUpgradeResponse.create_101_response({"Sec-WebSocket-Protocol": chosen} if chosen else {})
        return WSUpgradeResponseWithListener(response, _Told(self, refusal))

    def close(self) -> None:
        for told in list(self.told):
            told.abort()


class _Told(WSListener):  # type: ignore[misc]  # an extension class
    """A connection that is closed as soon as it is made."""

    def __init__(self, refusals: Refusals, refusal: TurnedAway) -> None:
        self._refusals = refusals
        self._refusal = refusal
        self._raw: Any = None
        self._grave: asyncio.TimerHandle | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._refusals.told[self] = None
        self._raw = transport.underlying_transport
        refusal = self._refusal
        transport.send_close(CLOSE_CODES_FROM + refusal.status, fitting(f"{refusal.code}: {refusal.message}"))
        self._grave = asyncio.get_running_loop().call_later(CLOSE_GRACE_S, self.abort)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._refusals.told.pop(self, None)
        if self._grave is not None:
            self._grave.cancel()

    def pause_writing(self) -> None:
        """A close frame fits any buffer."""

    def resume_writing(self) -> None:
        """See above."""

    def abort(self) -> None:
        if self._raw is not None:
            self._raw.abort()
