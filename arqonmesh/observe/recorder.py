"""The flight recorder: the newest decisions of this node with their reasons, to be asked afterwards.

"Why did this message not arrive?" is answered from here: every drop, denial, hold, replay and change of a link is an
entry with a reason code. A ring of bounded length; the oldest go, counted. Recording is one append.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

ENTRIES_MAX: Final = 10_000
DETAIL_MAX: Final = 200


class Entry(NamedTuple):
    """One thing that happened. Fields that do not apply are empty."""

    at_us: int
    """Monotonic microseconds of this node."""
    kind: str
    """drop, deny, allow, hold, replay, link, member, partition ..."""
    reason: str
    """A stable code: export-default-deny, outbox-full, link-down ..."""
    channel: str = ""
    peer: str = ""
    message: str = ""
    """The message's id."""
    times: int = 1
    detail: str = ""


class FlightRecorder:
    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self._ring: deque[Entry] = deque(maxlen=entries_max)
        self.recorded = 0
        """Entries since the start; `recorded - len(recorder)` have gone."""

    def __len__(self) -> int:
        return len(self._ring)

    def record(
        self,
        at_us: int,
        kind: str,
        reason: str,
        *,
        channel: str = "",
        peer: str = "",
        message: str = "",
        times: int = 1,
        detail: str = "",
    ) -> None:
        self.recorded += 1
        self._ring.append(Entry(at_us, kind, reason, channel, peer, message, times, detail[:DETAIL_MAX]))

    def query(
        self,
        *,
        kind: str = "",
        reason: str = "",
        channel: str = "",
        peer: str = "",
        message: str = "",
        limit: int = 100,
    ) -> list[Entry]:
        """The newest entries that match all that is given, newest first. `peer` may be the beginning of an id."""
        found: list[Entry] = []
        for entry in reversed(self._ring):
            if (
                (not kind or entry.kind == kind)
                and (not reason or entry.reason == reason)
                and (not channel or entry.channel == channel)
                and (not peer or entry.peer.startswith(peer))
                and (not message or entry.message == message)
            ):
                found.append(entry)
                if len(found) >= limit:
                    break
        return found

    def __iter__(self) -> Iterator[Entry]:
        """Oldest first."""
        return iter(self._ring)

    def counts(self) -> dict[tuple[str, str], int]:
        """How often each (kind, reason) stands in the ring, by the entries' own `times`."""
        counts: dict[tuple[str, str], int] = {}
        for entry in self._ring:
            key = (entry.kind, entry.reason)
            counts[key] = counts.get(key, 0) + entry.times
        return counts
