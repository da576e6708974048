"""What the records say does not depend on the order in which they came."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from arqonmesh.config.model import MembershipSettings
from arqonmesh.core.events import Applied, MemberAdmitted, MemberChanged, Persisted
from arqonmesh.core.kernel import MILLISECOND, SECOND, Effect, Emit, Event, Send
from arqonmesh.core.membership.core import Membership
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Accusation, Accusations, Kind, NodeRecord
from tests.core.membership.wire import Wire
from tests.core.toy import env_of, key_of, node_of

NAMES = "abcd"
Record = tuple[str, int, bool] | tuple[str, tuple[tuple[str, int, str], ...]]

own_records = st.tuples(st.sampled_from(NAMES), st.integers(1, 4), st.booleans())
accusations = st.tuples(
    st.sampled_from(NAMES),
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.integers(1, 4), st.sampled_from(["suspect", "dead"])),
        max_size=3,
        unique_by=lambda accusation: accusation[0],
    ).map(tuple),
)
histories = st.lists(st.one_of(own_records, accusations), max_size=12)


def event_of(record: Record) -> Event:
    author = node_of(record[0])
    if len(record) == 3:
        name, incarnation, leaving = record
        body = NodeRecord(key_of(name), name, "hub", "", (), incarnation, leaving, "", ())
        return Applied(author, Kind.NODE, "", body, b"", False)
    listed = tuple(Accusation(node_of(target), at, level) for target, at, level in record[1])
    return Applied(author, Kind.ACCUSATIONS, "", Accusations(listed), b"", False)


def admission(name: str) -> Event:
    return MemberAdmitted(node_of(name), key_of(name), name, "hub")


def states_after(events: list[Event]) -> dict[str, str]:
    core = Membership(env_of("me"), MembershipSettings())
    core.start(0, {})
    core.on_event(0, Persisted(1))
    told: dict[NodeId, str] = {}
    for now, event in enumerate(events):
        for effect in core.on_event(now, event):
            if isinstance(effect, Emit) and isinstance(effect.event, MemberChanged):
                change = effect.event
                assert told.get(change.node, "") == change.old
                told[change.node] = change.new
    states = {name: core.state_of(node_of(name)) for name in NAMES}
    assert states == {name: told.get(node_of(name), "") for name in NAMES}
    return states


def interleaved(history: list[Record], seed: int) -> list[Event]:
    """Another order that keeps each author's own, admissions anywhere: what gossip may deliver."""
    rng = random.Random(seed)
    queues = [[event_of(record) for record in history if record[0] == name] for name in NAMES]
    queues += [[admission(name)] for name in NAMES]
    out: list[Event] = []
    while queues := [queue for queue in queues if queue]:
        out.append(queues[rng.randrange(len(queues))].pop(0))
    return out


@given(histories, st.integers(0, 2**32), st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_any_order_of_the_same_records_gives_the_same_states(history: list[Record], one: int, two: int) -> None:
    """Admissions, own records and accusations; and MemberChanged tells a gapless story each time."""
    assert states_after(interleaved(history, one)) == states_after(interleaved(history, two))


@given(histories, st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_superseded_records_leave_no_trace(history: list[Record], seed: int) -> None:
    """Hearing only the newest record of each author and kind ends in the same states."""
    newest = {(record[0], len(record)): record for record in history}
    assert states_after(interleaved(list(newest.values()), seed)) == states_after(interleaved(history, seed))


@given(st.integers(0, 2**32))
@settings(max_examples=4, deadline=None)
def test_ten_percent_loss_convicts_nobody(seed: int) -> None:
    """Five minutes, eight members, every tenth probe datagram lost: suspicions may come, deaths may not."""
    rng = random.Random(seed)
    wire = Wire("abcdefgh", seed=seed % 1_000)
    wire.run(5 * SECOND)
    plain = wire.perform

    def lossy(node: NodeId, effects: list[Effect]) -> None:
        plain(node, [e for e in effects if not isinstance(e, Send) or rng.random() >= 0.1])

    wire.perform = lossy  # type: ignore[method-assign]
    wire.run(300 * SECOND)
    assert wire.seen("dead") == []


@given(st.integers(0, 10_000))
@settings(max_examples=5, deadline=None)
def test_the_same_seed_gives_the_same_story(seed: int) -> None:
    """Every send and change, twice."""

    def story() -> tuple[object, ...]:
        wire = Wire("abcde", seed=seed, delay_us=3 * MILLISECOND)
        wire.run(10 * SECOND)
        wire.crash("b")
        wire.run(30 * SECOND)
        return (tuple(wire.changes), tuple(wire.sent.items()))

    assert story() == story()
