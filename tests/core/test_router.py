"""The router runs each input to quiescence, in a fixed order, and keeps every core's persist tokens apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest

from arqonmesh.core import router as router_module
from arqonmesh.core.events import Late, LinkDown, LinkUp, Persisted
from arqonmesh.core.kernel import Durable, Effect, Emit, Event, Instant, Persist, Put
from arqonmesh.core.router import RUN_MIN, Router
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import Ack, Ping, WireMessage

PEER = NodeId("a" * 32)


class Recorder:
    """A core that notes what it hears and answers from a script."""

    NAME: ClassVar[str] = "recorder"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = ()
    EVENTS: ClassVar[tuple[type[Event], ...]] = (Late, LinkUp)

    def __init__(self, name: str, journal: list[str], answers: dict[type[Event], list[Effect]] | None = None) -> None:
        self.name = name
        self.journal = journal
        self.answers = answers or {}
        self.deadline: Instant | None = None

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        self.journal.append(f"{self.name} start")
        return []

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        self.journal.append(f"{self.name} {type(message).__name__}")
        return []

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        self.journal.append(f"{self.name} {type(event).__name__}")
        return self.answers.get(type(event), [])

    def on_timer(self, now: Instant) -> list[Effect]:
        self.journal.append(f"{self.name} timer")
        self.deadline = None
        return []

    def next_deadline(self) -> Instant | None:
        return self.deadline


class PingSpeaker(Recorder):
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = (Ping,)


def test_an_event_reaches_every_listener_in_the_order_of_the_cores() -> None:
    """Listeners hear in composition order, and the event also leaves for the runtime."""
    journal: list[str] = []
    router = Router((Recorder("first", journal), Recorder("second", journal)))

    out = router.event(0, Late(5))

    assert journal == ["first Late", "second Late"]
    assert out == [Emit(Late(5))]


def test_a_core_does_not_hear_itself() -> None:
    """What a core emits goes to the others; it knows already."""
    journal: list[str] = []
    first = Recorder("first", journal, {Late: [Emit(LinkUp(PEER, "quic"))]})
    router = Router((first, Recorder("second", journal)))

    router.event(0, Late(5))

    assert journal == ["first Late", "second Late", "second LinkUp"]


def test_an_event_nobody_listens_to_still_leaves_the_node() -> None:
    """The runtime watches events that no core needs."""
    router = Router((Recorder("only", []),))

    assert router.event(0, LinkDown(PEER, "cut")) == [Emit(LinkDown(PEER, "cut"))]


def test_persisted_comes_back_to_the_core_that_asked_with_its_own_token() -> None:
    """Two cores may both count from 7; the disk sees different numbers."""
    write = Put("scalars", ("x", "y", b""))
    journals: tuple[list[str], list[str]] = ([], [])

    @dataclass
    class Tokens:
        seen: list[int]

    tokens = Tokens([])

    class Asker(Recorder):
        def on_event(self, now: Instant, event: Event) -> list[Effect]:
            if isinstance(event, Persisted):
                tokens.seen.append(event.token)
                self.journal.append("persisted")
                return []
            return [Persist(7, (write,))]

    router = Router((Asker("a", journals[0]), Asker("b", journals[1])))
    persists = [effect for effect in router.event(0, Late(1)) if isinstance(effect, Persist)]
    assert len({effect.token for effect in persists}) == 2
    assert router.waiting == 2

    router.persisted(1, persists[1].token)

    assert tokens.seen == [7]
    assert journals == ([], ["persisted"])
    assert router.waiting == 1


def test_a_persist_that_wants_no_answer_keeps_its_negative_token() -> None:
    """Nothing is remembered for it."""
    effect = Persist(-1, (Put("scalars", ("x", "y", b"")),), sync=False)
    router = Router((Recorder("only", [], {Late: [effect]}),))

    assert effect in router.event(0, Late(1))
    assert router.waiting == 0


def test_a_token_of_an_earlier_life_is_harmless() -> None:
    """After leaving a mesh the disk may still answer what the old cores asked; it answers nothing that the new ones
    asked, who would promise what is not on disk yet."""
    journal: list[str] = []
    asks: dict[type[Event], list[Effect]] = {Late: [Persist(7, (Put("scalars", ("x", "y", b"")),))]}
    old = Router((Recorder("old", journal, asks),))
    [owed] = [effect.token for effect in old.event(0, Late(1)) if isinstance(effect, Persist)]
    new = Router((Recorder("new", journal, asks),), after=old)
    [asked] = [effect.token for effect in new.event(0, Late(1)) if isinstance(effect, Persist)]
    journal.clear()

    assert new.persisted(0, owed) == [] and journal == []
    new.persisted(0, asked)
    assert journal == ["new Persisted"]


def test_a_message_goes_to_the_one_core_that_speaks_it() -> None:
    """A message that nobody speaks is the caller's to blame on the peer."""
    journal: list[str] = []
    router = Router((Recorder("deaf", journal), PingSpeaker("swim", journal)))

    assert router.message(0, PEER, Ping(1, -1)) == []
    assert router.message(0, PEER, Ack(1)) is None
    assert journal == ["swim Ping"]


def test_two_cores_cannot_speak_the_same_message() -> None:
    """A message with two owners is a mistake of the composition."""
    with pytest.raises(AssertionError, match="Ping is routed to two cores"):
        Router((PingSpeaker("a", []), PingSpeaker("b", [])))


def test_only_cores_whose_deadline_has_come_are_woken() -> None:
    """The router's deadline is the earliest of all."""
    journal: list[str] = []
    early, late = Recorder("early", journal), Recorder("late", journal)
    early.deadline, late.deadline = 10, 20
    router = Router((late, early))

    assert router.next_deadline() == 10
    router.timer(10)
    assert journal == ["early timer"]
    assert router.next_deadline() == 20


def test_a_deadline_that_is_new_and_in_the_past_makes_nobody_late() -> None:
    """A client came after a quiet hour, and what waits a moment since the last one is due: not for an hour already."""
    core = Recorder("bus", [])
    core.deadline = 5_000
    router = Router((core,))
    assert router.next_deadline() == 5_000
    core.deadline = 10
    router.event(3_000, Late(1))
    router.touch(core)
    assert router.next_deadline() == 3_000
    router.timer(3_000)
    assert core.journal == ["bus Late", "bus timer"]


def test_a_deadline_that_was_known_stays_as_late_as_it_is() -> None:
    """What a process that stood still hears first does not hide for how long it did."""
    core, other = Recorder("link", []), Recorder("other", [])
    core.deadline, other.deadline = 100, 120
    router = Router((core, other))
    assert router.next_deadline() == 100
    core.deadline = 900
    router.event(500, Late(1))
    router.touch(core)
    router.touch(other)
    assert router.next_deadline() == 120


def test_cores_that_answer_each_other_for_ever_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A livelock is our bug: it stops with the last event in the message."""
    monkeypatch.setattr(router_module, "STEPS_MAX", 100)
    answers: dict[type[Event], list[Effect]] = {Late: [Emit(Late(1))]}
    router = Router((Recorder("a", [], answers), Recorder("b", [], answers)))

    with pytest.raises(AssertionError, match=r"for ever.*Late"):
        router.event(0, Late(1))


def test_a_run_may_be_as_long_as_what_it_begins_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a start gossip tells everything that is on disk at once; however much that is, it is no livelock."""
    monkeypatch.setattr(router_module, "STEPS_MAX", 100)
    answers: dict[type[Event], list[Effect]] = {Late: [Emit(LinkDown(PEER, "so be it"))] * 10}
    speaker = Recorder("disk", [])
    router = Router((speaker, Recorder("other", [], answers)))

    assert len(router.run(0, speaker, [Emit(Late(1))] * 1_000)) == 11_000


class Gatherer(Recorder):
    """Takes many events of one type at once."""

    def on_events(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        self.journal.append(f"{self.name} {len(events)} {type(events[0]).__name__}")
        return [effect for event in events for effect in self.answers.get(type(event), [])]


@pytest.mark.parametrize("many", [RUN_MIN - 1, RUN_MIN])
def test_many_events_of_one_type_are_told_together_to_who_takes_them_so(many: int) -> None:
    """Listener by listener, each in its turn, and all that was said leaves in its order; a few go one by one."""
    journal: list[str] = []
    speaker = Recorder("speaker", journal)
    one = Recorder("one", journal)
    gatherer = Gatherer("gatherer", journal, {Late: [Emit(LinkUp(PEER, "quic"))]})
    ups: list[Effect] = [Emit(Late(number)) for number in range(many)]
    last: list[Effect] = [Emit(LinkDown(PEER, "quiet"))]
    said = Router((speaker, one, gatherer)).run(0, speaker, ups + last)
    assert said == ups + last + [Emit(LinkUp(PEER, "quic"))] * many
    if many < RUN_MIN:
        assert journal[:4] == ["one Late", "gatherer Late", "one Late", "gatherer Late"]
    else:
        told = ["one Late"] * many + [f"gatherer {many} Late"]
        assert journal == told + ["speaker LinkUp"] * many + ["one LinkUp"] * many


def test_what_is_written_between_events_that_are_told_together_keeps_its_token_and_its_place() -> None:
    """Only events of one type in a row are a run; everything else is done where it stands."""
    journal: list[str] = []
    speaker, gatherer = Recorder("speaker", journal), Gatherer("gatherer", journal)
    run: list[Effect] = [Emit(Late(number)) for number in range(RUN_MIN)]
    written = Persist(7, (Put("scalars", ("a", "b", b"c")),))
    router = Router((speaker, gatherer))
    said = router.run(0, speaker, [*run, written, *run])
    assert said == [*run, Persist(1, written.writes), *run]
    assert journal == [f"gatherer {RUN_MIN} Late"] * 2
    assert router.waiting == 1
