"""How long may this suspect still take? What lost links and others' verdicts say of it (suspicion.py keeps the time).

Two things shorten a suspicion below the usual time, and neither does while anybody who may vouch has a link to the
suspect, or while we have no link at all:

    severed    all who had a link to it say that they lost it, we too:    link_evidence_ms from then on;
               all but others who are severed with it:                    twice that
    witnessed  all did, and enough of them say `dead`:                    a sixteenth of that, from then on
    judged     enough members say `dead` of its present incarnation:      a quarter of that, from then on

*Severed* counts from when we saw most of its neighbours lose it, not from when the last of them did or the first
accusation of it reached us: on a busy machine that takes a while, and the suspect was out of reach all along. Half of
the time is always left, though: records come in any order. Local health adds half at the most. Its full scale is for
probes, whose silence may be our own fault; that others signed the loss of their links is not, and a node in trouble
would be the last to know by seconds.

How long a silence may be and end well is not the same everywhere. Where enough stood still apart in time and went on,
as processes do that get no processor (StoodStill; link/stalls.py says who are enough), we give a severed member more
than twice as long, by more the longer that took: where a third of a second is common a second is rare, and where half
a second is common three seconds happen. Five seconds at most (core/lull.py). Whoever is suspected already is given as
much: the first long pauses come before there is anything to learn from. A single member that stands still while the
others are well is given nothing of this, however often it does, not even by itself having done so before: its own
links bear half a second, and whoever then says nothing for another second is held dead until it runs again. That is
what it is to others, its next incarnation undoes it, and else each of its pauses would make its real death slower.

Who lost a link itself may know little all the same: a spoke with four links has hardly ever seen anybody stand still
when its hub does, and the other hubs, with sixty, have. While two of those who lost theirs have more than twice as many
links as we, and most of these do not hold it dead, we take three times as long. How many links somebody has is what
others say, and the time has an end: should they lie, or die, too, it is three seconds and not one.

*Witnessed* is for those who had no link to it. They saw nothing themselves, neither how long it was silent nor how
often it had been before, so they wait for those who did: for all who lost their link when it was severed, or for as
many of them as judges are wanted. Of two or more, one alone is never enough, for that one may lie: its word would end
the patience of everyone for whom the honest others still wait. Where four are wanted the fourth may be slow, or silent
on purpose: three are enough for who lost a link itself, and for all others once a quarter of the time has passed. None
of it matters to a member with one living honest link, which is not severed. Should all of those die, too, the usual
time is left.

*Judged* is for whoever lags behind: cut off for a moment, or waiting for one late record. Each of those who say `dead`
waited for itself. How many are enough? More than may lie (f of n = 3f + 1), and at least two; but four at most, since
no more than four need to accuse (members.py). Four liars among many achieve nothing by that alone: a single honest
neighbour of their victim vouches for it. And what they achieve against one without honest neighbours, its next
incarnation undoes.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.config.model import MembershipSettings
from arqonmesh.core.kernel import MILLISECOND, SECOND, Instant
from arqonmesh.core.lull import Lull
from arqonmesh.core.membership.awareness import Awareness
from arqonmesh.core.membership.census import Census
from arqonmesh.core.membership.evidence import Evidence
from arqonmesh.core.membership.islands import Island
from arqonmesh.core.membership.member import Member
from arqonmesh.ids import NodeId

ACCUSERS_ENOUGH: Final = 4
"""So many accusers of one member are told to the mesh; the others would only say the same again."""
HEALTH_SHARE: Final = 2
"""Bad local health, however bad, stretches what link records shortened by half."""
TOGETHER_SHARE: Final = 2
"""Losses that lie no further apart than so often `link_evidence_ms` are one event."""
LULL_SHARE: Final = 2
"""Where everyone stands still now and then, a severed member has so many times as long,"""
LULL_STEP_US: Final = 200 * MILLISECOND
"""and once more for each of these: where half a second is common, three seconds happen."""
LULL_PATIENCE_US_MAX: Final = 5 * SECOND
ISLAND_SHARE: Final = 2
"""Where members are severed together they may be a side of a cut, which is given twice the time to heal."""
FOLLOWER_SHARE: Final = 3
"""Who lost a link to it waits so many times as long while most of those who know much more do not hold it dead."""
WITNESSED_SHARE: Final = 16
"""Where the suspect's own neighbours hold it dead, it is left `link_evidence_ms` divided by this."""
JUDGED_SHARE: Final = 4
"""A judged suspect is left `link_evidence_ms` divided by this: for a record that is on its way."""


def judges_wanted(members: int) -> int:
    """How many members that say `dead` are enough, of `members` in all."""
    return max(2, min(ACCUSERS_ENOUGH, (members - 1) // 3 + 1))


class Timing:
    """`of`, the table of members, and their census belong to Members."""

    def __init__(
        self,
        of: dict[NodeId, Member],
        census: Census,
        settings: MembershipSettings,
        awareness: Awareness,
        evidence: Evidence,
        lull: Lull,
    ) -> None:
        self._of = of
        self._census = census
        self._short_us = settings.link_evidence_ms * MILLISECOND
        self._judged = settings.lifeguard.suspicion
        self._awareness = awareness
        self._evidence = evidence
        self._lull = lull

    def severed(self, now: Instant, member: Member) -> Island:
        """With whom it is severed, itself included; nobody when it is not. Never in the eyes of a node that has no link
        at all, or where several are half of those who may be alive: it is more likely the one that is cut off."""
        island: Island = {}
        if self.may_shorten:
            island = self._evidence.island(member.node, len(self._of) // 2)
            if len(island) > 1 and 2 * len(island) >= len(self._evidence.vouching):
                island = {}
        if not island:
            member.severed_since = None
        elif member.severed_since is None:
            losing_since = member.losing_since
            together = losing_since is not None and now - losing_since <= TOGETHER_SHARE * self._short_us
            member.severed_since = losing_since if together else now
        return island

    def count_losses(self, now: Instant, member: Member) -> None:
        """Somebody gained or lost a link to it."""
        if not self.may_shorten or not self._evidence.losing(member.node):
            member.losing_since = None
        elif member.losing_since is None:
            member.losing_since = now

    def reckon(self, now: Instant, member: Member) -> None:
        """Something happened that may shorten its suspicion, or lengthen it again."""
        suspicion = member.suspicion
        assert suspicion is not None
        severed = self.severed(now, member)
        # once it is so, that is kept: the patience which follows may be longer than a loss stays fresh
        if severed and (suspicion.is_severed or self._evidence.lost_by_us(now, member.node)):
            assert member.severed_since is not None
            health_us = self._short_us // HEALTH_SHARE if self._awareness.score else 0
            short_us = max(self._short_us + health_us, self._patience_us(now))
            short_us *= ISLAND_SHARE if len(severed) > 1 else 1
            suspicion.sever(max(member.severed_since, now - short_us // 2), short_us)
            suspicion.follow(FOLLOWER_SHARE if self._waits_for_others(member) else 1)
        else:
            suspicion.mend()
        share = self._witnessed_share(now, member) if severed else 0
        if share:
            suspicion.judge(now, self._patience_us(now) // share)
        elif self._is_judged(member):
            suspicion.judge(now, self._patience_us(now) // JUDGED_SHARE)
        else:
            suspicion.reopen()

    def reached_by_others(self, member: Member) -> bool:
        """Whether our probes of it go through others, and a living one of them lists a link to it; never where link
        records are not asked."""
        return self.may_shorten and self._evidence.reached_by_others(member.node)

    def _patience_us(self, now: Instant) -> int:
        """How long a severed member has, by what was seen to end well of late."""
        lull_us = self._lull.us(now)
        patience_us = lull_us * LULL_SHARE + lull_us * lull_us // LULL_STEP_US
        return max(self._short_us, min(patience_us, LULL_PATIENCE_US_MAX))

    @property
    def may_shorten(self) -> bool:
        """Whether others' link records say anything to us: not while we have no link ourselves."""
        return bool(self._short_us and self._evidence.links)

    def _waits_for_others(self, member: Member) -> bool:
        """Whether we lost a link to it, but know much less than others who did, and most of these do not hold it dead:
        four of them at most, who tell everyone."""
        assert member.severed_since is not None
        much = self._evidence.who_know_more(member.severed_since, member.node)
        present, said = member.incarnation, member.accusers or {}
        dead = sum(1 for author in much if said.get(author) == (present, "dead"))
        return bool(much) and dead <= min(len(much), ACCUSERS_ENOUGH) // 2

    def _witnessed_share(self, now: Instant, member: Member) -> int:
        """What part of the short time is left, since enough of those who lost a link to it when it was severed hold it
        dead; 0 when they do not. Enough are all of them, or more than may lie; of four that are wanted, three for who
        lost a link itself and would be the fourth, and after a while for all."""
        assert member.severed_since is not None
        witnesses = self._evidence.witnesses(member.severed_since, member.node)
        present, said = member.incarnation, member.accusers or {}
        losers = [author for author in witnesses if author in self._evidence.vouching]
        dead = sum(1 for author in losers if said.get(author) == (present, "dead"))
        wanted = min(judges_wanted(len(self._of)), len(losers))
        if dead > 0 and dead >= wanted:
            return WITNESSED_SHARE
        if dead < ACCUSERS_ENOUGH - 1:
            return 0
        return WITNESSED_SHARE if self._evidence.lost_by_us(now, member.node) else JUDGED_SHARE

    def _is_judged(self, member: Member) -> bool:
        if not self._judged or not self.may_shorten:
            return False
        vouching = self._evidence.vouching
        judges = sum(1 for accuser, level in member.standing_accusers() if level == "dead" and accuser in vouching)
        if judges < 2 or self._evidence.vouched_for(member.node):
            return False
        return judges >= judges_wanted(self._census.known)
