"""One member, and its state as a function of what is on record.

    unknown ──its own record──▶ alive ◀──higher incarnation── suspect ──our timer──▶ dead
                                  └──────anyone's accusation─────▶                     │
    left ◀── its own record says so          alive ◀── higher incarnation ────────────┘

The state follows from the newest records alone, plus our own verdict; the order in which they came does not matter.
An accusation counts against exactly the incarnation that it names: below, it is refuted; above, the record that it
speaks of has not come yet, or was never published (so nobody can be driven to exhaust the counter).

Precedence within one incarnation as in SWIM (DSN 2002, 4.2): alive < suspect < dead; left is the member's own word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from msgspec import Struct

from arqonmesh.core.events import MemberDescribed
from arqonmesh.core.kernel import Effect, Emit, Instant
from arqonmesh.core.membership.suspicion import Suspicion
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import NodeRecord

State = Literal["", "alive", "suspect", "dead", "left"]
Level = Literal["suspect", "dead"]

UNKNOWN: Final = ""
"""Admitted, but it has not spoken for itself yet: neither probed nor counted."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Our own accusation. A private one was reached while we had no link at all, hearsay on others' word alone:
    neither is told to anyone."""

    level: Level
    incarnation: int
    private: bool
    hearsay: bool

    @property
    def told(self) -> bool:
        return not (self.private or self.hearsay)


@dataclass(frozen=True, slots=True)
class MemberReport:
    """One member as this node sees it, for screens."""

    node: NodeId
    cluster: str
    role: str
    region: str
    state: str
    incarnation: int
    addresses: tuple[str, ...]
    software: str
    capabilities: tuple[str, ...]
    since: Instant
    accusers: tuple[NodeId, ...]


class Member(Struct, gc=False):
    """Never part of a circle, so the collector need not look at it: a node keeps one for each."""

    node: NodeId
    cluster: str
    role: str
    public_key: bytes
    record: NodeRecord | None = None
    accusers: dict[NodeId, tuple[int, str]] | None = None
    """What others' present records say of it: accuser to (incarnation, level). Of most nobody says anything."""
    verdict: Verdict | None = None
    state: State = UNKNOWN
    since: Instant = 0
    suspicion: Suspicion | None = None
    severed_since: Instant | None = None
    """Since when nobody has had a link to it, as far as we know; None while somebody has, or once it refuted."""
    losing_since: Instant | None = None
    """Since when more of its neighbours have lost their link to it than still have one; None while fewer have."""
    expelled: bool = False
    """Its admission does not count any more: it is treated as one that has left."""
    vain_probes: int = 0
    """Probes of ours in a row that failed while others had a link to it."""
    told_at: Instant = 0
    """When it was admitted, or its newest word came that it lives, or of its links."""
    heard_at: Instant | None = None
    """When it last answered us: over its own link, or under its signature."""

    @property
    def incarnation(self) -> int:
        return 0 if self.record is None else self.record.incarnation

    @property
    def probed(self) -> bool:
        return self.state in ("alive", "suspect")

    def accused_by(self, accuser: NodeId, said: tuple[int, str] | None) -> None:
        """What this member's present record says of it; None for nothing."""
        if said is not None:
            if self.accusers is None:
                self.accusers = {}
            self.accusers[accuser] = said
        elif self.accusers is not None:
            self.accusers.pop(accuser, None)
            if not self.accusers:
                self.accusers = None

    def standing_accusers(self) -> list[tuple[NodeId, str]]:
        """Others' accusations that name the present incarnation, as (accuser, level), sorted by accuser."""
        if self.accusers is None:
            return []
        present = self.incarnation
        return [(accuser, level) for accuser, (at, level) in sorted(self.accusers.items()) if at == present]

    def described(self) -> Effect:
        """What its record says of it, and the roster of its place."""
        record = self.record
        assert record is not None, f"{self.node} has not spoken yet"
        return Emit(
            MemberDescribed(self.node, self.cluster, self.role, record.region, record.addresses, record.software)
        )

    def report(self) -> MemberReport:
        record = self.record
        return MemberReport(
            node=self.node,
            cluster=self.cluster,
            role=self.role,
            region="" if record is None else record.region,
            state=self.state,
            incarnation=self.incarnation,
            addresses=() if record is None else record.addresses,
            software="" if record is None else record.software,
            capabilities=() if record is None else record.capabilities,
            since=self.since,
            accusers=tuple(accuser for accuser, _ in self.standing_accusers()),
        )

    def derive(self) -> State:
        """The state that the records and our verdict amount to."""
        if self.expelled:
            return "left"
        if self.record is None:
            return UNKNOWN
        if self.record.leaving:
            return "left"
        verdict = self.verdict
        if verdict is not None and verdict.incarnation == self.incarnation:
            return verdict.level
        return "suspect" if self.standing_accusers() else "alive"
