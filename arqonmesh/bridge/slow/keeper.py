"""Keeps what slow clients have not read yet, and ends the episode when they have.

A client is sent to directly while its transport holds little. Above `hold_bytes` there, what comes next waits here in
whole messages; when the transport is nearly empty again, `drain` sends it on. Clients that keep up never come here.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from arqonmesh.bridge.slow.backlog import Backlog
from arqonmesh.bridge.slow.spill import SpillRoom
from arqonmesh.config.model import BusSettings
from arqonmesh.core.events import Dropped
from arqonmesh.ids import ClientId

HOLD_BYTES: Final = 256 << 10
"""Unsent bytes in a client's transport above which the rest waits in our own hands, message by message."""

_log = logging.getLogger("arqonmesh.bridge.slow")


class SlowClient(Protocol):
    """What a connection has for this."""

    client: ClientId
    address: str
    closing: bool
    raw: Any
    backlog: Backlog | None
    slow_since_s: float | None
    lost: int
    bytes_out: int

    def notice(self, missing: int) -> bytes: ...


class SlowKeeper:
    """One per server. `cut_off(connection, unsent)` ends a client for which too much waits."""

    def __init__(
        self,
        settings: BusSettings,
        counters: Counter[str],
        *,
        clock_s: Callable[[], float],
        cut_off: Callable[[Any, int], None],
        dropped: Callable[[Dropped], None],
        spill_folder: Path | None,
    ) -> None:
        self.hold_bytes = min(HOLD_BYTES, settings.buffer_bytes_max // 4)
        self.policy = settings.slow.policy
        self._bytes_max = settings.buffer_bytes_max
        self._counters = counters
        self._clock_s = clock_s
        self._cut_off = cut_off
        self._dropped = dropped
        self._room = SpillRoom(spill_folder, settings.slow.spill_bytes_max, settings.slow.spill_total_bytes_max)

    def adopt(self, settings: BusSettings) -> None:
        """Other limits from now on; an episode that runs keeps its policy. What a transport holds stays as it was:
        open connections were told of it when they began."""
        self.policy = settings.slow.policy
        self._bytes_max = settings.buffer_bytes_max
        self._room.bytes_max = settings.slow.spill_bytes_max
        self._room.total_bytes_max = settings.slow.spill_total_bytes_max

    def begin(self, connection: SlowClient, unsent: int) -> None:
        """The transport of this client holds `unsent` bytes, more than `hold_bytes`."""
        if unsent > self._bytes_max and self.policy == "disconnect":
            self._cut_off(connection, unsent)
        else:
            connection.slow_since_s = self._clock_s()
            connection.backlog = Backlog(self.policy, self._bytes_max, self._room)

    def hold(self, connection: SlowClient, data: bytes, messages: int) -> None:
        """Keep this for a client that has enough to read for now."""
        backlog = connection.backlog
        assert backlog is not None
        before = backlog.lost
        in_transport = int(connection.raw.get_write_buffer_size())
        kept = backlog.add(data, messages, others=in_transport)
        if lost := backlog.lost - before:
            connection.lost += lost
            self._counters["slow_dropped"] += lost
        if not kept:
            self._cut_off(connection, in_transport + backlog.bytes + backlog.spilled_bytes)
        elif not backlog.told and (backlog.lost or backlog.spilled_bytes or 2 * backlog.bytes > self._bytes_max):
            backlog.told = True
            self._counters["slow_episodes"] += 1
            _log.warning(
                "client %s (%s) reads too slowly: %d bytes wait; bus.slow.policy is %s",
                connection.client,
                connection.address,
                in_transport + backlog.bytes,
                self.policy,
            )

    def drain(self, connection: SlowClient) -> int:
        """The client has read: send on what waits, until it has enough to read again; bytes sent. Raises OSError."""
        backlog, raw, sent = connection.backlog, connection.raw, 0
        if backlog is None or connection.closing:
            return 0
        # Above `hold_bytes` the transport says `pause_writing`, so that it will say `resume_writing`, which leads here.
        while raw.get_write_buffer_size() <= self.hold_bytes:
            data = backlog.take(connection.notice)
            if data is None:
                self._caught_up(connection, backlog)
                break
            raw.write(data)
            sent += len(data)
        connection.bytes_out += sent
        return sent

    def let_go(self, connection: SlowClient) -> None:
        """The client is gone, or on its way."""
        backlog, connection.backlog = connection.backlog, None
        if backlog is not None:
            self._end(connection, backlog)

    def _caught_up(self, connection: SlowClient, backlog: Backlog) -> None:
        connection.backlog = None
        self._end(connection, backlog)

    def _end(self, connection: SlowClient, backlog: Backlog) -> None:
        """The episode is over; what it cost is told once."""
        connection.slow_since_s = None
        backlog.close()
        if backlog.lost:
            self._dropped(Dropped("bridge", "slow-client-messages", backlog.lost, connection.client))
