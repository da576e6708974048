"""Routes what one core says to the cores that listen, in a fixed order, until nothing is left to say.

Cores never call each other. Each input runs to quiescence here: `Emit` goes to every listener in the order in which
the cores were given, what they return joins the end of the queue, and every other effect leaves in that order. Persist
tokens are renumbered, so that each core counts its own.

A run that does not end is a bug of ours (two cores answering each other for ever); `STEPS_MAX` turns it into an
assertion that names the last event instead of a silent hang.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from arqonmesh.core.events import Persisted
from arqonmesh.core.kernel import Core, Durable, Effect, Emit, Event, Instant, Persist
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import WireMessage

STEPS_MAX: Final = 200_000
STEPS_PER_EFFECT: Final = 64
"""On top, for each effect that a run begins with: a start tells everything that is on disk at once, however much."""


class Router:
    """The cores of one node as one state machine."""

    def __init__(self, cores: Sequence[Core]) -> None:
        self._cores = tuple(cores)
        self._speakers: dict[type[WireMessage], Core] = {}
        self._listeners: dict[type[Event], list[Core]] = {}
        self._owner_of: dict[int, tuple[Core, int]] = {}
        self._next_token = 1
        for core in cores:
            for message_type in core.MESSAGES:
                assert message_type not in self._speakers, f"{message_type.__name__} is routed to two cores"
                self._speakers[message_type] = core
            for event_type in core.EVENTS:
                self._listeners.setdefault(event_type, []).append(core)

    @property
    def waiting(self) -> int:
        """Persists whose answer has not come yet."""
        return len(self._owner_of)

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        """Start every core in order; what one emits reaches also those that start after it."""
        out: list[Effect] = []
        for core in self._cores:
            out += self.run(now, core, core.start(now, durable))
        return out

    def message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect] | None:
        """None when no core speaks this message."""
        core = self._speakers.get(type(message))
        if core is None:
            return None
        return self.run(now, core, core.on_message(now, link_peer, message))

    def event(self, now: Instant, event: Event) -> list[Effect]:
        """An event from outside: told to its listeners and, like any Emit, to the runtime."""
        return self.run(now, None, [Emit(event)])

    def persisted(self, now: Instant, token: int) -> list[Effect]:
        """The transaction is done. A token of an earlier composition (before leaving a mesh) is harmless."""
        owner = self._owner_of.pop(token, None)
        if owner is None:
            return []
        core, own_token = owner
        return self.run(now, core, core.on_event(now, Persisted(own_token)))

    def timer(self, now: Instant) -> list[Effect]:
        """Fire every core whose deadline has come."""
        out: list[Effect] = []
        for core in self._cores:
            deadline = core.next_deadline()
            if deadline is not None and deadline <= now:
                out += self.run(now, core, core.on_timer(now))
        return out

    def next_deadline(self) -> Instant | None:
        earliest: Instant | None = None
        for core in self._cores:
            deadline = core.next_deadline()
            if deadline is not None and (earliest is None or deadline < earliest):
                earliest = deadline
        return earliest

    def run(self, now: Instant, core: Core | None, effects: Iterable[Effect]) -> list[Effect]:
        """Take these effects of `core` to quiescence and return what leaves the node."""
        out: list[Effect] = []
        queue: deque[tuple[Core | None, Effect]] = deque((core, effect) for effect in effects)
        steps, steps_max = 0, STEPS_MAX + STEPS_PER_EFFECT * len(queue)
        while queue:
            speaker, effect = queue.popleft()
            steps += 1
            assert steps < steps_max, f"cores answer each other for ever; last effect: {effect!r}"
            if type(effect) is Emit:
                for listener in self._listeners.get(type(effect.event), ()):
                    if listener is not speaker:
                        queue.extend((listener, answer) for answer in listener.on_event(now, effect.event))
                out.append(effect)
            elif type(effect) is Persist and effect.token >= 0:
                assert speaker is not None, "only a core persists"
                token, self._next_token = self._next_token, self._next_token + 1
                self._owner_of[token] = (speaker, effect.token)
                out.append(Persist(token, effect.writes, effect.sync))
            else:
                out.append(effect)
        return out
