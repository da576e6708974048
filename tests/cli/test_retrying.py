"""Asking again on a clock moved by hand."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from arqonmesh.errors import ArqonError, Denied, PeerError
from arqonmesh_cli.retrying import PASSING_JOIN, PAUSE_MAX_S, PAUSE_MIN_S, patiently


@dataclass
class Member:
    """Fails so many times, each try taking a second."""

    failures: int
    error: ArqonError
    now_s: float = 0.0
    tries: int = 0
    pauses: list[float] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def asked(self) -> str:
        self.tries += 1
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


def test_a_refusal_is_asked_once() -> None:
    """A used ticket is as used in a second."""
    member = Member(1, Denied("join.used", "this ticket was used"))
    with pytest.raises(Denied):
        member.join(60.0)
    assert member.tries == 1
    assert not member.told
