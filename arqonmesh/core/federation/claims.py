"""Whose word counts for a region: a member tells its own, and an operator may leave a region to some clusters.

A member names its cluster when it joins. So a rule believes only members whose cluster is vouched for: who came in by
a ticket of the founder, or of a member of that cluster that is itself vouched for (admission/vouching.py). Under the
join policies `open` and `key` a member without a ticket is in no region that a rule names, and neither is who was
invited into the cluster by a hub of another one. Trusted are the founder, and every hub and leader of the clusters in
the rule: to hand tickets to machines in the region only. A region that no rule names can be told by anybody.
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
    doubt: str = ""
    """Why its cluster is not to be relied on, in words; "" when it is vouched for."""
    trusted: bool = False
    """Whether `rule` names its cluster."""

    @property
    def origin(self) -> str:
        """In words, for screens."""
        if not self.told:
            return "it tells no region"
        if not self.rule:
            return "its region is its own word"
        if self.region:
            return f"its region is its own word, and {self.rule} lets its cluster say so"
        if self.trusted:
            return f"{self._says} its own cluster, but {self.doubt}: it is in no region"
        return f"{self._says} other clusters: it is in no region"

    @property
    def _says(self) -> str:
        return f"it says that it is in {self.told}, which {self.rule} leaves to"


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

    def judge(self, cluster: str, told: str, doubt: str = "") -> Claim:
        """What counts of what a member of this cluster tells, if nothing speaks against that it is of this cluster. Of
        several rules that name the region one is enough."""
        named = ""
        for index, rule in enumerate(self._rules):
            if told and any(matches(pattern, told) for pattern in rule.regions):
                named = f"federation.claim[{index}]"
                if cluster in rule.clusters:
                    return Claim(told, cluster, "" if doubt else told, named, doubt, trusted=True)
        return Claim(told, cluster, "" if named else told, named, doubt)
