"""One WebSocket to a bus: frames out, frames in, and the heartbeat that notices when nobody is there any more.

A connection whose other end has vanished (a cable, a sleeping machine, a forgetful firewall) looks like one with
nothing to say. So silence is answered with a ping, and a ping without any answer ends the connection.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, Protocol

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from picows.common import WSInvalidStatusError

from arqonmesh.client.failures import no_welcome, not_a_bus, unreachable
from arqonmesh.errors import ArqonError

SUBPROTOCOL: Final = "arqon.v1"
CONNECT_TIMEOUT_S: Final = 5.0
CLOSE_TIMEOUT_S: Final = 5.0
HEARTBEAT_S: Final = 20.0
FRAME_BYTES_MAX: Final = 16 << 20
_WRITE_HIGH_BYTES: Final = 1 << 20

_quiet: Final = logging.getLogger("arqonmesh.client.picows")
_quiet.setLevel(logging.CRITICAL)  # what goes wrong is raised, and told once


class Owner(Protocol):
    """Whose connection it is."""

    def received(self, connection: Connection, frame: bytes) -> None: ...

    def writable(self, connection: Connection) -> None: ...

    def lost(self, connection: Connection, why: str) -> None: ...


class Connection(WSListener):  # type: ignore[misc]  # an extension class
    """As picows drives it. `open` makes one; after `lost` was called it is of no more use."""

    def __init__(self, owner: Owner, heartbeat_s: float) -> None:
        self.can_write = True
        self.round_trip_s: float | None = None
        """Of the last ping that was needed; None before the first."""
        self._owner = owner
        self._heartbeat_s = heartbeat_s
        self._transport: WSTransport | None = None
        self._fragments: list[bytes] = []
        self._fragments_bytes = 0
        self._reading = True
        self.heard = 0
        """Frames, of whatever kind."""
        self._heard_before = -1
        self._pinged_at_s: float | None = None
        self._beat: asyncio.TimerHandle | None = None
        self._why = ""
        self._hung_up = False

    @classmethod
    async def open(
        cls, owner: Owner, url: str, *, token: str | None = None, heartbeat_s: float = HEARTBEAT_S, tls: Any = None
    ) -> Connection:
        """Connect and shake hands. Raises Denied, PeerError or TimedOut, each naming `url`."""
        connection = cls(owner, heartbeat_s)
        headers = [("Sec-WebSocket-Protocol", SUBPROTOCOL)]
        if token:
            headers.append(("Authorization", f"Bearer {token}"))
        shown = url.partition("?")[0]
        try:
            async with asyncio.timeout(2 * CONNECT_TIMEOUT_S):  # picows cleans up after its own timeout only
                transport, _ = await ws_connect(
                    lambda: connection,
                    url,
                    ssl_context=tls,
                    extra_headers=headers,
                    max_frame_size=FRAME_BYTES_MAX,
                    max_redirects=0,
                    websocket_handshake_timeout=CONNECT_TIMEOUT_S,
                    logger_name=_quiet,
                    use_aiofastnet=False,
                )
        except TimeoutError:
            raise no_welcome(shown, CONNECT_TIMEOUT_S) from None
        except WSInvalidStatusError as refused:
            status = int(refused.response.status) if refused.response is not None else 0
            raise not_a_bus(shown, status, refused.raw_body or b"") from None
        except ArqonError:
            raise
        except Exception as wrong:
            raise unreachable(shown, wrong) from None
        transport.underlying_transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES)
        connection._beat_later()
        return connection

    # --- from the client -------------------------------------------------------------------------------------

    @property
    def gone(self) -> bool:
        return self._transport is None or bool(self._transport.is_disconnected)

    def signs(self) -> int:
        """Of life: another number when something was heard, or could not be because this end does not read."""
        if not self._reading:
            self.heard += 1
        return self.heard

    def send(self, frame: bytes) -> None:
        assert self._transport is not None
        self._transport.send(WSMsgType.TEXT, frame)

    def read(self, wanted: bool) -> None:
        """Stop reading, so that the bus holds what comes, or go on."""
        if wanted is self._reading or self._transport is None:
            return
        self._reading = wanted
        raw = self._transport.underlying_transport
        if wanted:
            self.heard += 1
            raw.resume_reading()
        else:
            raw.pause_reading()

    def hang_up(self) -> None:
        """Gone at once, without a word; nobody is told."""
        self._hung_up = True
        if self._beat is not None:
            self._beat.cancel()
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.disconnect(False)

    async def close(self) -> None:
        """Say goodbye, and wait for the other end to have heard it."""
        if self._beat is not None:
            self._beat.cancel()
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        self.read(True)  # its answer comes behind what it has sent
        transport.send_close(1000, b"")
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await transport.wait_disconnected()
        except Exception:
            transport.disconnect(False)  # late or broken, it ends here

    # --- from picows -----------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        self.heard += 1
        if kind == WSMsgType.TEXT and frame.fin:
            self._owner.received(self, frame.get_payload_as_bytes())
        elif kind in (WSMsgType.TEXT, WSMsgType.CONTINUATION):
            self._fragment(transport, frame)
        elif kind == WSMsgType.PONG:
            if self._pinged_at_s is not None:
                self.round_trip_s = asyncio.get_running_loop().time() - self._pinged_at_s
                self._pinged_at_s = None
        elif kind == WSMsgType.CLOSE:
            if not transport.is_close_frame_sent:
                transport.send_close(1000, b"")
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self._beat is not None:
            self._beat.cancel()
        handshake = transport.close_handshake
        said = handshake.recv if handshake is not None else None
        if said is not None:
            self._why = f"closed with {int(said.code)} {said.reason or ''}".strip()
        if not self._hung_up:
            self._owner.lost(self, self._why or "connection lost")

    def pause_writing(self) -> None:
        self.can_write = False

    def resume_writing(self) -> None:
        self.can_write = True
        self._owner.writable(self)

    # --- inside ----------------------------------------------------------------------------------------------

    def _fragment(self, transport: WSTransport, frame: WSFrame) -> None:
        data = frame.get_payload_as_bytes()
        self._fragments.append(data)
        self._fragments_bytes += len(data)
        if self._fragments_bytes > FRAME_BYTES_MAX:
            self._why = f"a message of more than {FRAME_BYTES_MAX} bytes"
            transport.disconnect(False)
        elif frame.fin:
            whole, self._fragments, self._fragments_bytes = b"".join(self._fragments), [], 0
            self._owner.received(self, whole)

    def _beat_later(self) -> None:
        self._beat = asyncio.get_running_loop().call_later(self._heartbeat_s, self._look)

    def _look(self) -> None:
        """Every heartbeat: has anything been heard since the last?"""
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        if self.heard != self._heard_before or not self._reading:  # who does not read cannot hear an answer
            self._heard_before = self.heard
            self._pinged_at_s = None
        elif self._pinged_at_s is None:
            self._pinged_at_s = asyncio.get_running_loop().time()
            transport.send_ping()
        else:
            self._why = f"no answer to a ping within {self._heartbeat_s:g} s"
            transport.disconnect(False)
            return
        self._beat_later()
