"""Two timers per connection: QUIC's next deadline, and how long the present phase of its life may take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from arqonmesh.net.entry import Entry

SLACK_S: Final = 0.000_5
MOVED_S: Final = 0.03
"""A timer that would fire so much too early is moved. To move it costs a few microseconds and to wake up for nothing
some fifty, but the deadline of a busy connection moves with every packet."""
HELD_BACK_S: Final = 0.005
"""A link that waits for its former connection's bytes to be acknowledged looks this often."""


class Timers:
    """`due` is called when a connection's deadline has passed, `mark` when a limit has closed one."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, due: Callable[[Entry], None], mark: Callable[[Entry], None]
    ) -> None:
        self._loop = loop
        self._due = due
        self._mark = mark

    def arm(self, entry: Entry) -> None:
        """Keep one timer per connection; one that fires a little early costs less than moving it at every packet."""
        at = entry.connection.deadline()
        if entry.link is not None and entry.link.waits_for is not None:
            soon = self._loop.time() + HELD_BACK_S
            at = soon if at is None else min(at, soon)
        if at is None or (entry.timer is not None and at - MOVED_S <= entry.timer_at <= at + SLACK_S):
            return
        if entry.timer is not None:
            entry.timer.cancel()
        entry.timer_at = at
        entry.timer = self._loop.call_at(at, self._on_due, entry)

    def limit(self, entry: Entry, seconds: float, reason: str) -> None:
        """Close it with this reason when it is still in the same phase after that long."""
        self.unlimit(entry)
        entry.limit = self._loop.call_later(seconds, self._on_limit, entry, reason, seconds)

    def unlimit(self, entry: Entry) -> None:
        if entry.limit is not None:
            entry.limit.cancel()
            entry.limit = None

    def drop(self, entry: Entry) -> None:
        """The connection is forgotten."""
        self.unlimit(entry)
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None

    def _on_due(self, entry: Entry) -> None:
        entry.timer = None
        self._due(entry)

    def _on_limit(self, entry: Entry, reason: str, seconds: float) -> None:
        entry.limit = None
        if ":" not in reason:
            reason = f"{reason}: no answer from {entry.address} in {seconds:g} s"
        entry.connection.close(reason)
        self._mark(entry)
