"""The coordinates core: what it sends and publishes, whom it believes."""

from __future__ import annotations

from itertools import pairwise

import pytest

from arqonmesh.config.model import CoordinateSettings
from arqonmesh.core.coordinates.core import CONTRADICTIONS_MAX, REPORTS_SAVED, Coordinates
from arqonmesh.core.coordinates.vivaldi import DIMENSIONS
from arqonmesh.core.events import Applied, Dropped, LinkDown, LinkMeasured, LinkUp, Publish, Withdrawn
from arqonmesh.core.kernel import MILLISECOND, SECOND, Effect, Emit, Lane, Send
from arqonmesh.ids import NodeId
from arqonmesh.sim.field import Field
from arqonmesh.wire.codec import encode_message
from arqonmesh.wire.messages import MAX_DATAGRAM_BYTES, CoordinateReport
from arqonmesh.wire.statement import Coordinate, Kind
from tests.core.toy import env_of, node_of

ME = node_of("me")
NAMES = ("a", "b", "c", "d")


def at(x_us: int, *, error_ppm: int = 10_000, height_us: int = 10) -> tuple[tuple[int, ...], int, int, int]:
    """A place on the first axis."""
    return (x_us, *([0] * (DIMENSIONS - 1))), height_us, error_ppm, 0


def linked(*names: str, rtt_us: int = 20_000) -> Coordinates:
    core = Coordinates(env_of("me"), CoordinateSettings())
    core.start(0, {})
    for name in names:
        core.on_event(0, LinkUp(node_of(name), "quic"))
        core.on_event(0, LinkMeasured(node_of(name), rtt_us, 0, 0))
    return core


def stated(core: Coordinates, node: NodeId, x_us: int, **of: int) -> list[Effect]:
    return core.on_event(0, Applied(node, Kind.COORDINATE, "", Coordinate(*at(x_us, **of)), b"", node == ME))


def settle(core: Coordinates, name: str, rounds: int = 200, *, x_us: int = 20_000) -> int:
    """Hear one peer out until our own error is small; returns the time by then."""
    now = 0
    for _ in range(rounds):
        now += 5 * SECOND
        core.on_message(now, node_of(name), CoordinateReport(*at(x_us)))
    return now


def run(core: Coordinates, until: int) -> list[Effect]:
    """Fire the timer until then."""
    effects: list[Effect] = []
    while (due := core.next_deadline()) is not None and due <= until:
        effects += core.on_timer(due)
    return effects


def published(effects: list[Effect]) -> list[Publish]:
    return [e.event for e in effects if isinstance(e, Emit) and isinstance(e.event, Publish)]


def test_it_reports_to_one_linked_peer_in_turn_by_a_small_datagram() -> None:
    """Every five to six and a quarter seconds; each peer gets its share; nobody linked, nothing sent."""
    core = linked("a", "b", "c")
    sent = [effect for effect in run(core, 120 * SECOND) if isinstance(effect, Send)]
    assert 18 <= len(sent) <= 24
    assert [send.to for send in sent[:3]] == [sent[i].to for i in (3, 4, 5)]
    assert len(dict.fromkeys(send.to for send in sent)) == 3
    assert all(send.lane is Lane.DATAGRAM for send in sent)
    assert all(len(encode_message(send.message)) < 100 < MAX_DATAGRAM_BYTES for send in sent)
    for name in ("a", "b", "c"):
        core.on_event(0, LinkDown(node_of(name), "x"))
    assert core.next_deadline() is None


def test_only_a_linked_and_measured_peer_moves_us() -> None:
    """A report without a round trip of ours says nothing."""
    core = linked("a")
    core.on_event(0, LinkUp(node_of("b"), "quic"))
    for name in ("b", "stranger"):
        assert core.on_message(0, node_of(name), CoordinateReport(*at(5_000))) == []
    assert core.updates == 0
    core.on_message(0, node_of("a"), CoordinateReport(*at(5_000)))
    assert core.updates == 1


def dropped(effects: list[Effect]) -> list[tuple[str, str]]:
    return [(e.event.reason, e.event.detail) for e in effects if isinstance(e, Emit) and isinstance(e.event, Dropped)]


def test_at_the_hub_of_a_star_no_report_of_a_leaf_is_one_too_many() -> None:
    """Each leaf tells its only link every five to six and a quarter seconds; the hub moves as often as if it were by
    turns: eleven links, four thirds of an update in five seconds at most."""
    field = Field(1, lambda one, other: 10 * MILLISECOND)
    for _ in range(12):
        field.add(lambda env: (Coordinates(env("coordinates"), CoordinateSettings()),))
    drops: list[Dropped] = []
    field.watch(Dropped, lambda now, index, event: drops.append(event))
    field.lay([(0, leaf) for leaf in range(1, 12)])
    field.run_for(600 * SECOND)
    assert field.sent[CoordinateReport] > 11 * 600 / 6.25
    assert drops == []
    hub = field.nodes[0].core(Coordinates)
    assert 100 < hub.updates <= 11 * (1 + 600 / (5 * 0.75 * 10))


def test_what_a_leaf_sent_while_we_stood_still_is_not_too_much_either() -> None:
    """For half a minute; it comes all together, and its turn comes once."""
    core = linked("a")
    for now in range(0, 60 * SECOND, 5 * SECOND):
        assert dropped(core.on_message(now, node_of("a"), CoordinateReport(*at(5_000)))) == []
    before, woke = core.updates, 90 * SECOND
    for _ in range(6):
        assert dropped(core.on_message(woke, node_of("a"), CoordinateReport(*at(5_000)))) == []
    assert core.updates == before + 1


@pytest.mark.parametrize("names", [("a",), NAMES])
def test_whoever_reports_more_than_any_honest_node_does_is_dropped_and_counted(names: tuple[str, ...]) -> None:
    """Four a second: allowed are eight at once, and after that one in three quarters of an interval."""
    core = linked(*names)
    count = 0
    for now in range(0, 600 * SECOND, SECOND // 4):
        told = dropped(core.on_message(now, node_of("a"), CoordinateReport(*at(5_000))))
        assert told in ([], [("too-often", node_of("a"))])
        count += len(told)
    assert count == 4 * 600 - REPORTS_SAVED - int(600 / 3.75) + 1


def test_an_hour_of_silence_saves_no_more_reports_than_half_a_minute() -> None:
    """Or whoever was silent could send as many at once as an hour has."""
    core = linked("a")
    core.on_message(0, node_of("a"), CoordinateReport(*at(5_000)))
    told = [dropped(core.on_message(3_600 * SECOND, node_of("a"), CoordinateReport(*at(5_000)))) for _ in range(960)]
    assert told == [[]] * REPORTS_SAVED + [[("too-often", node_of("a"))]] * (960 - REPORTS_SAVED)


def test_it_publishes_once_settled_when_it_moved_and_at_most_every_ten_minutes() -> None:
    """First after 30 s; then 600 s; and not at all while it stays where it is."""
    core = linked("a")
    told: list[tuple[int, Publish]] = []
    for now in range(0, 3_600 * SECOND, 5 * SECOND):
        x_us = 20_000 if now < 700 * SECOND else 60_000  # a moves once
        if now == 700 * SECOND:
            core.on_event(now, LinkMeasured(node_of("a"), 90_000, 0, 0))
        found = published(core.on_message(now, node_of("a"), CoordinateReport(*at(x_us))))
        told += [(now, publish) for publish in found]
    times = [now // SECOND for now, _ in told]
    assert times[0] == 30
    assert all(later - earlier >= 600 for earlier, later in pairwise(times))
    assert 2 <= len(told) <= 4
    assert all((publish.kind, publish.key) == (Kind.COORDINATE, "") for _, publish in told)
    assert core.publications == len(told)


def test_nothing_is_published_before_anything_was_measured() -> None:
    """A coordinate at the origin says nothing."""
    core = linked("a")
    assert published(run(core, 1_000 * SECOND)) == []


def test_what_members_state_gives_guesses_when_both_are_sure() -> None:
    """None while either error is above a half, or unknown, or taken back."""
    core = linked("a")
    assert stated(core, node_of("far"), 100_000) == []
    assert core.guess_us(node_of("far")) is None
    settle(core, "a")
    guess_us = core.guess_us(node_of("far"))
    assert guess_us is not None and 60_000 <= guess_us <= 140_000
    assert core.estimate_us(node_of("far"), node_of("a")) == core.estimate_us(node_of("a"), node_of("far")) == 80_020
    stated(core, node_of("vague"), 100_000, error_ppm=600_000)
    assert core.guess_us(node_of("vague")) is None
    core.on_event(0, Withdrawn(node_of("far"), Kind.COORDINATE, ""))
    assert core.guess_us(node_of("far")) is None


def test_whoever_contradicts_our_measurements_is_put_aside_until_it_fits_again() -> None:
    """A liar says it is near everyone; what we measure says otherwise; after three times it moves nothing any more."""
    core = linked(*NAMES)
    now = settle(core, "a")
    for name in NAMES:
        stated(core, node_of(name), 20_000)
    liar = node_of("d")
    core.on_event(now, LinkMeasured(liar, 300_000, 0, 0))
    before = core.own
    for _ in range(CONTRADICTIONS_MAX + 5):
        now += 2 * SECOND
        core.on_event(now, LinkMeasured(liar, 300_000, 0, 0))
    for _ in range(20):
        now += 2 * SECOND
        core.on_message(now, liar, CoordinateReport(*at(20_000, error_ppm=0)))
    assert core.aside() == (liar,)
    assert core.own == before
    assert core.guess_us(liar) is None
    core.on_event(now, LinkMeasured(liar, 20_000, 0, 0))
    assert core.aside() == ()


def test_when_most_contradict_us_we_are_the_ones_who_moved() -> None:
    """All round trips changed at once: nobody is put aside, and we follow."""
    core = linked(*NAMES)
    now = settle(core, "a")
    for name in NAMES:
        stated(core, node_of(name), 20_000)
    for _ in range(CONTRADICTIONS_MAX + 1):
        for name in NAMES:
            core.on_event(now, LinkMeasured(node_of(name), 400_000, 0, 0))
    assert core.aside() == ()
    before = core.own
    core.on_message(now + 20 * SECOND, node_of("a"), CoordinateReport(*at(20_000)))
    assert core.own != before


def test_a_peer_that_reports_all_the_time_counts_as_often_as_it_would_by_turns() -> None:
    """Four linked peers tell each other every 20 s each: from one of them a report counts every 11.25 s at most."""
    core = linked(*NAMES)
    for now in range(0, 120 * SECOND, 4 * SECOND):
        assert dropped(core.on_message(now, node_of("a"), CoordinateReport(*at(5_000)))) == []
    assert core.updates == 10


def test_a_new_life_goes_on_from_the_last_coordinate() -> None:
    """Gossip tells our own statement from disk; what is measured in this life counts more."""
    core = Coordinates(env_of("me"), CoordinateSettings())
    core.start(0, {})
    assert stated(core, ME, 70_000) == []
    assert core.own.vector[0] == pytest.approx(0.070)
    core.on_event(0, LinkUp(node_of("a"), "quic"))
    core.on_event(0, LinkMeasured(node_of("a"), 20_000, 0, 0))
    core.on_message(SECOND, node_of("a"), CoordinateReport(*at(90_000)))
    moved = core.own
    stated(core, ME, 0)
    assert core.own == moved
