"""One suspicion: how long may a suspect take to refute before it is declared dead?

The more members confirm from their own probes, the shorter: from `max` with nobody else down to `min` with `k` others,
along a logarithm, so that the first confirmations count most.

    timeout = max - (max - min) * ln(c + 1) / ln(k + 1),   floored to milliseconds, never below min

A suspect to whom nobody has a link any more (evidence.py) is given a short fixed time instead, for as long as that
stays so: `sever` and `mend`. A shorter one still, once enough others hold it dead: `judge` and `reopen` (timing.py
decides both).

Source: Lifeguard (DSN-W 2018, section IV-B) as in memberlist's suspicion.go. The logarithms are computed in integers,
so every node on every machine comes to the same deadline.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from arqonmesh.core.kernel import MILLISECOND, Instant
from arqonmesh.ids import NodeId

UNREAD_SHARE: Final = 4
"""After we did not listen, a quarter of the short time is left: for what came meanwhile and lies unread."""
_BITS: Final = 24
_ONE: Final = 1 << _BITS


@lru_cache(maxsize=256)
def log2_fixed(n: int) -> int:
    """log2(n) for n >= 1 with 24 fractional bits, by repeated squaring; exact to the last bit but one."""
    assert n >= 1, n
    whole = n.bit_length() - 1
    mantissa = (n << _BITS) >> whole
    result = whole << _BITS
    for bit in range(_BITS - 1, -1, -1):
        mantissa = mantissa * mantissa >> _BITS
        if mantissa >= 2 * _ONE:
            mantissa >>= 1
            result += 1 << bit
    return result


_LOG2_10: Final = log2_fixed(10)


def minimum_us(multiplier: int, members: int, period_us: int) -> int:
    """The shortest suspicion: multiplier x max(1, log10(members)) x probe period."""
    return multiplier * period_us * max(_LOG2_10, log2_fixed(max(1, members))) // _LOG2_10


def confirmations_wanted(multiplier: int, members: int) -> int:
    """k: multiplier - 2, or 0 when so many others do not exist."""
    wanted = max(0, multiplier - 2)
    return 0 if members - 2 < wanted else wanted


def timeout_us(confirmed: int, wanted: int, min_us: int, max_us: int) -> int:
    """How long a suspicion with `confirmed` of `wanted` confirmations lasts from its start."""
    if wanted < 1:
        return min_us
    share = log2_fixed(min(confirmed, wanted) + 1)
    raw = max_us - (max_us - min_us) * share // log2_fixed(wanted + 1)
    return max(raw // MILLISECOND * MILLISECOND, min_us)


class Suspicion:
    """The timer of one suspect. The first accuser starts it; each further one confirms, once."""

    __slots__ = (
        "_accusers",
        "_floor_at",
        "_follows",
        "_grace_us",
        "_hastened",
        "_judged_at",
        "_max_us",
        "_min_us",
        "_severed_at",
        "_short_us",
        "_wanted",
        "restarts",
        "started_at",
    )

    def __init__(self, now: Instant, accuser: NodeId, *, wanted: int, min_us: int, max_us: int) -> None:
        self.started_at = now
        self.restarts = 0
        self._accusers: dict[NodeId, None] = {accuser: None}
        self._wanted = wanted
        self._min_us = min_us
        self._max_us = max(min_us, max_us)
        self._hastened = False
        self._floor_at = now
        self._severed_at: Instant | None = None
        self._short_us = 0
        self._follows = 1
        self._judged_at: Instant | None = None
        self._grace_us = 0

    @property
    def confirmations(self) -> int:
        return len(self._accusers) - 1

    @property
    def complete(self) -> bool:
        """No further confirmation would shorten it."""
        return self._hastened or self.confirmations >= self._wanted

    @property
    def is_severed(self) -> bool:
        """Whether it lasts the short time of those to whom nobody has a link."""
        return self._severed_at is not None

    def confirm(self, accuser: NodeId) -> None:
        """Another member's own probe failed too; whoever was counted is not counted again."""
        if len(self._accusers) <= self._wanted:
            self._accusers[accuser] = None

    def hasten(self) -> None:
        """Another member's suspicion already ran out: the shortest timeout applies."""
        self._hastened = True

    def adopt(self) -> None:
        """Plain SWIM: another member's verdict is ours at once."""
        self._hastened = True
        self._min_us = 0

    def sever(self, now: Instant, short_us: int) -> None:
        """Nobody has a link to it any more: at most so long from now on. Repeats only make it longer."""
        if self._severed_at is None:
            self._severed_at, self._short_us = now, short_us
        elif short_us > self._short_us:
            self._short_us = short_us

    def follow(self, times: int) -> None:
        """That short time is so many times as long for now, since others know better."""
        self._follows = times

    def mend(self) -> None:
        """Somebody has a link to it again, or may have: the usual time."""
        self._severed_at = None

    def judge(self, now: Instant, grace_us: int) -> None:
        """Enough others hold it dead: at most so long from now on. Repeats make it no longer."""
        if self._judged_at is None or now + grace_us < self._judged_at + self._grace_us:
            self._judged_at, self._grace_us = now, grace_us

    def reopen(self) -> None:
        """Not enough of them do any more, or somebody vouches for it: their verdicts shorten nothing."""
        self._judged_at = None

    def postpone(self, now: Instant, by_us: int, at_least_us: int) -> None:
        """We were not listening for `by_us`; the suspect gets that time again, as far as it was suspected then."""
        by_us = min(by_us, now - self.started_at)
        self.started_at += by_us
        self._floor_at = max(self._floor_at, now + at_least_us)
        if self._severed_at is not None:
            left_us = self._short_us // UNREAD_SHARE
            self._severed_at = max(self._severed_at, min(self._severed_at + by_us, now - self._short_us + left_us))
        if self._judged_at is not None:
            self._judged_at = now

    def restart(self, now: Instant) -> None:
        """The suspect was heard from meanwhile: the same patience once more."""
        self.started_at = now
        self.restarts += 1
        if self._severed_at is not None:
            self._severed_at = now
        if self._judged_at is not None:
            self._judged_at = now

    @property
    def expires_at(self) -> Instant:
        lasts_us = self._min_us
        if not self._hastened:
            lasts_us = timeout_us(self.confirmations, self._wanted, self._min_us, self._max_us)
        due = max(self.started_at + lasts_us, self._floor_at)
        if self._severed_at is not None:
            due = min(due, self._severed_at + self._short_us * self._follows)
        return due if self._judged_at is None else min(due, self._judged_at + self._grace_us)
