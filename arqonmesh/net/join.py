"""The join exchange, protocol `arqon-join` (tls.PROTOCOLS): how a node that is in no roster becomes a member.

    joiner                             member
      | -- TLS, any well-formed chain -> |
      | <---------- JoinOffer ---------- |   which mesh, whose, under which policy
      | ---------- JoinRequest --------> |   signed over the channel binding: nothing overheard can be replayed
      | <-- JoinAccept or JoinReject --- |   Accept only when the admission is on disk

All on the member's first bidirectional stream. Nothing else is read, and nothing of it reaches a lane.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Final

from arqonmesh.core.partition.refusal import READ_ONLY
from arqonmesh.errors import ArqonError, Degraded, Denied, PeerError
from arqonmesh.net.api import Authority, JoinBuilder
from arqonmesh.net.connection import Arrived, Closed, Connection
from arqonmesh.trust.certificates import LeafIdentity, verify_chain
from arqonmesh.wire.codec import decode_message, encode_message
from arqonmesh.wire.frames import FrameParser, frame
from arqonmesh.wire.messages import (
    MAX_FRAME_BYTES,
    JoinAccept,
    JoinOffer,
    JoinReject,
    JoinRequest,
    WireMessage,
)

JOIN_STREAM: Final = 1
"""The first server-initiated bidirectional stream: the member speaks first."""
REQUEST_BYTES_MAX: Final = 4_096


class JoinServer:
    """The member's side. `spawn` runs the judgement, which waits for the disk; `changed` asks for a flush after it."""

    def __init__(
        self,
        connection: Connection,
        *,
        authority: Authority,
        wall_ms: Callable[[], int],
        skew_ms: int,
        refused: Callable[[str], None],
        changed: Callable[[], None],
        spawn: Callable[[Coroutine[None, None, None]], None],
    ) -> None:
        self.connection = connection
        self._authority = authority
        self._wall_ms = wall_ms
        self._skew_ms = skew_ms
        self._refused = refused
        self._changed = changed
        self._spawn = spawn
        self._parser = FrameParser(REQUEST_BYTES_MAX)
        self._identity: LeafIdentity | None = None
        self._judged = False

    def on_handshake(self) -> None:
        """Show the offer. Raises what is refused."""
        self._identity = verify_chain(self.connection.quic.peer_chain(), self._wall_ms(), self._skew_ms)
        offer = self._authority.join_offer()
        if offer is None:
            raise PeerError("join.not-offered", "nobody joins through this node")
        self.connection.write(JOIN_STREAM, frame(encode_message(offer)))

    def on_arrived(self, arrived: Arrived) -> None:
        chunks = arrived.streams.pop(JOIN_STREAM, None)
        if arrived.streams:
            raise PeerError("link.stream", "bytes on another stream than the join exchange's")
        if chunks is None or self._identity is None:
            return
        for data in self._parser.feed(b"".join(chunks)):
            if self._judged:
                raise PeerError("join.repeated", "a second request on one connection; one is judged")
            request = decode_message(data, max_bytes=REQUEST_BYTES_MAX)
            if not isinstance(request, JoinRequest):
                raise PeerError("join.request", f"{type(request).__name__} where JoinRequest is due")
            self._judged = True
            if request.node_key != self._identity.node_key:
                raise PeerError("join.node-key", "the request is for another node key than the certificate's")
            self._spawn(self._judge(request, self._identity))

    async def _judge(self, request: JoinRequest, identity: LeafIdentity) -> None:
        binding = self.connection.quic.channel_binding
        assert binding is not None, "a join request before the handshake"
        try:
            answer = await self._authority.admit(request, identity.node_id, binding)
        except ArqonError as error:
            answer = JoinReject(error.code[:64], error.sentence[:512])
        if isinstance(answer, JoinReject):
            self._refused(answer.code)
        self._answer(answer)
        self._changed()

    def _answer(self, answer: JoinAccept | JoinReject) -> None:
        data = encode_message(answer)
        if len(data) > MAX_FRAME_BYTES:
            reject = JoinReject("join.too-large", f"the proof of membership is {len(data)} bytes, more than one frame")
            data = encode_message(reject)
        self.connection.write(JOIN_STREAM, frame(data), end=True)


class JoinClient:
    """The joiner's side; `result` resolves to the offer and the acceptance, or fails with what to tell."""

    def __init__(
        self,
        connection: Connection,
        *,
        build: JoinBuilder,
        wall_ms: Callable[[], int],
        skew_ms: int,
        result: asyncio.Future[tuple[JoinOffer, JoinAccept]],
    ) -> None:
        self.connection = connection
        self.result = result
        self._build = build
        self._wall_ms = wall_ms
        self._skew_ms = skew_ms
        self._parser = FrameParser(MAX_FRAME_BYTES)
        self._offer: JoinOffer | None = None

    def on_handshake(self) -> None:
        """The member's chain must be sound; whether it is a member, its statements show. Raises what is refused."""
        verify_chain(self.connection.quic.peer_chain(), self._wall_ms(), self._skew_ms)

    def on_arrived(self, arrived: Arrived) -> None:
        chunks = arrived.streams.pop(JOIN_STREAM, None)
        if chunks is None:
            return
        for data in self._parser.feed(b"".join(chunks)):
            self._take(decode_message(data))

    def on_closed(self, closed: Closed) -> None:
        if not self.result.done():
            who = "refused by the member" if closed.by_peer else "the join broke off"
            self.fail(PeerError(code_of(closed.reason) or "join.broken", f"{who}: {closed.reason or closed.code}"))

    def fail(self, error: Exception) -> None:
        if not self.result.done():
            self.result.set_exception(error)

    def _take(self, message: WireMessage) -> None:
        if isinstance(message, JoinOffer) and self._offer is None:
            self._offer = message
            binding = self.connection.quic.channel_binding
            assert binding is not None, "a join offer before the handshake"
            try:
                request = self._build(message, binding)
            except Exception as error:  # the caller's own, whatever it is: it comes out of `join` as it went in
                self.fail(error)
                self.connection.close("join.declined")
                return
            self.connection.write(JOIN_STREAM, frame(encode_message(request)))
        elif isinstance(message, JoinReject):
            read_only = message.code == READ_ONLY
            self.fail((Degraded if read_only else Denied)(message.code, message.sentence))
            self.connection.close("join.rejected")
        elif isinstance(message, JoinAccept) and self._offer is not None:
            if not self.result.done():
                self.result.set_result((self._offer, message))
            self.connection.close("join.done")
        else:
            raise PeerError("join.answer", f"{type(message).__name__} at the wrong place of the join exchange")


def code_of(reason: str) -> str:
    """The code in front of a close reason `room.reason: sentence`; empty when there is none."""
    code = reason.partition(":")[0]
    room, dot, rest = code.partition(".")
    return code if dot and room.isalpha() and rest and " " not in code else ""
