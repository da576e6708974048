"""Link liveness: when does one link carry traffic, in both directions?

    OPENING ──first answer──▶ UP ◀──any answer── PROBING
       │  ▲                    └──answer overdue──▶ │
       │  └─────── reopen ────── DOWN ◀──out of patience
       └──never answered──▶ DOWN for good

What keeps a link up is an *answered* heartbeat, because only an answer proves both directions: when one direction is
cut, the side that still hears loses its answers, the other side loses everything, and both notice within one patience.
Hearing the peer without being answered is told apart in the reason; a peer that was not heard either and is again has
half a second more for its answer.

The answer rides in the peer's own next heartbeat: which of ours it heard last, how long ago, and which before that. So
each side sends one datagram per interval. The side that *follows* sends its own when the other's comes, or a quarter of
an interval later when none does: an idle node with one link then wakes once per interval and not twice, and the answer
that it gives is fresh. Only a heartbeat that says *poll* is answered at once, in a datagram of its own: the first ones
of a link, those while an answer is overdue, all that a long round trip has made rare, and one in 16, which keeps the
round trip honest.

When does an answer count from? From the newest heartbeat of the peer that lacked nothing. Once one has come that should
have brought a newer answer and did not, ours are being lost, and the newest answer counts from when it would have come
had it not been held: so a cut in one direction is noticed as soon as a cut of both.

Heartbeats leave every `max(base, 2 srtt)`. Once an answer is overdue they leave four times as often (PROBING), so that
a lossy link is not mistaken for a dead one: several independent round trips have to fail, not just `misses`. Not so
when answers have become slow rather than few: a busy peer that is asked more often only becomes busier, and a hub with
many links would never come out of it. Half as hasty where the silence is probably our own or everybody's, which is why
it was given more time; half as hasty where heartbeats are slower than configured because one end has many links, or
little time; and not at all where both is so. A hub of sixty links that stood still for a moment would find more
heartbeats in its inbox than it can answer before the next patience is over.

Patience is `misses` and a half intervals, counted from the last answer, or more where round trips are that uneven. At
100 ms x 3 that is 350 ms, which leaves 50 ms of the promised 400 ms for answers that were in the air at the cut. Twice
as much is given once to eight links or more that fall silent together and are a quarter of all (core.py). A link that
was silent for about as long and answered again, on the same connection, is given a quarter more from then on, up to
625 ms, for as long as it is remembered (core/lull.py): a process that stands still now and then is not lost each time.
Where several peers do so, or we and one of them, apart in time, it is the machines, and all links are given as much
(stalls.py).

A link that is down is *reopened* once, on the connection that it had: a process that got no processor for half a second
is back with its first answer, where a new connection would cost both ends a handshake, when they can least afford it.
The end that dialled gives it up after a second, or six slow heartbeats, and dials anew; the other keeps it for two
seconds more, and waits to be dialled.

Sources: BFD's detection time, poll and final bits (RFC 5880, 6.5 and 6.8.4); RTCP's delay since the last report
(RFC 3550, 6.4.1); Lifeguard (DSN-W 2018) for patience with ourselves.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from msgspec import Struct

from arqonmesh.core.kernel import SECOND, Instant
from arqonmesh.core.link.beats import MILLION, Beats, Heard
from arqonmesh.core.link.rtt import RttEstimator
from arqonmesh.core.lull import LEAST_US, Lull

INTERVAL_US_MAX: Final = 2 * SECOND
ASKED_US_MAX: Final = SECOND
"""A peer may ask for heartbeats as slow as this."""
RTO_US_MAX: Final = 10 * SECOND
OPENING_PATIENCE_US: Final = 3 * SECOND
"""A new connection's first answer may take this long: its round-trip time is not known yet."""
REOPENING_PATIENCE_US: Final = SECOND
"""A connection whose link is down is given up when nothing was answered for so long again: its peer is gone, or the
path is, and a new one has to be tried."""
DIALLED_LATER_US: Final = 2 * SECOND
"""So much later by the end that was dialled. It has nothing to try: the other end gives up first, however late it lost
the link (by up to `LULL_PATIENCE_US_MAX`), and its next connection replaces this one. Were this end first, the other
would speak to nobody until its own time is over, on a path that is well."""
HEARD_PATIENCE_US: Final = SECOND // 2
"""Once the peer is heard again, its answer has at least so long to come, once in each silence: a process that stood
still sends its heartbeats before it has read ours, and neither it nor a path that heals just before the connection
would be given up is given up at the moment at which it works. Where one direction is cut the other is heard all the
while, and that is noticed as soon as ever."""
LULL_SHARE: Final = (5, 4)
"""Patience in units of the longest silence of late that ended."""
LULL_PATIENCE_US_MAX: Final = 3 * SECOND // 2
"""The most patience that silences earn."""
LONE_LULL_US_MAX: Final = SECOND // 2
"""A silence of this link alone counts for no more: it may as well have been a cut of its path, and the next one has to
be noticed in well under a second."""
POLL_EVERY: Final = 16
"""One heartbeat in so many is answered at once even when all is well: its round trip contains nobody's word."""
HASTE: Final = 4
"""So many times as often heartbeats leave while an answer is overdue."""
EARLY: Final = 4
"""A heartbeat that is due within a quarter of its interval leaves with whatever wakes us now: a node with many links
then wakes a few times per interval and not once for each."""
FOLLOWS_WITHIN: Final = 4
"""Who follows waits this part of an interval for the peer's heartbeat before its own leaves all the same."""
EXTENSIONS_MAX: Final = 2
"""How often patience may be extended in one silence; a process that is always late must still notice a cut."""


class LinkState(Enum):
    OPENING = "opening"
    UP = "up"
    PROBING = "probing"
    DOWN = "down"


class Beat(Struct, frozen=True, gc=False):
    """Send one heartbeat: its number, whether it is to be answered at once, and what we heard of the peer's.

    `echo` is the peer's newest heartbeat (0: none yet), heard `held_us` ago, `mask` which of the 32 before it came.
    """

    seq: int
    poll: bool
    echo: int
    held_us: int
    mask: int


class Resumed(Struct, frozen=True, gc=False):
    """An answer came after a silence in which more heartbeats were missed than a lossy path explains: more than
    `misses - 1`, and at least a quarter of a second (core/lull.py). That is about when the link is lost."""

    since: Instant
    """When the answer before came."""
    after_us: int
    """Since then, less the interval in which none was due, and less the time in which we did not listen."""
    interval_us: int


class Changed(Struct, frozen=True, gc=False):
    """The link left `old` for `new`. UP and PROBING both carry traffic."""

    old: LinkState
    new: LinkState
    reason: str


class Liveness:
    """The liveness of one link. Perform what `answered` and `tick` return, in order."""

    __slots__ = (
        "_answered_at",
        "_asked_us",
        "_base_us",
        "_beats",
        "_came_back",
        "_extensions",
        "_extra_us",
        "_heard",
        "_heard_at",
        "_held_us",
        "_late_us",
        "_lull",
        "_lull_us",
        "_misses",
        "_next_beat_at",
        "_overdue_us",
        "_reopened",
        "_reopening_us",
        "_shared",
        "_silent_since",
        "_stretched",
        "follows",
        "interval_us",
        "patience_us",
        "rtt",
        "state",
        "usual_us",
    )

    def __init__(self, *, interval_us: int, misses: int, now: Instant, shared: Lull | None = None) -> None:
        """`shared`: how long other links of this node were silent of late, and answered again."""
        assert interval_us > 0, interval_us
        assert misses > 0, misses
        self.state = LinkState.OPENING
        self.follows = False
        """Our heartbeats wait for the peer's. At most one of the two sides does."""
        self.rtt = RttEstimator()
        self.usual_us = interval_us
        """Between heartbeats as it was configured. Those that are slower, and not for a long round trip, are so because
        one end has many links or little time."""
        self._base_us = interval_us
        self._asked_us = 0
        self._misses = misses
        self._beats = Beats()
        self._heard = Heard()
        self._heard_at: Instant | None = None
        self._answered_at = now
        self._held_us = 0
        """How long the newest answer was held, while that is still on its account."""
        self._next_beat_at = now
        self._extra_us = 0
        self._extensions = 0
        self._came_back = False
        """The peer was silent, and was heard again before an answer came; it has had its time for that."""
        self._late_us = 0
        """How much of the silence is our own: we did not listen."""
        self._reopened = False
        self._reopening_us = REOPENING_PATIENCE_US
        self._silent_since: Instant | None = None
        """When the newest answer of a link that was reopened came."""
        self._lull = Lull()
        self._shared = shared
        self._lull_us = 0
        self._reckon()

    def reopen(self, now: Instant, patience_us: int = REOPENING_PATIENCE_US) -> None:
        """It is down, and its connection still there: the next answer brings it up again, for so long from now on."""
        assert self.state is LinkState.DOWN, self.state
        self.state = LinkState.OPENING
        self._reopened = True
        self._reopening_us = patience_us
        self._silent_since = self._answered_at
        self._answered_at = self._next_beat_at = now
        self._held_us = self._extra_us = self._extensions = 0
        self._came_back = False
        self._reckon()

    def pace(self, interval_us: int) -> None:
        """Another base interval from now on; patience follows."""
        assert interval_us > 0, interval_us
        if interval_us != self._base_us:
            self._base_us = interval_us
            self._reckon()

    def asked(self, interval_us: int) -> None:
        """The peer's own interval: the slower of both counts, up to a second. Slower than that would be a peer's way
        not to be found out."""
        wanted_us = min(interval_us, ASKED_US_MAX)
        if wanted_us != self._asked_us:
            self._asked_us = wanted_us
            self._reckon()

    def _reckon(self) -> None:
        """The figures that follow from the round trips and the state. Both change with an answer, and they are asked
        for many times between two answers, so they are kept."""
        rtt = self.rtt
        unstretched_us = max(self._base_us, self._asked_us)
        self.interval_us = interval_us = min(max(unstretched_us, 2 * rtt.srtt_us), INTERVAL_US_MAX)
        """Time between heartbeats while all is well."""
        self._stretched = interval_us > unstretched_us
        rto_us = rtt.rto_us if rtt.rto_us < RTO_US_MAX else RTO_US_MAX
        overdue_us = interval_us * 3 // 2
        self._overdue_us = overdue_us if overdue_us > rto_us else rto_us
        least_us = interval_us + rto_us
        if self.state is LinkState.OPENING:
            least_us = self._reopening_us if self._reopened else OPENING_PATIENCE_US
        elif self._lull_us:
            lull_us = min(self._lull_us * LULL_SHARE[0] // LULL_SHARE[1], LULL_PATIENCE_US_MAX)
            least_us = lull_us if lull_us > least_us else least_us
        patience_us = self._misses * interval_us + interval_us // 2
        self.patience_us = patience_us if patience_us > least_us else least_us
        """Time without an answer after which the link is down."""

    def beaten(self, now: Instant, seq: int, echo: int, held_us: int, mask: int) -> list[Changed | Resumed]:
        """The peer's heartbeat `seq` arrived: its direction works, and `echo` may prove ours."""
        if self.state is LinkState.DOWN:
            return []
        self._heard.took(now, seq)
        back = self.state is LinkState.PROBING and self.silent(now)
        self._heard_at = now
        if self.follows and self._next_beat_at - now <= self.interval_us * 3 // 4:
            self._next_beat_at = now  # ours left half an interval ago or longer
        if self._reopened and self._extensions < EXTENSIONS_MAX:
            self._extensions = EXTENSIONS_MAX  # once: hearing alone, as in a cut of one direction, is no link
            self._extra_us += max(0, now + HEARD_PATIENCE_US - self._down_at())
            self._next_beat_at = now
        beats = self._beats
        total_us = beats.answered(now, echo)
        beats.arrived(echo, mask)
        if total_us is not None:
            self.rtt.held_sample(total_us, held_us)
        missing_since = beats.missing_since()
        if missing_since is not None and now - missing_since > self.rtt.rto_us and total_us is None:
            self._answered_at -= self._held_us  # it should have been in this one: ours are being lost
            self._held_us = 0
        elif echo and echo + 1 == beats.first_open and seq == self._heard.newest:
            most_us = self._held_us + now - self._answered_at if total_us is None else total_us
            self._held_us = min(held_us, most_us)
            return self._proved(now)
        if back and not self._came_back:
            self._came_back = True
            self._extra_us += max(0, now + HEARD_PATIENCE_US - self._down_at())
        return []

    def answered(self, now: Instant, seq: int) -> list[Changed | Resumed]:
        """The peer answered our poll `seq` at once. An answer that fits no heartbeat of ours changes nothing."""
        if self.state is LinkState.DOWN:
            return []
        rtt_us = self._beats.answered(now, seq)
        if rtt_us is None:
            return []
        self.rtt.sample(rtt_us)
        self._heard_at = now
        self._held_us = 0
        return self._proved(now)

    def tick(self, now: Instant) -> list[Beat | Changed]:
        """The wake-up time passed. Harmless when early or repeated."""
        if self.state is LinkState.DOWN:
            return []
        if self.verdict_due(now):
            return list(self._enter(LinkState.DOWN, self._diagnosis(now)))
        out: list[Beat | Changed] = []
        if self.state is LinkState.UP and now >= self._overdue_at():
            out += self._enter(LinkState.PROBING, "answer overdue")
            self._next_beat_at = now
        spacing_us = self._spacing_us()
        if now + spacing_us // EARLY >= self._next_beat_at:
            out.append(self._beat(now))
            grace_us = spacing_us // FOLLOWS_WITHIN if self.follows and self.state is LinkState.UP else 0
            self._next_beat_at = now + spacing_us + grace_us
        return out

    @property
    def asked_slower(self) -> bool:
        """Heartbeats are as slow as the peer wants them, and not we."""
        return self._asked_us > self._base_us

    @property
    def proved_at(self) -> Instant:
        """When the newest answer arrived (less what it was held, once newer ones stay away)."""
        return self._answered_at

    @property
    def silent_since(self) -> Instant:
        """The same, of a link that was reopened: when the newest answer came before it was down."""
        return self._answered_at if self._silent_since is None else self._silent_since

    def beat_due(self, now: Instant) -> bool:
        """Whether a heartbeat is to leave at once; `tick` would send it."""
        return self.state is not LinkState.DOWN and now >= self._next_beat_at

    def verdict_due(self, now: Instant) -> bool:
        """Whether patience has run out; the next `tick` would take the link down."""
        return self.state is not LinkState.DOWN and now >= self._down_at()

    def silent(self, now: Instant) -> bool:
        """Nothing at all has come for more than an interval and a half."""
        return self._heard_at is not None and now - self._heard_at > self.interval_us * 3 // 2

    def extend(self, now: Instant, by_us: int) -> None:
        """We were not listening for `by_us`: that much more patience, at least one interval from now. A stretch that is
        shorter than an interval hid no heartbeat: what came meanwhile is read at its end, and the peer's silence is as
        long as it was."""
        if by_us >= self.interval_us:
            self._late_us += by_us
        self._extend(now, by_us, EXTENSIONS_MAX)

    def await_others(self, now: Instant, by_us: int) -> None:
        """Others are silent with it: that much more patience, at least one interval from now, if it has had none in
        this silence. We were listening: when it answers, its silence was as long as it was."""
        self._extend(now, by_us, 1)

    def _extend(self, now: Instant, by_us: int, times_max: int) -> None:
        if self.state is LinkState.DOWN or self._extensions >= times_max:
            return
        self._extensions += 1
        latest = now + self.patience_us
        wanted = max(self._down_at() + by_us, now + self.interval_us)
        self._extra_us += max(0, min(wanted, latest) - self._down_at())

    def loss_ppm(self, now: Instant) -> int:
        """The chance that a round trip is lost, from the newest heartbeats of both sides, in millionths."""
        out_ppm = self._beats.loss_ppm(now, 2 * self.interval_us + min(self.rtt.rto_us, RTO_US_MAX))
        in_ppm = self._heard.loss_ppm()
        return out_ppm + in_ppm - out_ppm * in_ppm // MILLION

    def next_wakeup(self) -> Instant | None:
        """When to call `tick`; None once the link is down."""
        if self.state is LinkState.DOWN:
            return None
        answered_at = self._answered_at
        wakes_at = answered_at + self.patience_us + self._extra_us
        if self._next_beat_at < wakes_at:
            wakes_at = self._next_beat_at
        if self.state is LinkState.UP and answered_at + self._overdue_us < wakes_at:
            return answered_at + self._overdue_us
        return wakes_at

    def _proved(self, now: Instant) -> list[Changed | Resumed]:
        steps: list[Changed | Resumed] = []
        since = self.silent_since
        lull_us = now - since - self.interval_us - self._late_us
        opened = self.state is LinkState.OPENING and not self._reopened
        expected_us = max(self._misses - 1, 1) * self.interval_us  # so much is lost on a path where nobody stands still
        if self.state is not LinkState.UP:
            steps += self._enter(LinkState.UP, "answered")
        if lull_us >= LEAST_US and lull_us > expected_us and not opened:
            self._lull.note(now, lull_us)
            steps.append(Resumed(since, lull_us, self.interval_us))
        self._answered_at = now
        self._silent_since = None
        self._extra_us = self._extensions = self._late_us = 0
        self._reopened = self._came_back = False
        self._lull_us = min(self._lull.us(now), LONE_LULL_US_MAX)
        if self._shared is not None:
            self._lull_us = max(self._lull_us, self._shared.us(now))
        self._reckon()
        return steps

    def _beat(self, now: Instant) -> Beat:
        seq = self._beats.sent(now)
        poll = self.state is not LinkState.UP or seq % POLL_EVERY == 0 or self._stretched
        heard = self._heard
        return Beat(seq, poll, heard.newest, now - heard.at if heard.newest else 0, heard.mask)

    def _overdue_at(self) -> Instant:
        return self._answered_at + self._overdue_us

    def _down_at(self) -> Instant:
        return self._answered_at + self.patience_us + self._extra_us

    def _spacing_us(self) -> int:
        interval_us = self.interval_us
        if self.state is LinkState.UP or self._reopened or self.rtt.strained:
            return interval_us
        slow = interval_us > self.usual_us and not self._stretched
        return interval_us // (HASTE >> (slow + (self._extensions > 0)))

    def _diagnosis(self, now: Instant) -> str:
        if self.state is LinkState.OPENING:
            return "no heartbeat was answered again" if self._reopened else "no heartbeat was ever answered"
        silent_ms = (now - self._answered_at) // 1_000
        if self.silent(now):
            return f"silent for {silent_ms} ms"
        return f"one way: heard, but not answered for {silent_ms} ms"

    def _enter(self, new: LinkState, reason: str) -> list[Changed]:
        old, self.state = self.state, new
        if old is new:
            return []
        assert old is not LinkState.DOWN, f"invalid transition [down -> {new.value}]"
        return [Changed(old, new, reason)]
