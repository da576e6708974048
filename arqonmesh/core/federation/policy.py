"""All rules of one node's border together: its own, those of its compliance packs, and what they say of a channel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from arqonmesh.config.model import AggregateRule, FederationSettings
from arqonmesh.config.packs import packs_of
from arqonmesh.core.bus.tenants import inside, tenant_of
from arqonmesh.core.events import CLUSTER_ONLY
from arqonmesh.core.federation.patterns import CACHE_MAX, DEFAULT_DENY, RuleSet, Ruling, covers
from arqonmesh.core.federation.residency import Residency

SAME_CLUSTER: Final = Ruling(True, "same cluster")


class Summed(NamedTuple):
    """What becomes of a channel of which only aggregates leave."""

    rule: AggregateRule
    name: str
    """The rule as it stands in arqon.yaml."""
    to: str
    """The channel, named inside, on which its aggregates leave."""


class Explained(NamedTuple):
    """A ruling, and its reason in words."""

    allowed: bool
    rule: str
    reason: str


class PolicyRule(NamedTuple):
    """One rule, for screens. `kind`: pin, aggregate, or deny for the denials of a pack."""

    name: str
    kind: str
    channels: tuple[str, ...]
    regions: tuple[str, ...] = ()
    every_s: int = 0
    to: str = ""


class Policy:
    """Changed as a whole by `adopt`. What it says of a channel is cached: an answer given before is one lookup."""

    def __init__(self, region: str, settings: FederationSettings) -> None:
        self.residency = Residency(region)
        self.adopt(settings)

    def adopt(self, settings: FederationSettings) -> bool:
        """Other rules from now on. Whether some member may have less than before: there are pins among them that were
        not there, or another region counts for it."""
        packs = packs_of(settings.packs)
        self._pins = [(f"pin[{i}]", rule) for i, rule in enumerate(settings.pin)]
        self._aggregates = [(f"aggregate[{i}]", rule) for i, rule in enumerate(settings.aggregate)]
        self._denials: list[tuple[str, str]] = []
        for pack in packs:
            self._pins += [(f"{pack.name}.pin[{i}]", rule) for i, rule in enumerate(pack.pin)]
            self._aggregates += [(f"{pack.name}.aggregate[{i}]", rule) for i, rule in enumerate(pack.aggregate)]
            self._denials += [(f"{pack.name}.deny[{i}]", pattern) for i, pattern in enumerate(pack.deny)]
        kept_in = [
            (pattern, Ruling(False, f"{name} {pattern}"))
            for name, rule in self._aggregates
            for pattern in rule.channels
        ]
        denied = [(pattern, Ruling(False, f"{name} {pattern}")) for name, pattern in self._denials]
        self._raw = RuleSet("export", settings.export, denied=(*denied, *kept_in))
        self._summaries = RuleSet("export", settings.export, denied=denied)
        self._imports = RuleSet("import", settings.import_)
        self._summed: dict[str, Summed | None] = {}
        moved = self.residency.adopt_claims(settings.claim)
        return self.residency.adopt(self._pins) or moved

    def leaving(self, channel: str, *, aggregate: bool = False) -> Ruling:
        """Whether events, or aggregates, on this channel may leave for other clusters; pins are asked apart."""
        return (self._summaries if aggregate else self._raw).ruling(channel)

    @property
    def sums(self) -> bool:
        """Whether there is any aggregate rule."""
        return bool(self._aggregates)

    def entering(self, channel: str) -> Ruling:
        """Whether events on this channel are taken from other clusters."""
        return self._imports.ruling(channel)

    def summed(self, channel: str) -> Summed | None:
        """The first aggregate rule of a channel, when its aggregates may leave."""
        if not self._aggregates:
            return None
        try:
            return self._summed[channel]
        except KeyError:
            pass
        if len(self._summed) >= CACHE_MAX:
            self._summed.clear()
        found = self._summed[channel] = self._summing(channel)
        return found

    def verdict(self, channel: str, *, inside: bool, region: str, origin: str = "") -> Explained:
        """Whether events on this channel may go to a member of this region, of our cluster or not, and why.

        `origin`: on whose word it is in that region, or in none.
        """
        leaving = SAME_CLUSTER if inside else self.leaving(channel)
        if not leaving.allowed:
            return Explained(False, leaving.rule, self._why_kept(channel, leaving))
        pinned = self.residency.pinned(channel)
        refusal = None if pinned is None else pinned.refusal(region)
        if refusal is not None:
            tells = f"its region is {region}" if region else origin or "it tells no region"
            return Explained(
                False, refusal.rule, _with(f"the channel is pinned, and {tells}", origin if region else "")
            )
        if pinned is not None:
            words = f"its region, {region}, is one that the channel is pinned to"
            return Explained(True, leaving.rule, _with(words, origin))
        return Explained(True, leaving.rule, "in one cluster everything is shared" if inside else "a rule lets it out")

    def rules(self) -> Iterator[PolicyRule]:
        """Pins, aggregates and the denials of packs, as they hold."""
        for name, pin in self._pins:
            yield PolicyRule(name, "pin", pin.channels, pin.regions)
        for name, rule in self._aggregates:
            yield PolicyRule(name, "aggregate", rule.channels, every_s=rule.every_s, to=rule.to)
        for name, pattern in self._denials:
            yield PolicyRule(name, "deny", (pattern,))

    def _why_kept(self, channel: str, ruling: Ruling) -> str:
        summed = self.summed(channel)
        if summed is not None and ruling.rule == summed.name:
            return f"its events stay; an aggregate leaves every {summed.rule.every_s} s on {summed.to}"
        if ruling is DEFAULT_DENY:
            return "no rule lets it out"
        if any(ruling.rule.startswith(name) for name, _ in self._aggregates):
            return "its events stay, and no rule lets its aggregates out"
        return "a rule keeps it in"

    def _summing(self, channel: str) -> Summed | None:
        if channel.startswith(CLUSTER_ONLY):
            return None
        for name, rule in self._aggregates:
            for pattern in rule.channels:
                if covers(pattern, channel):
                    to = inside(tenant_of(channel), rule.to) if rule.to else channel
                    return Summed(rule, f"{name} {pattern}", to) if self.leaving(to, aggregate=True).allowed else None
        return None


def _with(reason: str, origin: str) -> str:
    return f"{reason}; {origin}" if origin else reason
