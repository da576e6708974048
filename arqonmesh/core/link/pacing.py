"""When may the next link-state advertisement leave?

The first change is told almost at once; changes that follow closely wait 200 ms, then twice as long each time, up to
5 s, so that one flapping link does not flood the mesh. Quiet halves the wait again. A mere drift of figures waits 30 s,
then twice as long each time up to 4 minutes: on a busy machine every round trip drifts all the time, and telling that
to everyone makes all machines busier. A link of which that is not so need not wait for the others, once in two minutes:
its drift is told 30 s after whatever was told last. Who has one link alone, to a peer that wants heartbeats slower than
we do since it has many, offers nobody a choice of ways, and its drift always waits those 4 minutes.

What drifted has to last, too: a hub that stood still for half a second is half a second away in the figures of all its
spokes, and would be told of it sixty times in the second in which it goes on. And everyone waits for up to half as long
again (a leaf for up to twice as long), by a time that is drawn anew after each record. Nodes that heard of the same
trouble publish within one second, and would do so again when half a minute is over, and again: on a machine of sixty
members the records of one such second take longer than links are patient, which is the next trouble (Floyd, Jacobson,
"The synchronization of periodic routing messages", SIGCOMM 1993).

The loss of a link that had stood for a while is no flapping, and routes, quorums and the failure detector wait for the
news: it never waits longer than those 200 ms, whatever other links have been doing, as long as the machine has time and
we had another link all the while: who had none at all lets the others come back first, two seconds at most (`gather`).

On a machine that has too little processor time everything waits for longer, so many times as long as its own
timers are late (lag.py). An advertisement costs every member a millisecond or two; on a machine that runs many members,
links that fall for want of time, and come back, would else take the time that is left.

Source: the exponential back-off of OSPF's LSA and SPF timers (RFC 8405).
"""

from __future__ import annotations

from typing import Final

from arqonmesh.core.kernel import MILLISECOND, SECOND, Instant, Rng

SETTLE_US: Final = 20 * MILLISECOND
"""Links that change within one moment share an advertisement."""
HOLD_US_MIN: Final = 200 * MILLISECOND
HOLD_US_MAX: Final = 5 * SECOND
DRIFT_HOLD_US_MIN: Final = 30 * SECOND
DRIFT_HOLD_US_MAX: Final = 240 * SECOND
SETTLES_PER_LAG: Final = 4
"""A change is told no sooner than so many times the lag: a link that is back by then is not told at all."""
HOLDS_PER_LAG: Final = 40
LAG_HOLD_US_MAX: Final = 20 * SECOND
"""The least time between two advertisements is so many times the lag, at most this."""
DRIFT_LASTS_US: Final = 5 * SECOND
"""A figure has to be another for so long, or up to twice as long: round trips in which a peer stood still are none."""
LEAF_LASTS_US: Final = 30 * SECOND
"""The same for a leaf's."""
SPREAD_SHARE: Final = 2
"""Drift waits up to half as long again, that of a leaf up to twice as long."""
THOUSAND: Final = 1_000
GATHER_US_MAX: Final = 2 * SECOND
RARE_EVERY_US: Final = 120 * SECOND
"""The node's allowance for links that rarely drift: a hub has so many that always one of them does."""


class Pacer:
    """Ask with `changed` or `drifted`; publish when `due` has come and say so with `published`."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self.due: Instant | None = None
        self._hold_us = HOLD_US_MIN
        self._last: Instant | None = None
        self._flip_asked = False
        self._drift_hold_us = DRIFT_HOLD_US_MIN
        self.for_drift = False
        """What is due is due for figures alone."""
        self._rare_at: Instant | None = None
        """When a link that rarely drifts was last told out of turn."""
        self._rare_asked = False
        self.lag_us = 0
        """How late this process is as a rule."""
        self._gathers_until: Instant = 0
        self._gathered = False
        self._spread = 0
        """How much longer than it has to the next drift waits, in thousandths; another after each record."""

    def changed(self, now: Instant, settle_us: int = SETTLE_US) -> None:
        """A link went up or down."""
        self._flip_asked, self.for_drift = True, False
        self._ask(self._when(now, settle_us, self._hold_us))

    def gather(self, now: Instant, for_us: int) -> None:
        """Nothing is told for so long, two seconds at most, whatever changes meanwhile. Once until something was told,
        or there was nothing to tell: links that go on falling together must not hide what else happened."""
        if self._gathered:
            return
        self._gathered = True
        self._gathers_until = now + min(for_us, GATHER_US_MAX)
        self.put_off(self._gathers_until)

    def put_off(self, until: Instant) -> None:
        """What is due waits until then; what changes meanwhile does not."""
        if self.due is not None:
            self.due = max(self.due, until)

    def lost(self, now: Instant) -> None:
        """A link went down that had stood for a while."""
        self.for_drift = False
        self._ask(self._when(now, SETTLE_US, HOLD_US_MIN))

    def drifted(self, now: Instant, *, step: bool = False, rare: bool = False, leaf: bool = False) -> None:
        """A figure moved noticeably; nobody reroutes in a hurry for that. `step`: so far that routes are wrong by it,
        which waits no longer for what other figures have been doing; nor does, now and then, what is `rare`. `leaf`: it
        is the only link that there is, to one that has many."""
        self.for_drift = self.for_drift or self.due is None
        if leaf:
            hold_us = DRIFT_HOLD_US_MIN if step else DRIFT_HOLD_US_MAX
            self._ask_for_drift(now, LEAF_LASTS_US, hold_us, self._spread)
            return
        if rare and not step and self._drift_hold_us > DRIFT_HOLD_US_MIN:
            rare = self._rare_at is None or now - self._rare_at >= RARE_EVERY_US
            self._rare_asked = self._rare_asked or rare
            step = rare
        hold_us = DRIFT_HOLD_US_MIN if step else self._drift_hold_us
        self._ask_for_drift(now, DRIFT_LASTS_US, hold_us, self._spread // SPREAD_SHARE)

    def steadied(self, *, heard: bool = True) -> None:
        """All is as it was told, or nobody would have `heard`: nothing is published, and nothing waits for it later."""
        self.due, self.for_drift, self._flip_asked, self._rare_asked = None, False, False, False
        self._gathered = self._gathered and not heard

    def published(self, now: Instant) -> None:
        if self._flip_asked:
            self._hold_us = self._next_hold_us(now)
        elif self.for_drift and self._rare_asked:
            self._rare_at = now
        elif self.for_drift and self._last is not None:
            steady = now - self._last >= 2 * self._drift_hold_us
            self._drift_hold_us = DRIFT_HOLD_US_MIN if steady else min(2 * self._drift_hold_us, DRIFT_HOLD_US_MAX)
        self._flip_asked = self.for_drift = self._rare_asked = self._gathered = False
        self._last = now
        self._spread = self._rng.randrange(0, THOUSAND)
        self.due = None

    def _when(self, now: Instant, settle_us: int, hold_us: int) -> Instant:
        settled = now + max(settle_us, SETTLES_PER_LAG * self.lag_us)
        if self._last is None:
            return settled
        return max(settled, self._last + max(hold_us, min(HOLDS_PER_LAG * self.lag_us, LAG_HOLD_US_MAX)))

    def _ask_for_drift(self, now: Instant, lasts_us: int, hold_us: int, spread: int) -> None:
        lasted = now + lasts_us + lasts_us * self._spread // THOUSAND
        hold_us += hold_us * spread // THOUSAND
        self._ask(lasted if self._last is None else max(lasted, self._last + hold_us))

    def _ask(self, when: Instant) -> None:
        when = max(when, self._gathers_until)
        self.due = when if self.due is None else min(self.due, when)

    def _next_hold_us(self, now: Instant) -> int:
        if self._last is None:
            return HOLD_US_MIN
        quiet_us = now - self._last
        if quiet_us < 2 * self._hold_us:
            return min(2 * self._hold_us, HOLD_US_MAX)
        return max(self._hold_us >> (quiet_us // (2 * self._hold_us)), HOLD_US_MIN)
