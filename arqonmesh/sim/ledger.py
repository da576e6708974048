"""What bus clients said and heard, held against each other: once, in order, nowhere it may not be, and complete.

One message is known by who said it, in which life of its node, on which channel, and as which one there. A breach is
noted the moment it happens; what is missing can only be told at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

BREACHES_MAX: Final = 20


class Said(NamedTuple):
    origin: str
    life: int
    channel: str
    number: int


@dataclass
class Ledger:
    """Who may and who must hear what is told by two functions, the policy in the simplest words."""

    may_hear: Callable[[str, str, str], bool]
    """(listener, origin, channel)."""
    must_hear: Callable[[str, str, str], bool]
    """Where there is a way, too: a channel that stays in its cluster does not travel through another one."""
    said: dict[Said, int] = field(default_factory=dict)
    """With the virtual time, in microseconds."""
    heard: dict[str, dict[Said, None]] = field(default_factory=dict)
    excused: dict[tuple[str, Said], None] = field(default_factory=dict)
    """(listener, message): a crash of the listener's node took it, and the clients with it."""
    maybe_lost: dict[Said, None] = field(default_factory=dict)
    """Said too shortly before their own node died."""
    owed_from: dict[str, int] = field(default_factory=dict)
    """Newcomers, and since when everyone has known them: what was said before may miss them."""
    breaches: list[str] = field(default_factory=list)
    forgetful: dict[str, None] = field(default_factory=dict)
    """Listeners whose machine lost power: what they had marked as seen may come again, and late."""
    first_link_us: int = -1
    """When two nodes were last linked for the first time. Order is a promise per link: a new one begins in the middle,
    and what was said before may come later by an older way."""
    leavers: dict[str, None] = field(default_factory=dict)
    """Listeners whose node has said farewell: nobody keeps anything for them any more."""
    deliveries: dict[tuple[str, int], int] = field(default_factory=dict)
    """Frames that came to a listener, by its name and the life of its node."""
    _newest: dict[tuple[str, int, str, int, str], int] = field(default_factory=dict)

    def say(self, now_us: int, message: Said) -> None:
        self.said[message] = now_us

    def hear(self, listener: str, listener_life: int, message: Said) -> None:
        heard = self.heard.setdefault(listener, {})
        self.deliveries[listener, listener_life] = self.deliveries.get((listener, listener_life), 0) + 1
        if message not in self.said:
            self._breach(f"{listener} heard what nobody said: {message}")
        if not self.may_hear(listener, message.origin, message.channel):
            self._breach(f"{listener} heard what may not leave its cluster: {message}")
        if message in heard and listener not in self.forgetful:
            self._breach(f"{listener} heard twice: {message}")
        heard[message] = None
        line = (listener, listener_life, message.origin, message.life, message.channel)
        newest = self._newest.get(line, -1)
        ordered = self.said.get(message, 0) > self.first_link_us and listener not in self.leavers
        if message.number <= newest and ordered and listener not in self.forgetful:
            self._breach(f"{listener} heard {message} after number {newest}")
        self._newest[line] = max(newest, message.number)

    def missing(self, listeners: Iterable[str]) -> list[tuple[str, Said]]:
        """(listener, message) of everything that should have been heard and was not."""
        return [
            (listener, message)
            for listener in listeners
            for message, said_at in self.said.items()
            if said_at >= self.owed_from.get(listener, 0)
            and self.must_hear(listener, message.origin, message.channel)
            and message not in self.heard.get(listener, {})
            and message not in self.maybe_lost
            and (listener, message) not in self.excused
        ]

    def origin_died(self, origin: str, now_us: int, memory_us: int) -> None:
        """What a node had in memory only is gone with it: all that its clients said so shortly before."""
        for message, at_us in self.said.items():
            if message.origin == origin and at_us >= now_us - memory_us:
                self.maybe_lost[message] = None

    def _breach(self, sentence: str) -> None:
        if len(self.breaches) < BREACHES_MAX:
            self.breaches.append(sentence)
