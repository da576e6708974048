"""What goes to clients: framed once per audience and tick into one buffer, each client written to once per tick.

What waits unsent is bounded per client (slow/) and over all of them together.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from picows import WSCloseCode

from arqonmesh.bridge.audiences import Audiences
from arqonmesh.bridge.closing import SLOW_GRACE_S
from arqonmesh.bridge.encoding import Encoding
from arqonmesh.bridge.framing import append_text_frames
from arqonmesh.bridge.slow.keeper import SlowKeeper
from arqonmesh.config.model import BusSettings
from arqonmesh.core.events import Dropped
from arqonmesh.core.histogram import Histogram
from arqonmesh.ids import ClientId

if TYPE_CHECKING:
    from arqonmesh.bridge.connection import Connection

UNSENT_BYTES_MAX: Final = 256 << 20
"""Over all clients together; beyond it the slowest goes first."""

CutOff: TypeAlias = "Callable[[Connection, str, int, str], None]"
"""(connection, reason, close code, sentence): close a client that broke a rule, and count it."""

_log = logging.getLogger(__name__)


class Segment:
    """Frames of one audience and tick: the parts, joined once when the first client is written to."""

    __slots__ = ("_encoded", "_joined", "audience", "parts")

    def __init__(self, audience: tuple[ClientId, ...]) -> None:
        self.audience = audience
        self.parts: list[bytes] = []
        self._joined: bytes | None = None
        self._encoded: dict[Encoding, bytes] | None = None

    @property
    def messages(self) -> int:
        return len(self.parts) >> 1

    def data(self) -> bytes:
        if self._joined is None:
            self._joined = b"".join(self.parts)
        return self._joined

    def data_as(self, encoding: Encoding) -> bytes:
        """For clients that take something else than JSON in plain text frames; made once for all of them."""
        if self._encoded is None:
            self._encoded = {}
        if encoding not in self._encoded:
            self._encoded[encoding] = encoding.frames(self.parts[1::2])
        return self._encoded[encoding]


class Outgoing:
    """Of one server."""

    def __init__(
        self,
        settings: BusSettings,
        connections: Mapping[ClientId, Connection],
        counters: Counter[str],
        *,
        cut_off: CutOff,
        drained: Callable[[ClientId], None],
        dropped: Callable[[Dropped], None],
        unsent_bytes_max: int,
        spill_folder: Path | None,
    ) -> None:
        self.written = Histogram()
        """Microseconds from reading clients' frames to having written what they caused; once per tick."""
        self.read_at_ns = 0
        """When the first of the frames was read that wait to be written; 0 when none wait."""
        self.unsent_bytes = 0
        """Bytes waiting for clients to read, all together, as of the last count of each."""
        self.slow = SlowKeeper(
            settings,
            counters,
            clock_s=time.monotonic,
            cut_off=self._too_slow,
            dropped=dropped,
            spill_folder=spill_folder,
        )
        self._connections = connections
        self._counters = counters
        self._cut_off = cut_off
        self._drained = drained
        self._awaited: dict[ClientId, None] = {}
        """Whose having read is to be told (`await_drain`)."""
        self._unsent_bytes_max = unsent_bytes_max
        self._segments: list[Segment] = []
        """Of this tick, in the order in which they are to be written."""
        self._audiences = Audiences(connections)

    @property
    def nothing_waits(self) -> bool:
        """Whether nothing is to be written at the end of this tick."""
        return not self._segments

    def deliver(self, clients: tuple[ClientId, ...], frames: tuple[bytes, ...]) -> None:
        """Queue these frames for these clients; written at the end of the tick, in the order of the calls.

        Nothing is touched per client before its write: the first of a hundred is not to wait for the others.
        """
        segments = self._segments
        if segments and (segments[-1].audience is clients or segments[-1].audience == clients):
            segment = segments[-1]
        else:
            if not segments:
                asyncio.get_running_loop().call_soon(self.flush)
            segment = Segment(clients)
            segments.append(segment)
        append_text_frames(segment.parts, frames)
        self._counters["frames_out"] += len(frames) * len(clients)

    def await_drain(self, client: ClientId) -> None:
        """Tell as soon as no more waits for this client than its transport may hold, what is queued now included."""
        self._awaited[client] = None
        asyncio.get_running_loop().call_soon(self._look_for_drained, client)

    def flush(self) -> None:
        """One write per client that something was queued for."""
        segments, self._segments = self._segments, []
        if not segments:
            return
        slow, hold_bytes = self.slow, self.slow.hold_bytes
        written = 0
        for connection, own in self._shares(segments):
            if connection.closing:
                continue
            encoding = connection.encoding
            if encoding is not None:
                try:
                    data = b"".join([part.data_as(encoding) for part in own])
                except Exception:
                    self._cannot_say(connection)
                    continue
            else:
                data = own[0].data() if len(own) == 1 else b"".join([part.data() for part in own])
            if connection.backlog is not None:
                slow.hold(connection, data, sum([segment.messages for segment in own]))
                self.recount_one(connection)
                continue
            raw = connection.raw
            raw.write(data)
            size = len(data)
            written += size
            connection.bytes_out += size
            unsent = raw.get_write_buffer_size()
            if unsent or connection.unsent:
                self.unsent_bytes += unsent - connection.unsent
                connection.unsent = unsent
                if unsent > hold_bytes:
                    slow.begin(connection, unsent)
        self._counters["bytes_out"] += written
        if self.read_at_ns:
            self.written.record((time.perf_counter_ns() - self.read_at_ns) // 1_000)
            self.read_at_ns = 0
        if self.unsent_bytes > self._unsent_bytes_max:
            self.recount()

    def _shares(self, segments: list[Segment]) -> Iterator[tuple[Connection, list[Segment]]]:
        """Each connection once, with what is for it, in order."""
        if len(segments) == 1:
            for connection in self._audiences.connections(segments[0].audience):
                yield connection, segments
            return
        shares: dict[Connection, list[Segment]] = {}
        for segment in segments:
            for connection in self._audiences.connections(segment.audience):
                own = shares.get(connection)
                if own is None:
                    shares[connection] = [segment]
                else:
                    own.append(segment)
        yield from shares.items()

    def drain(self, connection: Connection) -> None:
        """A client's transport is nearly empty again."""
        try:
            self._counters["bytes_out"] += self.slow.drain(connection)
        except OSError as failed:
            sentence = f"bus.slow-client: what waited on disk cannot be read: {failed.strerror or failed}"
            self._cut_off(connection, "spill-failed", WSCloseCode.INTERNAL_ERROR, sentence)
        self.recount_one(connection)
        if self._awaited:
            self._look_for_drained(connection.client)

    def forget(self, connection: Connection) -> None:
        """The client is gone, and with it what waited for it."""
        self.unsent_bytes -= connection.unsent
        self._audiences.clear()
        self._awaited.pop(connection.client, None)

    def recount_one(self, connection: Connection) -> None:
        unsent = connection.waiting_bytes()
        self.unsent_bytes += unsent - connection.unsent
        connection.unsent = unsent

    def recount(self) -> None:
        """Bring the sum of unsent bytes up to date, and cut off the slowest while it is too much."""
        by_unsent = []
        self.unsent_bytes = 0
        for connection in self._connections.values():
            connection.unsent = connection.waiting_bytes()
            self.unsent_bytes += connection.unsent
            if connection.unsent:
                by_unsent.append(connection)
        by_unsent.sort(key=lambda connection: connection.unsent)
        while by_unsent and self.unsent_bytes > self._unsent_bytes_max:
            slowest = by_unsent.pop()
            self.unsent_bytes -= slowest.unsent
            self._too_slow(slowest, slowest.unsent)
            slowest.abort()

    def _look_for_drained(self, client: ClientId) -> None:
        """Above `hold_bytes` the transport has said `pause_writing`, so that `drain` will come by here again."""
        connection = self._connections.get(client)
        if client not in self._awaited or connection is None or connection.closing:
            self._awaited.pop(client, None)
        elif connection.backlog is None and connection.raw.get_write_buffer_size() <= self.slow.hold_bytes:
            del self._awaited[client]
            self._drained(client)

    def _cannot_say(self, connection: Connection) -> None:
        """The client is told to come back for it; the others of the tick get theirs."""
        _log.exception("a message cannot be written as %s takes it", connection.client)
        sentence = "the node failed to write a message as this client takes it; its log has the trace"
        self._cut_off(connection, "unencodable", WSCloseCode.INTERNAL_ERROR, sentence)

    def _too_slow(self, connection: Connection, unsent: int) -> None:
        if connection.closing:
            return
        _log.warning(
            "client %s (%s) reads too slowly and is cut off: %d bytes wait; bus.slow.policy is %s",
            connection.client,
            connection.address,
            unsent,
            self.slow.policy,
        )
        self._cut_off(
            connection,
            "slow-client",
            WSCloseCode.POLICY_VIOLATION,
            f"bus.slow-client: {unsent} bytes wait to be read, more than bus.buffer_bytes_max allows",
        )
        connection.leave_within(SLOW_GRACE_S)
