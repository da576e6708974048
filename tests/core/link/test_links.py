"""All links of a node together: two real cores on a pretend wire."""

from __future__ import annotations

import heapq
import random
from itertools import pairwise

import pytest

from arqonmesh.config.model import LinkSettings
from arqonmesh.core.events import (
    Applied,
    Late,
    LinkDown,
    LinkMeasured,
    LinkSilent,
    LinkUp,
    OverlayRuns,
    Publish,
    TransportDown,
    TransportUp,
)
from arqonmesh.core.kernel import MILLISECOND, SECOND, Disconnect, Effect, Emit, Lane, Send
from arqonmesh.core.link.core import Links
from arqonmesh.core.link.liveness import DIALLED_LATER_US, REOPENING_PATIENCE_US
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import Heartbeat, HeartbeatAck, WireMessage
from arqonmesh.wire.statement import Adjacency, Kind
from arqonmesh.wire.statement import Links as LinksRecord
from tests.core.toy import env_of, node_of

MS = MILLISECOND


class Wire:
    """Some link cores, a constant one-way delay, and directed cuts."""

    def __init__(self, *names: str, delay_us: int = MS, heartbeat_ms: int = 100) -> None:
        self.now = 0
        self.delay_us = delay_us
        self.cores = {node_of(name): Links(env_of(name), LinkSettings(heartbeat_ms=heartbeat_ms)) for name in names}
        self.cut: dict[tuple[NodeId, NodeId], None] = {}
        self.log: list[tuple[int, NodeId, Effect]] = []
        self._air: list[tuple[int, int, NodeId, NodeId, WireMessage]] = []
        self._sent = 0
        for node, core in self.cores.items():
            self.perform(node, core.start(0, {}))

    def connect(self, a: str, b: str) -> None:
        one, two = node_of(a), node_of(b)
        self.perform(one, self.cores[one].on_event(self.now, TransportUp(two, "quic", True)))
        self.perform(two, self.cores[two].on_event(self.now, TransportUp(one, "quic", False)))

    def sever(self, a: str, b: str) -> None:
        """Silently lose everything from a to b."""
        self.cut[(node_of(a), node_of(b))] = None

    def perform(self, node: NodeId, effects: list[Effect]) -> None:
        for effect in effects:
            self.log.append((self.now, node, effect))
            if isinstance(effect, Send):
                assert effect.lane is Lane.DATAGRAM
                self._sent += 1
                if (node, effect.to) not in self.cut:
                    arrives = self.now + self.delay_us
                    heapq.heappush(self._air, (arrives, self._sent, node, effect.to, effect.message))

    def run(self, until: int) -> None:
        while True:
            due = self._air[0][0] if self._air else until + 1
            timers = [
                (deadline, node) for node, core in self.cores.items() if (deadline := core.next_deadline()) is not None
            ]
            timer = min(timers, default=(until + 1, node_of("a")))
            step = min(due, max(timer[0], self.now))
            if step > until:
                self.now = until
                return
            self.now = step
            if due <= timer[0]:
                _, _, origin, to, message = heapq.heappop(self._air)
                self.perform(to, self.cores[to].on_message(self.now, origin, message))
            else:
                self.perform(timer[1], self.cores[timer[1]].on_timer(self.now))

    def events(self, name: str, kind: type) -> list[tuple[int, object]]:
        node = node_of(name)
        found: list[tuple[int, object]] = []
        for at, who, effect in self.log:
            if who == node:
                thing = effect.event if isinstance(effect, Emit) else effect
                if isinstance(thing, kind):
                    found.append((at, thing))
        return found


def test_both_sides_say_the_link_is_up_within_two_round_trips() -> None:
    """LinkUp follows the first answer."""
    wire = Wire("a", "b")
    wire.connect("a", "b")
    wire.run(10 * MS)
    assert wire.events("a", LinkUp) == [(2 * MS, LinkUp(node_of("b"), "quic"))]
    assert wire.events("b", LinkUp) == [(2 * MS, LinkUp(node_of("a"), "quic"))]


@pytest.mark.requirement("R-TR-8")
@pytest.mark.parametrize("directions", [("ab",), ("ba",), ("ab", "ba")])
@pytest.mark.parametrize("phase_ms", [0, 13, 37, 50, 77, 99])
@pytest.mark.parametrize("delay_ms", [0, 1, 10, 25])
def test_both_sides_notice_a_silent_cut_of_one_or_both_directions(
    directions: tuple[str, ...], phase_ms: int, delay_ms: int
) -> None:
    """At 100 ms x 3 within 400 ms on each side, whichever direction was cut, up to 50 ms of round trip."""
    wire = Wire("a", "b", delay_us=delay_ms * MS)
    wire.connect("a", "b")
    wire.run(3 * SECOND + phase_ms * MS)
    for direction in directions:
        wire.sever(direction[0], direction[1])
    cut_at = wire.now
    wire.run(cut_at + 400 * MS)
    for name in ("a", "b"):
        downs = wire.events(name, LinkDown)
        assert len(downs) == 1
        assert wire.events(name, Disconnect) == []
    wire.run(cut_at + 4 * SECOND)
    for name in ("a", "b"):
        assert len(wire.events(name, LinkUp)) == len(wire.events(name, LinkDown)) == 1
    lost_at = {name: wire.events(name, LinkDown)[0][0] for name in "ab"}
    gone_at = {name: wire.events(name, Disconnect)[0][0] for name in "ab"}
    assert gone_at["a"] - lost_at["a"] <= REOPENING_PATIENCE_US + 100 * MS
    assert gone_at["a"] + SECOND < gone_at["b"], "who was dialled waits for the other's next connection"
    assert gone_at["b"] - lost_at["b"] <= REOPENING_PATIENCE_US + DIALLED_LATER_US + 100 * MS


def test_the_worst_case_of_detection_is_what_the_readme_may_say() -> None:
    """Over all phases of the cut, 1 ms one way: never more than 352 ms."""
    worst = 0
    for phase_ms in range(0, 100, 3):
        wire = Wire("a", "b")
        wire.connect("a", "b")
        wire.run(2 * SECOND + phase_ms * MS)
        wire.sever("a", "b")
        cut_at = wire.now
        wire.run(cut_at + SECOND)
        worst = max(worst, *(at - cut_at for name in "ab" for at, _ in wire.events(name, LinkDown)))
    assert worst <= 352 * MS


def test_when_all_links_fall_silent_at_once_they_get_one_more_interval() -> None:
    """Lifeguard's rule, bounded: 100 ms more than a single link, not a second time."""
    wire = Wire("a", "b", "c")
    wire.connect("a", "b")
    wire.connect("a", "c")
    wire.run(2 * SECOND)
    for peer in "bc":
        wire.sever("a", peer)
        wire.sever(peer, "a")
    cut_at = wire.now
    wire.run(cut_at + SECOND)
    after = [at - cut_at for at, _ in wire.events("a", LinkDown)]
    assert len(after) == 2
    assert min(after) > 350 * MS and max(after) <= 500 * MS


def test_the_extra_interval_is_there_again_after_an_answer() -> None:
    """Two silences of all links, 400 ms each, with answers between them: no link is lost."""
    core = Links(env_of("a"), LinkSettings())
    core.start(0, {})
    peers = [node_of("b"), node_of("c")]
    newest: dict[NodeId, tuple[int, Heartbeat]] = {}
    now = 0

    def take(effects: list[Effect]) -> None:
        for effect in effects:
            assert not isinstance(effect, Disconnect)
            if isinstance(effect, Send) and isinstance(effect.message, Heartbeat):
                newest[effect.to] = (now, effect.message)

    for peer in peers:
        take(core.on_event(0, TransportUp(peer, "quic", True)))
    silences, mute_until = 0, 0
    for now in range(0, 3 * SECOND, MS):
        if (core.next_deadline() or 0) <= now:
            take(core.on_timer(now))
        fresh = [peer for peer in peers if newest[peer][0] == now]
        if fresh and now >= mute_until:
            for peer in fresh:
                take(core.on_message(now, peer, HeartbeatAck(newest[peer][1].seq)))
            if now >= (silences + 1) * SECOND and len(fresh) == 2:
                silences, mute_until = silences + 1, now + 400 * MS
    assert silences == 2
    assert all(core.is_up(peer) for peer in peers)


def beats_of(links: int) -> int:
    """Time between heartbeats of a node with so many links, in microseconds."""
    settings = LinkSettings()
    return max(settings.heartbeat_ms * MS, links * SECOND // settings.heartbeats_per_s_max)


@pytest.mark.parametrize(("silent", "of", "times"), [(9, 30, 2), (7, 14, 1), (9, 40, 1)])
def test_many_links_of_many_that_fall_silent_together_have_one_cause_and_twice_as_long(
    silent: int, of: int, times: int
) -> None:
    """A hub whose machine serves others for a while loses nobody; eight and a quarter of all are many."""
    names = [chr(ord("b") + number) for number in range(of)]
    wire = Wire("a", *names)
    for name in names:
        wire.connect(name, "a")
    wire.run(2 * SECOND)
    for name in names[:silent]:
        wire.sever(name, "a")
    cut_at = wire.now
    wire.run(cut_at + 3 * SECOND)
    lost = [at - cut_at for at, _ in wire.events("a", LinkDown)]
    patience = LinkSettings().misses * beats_of(of) + beats_of(of) // 2
    assert len(lost) == silent
    assert max(lost) <= times * patience + 50 * MS
    assert min(lost) > times * patience - beats_of(of) - 50 * MS


def test_what_they_were_silent_together_is_learned_from_like_any_other_silence() -> None:
    """We were listening: the next time the links have as much patience, without anybody's help."""
    names = [chr(ord("b") + number) for number in range(20)]
    wire = Wire("a", *names)
    for name in names:
        wire.connect(name, "a")
    wire.run(2 * SECOND)
    for name in names[:10]:
        wire.sever(name, "a")
    wire.run(wire.now + 550 * MS)
    wire.cut.clear()
    wire.run(wire.now + SECOND)
    assert not wire.events("a", LinkDown)
    assert wire.cores[node_of("a")]._links[node_of("b")].liveness.patience_us > 400 * MS


@pytest.mark.parametrize("heartbeat_ms", [100, 300, 600])
def test_who_was_dialled_waits_longer_than_the_dialler_however_slow_heartbeats_are(heartbeat_ms: int) -> None:
    """It has nothing to try, and the dialler's next connection replaces this one."""
    wire = Wire("a", "b", heartbeat_ms=heartbeat_ms)
    wire.connect("a", "b")
    wire.run(10 * SECOND)
    wire.sever("a", "b")
    wire.sever("b", "a")
    wire.run(wire.now + 20 * SECOND)
    gone_at = {name: wire.events(name, Disconnect)[0][0] for name in "ab"}
    assert gone_at["a"] + SECOND < gone_at["b"]


def test_one_pause_with_a_full_inbox_is_one_lateness() -> None:
    """A loop reads its inbox before its timers fire: each message finds the same deadline missed."""
    core = Links(env_of("a"), LinkSettings())
    core.start(0, {})
    inbox: list[tuple[NodeId, int]] = []

    def take(effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.message, Heartbeat):
                assert effect.message.every_ms == 100, "nothing slows down"
                inbox.append((effect.to, effect.message.seq))

    for number in range(20):
        take(core.on_event(0, TransportUp(node_of(chr(ord("b") + number)), "quic", True)))
    wakes_at = 0
    for now in range(0, 6 * SECOND, MS):
        if not wakes_at and now >= 3 * SECOND and inbox:
            wakes_at = now + 150 * MS  # we stand still, and the answers wait
        if 3 * SECOND <= now < wakes_at:
            continue
        arrived, inbox = inbox, []
        for peer, seq in arrived:
            take(core.on_message(now, peer, HeartbeatAck(seq)))
        if (core.next_deadline() or 0) <= now:
            take(core.on_timer(now))


def test_one_of_two_links_falling_silent_gets_no_extra_time() -> None:
    """The other link proves that we listen."""
    wire = Wire("a", "b", "c")
    wire.connect("a", "b")
    wire.connect("a", "c")
    wire.run(2 * SECOND)
    wire.sever("b", "a")
    cut_at = wire.now
    wire.run(cut_at + SECOND)
    ((at, down),) = wire.events("a", LinkDown)
    assert at - cut_at <= 352 * MS
    assert isinstance(down, LinkDown) and down.reason.startswith("silent")


def test_a_process_that_was_stopped_judges_no_link_before_it_has_listened() -> None:
    """Three seconds asleep: the late timer probes at once and takes nothing down; an answer settles it."""
    core = Links(env_of("a"), LinkSettings())
    core.start(0, {})
    peer = node_of("b")
    core.on_event(0, TransportUp(peer, "quic", True))
    core.on_message(MS, peer, HeartbeatAck(1))
    woke = 3 * SECOND
    (beat,) = [e.message for e in core.on_timer(woke) if isinstance(e, Send)]
    assert isinstance(beat, Heartbeat)
    assert core.is_up(peer)
    core.on_message(woke + 2 * MS, peer, HeartbeatAck(beat.seq))
    assert [link.state for link in core.report()] == ["up"]


def test_a_late_event_extends_patience() -> None:
    """The runtime says that the loop lagged: nothing is judged for at least an interval."""
    core = Links(env_of("a"), LinkSettings())
    core.start(0, {})
    peer = node_of("b")
    core.on_event(0, TransportUp(peer, "quic", True))
    core.on_message(MS, peer, HeartbeatAck(1))
    core.on_event(340 * MS, Late(300 * MS))
    for now in range(341 * MS, 440 * MS, MS):
        if (core.next_deadline() or 0) <= now:
            assert not [e for e in core.on_timer(now) if isinstance(e, Disconnect)]
    assert core.is_up(peer)


def test_one_lateness_that_is_told_twice_counts_once() -> None:
    """The runtime tells of it, and our own deadline shows it again: patience was extended for both."""
    core = Links(env_of("a"), LinkSettings())
    core.start(0, {})
    peer = node_of("b")
    core.on_event(0, TransportUp(peer, "quic", True))
    core.on_message(MS, peer, HeartbeatAck(1))
    core.on_event(300 * MS, Late(200 * MS))
    core.on_timer(300 * MS)
    downs = []
    for now in range(301 * MS, 900 * MS, MS):
        if (core.next_deadline() or 0) <= now:
            effects = core.on_timer(now)
            downs += [now for e in effects if isinstance(e, Emit) and isinstance(e.event, LinkDown)]
    assert downs == [551 * MS]


def test_a_link_that_is_answered_again_within_a_second_needs_no_new_connection() -> None:
    """A node that got no processor for a while is back with its first answer; everyone was told in between."""
    wire = Wire("a", "b")
    wire.connect("a", "b")
    wire.run(8 * SECOND)
    wire.sever("a", "b")
    wire.sever("b", "a")
    wire.run(9 * SECOND)
    for name in "ab":
        assert len(wire.events(name, LinkDown)) == 1
    wire.cut.clear()
    wire.run(9 * SECOND + 150 * MS)
    for name in "ab":
        assert len(wire.events(name, LinkUp)) == 2
    wire.run(20 * SECOND)
    for name in "ab":
        assert wire.events(name, Disconnect) == []
        assert len(wire.events(name, LinkDown)) == 1
    (told,) = {len(record.body.adjacencies) for _, record in wire.events("a", Publish)[-1:]}  # type: ignore[attr-defined]
    assert told == 1


def test_a_new_connection_to_a_peer_whose_link_fell_counts_anew() -> None:
    """It may be another life of the peer, whose numbers begin at 1."""
    core = Links(env_of("a"), LinkSettings())
    core.start(0, {})
    peer = node_of("b")
    core.on_event(0, TransportUp(peer, "quic", False))
    core.on_message(MS, peer, Heartbeat(500, True, 1, 0, 0, 100))
    assert core.is_up(peer)
    now = MS
    while core.is_up(peer):
        now = core.next_deadline() or 0
        core.on_timer(now)
    effects = core.on_event(now + MS, TransportUp(peer, "quic", False))
    (beat,) = [e.message for e in effects if isinstance(e, Send)]
    assert isinstance(beat, Heartbeat)
    assert (beat.seq, beat.echo) == (1, 0)
    core.on_message(now + 2 * MS, peer, Heartbeat(1, True, 1, 0, 0, 100))
    assert core.is_up(peer)


def test_heartbeats_of_a_peer_without_a_connection_are_not_answered() -> None:
    """An answer would travel by relay and fake a link."""
    core = Links(env_of("a"), LinkSettings())
    core.start(0, {})
    assert core.on_message(0, node_of("b"), Heartbeat(1, True, 0, 0, 2**32 - 1, 100)) == []
    assert core.on_message(0, node_of("b"), HeartbeatAck(1)) == []


def test_a_closed_connection_takes_the_link_down_at_once_with_the_transports_reason() -> None:
    """No heartbeat is waited for, and no second Disconnect asked."""
    wire = Wire("a", "b")
    wire.connect("a", "b")
    wire.run(SECOND)
    a, b = node_of("a"), node_of("b")
    effects = wire.cores[a].on_event(wire.now, TransportDown(b, "closed by peer"))
    assert effects == [Emit(LinkDown(b, "closed by peer"))]
    assert wire.cores[a].on_event(wire.now, TransportDown(b, "closed by peer")) == []


def test_a_steady_link_is_measured_all_the_time_and_told_every_five_seconds() -> None:
    """With ten answers a second."""
    wire = Wire("a", "b", delay_us=5 * MS)
    wire.connect("a", "b")
    wire.run(21 * SECOND)
    times = [at for at, _ in wire.events("a", LinkMeasured)]
    assert len(times) == 5
    assert all(5_000 * MS <= b - a <= 5_700 * MS for a, b in pairwise(times))
    last = wire.events("a", LinkMeasured)[-1][1]
    assert isinstance(last, LinkMeasured) and last.rtt_us == 10 * MS and last.loss_ppm == 0


def test_a_round_trip_that_changes_is_told_within_a_second_and_at_most_twice_a_second() -> None:
    """Until what was told is no more than an eighth off, or a millisecond, from what is."""
    wire = Wire("a", "b", delay_us=5 * MS)
    wire.connect("a", "b")
    wire.run(7_200 * MS)
    wire.delay_us = 20 * MS
    wire.run(20 * SECOND)
    since = [(at, event.rtt_us) for at, event in wire.events("a", LinkMeasured) if isinstance(event, LinkMeasured)]
    after = [(at, rtt_us) for at, rtt_us in since if at > 7_200 * MS]
    assert after[0][0] <= 8_200 * MS
    assert after[0][1] > 11 * MS
    assert min(b - a for (a, _), (b, _) in pairwise(after)) >= 500 * MS
    assert after[-1][1] >= 36 * MS
    assert len(after) <= 8


def test_loss_that_begins_is_told_before_the_five_seconds_are_over() -> None:
    """Half a percent more than was told, as soon as the link knows."""
    wire = Wire("a", "b", delay_us=5 * MS)
    wire.connect("a", "b")
    plain, dropped = wire.perform, 0

    def lossy(node: NodeId, effects: list[Effect]) -> None:
        nonlocal dropped
        kept = []
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.message, Heartbeat):
                drops = wire.now > 6 * SECOND and effect.message.seq % 8 == 1
                dropped += drops
                if drops:
                    continue
            kept.append(effect)
        plain(node, kept)

    wire.perform = lossy  # type: ignore[method-assign]
    wire.run(8_500 * MS)
    told = [event.loss_ppm for at, event in wire.events("a", LinkMeasured) if isinstance(event, LinkMeasured)]
    assert dropped > 0
    assert len(told) >= 3
    assert told[0] == 0
    assert told[-1] > 5_000


def test_a_link_whose_answer_is_overdue_is_told_to_be_silent_until_the_next_answer() -> None:
    """That it answers again is told with the first answer; a link that is well is never told to be silent."""
    wire = Wire("a", "b")
    wire.connect("a", "b")
    wire.run(5 * SECOND)
    assert wire.events("a", LinkSilent) == []
    wire.sever("a", "b")
    wire.run(5_200 * MS)
    ((_, told),) = wire.events("a", LinkSilent)
    assert isinstance(told, LinkSilent) and 150 * MS <= told.for_us <= 250 * MS
    wire.cut.clear()
    before = len(wire.events("a", LinkMeasured))
    wire.run(5_270 * MS)
    assert len(wire.events("a", LinkMeasured)) == before + 1
    assert wire.events("a", LinkDown) == []


def records(wire: Wire, name: str) -> list[tuple[int, LinksRecord]]:
    out = []
    for at, event in wire.events(name, Publish):
        assert isinstance(event, Publish) and isinstance(event.body, LinksRecord)
        out.append((at, event.body))
    return out


def test_the_advertisement_lists_links_sorted_and_says_which_went_down() -> None:
    """Up and recently lost ones, by peer."""
    wire = Wire("a", "b", "c")
    wire.connect("a", "c")
    wire.connect("a", "b")
    wire.run(2 * SECOND)
    wire.sever("b", "a")
    wire.run(4 * SECOND)
    at, record = records(wire, "a")[-1]
    assert at - 2 * SECOND <= 400 * MS
    assert [(x.peer, x.state) for x in record.adjacencies] == sorted([(node_of("b"), "down"), (node_of("c"), "up")])


def restarted(*said: Adjacency) -> Wire:
    """Node a starts again; gossip brings what it said of its links in its life before."""
    wire = Wire("a", "b", "c")
    a = node_of("a")
    record = Applied(a, Kind.LINKS, "", LinksRecord(said), b"", ours=True)
    wire.perform(a, wire.cores[a].on_event(0, record))
    return wire


def was_up(name: str, rtt_us: int = 2 * MS) -> Adjacency:
    return Adjacency(node_of(name), "up", "quic", rtt_us, 0)


def test_after_a_restart_links_that_are_as_they_were_are_not_told_again() -> None:
    """Everybody has that on record; what changes later is told as ever."""
    wire = restarted(was_up("b"), was_up("c"))
    wire.connect("a", "b")
    wire.run(100 * MS)
    wire.connect("a", "c")
    wire.run(3 * SECOND)
    assert records(wire, "a") == []
    wire.sever("b", "a")
    wire.run(4 * SECOND)
    [(at, record)] = records(wire, "a")
    assert at <= 3_500 * MS
    assert [x.state for x in record.adjacencies if x.peer == node_of("b")] == ["down"]


def test_after_a_restart_a_link_that_is_new_is_told_at_once() -> None:
    """Nobody knows of it, so it does not wait for the others to come back."""
    wire = restarted(was_up("b"))
    wire.connect("a", "c")
    wire.run(100 * MS)
    [(_, record)] = records(wire, "a")
    assert [x.peer for x in record.adjacencies] == [node_of("c")]


@pytest.mark.parametrize("said", [(was_up("b"), was_up("c")), (was_up("b", 50 * MS),)])
def test_after_a_restart_what_did_not_come_back_as_it_was_is_told_after_half_a_second(
    said: tuple[Adjacency, ...],
) -> None:
    """A link that is missing, or one that has become another: the record of the life before is wrong."""
    wire = restarted(*said)
    wire.connect("a", "b")
    wire.run(400 * MS)
    assert records(wire, "a") == []
    wire.run(600 * MS)
    [(_, record)] = records(wire, "a")
    assert [(x.peer, x.state) for x in record.adjacencies] == [(node_of("b"), "up")]


def test_after_a_restart_without_a_link_the_record_of_the_life_before_stands() -> None:
    """Nobody would hear that there is none, and who is dialled late would say everything twice. The first link that is
    back leaves the others half a second more; what is missing then is told."""
    wire = restarted(was_up("b"))
    wire.run(1_700 * MS)
    wire.connect("a", "b")
    wire.run(5 * SECOND)
    assert records(wire, "a") == []
    wire = restarted(was_up("b"), was_up("c"))
    wire.run(1_700 * MS)
    wire.connect("a", "b")
    wire.run(2_100 * MS)
    assert records(wire, "a") == []
    wire.run(3 * SECOND)
    [(_, record)] = records(wire, "a")
    assert [(x.peer, x.state) for x in record.adjacencies] == [(node_of("b"), "up")]


def test_what_is_not_published_holds_back_nothing_that_comes_after_it() -> None:
    """A link that is back before its loss was told leaves nothing to tell: no news has been sent, and none is paced."""
    wire = Wire("a", "b", "c", "d")
    wire.connect("a", "b")
    wire.connect("a", "d")
    wire.run(3 * SECOND)
    said = len(records(wire, "a"))
    a, b = node_of("a"), node_of("b")
    for _ in range(12):
        for one, other in ((a, b), (b, a)):
            wire.perform(one, wire.cores[one].on_event(wire.now, TransportDown(other, "flap")))
        wire.connect("a", "b")
        wire.run(wire.now + 250 * MS)
    assert len(records(wire, "a")) == said
    wire.connect("a", "c")
    asked_at = wire.now
    wire.run(wire.now + SECOND)
    assert [at - asked_at <= 50 * MS for at, _ in records(wire, "a")[said:]] == [True]


def test_more_of_an_earlier_life_than_the_own_disk_had_is_replaced() -> None:
    """What the disk had fitted, what a peer still has of us does not: our links are told."""
    wire = restarted(was_up("b"))
    wire.connect("a", "b")
    wire.run(SECOND)
    assert records(wire, "a") == []
    a = node_of("a")
    later = Applied(a, Kind.LINKS, "", LinksRecord((was_up("b"), was_up("c"))), b"", ours=True)
    wire.perform(a, wire.cores[a].on_event(wire.now, later))
    wire.run(2 * SECOND)
    assert [[x.peer for x in record.adjacencies] for _, record in records(wire, "a")] == [[node_of("b")]]


def test_a_flapping_link_is_advertised_ever_more_rarely_and_a_calm_one_soon() -> None:
    """200 ms, doubling to 5 s; after quiet the first change is told within 50 ms again."""
    core = Links(env_of("a"), LinkSettings())
    peer, steady = node_of("b"), node_of("c")
    core.start(0, {})
    published: list[int] = []
    seq = 0

    def step(now: int, effects: list[Effect]) -> None:
        """Note what is published, and answer for the steady one: who has no link at all publishes nothing."""
        nonlocal seq
        for effect in effects:
            if isinstance(effect, Emit) and isinstance(effect.event, Publish):
                published.append(now)
            elif isinstance(effect, Send) and effect.to == steady and isinstance(effect.message, Heartbeat):
                seq += 1
                core.on_message(now, steady, Heartbeat(seq, False, effect.message.seq, 0, 2**32 - 1, 100))
                if effect.message.poll:
                    core.on_message(now, steady, HeartbeatAck(effect.message.seq))

    dice = random.Random(1)  # evenly, it would be the same at each moment at which news may leave
    step(0, core.on_event(0, TransportUp(steady, "quic", True)))
    for now in range(0, 160 * SECOND, 10 * MS):
        if now % (100 * MS) == 0 and now < 60 * SECOND:
            if dice.random() < 0.5:
                step(now, core.on_event(now, TransportUp(peer, "quic", True)))
                step(now, core.on_message(now, peer, HeartbeatAck(1)))
            else:
                step(now, core.on_event(now, TransportDown(peer, "flap")))
        if (core.next_deadline() or 0) <= now:
            step(now, core.on_timer(now))
    flapped = [at for at in published if at < 60 * SECOND]
    assert 5 <= len(flapped) <= 20
    assert flapped[-1] - flapped[-2] >= 5 * SECOND
    assert len(published) <= len(flapped) + 1
    before, now = len(published), 160 * SECOND
    step(now, core.on_event(now, TransportUp(peer, "quic", True)))
    step(now, core.on_message(now, peer, HeartbeatAck(1)))
    step(now + 50 * MS, core.on_timer(now + 50 * MS))
    assert len(published) == before + 1


def hub_of_three(*others: str) -> Wire:
    """a, to which b, c and d have been linked for ten seconds, and `others` who are not."""
    wire = Wire("a", "b", "c", "d", *others)
    for name in "bcd":
        wire.connect(name, "a")
    wire.run(10 * SECOND)
    return wire


def test_the_first_link_after_none_is_no_reason_to_say_that_the_others_are_gone() -> None:
    """A hub stood still and lost everyone; they come back one after the other, and nobody is told of any of it."""
    names = [chr(ord("b") + number) for number in range(12)]
    wire = Wire("a", *names)
    for name in names:
        wire.connect(name, "a")
    wire.run(10 * SECOND)
    said = len(records(wire, "a"))
    for name in names:
        wire.sever(name, "a")
    wire.run(wire.now + 750 * MS)
    assert len(wire.events("a", LinkDown)) == 12
    for name in names:
        wire.cut.pop((node_of(name), node_of("a")))
        wire.run(wire.now + 25 * MS)
    wire.run(wire.now + 5 * SECOND)
    assert len(wire.events("a", LinkUp)) == 24
    assert len(records(wire, "a")) == said


def test_links_that_go_on_falling_together_do_not_hide_what_else_was_lost() -> None:
    """Who was alone waits for the others once, until something was told; d is gone for good, and that is told."""
    wire = hub_of_three()
    lost_at = wire.now
    for name in "bcd":
        wire.sever(name, "a")
    for _ in range(8):
        wire.run(wire.now + 700 * MS)
        for name in "bc":
            wire.cut.pop((node_of(name), node_of("a")))
        wire.run(wire.now + 300 * MS)
        for name in "bc":
            wire.sever(name, "a")
    told = [at for at, record in records(wire, "a") if any(x.state == "down" for x in record.adjacencies)]
    assert told and told[0] - lost_at <= 4 * SECOND


def test_a_link_to_somebody_else_after_the_only_one_is_told_at_once() -> None:
    """Nobody is waited for: routes to us lead through the new one from then on."""
    wire = Wire("a", "b", "c")
    wire.connect("a", "b")
    wire.run(10 * SECOND)
    wire.sever("a", "b")
    wire.sever("b", "a")
    wire.run(wire.now + SECOND)
    said = len(records(wire, "a"))
    wire.connect("a", "c")
    asked_at = wire.now
    wire.run(wire.now + SECOND)
    assert [at - asked_at <= 50 * MS for at, _ in records(wire, "a")[said:]] == [True]


def test_who_comes_and_goes_alone_tells_all_the_same_who_is_gone_for_good() -> None:
    """While nobody could hear nothing was told, so the others are not waited for once more each time."""
    wire = hub_of_three()
    lost_at = wire.now
    for name in "bcd":
        wire.sever(name, "a")
        wire.sever("a", name)
    for _ in range(12):
        wire.run(wire.now + 1_500 * MS)
        for name in "bc":
            wire.cut.pop((node_of(name), node_of("a")))
            wire.cut.pop((node_of("a"), node_of(name)))
            wire.connect(name, "a")
        wire.run(wire.now + 800 * MS)
        for name in "bc":
            wire.sever(name, "a")
            wire.sever("a", name)
    told = [at for at, record in records(wire, "a") if any(x.state == "down" for x in record.adjacencies)]
    assert told and told[0] - lost_at <= 6 * SECOND


def test_somebody_new_who_comes_first_is_no_reason_to_say_that_the_others_are_gone() -> None:
    """Everyone was told of three links; a fourth comes up before these are back."""
    wire = hub_of_three("e")
    said = len(records(wire, "a"))
    for name in "bcd":
        wire.sever(name, "a")
    wire.run(wire.now + 600 * MS)
    wire.connect("e", "a")
    wire.run(wire.now + 200 * MS)
    wire.cut.clear()
    wire.run(wire.now + 5 * SECOND)
    ((_, record),) = records(wire, "a")[said:]
    assert {x.state for x in record.adjacencies} == {"up"} and len(record.adjacencies) == 4


def test_the_pace_that_is_usual_follows_the_overlay_for_old_links_and_new() -> None:
    """Its heartbeats are slower because it wants them so: nobody is short of time, and haste is as great as ever."""
    core = Links(env_of("a"), LinkSettings(), overlay_heartbeat_ms=250)
    core.on_event(0, TransportUp(node_of("b"), "quic", True))
    core.on_event(0, OverlayRuns(True, ()))
    core.on_event(0, TransportUp(node_of("c"), "quic", True))
    assert [link.liveness.usual_us for link in core._links.values()] == [250 * MS] * 2
    core.on_event(0, OverlayRuns(False, ()))
    assert [link.liveness.usual_us for link in core._links.values()] == [100 * MS] * 2


def test_links_that_fall_and_return_one_by_one_are_told_as_ever() -> None:
    """Who was alone once is not for ever: the next loss waits for nobody."""
    wire = Wire("a", "b", "c")
    for name in "bc":
        wire.connect(name, "a")
    wire.run(10 * SECOND)
    for name in "bc":
        wire.sever(name, "a")
    wire.run(wire.now + 600 * MS)
    wire.cut.clear()
    wire.run(wire.now + 20 * SECOND)
    said = len(records(wire, "a"))
    wire.sever("b", "a")
    wire.run(wire.now + 600 * MS)
    assert len(records(wire, "a")) == said + 1
    wire.cut.clear()
    back_at = wire.now
    wire.run(wire.now + 600 * MS)
    assert [at - back_at <= 350 * MS for at, _ in records(wire, "a")[said + 1 :]] == [True]


def test_who_does_not_come_back_after_all_were_lost_is_told_when_its_time_is_over() -> None:
    """As long as a lost link is tried on its connection, and no longer."""
    wire = hub_of_three()
    said = len(records(wire, "a"))
    for name in "bcd":
        wire.sever(name, "a")
    wire.run(wire.now + SECOND)
    for name in "bc":
        wire.cut.pop((node_of(name), node_of("a")))
    back_at = wire.now
    wire.run(wire.now + 3 * SECOND)
    ((told_at, record),) = records(wire, "a")[said:]
    assert SECOND <= told_at - back_at <= 3 * SECOND // 2
    assert {x.peer: x.state for x in record.adjacencies} == {
        node_of("b"): "up",
        node_of("c"): "up",
        node_of("d"): "down",
    }


def test_who_has_no_link_says_nothing_and_what_was_said_is_not_said_again() -> None:
    """A hub stands still for half a second: its spokes lose it, have it again, and none of them floods it with that."""
    wire = Wire("a", "b", delay_us=MS)
    wire.connect("a", "b")
    wire.run(10 * SECOND)
    said = len(records(wire, "b"))
    wire.sever("a", "b")
    wire.sever("b", "a")
    wire.run(10 * SECOND + 600 * MS)
    assert wire.events("b", LinkDown)
    wire.cut.clear()
    wire.run(15 * SECOND)
    assert wire.cores[node_of("b")].is_up(node_of("a"))
    assert len(records(wire, "b")) == said == 1


def test_a_changed_round_trip_is_advertised_at_most_every_thirty_seconds() -> None:
    """More than a quarter and more than 10 ms."""
    wire = Wire("a", "b", delay_us=5 * MS)
    wire.connect("a", "b")
    wire.run(10 * SECOND)
    before = len(records(wire, "a"))
    wire.delay_us = 15 * MS
    wire.run(95 * SECOND)
    after = records(wire, "a")[before:]
    assert 1 <= len(after) <= 3
    assert after[-1][1].adjacencies[0].rtt_us > 25 * MS


def test_a_link_survives_heavy_loss() -> None:
    """15 % of datagrams lost each way for two minutes: about 28 % of round trips, no link taken down."""
    rng = random.Random(7)
    wire = Wire("a", "b")
    wire.connect("a", "b")
    plain = wire.perform

    def lossy(node: NodeId, effects: list[Effect]) -> None:
        plain(node, [e for e in effects if not isinstance(e, Send) or rng.random() >= 0.15])

    wire.perform = lossy  # type: ignore[method-assign]
    wire.run(120 * SECOND)
    assert wire.events("a", LinkDown) == []
    assert wire.events("b", LinkDown) == []
    last = wire.events("a", LinkMeasured)[-1][1]
    assert isinstance(last, LinkMeasured) and 100_000 < last.loss_ppm < 450_000


def test_a_round_trip_in_which_the_peer_stood_still_is_no_news() -> None:
    """It looks far away for a moment, to everyone who is linked to it; another path would go on to be another."""
    wire = Wire("a", "b", delay_us=MS)
    wire.connect("a", "b")
    wire.run(60 * SECOND)
    said = len(records(wire, "a"))
    wire.delay_us = 120 * MS
    wire.run(wire.now + 300 * MS)
    wire.delay_us = MS
    wire.run(wire.now + 60 * SECOND)
    assert not wire.events("a", LinkDown)
    assert len(records(wire, "a")) == said
    wire.delay_us = 120 * MS
    wire.run(wire.now + 60 * SECOND)
    assert len(records(wire, "a")) == said + 1


def test_leaves_of_a_hub_have_time_to_say_that_they_are_further_away() -> None:
    """The hub says it for all of them, in one record; who has a second link is on others' ways, and says it soon."""
    names = [f"spoke{number}" for number in range(30)]
    wire = Wire("hub", *names, delay_us=MS)
    for name in names:
        wire.connect(name, "hub")
    wire.connect("spoke0", "spoke1")
    wire.run(40 * SECOND)
    said = {name: len(records(wire, name)) for name in ("hub", *names)}
    wire.delay_us = 25 * MS
    wire.run(wire.now + 80 * SECOND)
    told = {name: len(records(wire, name)) - said[name] for name in said}
    assert all(told[name] for name in ("hub", "spoke0", "spoke1"))
    assert not any(told[name] for name in names[2:])


def test_a_loss_that_lasts_is_told_by_itself_and_once() -> None:
    """Nothing else is new on this link; half a minute after it began at the latest everyone knows."""
    rng = random.Random(7)
    wire = Wire("a", "b")
    wire.connect("a", "b")
    wire.run(60 * SECOND)
    plain = wire.perform

    def lossy(node: NodeId, effects: list[Effect]) -> None:
        plain(node, [e for e in effects if not isinstance(e, Send) or rng.random() >= 0.25])

    wire.perform = lossy  # type: ignore[method-assign]
    wire.run(240 * SECOND)
    told = [(at, event) for at, event in wire.events("a", Publish) if at > 60 * SECOND]
    assert told and told[0][0] <= 100 * SECOND
    record = told[0][1]
    assert isinstance(record, Publish) and isinstance(record.body, LinksRecord)
    assert record.body.adjacencies[0].loss_ppm > 150_000
    assert len(told) <= 4


@pytest.mark.parametrize("delay_ms", [0, 1, 20])
def test_an_idle_link_costs_one_datagram_per_side_and_interval(delay_ms: int) -> None:
    """Ten a second, and one in 16 answered on its own: at most 11 a second, where a separate answer each made 20."""
    wire = Wire("a", "b", delay_us=delay_ms * MS)
    wire.connect("a", "b")
    wire.run(5 * SECOND)
    before = [len(wire.events(name, Send)) for name in "ab"]
    wire.run(65 * SECOND)
    for name, earlier in zip("ab", before, strict=True):
        assert 590 <= len(wire.events(name, Send)) - earlier <= 660


def test_a_node_with_many_links_wakes_few_times_per_interval() -> None:
    """Thirty links that came up at thirty moments: at most five wake-ups per 100 ms, not thirty."""
    core = Links(env_of("hub"), LinkSettings())
    core.start(0, {})
    peers = [node_of(f"p{number}") for number in range(30)]
    heard = dict.fromkeys(peers, 0)
    wakeups = 0
    for now in range(0, 12 * SECOND, MS):
        effects: list[Effect] = []
        if now % 37_000 == 0 and now // 37_000 < len(peers):
            effects += core.on_event(now, TransportUp(peers[now // 37_000], "quic", False))
        if (core.next_deadline() or 0) <= now:
            wakeups += now >= 2 * SECOND
            effects += core.on_timer(now)
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.message, Heartbeat):
                heard[effect.to] += 1
                echo = Heartbeat(heard[effect.to], False, effect.message.seq, 0, 2**32 - 1, 100)
                core.on_message(now, effect.to, HeartbeatAck(effect.message.seq) if effect.message.poll else echo)
    assert all(core.is_up(peer) for peer in peers)
    assert wakeups <= 5 * 100


def test_a_peer_cannot_look_nearer_than_its_polls_say() -> None:
    """It claims to have held each heartbeat for nearly all of 40 ms: the round trip stays what the poll measured."""
    core = Links(env_of("a"), LinkSettings())
    core.start(0, {})
    liar = node_of("b")
    sent = [e.message for e in core.on_event(0, TransportUp(liar, "quic", True)) if isinstance(e, Send)]
    assert isinstance(sent[0], Heartbeat) and sent[0].poll
    core.on_message(40 * MS, liar, HeartbeatAck(1))
    seq = 0
    for now in range(41 * MS, 1_400 * MS, MS):
        if (core.next_deadline() or 0) <= now:
            for effect in core.on_timer(now):
                if isinstance(effect, Send) and isinstance(effect.message, Heartbeat):
                    seq += 1
                    core.on_message(
                        now + 40 * MS, liar, Heartbeat(seq, False, effect.message.seq, 39 * MS, 2**32 - 1, 100)
                    )
    assert seq > 8
    assert core.report()[0].rtt_us == 40 * MS


def test_loss_is_told_apart_from_what_one_heartbeat_could_not_carry() -> None:
    """The peer beats half as often, for it is slower than anybody follows: every second of ours is known only from the
    mask, and none counts as lost."""
    settings = LinkSettings(heartbeat_ms=2_000)
    wire = Wire("a", "b")
    wire.cores[node_of("b")] = Links(env_of("b"), settings)
    wire.cores[node_of("b")].start(0, {})
    wire.connect("a", "b")
    wire.run(60 * SECOND)
    assert wire.events("a", LinkDown) == wire.events("b", LinkDown) == []
    last = wire.events("a", LinkMeasured)[-1][1]
    assert isinstance(last, LinkMeasured) and last.loss_ppm == 0


def test_the_loss_of_a_link_that_stood_is_told_at_once_whatever_others_do() -> None:
    """One link flaps until its news waits for seconds; another that had stood falls, and that waits 200 ms at most."""
    core = Links(env_of("a"), LinkSettings())
    steady, flapping = node_of("b"), node_of("c")
    core.start(0, {})
    core.on_event(0, TransportUp(steady, "quic", True))
    published: list[int] = []
    seq, lost_at = 0, 0
    for now in range(0, 22 * SECOND, 10 * MS):
        effects: list[Effect] = []
        if now % (100 * MS) == 0 and now <= 20 * SECOND:
            if (now // (100 * MS)) % 2 == 0:
                effects += core.on_event(now, TransportUp(flapping, "quic", True))
                effects += core.on_message(now, flapping, HeartbeatAck(1))
            else:
                effects += core.on_event(now, TransportDown(flapping, "flap"))
        if now == 20 * SECOND:
            lost_at = now
            effects += core.on_event(now, TransportDown(steady, "gone"))
        if (core.next_deadline() or 0) <= now:
            effects += core.on_timer(now)
        for effect in effects:
            if isinstance(effect, Send) and effect.to == steady and isinstance(effect.message, Heartbeat):
                seq += 1
                echo = Heartbeat(seq, False, effect.message.seq, 0, 2**32 - 1, 100)
                answer = HeartbeatAck(effect.message.seq) if effect.message.poll else echo
                core.on_message(now, steady, answer)
            elif isinstance(effect, Emit) and isinstance(effect.event, Publish):
                published.append(now)
    assert min(at - lost_at for at in published if at >= lost_at) <= 220 * MS


def test_while_the_overlay_runs_heartbeats_leave_at_its_pace() -> None:
    """Links that stand and links to come; the operator's slower pace stays, and the usual one comes back."""
    core = Links(env_of("a"), LinkSettings(), overlay_heartbeat_ms=250)
    core.start(0, {})
    core.on_event(0, TransportUp(node_of("b"), "quic", True))
    core.on_event(0, OverlayRuns(True, ()))
    core.on_event(0, TransportUp(node_of("c"), "quic", True))
    assert [link.liveness.interval_us for link in core._links.values()] == [250 * MS, 250 * MS]
    core.on_event(0, OverlayRuns(False, ()))
    assert [link.liveness.interval_us for link in core._links.values()] == [100 * MS, 100 * MS]
    slow = Links(env_of("a"), LinkSettings(heartbeat_ms=1_000), overlay_heartbeat_ms=250)
    slow.on_event(0, OverlayRuns(True, ()))
    slow.on_event(0, TransportUp(node_of("b"), "quic", True))
    assert [link.liveness.interval_us for link in slow._links.values()] == [SECOND]


def test_many_links_share_a_budget_of_heartbeats_and_their_peers_follow() -> None:
    """64 links of 250 heartbeats a second beat every 256 ms each; both ends, and with fewer links faster again."""
    names = [f"spoke{n}" for n in range(64)]
    wire = Wire("hub", *names)
    for name in names:
        wire.connect("hub", name)
    wire.run(2 * SECOND)
    wire.log.clear()
    wire.run(12 * SECOND)
    beats = [node for _, node, effect in wire.log if isinstance(effect, Send) and isinstance(effect.message, Heartbeat)]
    assert abs(beats.count(node_of("hub")) - 64 * 10_000 // 256) <= 64
    assert abs(beats.count(node_of("spoke7")) - 10_000 // 256) <= 1
    for name in names[8:]:
        for one, other in ((node_of("hub"), node_of(name)), (node_of(name), node_of("hub"))):
            wire.perform(one, wire.cores[one].on_event(wire.now, TransportDown(other, "leaves")))
    wire.run(14 * SECOND)
    wire.log.clear()
    wire.run(24 * SECOND)
    beats = [node for _, node, effect in wire.log if isinstance(effect, Send) and isinstance(effect.message, Heartbeat)]
    assert beats.count(node_of("spoke7")) == 100


def test_a_peer_cannot_ask_for_heartbeats_so_slow_that_nobody_would_miss_it() -> None:
    """It may ask for one a second at the slowest."""
    core = Links(env_of("a"), LinkSettings())
    core.on_event(0, TransportUp(node_of("b"), "quic", True))
    core.on_message(0, node_of("b"), HeartbeatAck(1))
    core.on_message(MS, node_of("b"), Heartbeat(1, False, 1, 0, 0, 2**32 - 1))
    assert [link.liveness.interval_us for link in core._links.values()] == [SECOND]


def test_nobody_asks_for_heartbeats_slower_than_peers_would_follow() -> None:
    """With a thousand links the budget is exceeded, and each still beats once a second."""
    core = Links(env_of("hub"), LinkSettings())
    for n in range(1_000):
        core.on_event(0, TransportUp(node_of(f"spoke{n}"), "quic", False))
    assert {link.liveness.interval_us for link in core._links.values()} == {SECOND}
