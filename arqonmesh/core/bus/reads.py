"""Questions to the durable history that are under way, and who waits for the answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.events import HistoryRead
from arqonmesh.core.kernel import Effect, HistoryQuery, ReadHistory

READS_MAX: Final = 4_096
"""Questions under way at one time: a whole node's clients that come back after a restart, and then some."""

Then = Callable[[HistoryRead], list[Effect]]


class Reads:
    """Token -> what to do with the answer."""

    def __init__(self) -> None:
        self._next_token = 1
        self._waiting: dict[int, Then] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, query: HistoryQuery, then: Then) -> ReadHistory:
        """Raises Refusal when too much is being read already."""
        if len(self._waiting) >= READS_MAX:
            raise Refusal(
                "bus.history-busy",
                f"{len(self._waiting)} reads of the history are under way, which is the most",
                hint="try again in a moment",
            )
        token, self._next_token = self._next_token, self._next_token + 1
        self._waiting[token] = then
        return ReadHistory(token, query)

    def answered(self, event: HistoryRead) -> list[Effect]:
        then = self._waiting.pop(event.token, None)
        return [] if then is None else then(event)
