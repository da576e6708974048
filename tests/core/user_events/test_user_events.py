"""A user event is signed, on disk before it leaves, heard once, and never more often than its author may speak."""

from __future__ import annotations

from typing import TypeVar

import msgspec
import pytest

from arqonmesh.config.model import UserEventSettings
from arqonmesh.core.events import Broadcast, BroadcastArrived, BroadcastJudged, Fault, Persisted, UserEvent
from arqonmesh.core.kernel import SECOND, Effect, Emit, Event, Persist, Put
from arqonmesh.core.user_events.core import AGE_MAX_MS, HEALING, LAMPORT_LEAP_MAX, NOTE_EVERY_US, TOPIC, UserEvents
from arqonmesh.core.user_events.seen import Seen
from arqonmesh.core.user_events.signed import SignedEvent, read, sign
from arqonmesh.errors import ConfigError, Denied
from arqonmesh.ids import MeshId
from arqonmesh.wire.cbor import encode
from arqonmesh.wire.naming import broadcast_id
from tests.core.toy import MESH, ToyCrypto, env_of, key_of, node_of

LINK = node_of("link")
EventT = TypeVar("EventT", bound=Event)
MEMBERS = {node_of(name): key_of(name) for name in ("self", "author", "other")}


def core(**settings: int) -> UserEvents:
    return UserEvents(env_of("self"), UserEventSettings(**settings), MEMBERS.get)


NOW_MS = 1_700_000_000_000
"""Wall time, which stands still here."""


def written(
    lamport: int = 1,
    *,
    by: str = "author",
    mesh: MeshId = MESH,
    payload: bytes = b"p",
    name: str = "deploy",
    sent_ms: int = NOW_MS,
) -> bytes:
    return sign(ToyCrypto(key_of(by)), mesh, node_of(by), lamport, name, payload, sent_ms)


def hear(at: UserEvents, data: bytes, now: int = 0) -> list[Effect]:
    return at.on_event(now, BroadcastArrived(broadcast_id(TOPIC, data), TOPIC, data, LINK))


def emitted(effects: list[Effect], kind: type[EventT]) -> list[EventT]:
    return [e.event for e in effects if isinstance(e, Emit) and isinstance(e.event, kind)]


def verdicts(effects: list[Effect]) -> list[str]:
    return [judged.verdict for judged in emitted(effects, BroadcastJudged)]


@pytest.mark.requirement("R-MB-2")
def test_an_event_is_sent_once_its_clock_is_on_disk() -> None:
    """Persist, and only then the signed event."""
    node = core()
    lamport, effects = node.fire(0, "deploy", b"v1")
    assert lamport == 1
    (persist,) = effects
    assert isinstance(persist, Persist)
    assert persist.sync
    said = node.on_event(0, Persisted(persist.token))
    assert emitted(said, UserEvent) == [UserEvent(node_of("self"), 1, "deploy", b"v1", 1_700_000_000_000)]
    (broadcast,) = emitted(said, Broadcast)
    signed = read(broadcast.data)
    assert (broadcast.topic, signed.name, signed.payload, signed.lamport) == (TOPIC, "deploy", b"v1", 1)


def test_the_clock_goes_on_after_a_restart() -> None:
    """Or the others would take new events for heard."""
    node = core()
    node.start(0, {"scalars": [("user_events", "lamport", (41).to_bytes(8, "big"))]})
    assert node.fire(0, "deploy", b"")[0] == 42


@pytest.mark.requirement("R-MB-2")
def test_an_event_of_a_member_is_accepted_and_told_once() -> None:
    """The second time it is ignored: nobody's fault."""
    node = core()
    said = hear(node, written(7))
    assert verdicts(said) == ["accept"]
    assert emitted(said, UserEvent) == [UserEvent(node_of("author"), 7, "deploy", b"p", NOW_MS)]
    again = hear(node, written(7))
    assert verdicts(again) == ["ignore"]
    assert emitted(again, UserEvent) == []
    assert emitted(again, Fault) == []


def test_our_clock_passes_what_we_heard() -> None:
    """An answer never sorts before its question."""
    node = core()
    hear(node, written(7))
    assert node.fire(0, "answer", b"")[0] == 8


def test_what_an_earlier_life_heard_is_not_taken_for_new() -> None:
    """The highest time heard is on disk a second later, once for all; at or below it nobody's event counts again."""
    node = core()
    for lamport in (7, 9, 8):
        assert verdicts(hear(node, written(lamport), now=5)) == ["accept"]
    assert node.next_deadline() == 5 + NOTE_EVERY_US
    assert node.on_timer(4 + NOTE_EVERY_US) == []
    (persist,) = node.on_timer(5 + NOTE_EVERY_US)
    assert isinstance(persist, Persist)
    assert not persist.sync and node.next_deadline() is None
    hear(node, written(7, by="other"))
    assert node.next_deadline() is None, "no later time was heard"

    again = core()
    again.start(0, {"scalars": [put.row for put in persist.writes if isinstance(put, Put)]})
    for replayed in (written(7), written(9), written(9, by="other")):
        assert verdicts(hear(again, replayed)) == ["ignore"]
    assert again.counters == {"before-start": 3}
    assert verdicts(hear(again, written(10, sent_ms=0))) == ["accept"], "its own clock is not asked"


def test_a_newcomer_goes_by_the_date() -> None:
    """It has no time to begin with: old recordings are ignored without blame, clocks that differ are not."""
    node = core()
    said = hear(node, written(7, sent_ms=NOW_MS - AGE_MAX_MS - 1))
    assert verdicts(said) == ["ignore"]
    assert emitted(said, Fault) == [] and node.counters == {"too-old": 1} and node.lamport == 0
    assert verdicts(hear(node, written(8, sent_ms=NOW_MS - AGE_MAX_MS))) == ["accept"]
    assert verdicts(hear(node, written(9, sent_ms=NOW_MS + AGE_MAX_MS))) == ["accept"]


@pytest.mark.parametrize("data", [b"", b"\x80", written()[:-1], written() + b"\x00", written(name="é" * 33)])
def test_what_is_no_event_is_the_link_peers_fault(data: bytes) -> None:
    """It could have checked."""
    said = hear(core(), data)
    assert verdicts(said) == ["reject"]
    assert emitted(said, Fault) == [Fault(LINK, "malformed")]


@pytest.mark.parametrize(
    "changed",
    [{"name": "other"}, {"payload": b"q"}, {"lamport": 2}, {"sent_ms": NOW_MS + 1}, {"author": node_of("other")}],
)
def test_no_relay_can_change_an_event(changed: dict[str, object]) -> None:
    """Every field is under the signature; who passes it on is blamed, never the author it names."""
    forged = msgspec.structs.replace(read(written()), **changed)
    said = hear(core(), encode(msgspec.to_builtins(forged, builtin_types=(bytes,))))
    assert verdicts(said) == ["reject"]
    assert emitted(said, Fault) == [Fault(LINK, "bad-signature")]


def test_an_event_of_another_mesh_does_not_count_in_this_one() -> None:
    """The mesh is under the signature."""
    assert verdicts(hear(core(), written(mesh=MeshId("01K00000000000000000000000")))) == ["reject"]


def test_an_unknown_author_is_ignored_without_blame() -> None:
    """Its admission may be on the way."""
    said = hear(core(), written(by="stranger"))
    assert verdicts(said) == ["ignore"]
    assert emitted(said, Fault) == []


def test_a_clock_that_leaps_is_no_clock() -> None:
    """It would use up the numbers of all."""
    node = core()
    said = hear(node, written(LAMPORT_LEAP_MAX + 1))
    assert verdicts(said) == ["ignore"]
    assert emitted(said, Fault) == [Fault(node_of("author"), "clock-ahead")]
    assert node.lamport == 0


def test_nobody_speaks_above_the_rate() -> None:
    """Our own are refused with an error; another's are ignored beyond what a healed partition may bring at once."""
    node = core(rate_per_s=1, burst=3)
    for _ in range(3):
        node.fire(0, "x", b"")
    with pytest.raises(Denied, match="rate_per_s"):
        node.fire(0, "x", b"")
    assert node.fire(SECOND, "x", b"")[0] == 4
    told = sum(verdicts(hear(node, written(lamport))) == ["accept"] for lamport in range(100, 200))
    assert told == 3 * HEALING


@pytest.mark.parametrize(
    ("name", "payload", "code"),
    [
        ("", b"", "user-events.name"),
        ("x" * 65, b"", "user-events.name"),
        ("é" * 33, b"", "user-events.name"),
        ("x", bytes(1_025), "user-events.size"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(name: str, payload: bytes, code: str) -> None:
    """1 KiB, because it goes to every node."""
    with pytest.raises(ConfigError) as refused:
        core().fire(0, name, payload)
    assert refused.value.code == code


def test_what_was_forgotten_is_not_taken_for_new() -> None:
    """The floor of an author rises with what was evicted."""
    seen = Seen(seen_max=3)
    for lamport in range(1, 6):
        seen.add(LINK, lamport)
    assert len(seen) == 3
    assert [lamport for lamport in range(8) if seen.is_new(LINK, lamport)] == [6, 7]
    assert seen.is_new(node_of("other"), 1)


def test_a_signed_event_is_a_fixed_array() -> None:
    """Field order is the wire's."""
    assert SignedEvent.__struct_fields__ == ("author", "lamport", "name", "payload", "sent_ms", "signature")


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "a\u202eb", "\x00"])
def test_a_name_that_cannot_be_printed_is_refused_at_the_sender(name: str) -> None:
    """It would end on every member's screen; no number is spent on it."""
    sender = core()
    with pytest.raises(ConfigError) as refused:
        sender.fire(0, name, b"")
    assert refused.value.code == "user-events.name"
    assert repr(name) in str(refused.value)
    assert sender.lamport == 0
    sender.fire(0, "déploy v1.2 ✓", b"")
