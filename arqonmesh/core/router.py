"""Routes what one core says to the cores that listen, in a fixed order, until nothing is left to say.

Cores never call each other. Each input runs to quiescence here: `Emit` goes to every listener in the order in which
the cores were given, what they return joins the end of the queue, and every other effect leaves in that order. Persist
tokens are renumbered, so that each core counts its own.

A deadline is asked for anew only of cores that were heard since it was asked for last: `next_deadline` is called after
every input, and most inputs concern one core of many. Whoever calls a core past the router, in a way that may move its
deadline, runs what it returned (`run`, also when that is nothing) or says so with `touch`. A deadline that is new and
in the past counts from the input that set it: how late this process is, is read from deadlines, and patience with
others follows from that.

Many events of one kind that come together (a start tells everything that is on disk) are told listener by listener and
not one after the other: who has `on_events` takes them all at once, everyone else each in its turn.

A run that does not end is a bug of ours (two cores answering each other for ever); `STEPS_MAX` turns it into an
assertion that names the last event instead of a silent hang.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Final, TypeAlias

from arqonmesh.core.events import Applied, Persisted
from arqonmesh.core.kernel import Core, Durable, Effect, Emit, Event, Instant, Persist
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import WireMessage

STEPS_MAX: Final = 200_000
STEPS_PER_EFFECT: Final = 64
"""On top, for each effect that a run begins with: a start tells everything that is on disk at once, however much."""


RUN_MIN: Final = 32
"""So many events of one kind in a row are told together."""

_NEVER: Final = 1 << 63
_Said: TypeAlias = "list[tuple[Core | None, list[Effect]]]"
_Kind: TypeAlias = "int | type[Event]"
"""A kind of statement, of `Applied`; else the type of the event."""


class Router:
    """The cores of one node as one state machine."""

    def __init__(self, cores: Sequence[Core], *, after: Router | None = None) -> None:
        """`after`: the composition that this one replaces. What the disk still owes it must not answer for this one."""
        self._cores = tuple(cores)
        self._speakers: dict[type[WireMessage], tuple[int, Core]] = {}
        self._listeners: dict[type[Event], list[tuple[int, Core]]] = {}
        """With their places."""
        self._readers: dict[int, list[tuple[int, Core]]] = {}
        """Of `Applied`, by kind of statement."""
        self._owner_of: dict[int, tuple[Core, int]] = {}
        self._next_token: int = 1 if after is None else after._next_token
        self._together: list[Callable[[Instant, Sequence[Event]], list[Effect]] | None] = [
            getattr(core, "on_events", None) for core in self._cores
        ]
        """By place; None for who takes events one by one."""
        self._place = {id(core): place for place, core in enumerate(self._cores)}
        self._deadlines: list[Instant] = [_NEVER] * len(self._cores)
        """As each core last told it; _NEVER for none."""
        self._heard: dict[int, None] = dict.fromkeys(range(len(self._cores)))
        """Places of cores whose deadline may have moved since."""
        self._earliest: Instant = _NEVER
        self._now: Instant = 0
        """Of the newest input."""
        for place, core in enumerate(self._cores):
            for message_type in core.MESSAGES:
                assert message_type not in self._speakers, f"{message_type.__name__} is routed to two cores"
                self._speakers[message_type] = place, core
            for event_type in core.EVENTS:
                self._listeners.setdefault(event_type, []).append((place, core))

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
        speaker = self._speakers.get(type(message))
        if speaker is None:
            return None
        place, core = speaker
        self._now = now
        self._heard[place] = None
        effects = core.on_message(now, link_peer, message)
        for effect in effects:
            kind = type(effect)
            if kind is Emit or kind is Persist:
                return self._quiesce(now, core, effects)
        return effects

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

    def touch(self, core: Core) -> None:
        """This core was called past the router: its deadline may have moved."""
        self._heard[self._place[id(core)]] = None

    def timer(self, now: Instant) -> list[Effect]:
        """Fire every core whose deadline has come."""
        self._now = now
        out: list[Effect] = []
        deadlines, heard = self._deadlines, self._heard
        for place, core in enumerate(self._cores):
            if place in heard:  # also by what one before it has just said
                deadline = core.next_deadline()
                due = deadline is not None and deadline <= now
            else:
                due = deadlines[place] <= now
            if due:
                out += self.run(now, core, core.on_timer(now))
        return out

    def next_deadline(self) -> Instant | None:
        heard, earliest = self._heard, self._earliest
        if heard:
            cores, deadlines, later = self._cores, self._deadlines, False
            for place in heard:
                deadline = cores[place].next_deadline()
                if deadline is None:
                    deadline = _NEVER
                before = deadlines[place]
                if deadline != before:
                    if deadline < self._now:  # it became due in the past just now, and nobody is late
                        deadline = self._now
                    deadlines[place] = deadline
                    if deadline < earliest:
                        earliest = deadline
                    elif before == earliest:  # it was the earliest, perhaps alone
                        later = True
            heard.clear()
            if later:
                earliest = min(deadlines)
            self._earliest = earliest
        return None if earliest == _NEVER else earliest

    def run(self, now: Instant, core: Core | None, effects: Iterable[Effect]) -> list[Effect]:
        """Take these effects of `core` to quiescence and return what leaves the node."""
        self._now = now
        if core is not None:
            self._heard[self._place[id(core)]] = None
        begun = effects if type(effects) is list else list(effects)
        for effect in begun:
            kind = type(effect)
            if kind is Emit or kind is Persist:
                return self._quiesce(now, core, begun)
        return begun

    # --- private ------------------------------------------------------------------------------------------

    def _readers_of(self, kind: int) -> list[tuple[int, Core]]:
        """Who reads statements of this kind. Most cores read one kind of many, and say so with `KINDS`."""
        readers = self._readers.get(kind)
        if readers is None:
            readers = self._readers[kind] = [
                (place, core)
                for place, core in self._listeners.get(Applied, ())
                if kind in getattr(core, "KINDS", (kind,))
            ]
        return readers

    def _quiesce(self, now: Instant, core: Core | None, effects: list[Effect]) -> list[Effect]:
        out: list[Effect] = []
        said: _Said = [(core, effects)]
        """Who said what, in the order in which it is told; it grows while it is read."""
        steps, steps_max = 0, STEPS_MAX + STEPS_PER_EFFECT * len(effects)
        for speaker, some in said:
            steps += len(some)
            assert steps < steps_max, f"cores answer each other for ever; last effect: {some[-1]!r}"
            if len(some) < RUN_MIN:
                self._tell(now, speaker, some, said, out)
                continue
            for kind, group in groupby(some, key=_kind):
                run = list(group)
                if kind is None or len(run) < RUN_MIN:
                    self._tell(now, speaker, run, said, out)
                else:
                    self._tell_together(now, speaker, kind, run, said)
                    out += run
        return out

    def _tell(self, now: Instant, speaker: Core | None, some: list[Effect], said: _Said, out: list[Effect]) -> None:
        """One after the other, each to all its listeners."""
        heard, listeners_of = self._heard, self._listeners
        for effect in some:
            if type(effect) is Emit:
                event = effect.event
                kind = type(event)
                listeners = self._readers_of(event.kind) if type(event) is Applied else listeners_of.get(kind, ())
                for place, listener in listeners:
                    if listener is not speaker:
                        heard[place] = None
                        answer = listener.on_event(now, event)
                        if answer:
                            said.append((listener, answer))
                out.append(effect)
            elif type(effect) is Persist and effect.token >= 0:
                assert speaker is not None, "only a core persists"
                token, self._next_token = self._next_token, self._next_token + 1
                self._owner_of[token] = (speaker, effect.token)
                out.append(Persist(token, effect.writes, effect.sync))
            else:
                out.append(effect)

    def _tell_together(self, now: Instant, speaker: Core | None, kind: _Kind, run: list[Effect], said: _Said) -> None:
        """To one listener after the other, each all of them."""
        events = [effect.event for effect in run if type(effect) is Emit]
        listeners = self._readers_of(kind) if isinstance(kind, int) else self._listeners.get(kind, ())
        for place, listener in listeners:
            if listener is speaker:
                continue
            self._heard[place] = None
            together = self._together[place]
            if together is None:
                answers = [answer for event in events for answer in listener.on_event(now, event)]
            else:
                answers = together(now, events)
            if answers:
                said.append((listener, answers))


def _kind(effect: Effect) -> _Kind | None:
    """Who listens to it depends on this alone; None for what is no event."""
    if type(effect) is not Emit:
        return None
    event = effect.event
    return event.kind if type(event) is Applied else type(event)
