"""Questions to the durable history that are under way, and who waits for the answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.events import HistoryRead
from arqonmesh.core.kernel import Effect, HistoryQuery, ReadHistory

READS_MAX: Final = 4_096
"""Questions under way at one time: a whole node's clients that come back after a restart, and then some."""
READS_PER_CLIENT_MAX: Final = 512
"""Of them, those of one client: it comes back to all its channels at once, and leaves room for others."""
RETRY_AFTER_MS: Final = 500
"""What somebody who is refused is told to wait: a disk answers a few hundred questions meanwhile."""

Then = Callable[[HistoryRead], list[Effect]]


class Reads:
    """Token -> what to do with the answer."""

    def __init__(self) -> None:
        self._next_token = 1
        self._waiting: dict[int, tuple[Then, str]] = {}
        self._by_client: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, query: HistoryQuery, then: Then, client: str = "") -> ReadHistory:
        """`client`: for whom; empty for the node itself. Raises Refusal when too much is being read already."""
        own = self._by_client.get(client, 0)
        if len(self._waiting) >= READS_MAX or (client and own >= READS_PER_CLIENT_MAX):
            mine = f", {own} of them this client's" if client else ""
            raise Refusal(
                "bus.history-busy",
                f"{len(self._waiting)} reads of the history are under way{mine}; {READS_MAX} are the most, "
                f"{READS_PER_CLIENT_MAX} for one client",
                hint=f"ask again after {RETRY_AFTER_MS} ms",
                retry_after_ms=RETRY_AFTER_MS,
            )
        token, self._next_token = self._next_token, self._next_token + 1
        self._waiting[token] = (then, client)
        self._by_client[client] = own + 1
        return ReadHistory(token, query)

    def answered(self, event: HistoryRead) -> list[Effect]:
        found = self._waiting.pop(event.token, None)
        if found is None:
            return []
        then, client = found
        self._by_client[client] -= 1
        if not self._by_client[client]:
            del self._by_client[client]
        return then(event)
