"""Who leads a region: a function of its members' records, and of nothing else.

    1. Who claims a seat keeps it: members whose own newest summary of the region lists themselves, later terms first.
       A claim is what a leader that was dead for a while still holds, and a later term is what replaced it.
    2. Free seats go to the best of the others: alive before suspect, then by role, then by rendezvous hashing
       (Thaler and Ravishankar 1998), which moves nobody else's seat when a member comes or goes.

Nobody who is dead, or has left, or tells another region, has a seat. Nodes with the same records name the same leaders,
whatever they saw before; what makes leaders stay is on record too, as claims.

A claim is its author's word. One whose term leaps (`LEAP_MAX` above all lower ones on record) does not count, so nobody
uses up the terms of all and sits above every later claim; a member that claims again and again just above the others
still takes a seat that is not its due. So a seat gives no rights. What crosses between regions is signed by those who
said it, a summary names who counts so, and the links that a leader wants come on top of those that others want.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, insort
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, TypeAlias

from arqonmesh.ids import NodeId

DOMAIN: Final = b"arqonmesh/v1/region-leader\x00"
TIERS: Final[Mapping[str, int]] = {"leader": 0, "hub": 1}
"""Roles in order of preference; every other role comes after."""
STANDING: Final[Mapping[str, int]] = {"alive": 0, "suspect": 1}
"""States that may have a seat, in order of preference."""
LEAP_MAX: Final = 1 << 20
"""Terms rise by one per claim, and a claim takes seconds: no honest one is so far above the next lower, nor above 0."""

Rank: TypeAlias = tuple[int, int]
"""(tier of the role, rendezvous hash): lower is better."""
_Place: TypeAlias = tuple[int, int, int, NodeId]


@lru_cache(maxsize=8_192)
def rank_of(region: str, node: NodeId, role: str) -> Rank:
    """A member's rank among those of its region; it never changes while both stay."""
    digest = hashlib.sha256(DOMAIN + region.encode() + b"\x00" + node.encode()).digest()
    return TIERS.get(role, len(TIERS)), int.from_bytes(digest[:8], "big")


class Region:
    """The members of one region that may lead it, best first, and their claims. Costs O(log n) per change."""

    __slots__ = ("_claims", "_order", "_places", "leaders", "residents")

    def __init__(self) -> None:
        self._order: list[_Place] = []
        self._places: dict[NodeId, _Place] = {}
        self._claims: dict[NodeId, int] = {}
        self.leaders: tuple[NodeId, ...] = ()
        """As last told; kept here by whoever compares."""
        self.residents = 0
        """Members that tell this region, the dead too; kept here by whoever counts."""

    def __len__(self) -> int:
        return len(self._order)

    def stand(self, node: NodeId, rank: Rank, state: str) -> None:
        """The member is here, in this state; one that is not standing loses its place and keeps its claim."""
        self._leave(node)
        standing = STANDING.get(state)
        if standing is not None:
            place = self._places[node] = (standing, *rank, node)
            insort(self._order, place)

    def forget(self, node: NodeId) -> None:
        """The member is not of this region any more."""
        self._leave(node)
        self._claims.pop(node, None)

    def claim(self, node: NodeId, term: int | None) -> None:
        """The member claims a seat since this term; None: it does not."""
        if term is None:
            self._claims.pop(node, None)
        else:
            self._claims[node] = term

    def claims(self, node: NodeId) -> bool:
        return node in self._claims

    @property
    def term(self) -> int:
        """The highest term claimed here that counts, by the dead too."""
        highest = 0
        for term in sorted(self._claims.values()):
            if term > highest + LEAP_MAX:
                break
            highest = term
        return highest

    def seated(self, seats: int) -> tuple[NodeId, ...]:
        """Who leads, best rank first; everyone who stands when there are no more than `seats`."""
        if not self._claims:
            return tuple(place[3] for place in sorted(self._order[:seats], key=_by_rank))
        highest = self.term
        claimants = [
            (-term, *self._places[node][1:])
            for node, term in self._claims.items()
            if term <= highest and node in self._places
        ]
        chosen = [self._places[place[-1]] for place in sorted(claimants)[:seats]]
        taken = {place[3]: None for place in chosen}
        for place in self._order:
            if len(chosen) >= seats:
                break
            if place[3] not in taken:
                chosen.append(place)
        return tuple(place[3] for place in sorted(chosen, key=_by_rank))

    def best(self, seats: int) -> tuple[NodeId, ...]:
        """Who would lead if nobody had claimed anything and only the living counted."""
        return tuple(place[3] for place in self._order[:seats] if place[0] == 0)

    def _leave(self, node: NodeId) -> None:
        place = self._places.pop(node, None)
        if place is not None:
            del self._order[bisect_left(self._order, place)]


def _by_rank(place: _Place) -> tuple[int, int, NodeId]:
    return place[1:]
