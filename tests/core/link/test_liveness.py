"""The liveness of one link, on a clock moved by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.core.link.liveness import (
    EXTENSIONS_MAX,
    HEARD_PATIENCE_US,
    INTERVAL_US_MAX,
    LONE_LULL_US_MAX,
    LULL_PATIENCE_US_MAX,
    Beat,
    Changed,
    LinkState,
    Liveness,
    Resumed,
)
from arqonmesh.core.link.rtt import RttEstimator
from arqonmesh.core.lull import Lull

MS = MILLISECOND


def opened(rtt_us: int = MS) -> tuple[Liveness, int]:
    """A link that came up, and the time."""
    link = Liveness(interval_us=100 * MS, misses=3, now=0)
    assert link.tick(0) == [Beat(1, True, 0, 0, 0)]
    assert link.answered(rtt_us, 1) == [Changed(LinkState.OPENING, LinkState.UP, "answered")]
    return link, rtt_us


def run_until_down(link: Liveness, limit: int) -> Changed:
    """Let time pass without a word from the peer."""
    while True:
        now = link.next_wakeup()
        assert now is not None and now <= limit, f"still {link.state} at {limit}"
        for step in link.tick(now):
            if isinstance(step, Changed) and step.new is LinkState.DOWN:
                return step


def test_a_link_is_up_only_after_its_first_heartbeat_was_answered() -> None:
    """Hearing the peer is one direction; an answer proves both."""
    link = Liveness(interval_us=100 * MS, misses=3, now=0)
    link.tick(0)
    link.beaten(5 * MS, 1, 0, 0, 0)
    assert link.tick(6 * MS) == []
    assert link.answered(9 * MS, 1) == [Changed(LinkState.OPENING, LinkState.UP, "answered")]


def test_a_connection_that_never_answers_is_given_up_after_three_seconds() -> None:
    """Its round-trip time is unknown, so the first patience is generous, but it ends."""
    link = Liveness(interval_us=100 * MS, misses=3, now=0)
    change = run_until_down(link, 3 * SECOND)
    assert change.old is LinkState.OPENING
    assert change.reason == "no heartbeat was ever answered"


def test_a_quiet_link_is_probed_faster_before_it_is_given_up() -> None:
    """Overdue after one and a half intervals, then four heartbeats per interval, down after three and a half."""
    link, t0 = opened()
    sent: list[int] = []
    now = t0
    while link.state is not LinkState.DOWN:
        now = link.next_wakeup() or now
        sent += [now - t0 for step in link.tick(now) if isinstance(step, Beat)]
        if sent and link.state is LinkState.UP:
            link_up_until = now - t0
    assert link_up_until < 150 * MS
    in_the_last_200_ms = [at for at in sent if at >= 150 * MS]
    assert len(in_the_last_200_ms) >= 7
    assert now - t0 == 350 * MS


@given(rtt_ms=st.integers(0, 50), phase_us=st.integers(0, 100 * MS))
@settings(max_examples=60, deadline=None)
def test_a_cut_is_noticed_within_400_ms_up_to_50_ms_of_round_trip(rtt_ms: int, phase_us: int) -> None:
    """100 ms x 3: the bound of algorithms 1.8 holds whenever the cut comes, answers in the air included."""
    rtt_us = rtt_ms * MS
    link = Liveness(interval_us=100 * MS, misses=3, now=0)
    cut_at = 5 * SECOND + phase_us
    air: list[tuple[int, int]] = []
    while link.state is not LinkState.DOWN:
        wake = link.next_wakeup()
        assert wake is not None
        if air and air[0][0] <= wake:
            at, seq = air.pop(0)
            link.answered(at, seq)
            continue
        now = wake
        heard = [step for step in link.tick(now) if isinstance(step, Beat) and now + rtt_us // 2 < cut_at]
        air += [(now + rtt_us, beat.seq) for beat in heard]
    assert now - cut_at <= 400 * MS


def test_being_heard_but_not_answered_takes_the_link_down_in_the_same_time() -> None:
    """The side whose sends vanish hears the peer all along; it must notice too, and say which it was."""
    link, t0 = opened()
    now = t0
    heard = 0
    while link.state is not LinkState.DOWN:
        now = link.next_wakeup() or 0
        heard += 1
        link.beaten(now, heard, 0, 0, 0)
        steps = link.tick(now)
    assert now - t0 == 350 * MS
    assert isinstance(steps[0], Changed)
    assert steps[0].reason == "one way: heard, but not answered for 350 ms"


def test_heartbeats_stretch_to_twice_the_round_trip_on_slow_links() -> None:
    """max(base, 2 srtt)."""
    link, _ = opened(rtt_us=300 * MS)
    assert link.interval_us == 600 * MS
    assert link.patience_us == 2_100 * MS


def test_an_answer_that_fits_no_heartbeat_proves_nothing() -> None:
    """Unknown, repeated and forgotten sequence numbers change nothing."""
    link, t0 = opened()
    for seq in (0, 1, 2, 500, 2**32 - 1):
        assert link.answered(t0 + 200 * MS, seq) == []
    assert run_until_down(link, t0 + 351 * MS).new is LinkState.DOWN


def test_a_late_process_gets_more_patience_but_not_for_ever() -> None:
    """Each extension is at most one patience and there are at most two in a silence."""
    link, t0 = opened()
    now = t0
    for _ in range(50):
        now += 300 * MS
        link.extend(now, 10 * SECOND)
    assert link.verdict_due(now)
    link, t0 = opened()
    now = t0 + 10 * SECOND
    link.extend(now, 10 * SECOND)
    assert not link.verdict_due(now)
    assert link.verdict_due(now + 350 * MS)
    assert EXTENSIONS_MAX == 2


def test_a_reopened_link_is_up_with_its_next_answer_and_down_for_good_after_a_second() -> None:
    """The same numbers go on, so that an answer to what was sent before counts; an echo of old ones does not."""
    link, t0 = opened()
    assert run_until_down(link, t0 + 351 * MS).new is LinkState.DOWN
    down_at = t0 + 351 * MS
    link.reopen(down_at)
    (beat,) = link.tick(down_at)
    assert isinstance(beat, Beat)
    assert beat.poll
    assert link.beaten(down_at + 5 * MS, 7, 0, 0, 0) == [], "heard, but not answered"
    up, resumed = link.answered(down_at + 10 * MS, beat.seq)
    assert isinstance(up, Changed) and isinstance(resumed, Resumed)
    assert resumed.after_us == 261 * MS, "since the answer before, less the interval in which none was due"
    assert (up.old, up.new) == (LinkState.OPENING, LinkState.UP)
    again = run_until_down(link, down_at + 1_000 * MS)
    assert again.old is LinkState.PROBING
    link.reopen(down_at + 1_000 * MS)
    last = run_until_down(link, down_at + 3_000 * MS)
    assert (last.old, last.reason) == (LinkState.OPENING, "no heartbeat was answered again")


def test_a_peer_that_is_heard_just_before_its_connection_is_given_up_has_time_to_answer() -> None:
    """It is asked at once; and only once, for in a cut of one direction it is heard and never answers."""
    link, t0 = opened()
    run_until_down(link, t0 + 351 * MS)
    down_at = t0 + 351 * MS
    link.reopen(down_at)
    while (link.next_wakeup() or 0) < down_at + 960 * MS:
        link.tick(link.next_wakeup() or 0)
    heard_at = down_at + 960 * MS
    assert link.beaten(heard_at, 7, 0, 0, 0) == []
    assert link.next_wakeup() == heard_at
    (beat,) = link.tick(heard_at)
    assert isinstance(beat, Beat) and beat.poll
    for late in range(100, 500, 100):
        assert link.beaten(heard_at + late * MS, 7 + late // 100, 0, 0, 0) == []
        assert all(isinstance(step, Beat) for step in link.tick(heard_at + late * MS))
    assert link.verdict_due(heard_at + 500 * MS) and not link.verdict_due(heard_at + 499 * MS)
    up, _ = link.answered(heard_at + 499 * MS, beat.seq)
    assert isinstance(up, Changed) and up.new is LinkState.UP


def silenced(link: Liveness, at: int, for_us: int) -> tuple[int, list[LinkState]]:
    """Nothing is answered for so long, then one poll is; the time, and the states in between."""
    now, states, _ = silent_until(link, at, for_us)
    return now, states


def silent_until(link: Liveness, at: int, for_us: int) -> tuple[int, list[LinkState], list[Resumed]]:
    """As `silenced`, and what is told of the silence once it is over."""
    states: list[LinkState] = []
    now, seq = at, 0
    while now < at + for_us:
        now = min(link.next_wakeup() or 0, at + for_us)
        for step in link.tick(now):
            if isinstance(step, Beat):
                seq = step.seq
            else:
                assert isinstance(step, Changed)
                states.append(step.new)
                if step.new is LinkState.DOWN:
                    link.reopen(now)
    steps = link.answered(now, seq)
    return now, states, [step for step in steps if isinstance(step, Resumed)]


def test_a_link_that_was_silent_and_came_back_is_given_that_time_and_a_quarter_from_then_on() -> None:
    """The first time it is lost for a moment; the second time it is waited for."""
    link, now = opened()
    now, states = silenced(link, now, 500 * MS)
    assert LinkState.DOWN in states
    assert link.patience_us == 400 * MS * 5 // 4
    now, states = silenced(link, now, 480 * MS)
    assert LinkState.DOWN not in states


def test_a_link_that_alone_was_silent_for_long_is_soon_found_lost_all_the_same() -> None:
    """It may have been a cut of its path, and the next one is noticed in 625 ms; what several links saw counts more."""
    shared = Lull()
    link = Liveness(interval_us=100 * MS, misses=3, now=0, shared=shared)
    link.tick(0)
    link.answered(MS, 1)
    now, _ = silenced(link, MS, 2_500 * MS)
    assert link.patience_us == LONE_LULL_US_MAX * 5 // 4 == 625 * MS
    shared.note(now, 2_500 * MS)
    now, _ = silenced(link, now, 200 * MS)
    assert link.patience_us == LULL_PATIENCE_US_MAX == 1_500 * MS


@pytest.mark.parametrize("interval_ms", [100, 250, 500, 1_000])
def test_what_patience_expects_to_be_lost_is_no_silence_however_slow_heartbeats_are(interval_ms: int) -> None:
    """One or two of three that nothing answers are the path's loss; who stands still misses more than that."""
    noticed = []
    for missed in (1, 2, 3):
        link = Liveness(interval_us=interval_ms * MS, misses=3, now=0)
        link.tick(0)
        link.answered(MS, 1)
        before_us = link.patience_us
        *_, resumed = silent_until(link, MS, (missed + 1) * interval_ms * MS - 10 * MS)
        noticed.append(bool(resumed))
        assert link.patience_us >= before_us
    assert noticed == [False, False, True]


def test_patience_with_a_link_that_is_well_again_fades() -> None:
    """Half a minute later a cut is noticed as soon as ever."""
    link, now = opened()
    now, _ = silenced(link, now, 1_100 * MS)
    assert link.patience_us == 625 * MS
    for _ in range(300):
        now += 100 * MS
        for step in link.tick(now):
            assert isinstance(step, Beat)
            link.answered(now, step.seq)
    assert link.patience_us == 350 * MS


def test_a_lossy_link_stays_up() -> None:
    """Every third round trip lost is loss, not death."""
    link, now = opened()
    lost = 0
    for _ in range(400):
        now = link.next_wakeup() or 0
        for step in link.tick(now):
            assert not (isinstance(step, Changed) and step.new is LinkState.DOWN)
            if isinstance(step, Beat):
                lost += 1
                if lost % 3:
                    link.answered(now + MS, step.seq)
    assert 250_000 <= link.loss_ppm(now) <= 400_000


def test_rtt_follows_rfc_6298() -> None:
    """First sample R: srtt = R, rttvar = R/2; then gains of 1/8 and 1/4."""
    rtt = RttEstimator()
    rtt.sample(80_000)
    assert (rtt.srtt_us, rtt.rttvar_us) == (80_000, 40_000)
    rtt.sample(160_000)
    assert (rtt.srtt_us, rtt.rttvar_us) == (90_000, 50_000)


@given(st.lists(st.integers(0, 10 * SECOND), min_size=1, max_size=50))
def test_the_estimate_stays_between_the_samples(samples: list[int]) -> None:
    """A mean never leaves its samples, whatever the truncation."""
    rtt = RttEstimator()
    for sample in samples:
        rtt.sample(sample)
    assert min(samples) <= rtt.srtt_us + 1
    assert rtt.srtt_us <= max(1, *samples)


@pytest.mark.parametrize("now", [0, 50 * MS, 99 * MS])
def test_an_early_tick_does_nothing(now: int) -> None:
    """Spurious wake-ups are harmless."""
    link, t0 = opened()
    link.tick(t0 + 95 * MS)
    assert link.tick(t0 + 95 * MS + now % (90 * MS)) == []


def test_a_busy_peer_is_not_asked_more_often() -> None:
    """Answers that became slow, 1 ms and then 60 ms, are no loss: an overdue one brings no extra heartbeats."""

    def beats_while_overdue(rtts_ms: list[int]) -> int:
        liveness = Liveness(interval_us=100_000, misses=3, now=0)
        now = 0
        for rtt_ms in rtts_ms:
            beat = next(step for step in liveness.tick(now) if isinstance(step, Beat))
            liveness.answered(now + rtt_ms * 1_000, beat.seq)
            now += liveness.interval_us
        sent = 0
        while liveness.state is not LinkState.DOWN:
            sent += sum(isinstance(step, Beat) for step in liveness.tick(now))
            now += 1_000
        return sent

    quick, slow = beats_while_overdue([1] * 40), beats_while_overdue([1] * 20 + [60] * 20)

    assert quick >= 8  # 350 ms of silence: the last of them a quarter of an interval apart
    assert slow <= 5  # a longer silence, one heartbeat each 120 ms


def test_a_heartbeat_that_answers_nothing_opens_no_link() -> None:
    """The peer has heard none of ours: its own heartbeats, however many, prove one direction."""
    link = Liveness(interval_us=100 * MS, misses=3, now=0)
    for seq in range(1, 20):
        assert link.beaten(0, seq, 0, 0, 0) == []
    assert link.state is LinkState.OPENING


def test_polls_are_answered_apart_and_rare_when_all_is_well() -> None:
    """The first heartbeat polls, then one in 16."""
    link, now = opened()
    polls, seq = [], 0
    while seq < 64:
        now = link.next_wakeup() or now
        for step in link.tick(now):
            assert isinstance(step, Beat)
            seq = step.seq
            polls += [seq] if step.poll else []
            link.beaten(now + MS, seq, seq, 0, 0)
    assert polls == [16, 32, 48, 64]


def test_a_round_trip_that_was_long_once_is_forgotten_within_seconds() -> None:
    """What a start on a busy machine measures is no reason for patience afterwards: a hub that had come back missed a
    dead neighbour after 5 s, 15 s later."""
    link = Liveness(interval_us=100 * MS, misses=3, now=0)
    (first,) = link.tick(0)
    assert isinstance(first, Beat)
    now = 2_000 * MS
    link.answered(now, first.seq)
    assert link.interval_us == INTERVAL_US_MAX
    heard, came_back_at = 0, now + 8 * SECOND
    while now < came_back_at:
        now = link.next_wakeup() or 0
        for step in link.tick(now):
            assert isinstance(step, Beat), step
            heard += 1
            if step.poll:
                link.answered(now + MS, step.seq)
            link.beaten(now + 2 * MS, heard, step.seq, 0, 0)
    assert link.interval_us == 100 * MS
    assert link.patience_us <= 400 * MS


def hurried_us(interval_us: int, *, usual_us: int = 100 * MS, given_time: bool = False) -> int:
    """Time between heartbeats while an answer is overdue."""
    link = Liveness(interval_us=interval_us, misses=3, now=0)
    link.usual_us = usual_us
    link.tick(0)
    link.answered(MS, 1)
    beats: list[int] = []
    while len(beats) < 3:
        now = link.next_wakeup()
        assert now is not None
        for step in link.tick(now):
            if isinstance(step, Changed) and step.new is LinkState.PROBING and given_time:
                link.await_others(now, 3 * interval_us)
            elif isinstance(step, Beat) and link.state is LinkState.PROBING:
                beats.append(now)
    return beats[2] - beats[1]


def test_who_is_short_of_time_is_asked_half_as_often() -> None:
    """Where heartbeats are slow because one end has many links; and where the silence is probably everybody's."""
    assert hurried_us(100 * MS) == 25 * MS
    assert hurried_us(320 * MS) == 160 * MS
    assert hurried_us(100 * MS, given_time=True) == 50 * MS
    assert hurried_us(320 * MS, given_time=True) == 320 * MS


def test_heartbeats_that_the_operator_wants_slow_are_as_hasty_as_any() -> None:
    """Nobody is short of time there, and a lossy path needs as many round trips."""
    assert hurried_us(320 * MS, usual_us=320 * MS) == 80 * MS


def test_a_long_round_trip_alone_makes_nobody_ask_less_often() -> None:
    """Several independent round trips have to fail on a far and lossy path, too."""
    link, now = opened(rtt_us=200 * MS)
    assert link.interval_us == 400 * MS
    spaced = []
    while link.state is not LinkState.DOWN:
        now = link.next_wakeup() or now
        spaced += [now for step in link.tick(now) if isinstance(step, Beat) and link.state is LinkState.PROBING]
    assert {later - earlier for earlier, later in pairwise(spaced)} == {100 * MS}


def late_in_a_silence(by_us: int, times: int) -> int:
    """The peer is silent for 600 ms, in which we are late so often by so much; how long it was silent, as is told."""
    link, at = opened()
    for number in range(times):
        link.extend(at + (number + 1) * 90 * MS, by_us)
    _, _, told = silent_until(link, at, 600 * MS)
    return told[0].after_us if told else 0


def test_many_small_latenesses_of_ours_are_no_part_of_a_peers_silence() -> None:
    """What came in a stretch shorter than an interval was read at its end: the peer said nothing all the same."""
    assert late_in_a_silence(60 * MS, 5) == late_in_a_silence(0, 0) > 0
    assert late_in_a_silence(200 * MS, 1) == late_in_a_silence(0, 0) - 200 * MS


def stands_still(link: Liveness, answered_at: int, seq: int, echo: int, for_us: int) -> int:
    """Its peer says nothing for so long after an answer, and then the heartbeat that it had ready. Until when."""
    until = answered_at + for_us
    while (wakes_at := link.next_wakeup() or until) < until:
        link.tick(wakes_at)
    assert link.state is LinkState.PROBING
    assert link.beaten(until, seq, echo, for_us, 0) == []
    return until


def test_a_peer_that_stood_still_is_not_given_up_when_it_is_heard_again() -> None:
    """It sends what was due before it has read ours; its answer comes a moment later. So each time."""
    link, now = opened()
    answered = 1
    for seq in range(1, 4):
        until = stands_still(link, now, seq, answered, 344 * MS)
        assert not link.verdict_due(until + HEARD_PATIENCE_US - MS)
        now = until + 200 * MS
        while (wakes_at := link.next_wakeup() or now) < now:
            for step in link.tick(wakes_at):
                assert isinstance(step, Beat)
                answered = step.seq
        assert Changed(LinkState.PROBING, LinkState.UP, "answered") in link.answered(now, answered)


def test_what_its_last_answer_was_held_takes_nothing_from_that() -> None:
    """The heartbeat that it had ready repeats an old answer, which counts from when it would have come."""
    link, now = opened()
    link.tick(now + 100 * MS)
    now += 150 * MS
    assert link.beaten(now, 1, 2, 45 * MS, 0) == []
    until = stands_still(link, now, 2, 2, 300 * MS)
    assert not link.verdict_due(until + HEARD_PATIENCE_US - MS)
    assert link.verdict_due(until + HEARD_PATIENCE_US)


def test_a_peer_that_is_heard_again_and_never_answers_is_given_up_half_a_second_later() -> None:
    """Once in a silence: falling silent and being heard in turns wins nothing more."""
    link, now = opened()
    until = stands_still(link, now, 1, 1, 344 * MS)
    link.beaten(600 * MS, 2, 1, 599 * MS, 0)
    link.beaten(840 * MS, 3, 1, 839 * MS, 0)
    change = run_until_down(link, until + HEARD_PATIENCE_US)
    assert change.reason == "one way: heard, but not answered for 844 ms"
