"""What waits for one client that reads too slowly: whole messages, oldest first, and where some are missing.

An entry is what one tick had for the client: one or more framed messages, shared with everybody who gets the same.
What goes, goes in whole entries, so that a client never sees half a message; in its place the client reads a notice
with the number of messages that are missing there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from arqonmesh.bridge.slow.spill import SpillFile, SpillRoom

Policy: TypeAlias = Literal["disconnect", "drop-oldest", "drop-newest", "spill"]
Notice: TypeAlias = Callable[[int], bytes]
"""The framed notice of so many missing messages."""

ENTRIES_MAX: Final = 100_000
"""An entry costs memory beside its bytes; small ones are bounded by their number."""


class Backlog:
    """Bounded by `bytes_max` in memory; what happens beyond that is the policy's."""

    __slots__ = (
        "_entries",
        "_file",
        "_missing_first",
        "_missing_last",
        "_room",
        "bytes",
        "bytes_max",
        "lost",
        "policy",
        "told",
    )

    def __init__(self, policy: Policy, bytes_max: int, room: SpillRoom) -> None:
        self.policy = policy
        self.bytes_max = bytes_max
        self.bytes = 0
        """In memory."""
        self.lost = 0
        """Messages dropped since this backlog began."""
        self.told = False
        """Whether the log knows of this episode."""
        self._entries: deque[tuple[bytes, int]] = deque()
        """(bytes, messages); a gap is (b"", how many are missing)."""
        self._missing_first = 0
        self._missing_last = 0
        self._room = room
        self._file: SpillFile | None = None

    @property
    def spilled_bytes(self) -> int:
        return 0 if self._file is None else self._file.waiting_bytes

    def add(self, data: bytes, messages: int, *, others: int = 0) -> bool:
        """Keep this to be sent later; `others`: bytes that wait for the client elsewhere. False: cut the client off."""
        fits = self.bytes + others + len(data) <= self.bytes_max and len(self._entries) < ENTRIES_MAX
        match self.policy:
            case "disconnect":
                if not fits:
                    return False
            case "drop-newest":
                if not fits:
                    self._missing_last += messages
                    self.lost += messages
                    return True
                self._end_gap()
            case "drop-oldest":
                while not fits and self._entries:
                    gone, count = self._entries.popleft()
                    self.bytes -= len(gone)
                    self._missing_first += count
                    if gone:
                        self.lost += count
                    fits = self.bytes + others + len(data) <= self.bytes_max and len(self._entries) < ENTRIES_MAX
                if not fits:  # larger than everything that may wait
                    self._missing_first += messages
                    self.lost += messages
                    return True
            case "spill":
                if self._file or not fits:
                    return self._spill(data, messages)
        self._entries.append((data, messages))
        self.bytes += len(data)
        return True

    def take(self, notice: Notice) -> bytes | None:
        """What is to be sent next; None when nothing waits any more. Raises OSError when a file fails."""
        if self._missing_first:
            missing, self._missing_first = self._missing_first, 0
            return notice(missing)
        if self._entries:
            data, count = self._entries.popleft()
            self.bytes -= len(data)
            return data or notice(count)
        if self._file:
            return self._file.pop()[0]
        if self._missing_last:
            missing, self._missing_last = self._missing_last, 0
            return notice(missing)
        return None

    def close(self) -> None:
        self._entries.clear()
        self.bytes = 0
        if self._file is not None:
            self._file.close()
            self._file = None

    def _end_gap(self) -> None:
        """What is kept from now on comes after a gap."""
        if self._missing_last:
            self._entries.append((b"", self._missing_last))
            self._missing_last = 0

    def _spill(self, data: bytes, messages: int) -> bool:
        if self._file is None:
            try:
                self._file = SpillFile(self._room)
            except OSError:
                return False
        return self._file.append(data, messages)
