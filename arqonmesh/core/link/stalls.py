"""Who stood still of late: somebody, or the machines?

One peer that is silent for a moment and goes on may be ill, or lie. So may our network be, or we ourselves, and then
all peers are silent at once. Only where enough stood still apart in time is it the machines, and everyone is given more
time (core/lull.py). Hence

    ourselves        the time in which we did not listen is not part of a peer's silence (liveness.py)
    one event        silences that began or ended together have one cause: none of their nodes confirms another, then
                     or the next time
    enough sources   so many peers as stood still apart in time count for half as much again as the shortest of their
                     silences, and for their share of a second and a half: all of it for a fifth of our links (two at
                     least), nothing for one. Whoever pretends to stand still needs so many others who do, for about as
                     long; a party with two of 64 links gets nothing by it
    our own          of ours and a peer's our own counts, which nobody can pretend
    never more       than a second and a half

Nodes of one machine that is short of processor time stand still at different moments, each when it is not its turn.
Where only a few of many do, they are short of it and not all of us: their own links bear half a second (liveness.py),
and how soon the death of others is known does not depend on them.
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
SOURCES_MIN: Final = 2
SOURCES_SHARE: Final = 5
"""Where one link in so many stands still, all are given all the time that there is."""
EACH_MAX: Final = 4
"""So many silences of one node are remembered, the newest: nobody pushes out what others say."""
NODES_MAX: Final = 256
"""Of so many nodes, twice as many as have links that are told to anyone; the one heard of longest ago goes first."""


def sources_wanted(links: int) -> int:
    """How many peers that stand still, each by itself, are believed whatever they say; of `links` in all."""
    return max(SOURCES_MIN, -(-links // SOURCES_SHARE))


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
    """Feeds `lull`, which all links share, with what enough sources confirm."""

    def __init__(self, me: NodeId, lull: Lull) -> None:
        self._me = me
        self._lull = lull
        self._silences: dict[NodeId, deque[_Silence]] = {}
        """By node, whoever ended one last at the end."""

    def ours(self, now: Instant, by_us: int) -> int:
        """We did not listen for `by_us`. How long the machines stand still, if that is longer than before; or 0."""
        return self._note(_Silence(self._me, now - by_us, now, 0, by_us, {}), SOURCES_MIN)

    def theirs(self, now: Instant, peer: NodeId, silence: Resumed, company: dict[NodeId, None], links: int) -> int:
        """A peer answers again, one of `links`; none of `company` has answered since about when it did last. The same
        figure."""
        noted = _Silence(peer, silence.since, now, silence.interval_us, silence.after_us, company)
        return self._note(noted, sources_wanted(links))

    def _note(self, silence: _Silence, wanted: int) -> int:
        if silence.us < LEAST_US:
            return 0
        now = silence.ended
        confirmed_us = self._confirmed_us(silence, self._apart(silence), wanted)
        self._remember(silence)
        before_us = self._lull.us(now)
        self._lull.note(now, min(confirmed_us, LULL_PATIENCE_US_MAX))
        after_us = self._lull.us(now)
        return after_us if after_us > before_us else 0

    def _apart(self, silence: _Silence) -> dict[NodeId, int]:
        """Who else stood still of late, apart from this one, and for how long at most. Also notes its company."""
        node, company = silence.node, silence.company
        recent = [
            other
            for author, others in self._silences.items()
            if author != node
            for other in others
            if silence.ended - other.ended <= HALF_LIFE_US
        ]
        for other in recent:
            if silence.is_with(other):
                company[other.node] = other.company[node] = None
        longest: dict[NodeId, int] = {}
        for other in recent:
            if other.node not in company and node not in other.company:
                longest[other.node] = max(other.us, longest.get(other.node, 0))
        return longest

    def _confirmed_us(self, one: _Silence, apart: dict[NodeId, int], wanted: int) -> int:
        if one.node == self._me:
            return one.us if apart else 0
        believed_us = apart.pop(self._me, 0)
        others_us = sorted(apart.values(), reverse=True)[: wanted - 1]
        for number, other_us in enumerate(others_us, 1):
            share_us = LULL_PATIENCE_US_MAX * number // (wanted - 1)
            least_us, most_us = min(one.us, other_us), max(one.us, others_us[0])
            confirmed_us = min(most_us, least_us * CONFIRMED_SHARE[0] // CONFIRMED_SHARE[1], share_us)
            believed_us = max(believed_us, confirmed_us)
        return believed_us

    def _remember(self, silence: _Silence) -> None:
        of_node = self._silences.pop(silence.node, None)
        if of_node is None:
            of_node = deque(maxlen=EACH_MAX)
            if len(self._silences) >= NODES_MAX:
                del self._silences[next(iter(self._silences))]
        of_node.append(silence)
        self._silences[silence.node] = of_node
