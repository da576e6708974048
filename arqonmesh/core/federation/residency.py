"""Residency: which members may have a channel's events at all, by the region that each of them tells of itself.

A pin names regions. It is asked at every link that an event would take, also inside of the cluster and on behalf of
others, and it travels with the section (batch.py), so that every hop asks it without having the rule. Of several pins,
one's own and the origin's, each has to allow the region.

A region is the word of the member itself, in its signed NODE record: nobody else can claim one for it, and nothing
proves that it is true, but an operator's rules may leave a region to the members of some clusters (claims.py). Who has
told none, an empty one, or one that is left to others, is in no region.

What a pin's patterns are held against:

    channel           its name inside, a tenant's with the tenant: `acme|plant:press`
    event to a room   `plant:*` is pinned when any channel that it may mean is
    private message   `$private`, a tenant's `acme|$private`: `acme|*` pins them, too
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from arqonmesh.config.model import ClaimRule, PinRule
from arqonmesh.core.bus.cluster.calls import PRIVATE
from arqonmesh.core.bus.tenants import SEPARATOR
from arqonmesh.core.events import CLUSTER_ONLY
from arqonmesh.core.federation.batch import PINS_MAX
from arqonmesh.core.federation.claims import NO_CLAIM, Claim, Claims
from arqonmesh.core.federation.patterns import CACHE_MAX, Ruling, covers, matches
from arqonmesh.ids import NodeId

HERE: Final = "@here"
"""In a rule: the region of this node."""
PRIVATE_NAME: Final = "$private"
ORIGIN_RULE_LENGTH_MAX: Final = 120
LEARNED_MAX: Final = 16_384
"""Channels of which the pins of others are remembered. Beyond it nothing is shared with members of other regions."""
MEMBERS_MAX: Final = 8_192
"""Regions remembered, those of members that told one; more members than this have none and get nothing pinned."""

Pins: TypeAlias = tuple[tuple[str, ...], ...]
"""Of each pin the patterns of its regions. A pin without any allows nobody."""


NOBODY: Final[Pins] = ((),)


class Pinned:
    """The pins of one channel or section, each with the ruling that names it."""

    __slots__ = ("_rulings", "pins")

    def __init__(self, rulings: Sequence[tuple[tuple[str, ...], Ruling]]) -> None:
        self._rulings = rulings
        self.pins: Pins = tuple(dict.fromkeys(regions for regions, _ in rulings))

    def refusal(self, region: str) -> Ruling | None:
        """The first pin that this region does not fit; "" fits none."""
        for regions, ruling in self._rulings:
            if not region or not any(matches(pattern, region) for pattern in regions):
                return ruling
        return None

    def with_origins(self, pins: Pins) -> Pinned:
        """And those that came with a section."""
        return Pinned((*self._rulings, *_rulings_of(pins)))


class Residency:
    """The pins of this node's rules, with what they mean for channels asked so far, and the regions of all members."""

    def __init__(self, here: str) -> None:
        self._here = here
        self._claims = Claims()
        self._regions: dict[NodeId, Claim] = {}
        self._rules: list[tuple[tuple[str, ...], tuple[str, ...], str]] = []
        self._cache: dict[str, Pinned | None] = {}
        self._learned: dict[str, Pins] = {}
        self._overflowed = False

    def adopt(self, rules: Iterable[tuple[str, PinRule]]) -> bool:
        """These pins from now on, each with the name that it has in the configuration. Whether any is new."""
        before = self._rules
        self._rules = [
            (rule.channels, tuple(sorted({self._here if r == HERE else r: None for r in rule.regions})), name)
            for name, rule in rules
        ]
        self._cache.clear()
        return any(rule not in before for rule in self._rules)

    @property
    def pins(self) -> bool:
        """Whether our own rules pin anything."""
        return bool(self._rules)

    def pinned(self, channel: str) -> Pinned | None:
        """What our own rules say of a channel, by its name inside; None: it may be anywhere."""
        if not self._rules:
            return None
        try:
            return self._cache[channel]
        except KeyError:
            pass
        name = _spoken_of(channel)
        rulings = [
            (regions, Ruling(False, f"{rule} {pattern} to {', '.join(regions)}"))
            for patterns, regions, rule in self._rules
            if (pattern := next((p for p in patterns if name and covers(p, name)), None)) is not None
        ]
        if len(self._cache) >= CACHE_MAX:
            self._cache.clear()
        pinned = self._cache[channel] = Pinned(rulings) if rulings else None
        return pinned

    def pinned_with(self, channel: str, pins: Pins) -> Pinned | None:
        """Our rules, and the pins that came with a section."""
        ours = self.pinned(channel)
        if not pins:
            return ours
        return origins(pins) if ours is None else ours.with_origins(pins)

    def load(self, channel: str, pins: Pins) -> None:
        """What `learn` said in an earlier life."""
        self._learned[channel] = pins

    def learn(self, channel: str, pins: Pins) -> Pins | None:
        """These pins came with events on this channel, which are in our history now. What is to be remembered of the
        channel over a restart, when that is news: all pins that ever came, as old events are kept."""
        known = self._learned.get(channel, ())
        more = tuple(pin for pin in pins if pin not in known)
        if not more:
            return None
        if not known and len(self._learned) >= LEARNED_MAX:
            self._overflowed = True
            return None
        learned = (*known, *more)
        if len(learned) > PINS_MAX:
            learned = NOBODY
        self._learned[channel] = learned
        return learned

    def shares(self, channel: str, node: NodeId) -> bool:
        """Whether what is kept of a channel may be handed to this member, as history."""
        pinned = self.pinned_with(channel, self._learned.get(channel, ()))
        if pinned is None:
            return not self._overflowed or self.region_of(node) == self._here != ""
        return pinned.refusal(self.region_of(node)) is None

    def adopt_claims(self, rules: Sequence[ClaimRule]) -> bool:
        """These rules from now on. Whether any member is in another region for that."""
        if not self._claims.adopt(rules):
            return False
        before = {node: claim.region for node, claim in self._regions.items()}
        for node, claim in self._regions.items():
            if claim is not NO_CLAIM:
                self._regions[node] = self._claims.judge(claim.cluster, claim.told, claim.doubt)
        return any(self._regions[node].region != region for node, region in before.items())

    def region_of(self, node: NodeId) -> str:
        """The one that counts; "" when it tells none, may not say what it says, or has not been heard."""
        return self._regions.get(node, NO_CLAIM).region

    def claim_of(self, node: NodeId) -> Claim:
        """What the member tells, and what is made of it."""
        return self._regions.get(node, NO_CLAIM)

    def knows(self, node: NodeId) -> bool:
        """Whether this member has told, even if none."""
        return node in self._regions

    def described(self, node: NodeId, region: str, cluster: str = "", doubt: str = "") -> bool:
        """A member's own record says so, and its admission names its cluster, which somebody vouches for unless there
        is a `doubt`. Whether another region counts now."""
        known = self._regions.get(node)
        if known is None and len(self._regions) >= MEMBERS_MAX:
            return False
        # most tell none: whatever the rules are, nothing comes of it, and one claim is enough for all of them
        claim = self._regions[node] = self._claims.judge(cluster, region, doubt) if region else NO_CLAIM
        return known is None or known.region != claim.region

    def forget(self, node: NodeId) -> None:
        self._regions.pop(node, None)


def origins(pins: Pins) -> Pinned:
    """The pins that came with a section."""
    return Pinned(_rulings_of(pins))


def _rulings_of(pins: Pins) -> list[tuple[tuple[str, ...], Ruling]]:
    return [(regions, Ruling(False, _shortened(f"the origin's pin to {', '.join(regions)}"))) for regions in pins]


def _spoken_of(channel: str) -> str:
    """How rules name it; "" what no rule is asked about: that a channel is deleted says its name and nothing in it."""
    if not channel.startswith(CLUSTER_ONLY):
        return channel
    call, _, tenant = channel.partition(SEPARATOR)
    if call != PRIVATE:
        return ""
    return f"{tenant}{SEPARATOR}{PRIVATE_NAME}" if tenant else PRIVATE_NAME


def _shortened(rule: str) -> str:
    return rule if len(rule) <= ORIGIN_RULE_LENGTH_MAX else rule[: ORIGIN_RULE_LENGTH_MAX - 3] + "..."
