"""Asking again on a clock moved by hand."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from arqonmesh.errors import ArqonError, Denied, PeerError, TimedOut
from arqonmesh_cli.answer import three_lines
from arqonmesh_cli.retrying import PASSING_JOIN, PAUSE_MAX_S, PAUSE_MIN_S, patiently, within


@dataclass
class Member:
    """Fails so many times, each try taking a second."""

    failures: int
    error: ArqonError
    now_s: float = 0.0
    tries: int = 0
    pauses: list[float] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    lefts: list[float] = field(default_factory=list)

    def asked(self, left_s: float) -> str:
        self.tries += 1
        self.lefts.append(left_s)
        self.now_s += 1.0
        if self.tries <= self.failures:
            raise self.error
        return "in"

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds

    def join(self, patience_s: float) -> str:
        return patiently(
            self.asked,
            PASSING_JOIN,
            patience_s,
            rng=random.Random(1),
            clock=lambda: self.now_s,
            sleep=self.sleep,
            tell=self.told.append,
        )


BROKEN = PeerError("join.broken", "refused by the member: QUIC error 0xc")


def test_a_broken_join_is_asked_again_and_every_time_told() -> None:
    """The user sees what happened and that it goes on."""
    member = Member(3, BROKEN)
    assert member.join(60.0) == "in"
    assert member.tries == 4
    assert len(member.told) == 3
    assert all(line.startswith("join.broken: refused by the member") and "again in" in line for line in member.told)


def test_pauses_double_with_jitter_up_to_their_bound() -> None:
    """Those who were turned away together do not come back together, and not ever more rarely."""
    member = Member(12, BROKEN)
    assert member.join(1_000.0) == "in"
    wholes = [min(PAUSE_MAX_S, PAUSE_MIN_S * 2**n) for n in range(12)]
    assert all(whole / 2 <= pause <= whole for pause, whole in zip(member.pauses, wholes, strict=True))
    assert len(set(member.pauses[5:])) > 5


def test_when_the_patience_is_over_the_last_error_is_the_answer() -> None:
    """No try begins after the end of it."""
    member = Member(1_000, BROKEN)
    with pytest.raises(PeerError) as raised:
        member.join(10.0)
    assert raised.value.code == "join.broken"
    assert member.tries > 2
    assert member.now_s <= 11.0


def test_a_try_has_no_longer_than_what_is_left() -> None:
    """--timeout is the end of it all, not of the beginning of the last try."""
    member = Member(1_000, BROKEN)
    with pytest.raises(PeerError):
        member.join(10.0)
    begun = [member.now_s - member.tries - sum(member.pauses)]
    for pause in member.pauses:
        begun.append(begun[-1] + 1.0 + pause)
    assert member.lefts == pytest.approx([10.0 - at for at in begun])


def test_a_join_under_way_when_its_time_is_over_is_a_join_that_timed_out() -> None:
    """Not a node that is too busy to answer; what the node itself says stays as it is."""
    asked: list[float] = []

    def cut_off(seconds: float) -> str:
        asked.append(seconds)
        raise TimedOut("api.deadline", "did not answer in time")

    def unreachable(seconds: float) -> str:
        raise TimedOut("join.timeout", "no answer from h:1 in 25 s")

    with pytest.raises(TimedOut, match="within 5s") as raised:
        within(5.0, cut_off)
    assert raised.value.code == "join.timeout"
    with pytest.raises(TimedOut, match="within 3s"):  # of --timeout 3s some has gone by before the first try
        within(2.998, cut_off)
    with pytest.raises(TimedOut, match="within 300ms"):
        within(0.3, cut_off)
    with pytest.raises(TimedOut, match="h:1"):
        within(5.0, unreachable)
    with pytest.raises(TimedOut, match=r"^10\.0\.0\.7:9130 did not let this node in within 5s; ") as named:
        within(5.0, cut_off, "10.0.0.7:9130")
    seen, right, step = three_lines(named.value)
    assert "UDP" in right and step.startswith("arqon status") and "UDP" not in seen + step
    with pytest.raises(TimedOut):
        within(1_000.0, cut_off)
    assert asked == [5.0, 2.998, 0.3, 5.0, 60.0]


def test_a_refusal_is_asked_once() -> None:
    """A used ticket is as used in a second."""
    member = Member(1, Denied("join.used", "this ticket was used"))
    with pytest.raises(Denied):
        member.join(60.0)
    assert member.tries == 1
    assert not member.told
