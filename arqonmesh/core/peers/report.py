"""A peer as screens and commands tell it."""

from __future__ import annotations

from dataclasses import dataclass

from arqonmesh.core.kernel import Instant
from arqonmesh.core.peers.file import scores_after
from arqonmesh.core.peers.peer import Peer
from arqonmesh.core.peers.score import FULL_PPM
from arqonmesh.ids import NodeId


@dataclass(frozen=True, slots=True)
class CauseReport:
    at_ms: int
    delta_ppm: int
    cause: str
    evidence: bytes
    score_ppm: int = FULL_PPM
    """The score after it."""


@dataclass(frozen=True, slots=True)
class PeerReport:
    """A peer as `arqon peer show` tells it; the score as of the asking, decay included."""

    node: NodeId
    cluster: str
    role: str
    region: str
    addresses: tuple[str, ...]
    score_ppm: int
    ignored: bool
    standing: str
    latency_us: int | None
    first_seen_ms: int
    last_seen_ms: int
    deliveries: int
    causes: tuple[CauseReport, ...]
    """Newest last."""
    inviter: NodeId | None = None
    probation: bool = False
    """Held to a tenth of the rate."""
    preferred: bool = False
    guess_us: int | None = None
    """The round trip by coordinates, for one that was never measured."""
    rtt_min_us: int | None = None
    rtt_variance_us: int | None = None
    loss_ppm: int | None = None


def causes_of(peer: Peer, half_life_us: int) -> tuple[CauseReport, ...]:
    """The changes of its score that are kept, each with what it came to."""
    after = scores_after(peer.changes, half_life_us)
    return tuple(
        CauseReport(c.at_ms, c.delta_ppm, c.cause, c.evidence, score_ppm)
        for c, score_ppm in zip(peer.changes, after, strict=True)
    )


def report_of(
    peer: Peer,
    now: Instant,
    wall_ms: int,
    *,
    causes: tuple[CauseReport, ...],
    probation: bool,
    preferred: bool,
    guess_us: int | None,
) -> PeerReport:
    """All of it."""
    return PeerReport(
        node=peer.node,
        cluster=peer.cluster,
        role=peer.role,
        region=peer.region,
        addresses=peer.addresses,
        score_ppm=peer.score_ppm(now),
        ignored=peer.ignored,
        standing=peer.standing(wall_ms),
        latency_us=peer.latency_us,
        first_seen_ms=peer.first_seen_ms,
        last_seen_ms=peer.last_seen_ms,
        deliveries=peer.deliveries,
        causes=causes,
        inviter=peer.inviter,
        probation=probation,
        preferred=preferred,
        guess_us=guess_us,
        rtt_min_us=None if peer.rtt is None else peer.rtt.min_us,
        rtt_variance_us=None if peer.rtt is None else peer.rtt.variance_us,
        loss_ppm=None if peer.rtt is None else peer.rtt.loss_ppm,
    )
