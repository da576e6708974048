"""Whose word counts for a region: a member tells its own, and an operator may leave a region to some clusters.

A member's cluster is in its admission, on the offer of a ticket (or of the founder): nobody can say another one of
itself. So a region that a rule leaves to clusters is as sure as the tickets into these clusters are well kept. A region
that no rule names can be told by anybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from arqonmesh.config.model import ClaimRule
from arqonmesh.core.federation.patterns import matches


class Claim(NamedTuple):
    """What a member tells, and what is made of it."""

    told: str
    """As in its record; "" when it tells none."""
    cluster: str
    region: str
    """The one that counts: `told`, or "" when a rule leaves that to other clusters."""
    rule: str
    """`federation.claim[0]`; "" when none names the region."""

    @property
    def origin(self) -> str:
        """In words, for screens."""
        if not self.told:
            return "it tells no region"
        if not self.rule:
            return "its region is its own word"
        if self.region:
            return f"its region is its own word, and {self.rule} lets its cluster say so"
        return f"it says that it is in {self.told}, which {self.rule} leaves to other clusters: it is in no region"


NO_CLAIM = Claim("", "", "", "")


class Claims:
    """The rules of this node."""

    def __init__(self) -> None:
        self._rules: Sequence[ClaimRule] = ()

    def adopt(self, rules: Sequence[ClaimRule]) -> bool:
        """These from now on. Whether they are others than before."""
        changed = tuple(rules) != tuple(self._rules)
        self._rules = rules
        return changed

    def judge(self, cluster: str, told: str) -> Claim:
        """What counts of what a member of this cluster tells. Of several rules that name the region one is enough."""
        named = ""
        for index, rule in enumerate(self._rules):
            if told and any(matches(pattern, told) for pattern in rule.regions):
                named = f"federation.claim[{index}]"
                if cluster in rule.clusters:
                    return Claim(told, cluster, told, named)
        return Claim(told, cluster, "" if named else told, named)
