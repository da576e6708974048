"""Who stood still of late: somebody, or the machines?

One peer that is silent for a moment and goes on may be ill, or lie. So may our network be, or we ourselves, and then
all peers are silent at once. Only where two stood still apart in time is it the machines, and everyone is given more
time (core/lull.py). Hence

    ourselves        the time in which we did not listen is not part of a peer's silence (liveness.py)
    one event        silences that began or ended together have one cause: none of their nodes confirms another, then
                     or the next time
    two sources      of two peers' silences the longer one counts, but for no more than half as much again as the
                     shorter one; of ours and a peer's our own, which nobody can pretend; and never more than a second
                     and a half. Who pretends to stand still needs a second one who does, for about as long

Nodes of one machine that is short of processor time stand still at different moments, each when it is not its turn.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from arqonmesh.core.kernel import Instant
from arqonmesh.core.link.liveness import LULL_PATIENCE_US_MAX, Resumed
from arqonmesh.core.lull import HALF_LIFE_US, LEAST_US, Lull
from arqonmesh.ids import NodeId

CONFIRMED_SHARE: Final = (3, 2)
"""A silence counts for so many times another's: how long one waits for a processor differs from turn to turn."""
SILENCES_MAX: Final = 32
"""So many are remembered, the newest; on a machine on which everyone stands still, that is some seconds."""


@dataclass(frozen=True, slots=True)
class _Silence:
    node: NodeId
    began: Instant
    ended: Instant
    slack_us: int
    """Both are known as exactly as heartbeats are frequent."""
    us: int
    company: dict[NodeId, None]
    """Who else was silent with it."""

    def is_with(self, other: _Silence) -> bool:
        slack_us = max(self.slack_us, other.slack_us)
        return abs(self.began - other.began) <= slack_us or abs(self.ended - other.ended) <= slack_us


class Stalls:
    """Feeds `lull`, which all links share, with what two sources confirm."""

    def __init__(self, me: NodeId, lull: Lull) -> None:
        self._me = me
        self._lull = lull
        self._silences: deque[_Silence] = deque(maxlen=SILENCES_MAX)

    def ours(self, now: Instant, by_us: int) -> int:
        """We did not listen for `by_us`. How long the machines stand still, if that is longer than before; or 0."""
        return self._note(_Silence(self._me, now - by_us, now, 0, by_us, {}))

    def theirs(self, now: Instant, peer: NodeId, silence: Resumed, company: dict[NodeId, None]) -> int:
        """A peer answers again; none of `company` has answered since about when it did last. The same figure."""
        return self._note(_Silence(peer, silence.since, now, silence.interval_us, silence.after_us, company))

    def _note(self, silence: _Silence) -> int:
        if silence.us < LEAST_US:
            return 0
        now, node, company = silence.ended, silence.node, silence.company
        recent = [other for other in self._silences if other.node != node and now - other.ended <= HALF_LIFE_US]
        for other in recent:
            if silence.is_with(other):
                company[other.node] = other.company[node] = None
        others = [other for other in recent if other.node not in company and node not in other.company]
        confirmed_us = max((self._confirmed_us(silence, other) for other in others), default=0)
        self._silences.append(silence)
        before_us = self._lull.us(now)
        self._lull.note(now, min(confirmed_us, LULL_PATIENCE_US_MAX))
        after_us = self._lull.us(now)
        return after_us if after_us > before_us else 0

    def _confirmed_us(self, one: _Silence, other: _Silence) -> int:
        if one.node == self._me:
            return one.us
        if other.node == self._me:
            return other.us
        shorter_us, longer_us = sorted((one.us, other.us))
        return min(longer_us, shorter_us * CONFIRMED_SHARE[0] // CONFIRMED_SHARE[1])
