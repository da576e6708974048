"""Preferred peers: chosen by the strategy of the configuration, anew every 100 rounds of gossip.

Who there is gets clustered first, by region where members tell one and else by bands of latency, for people to read;
the gain compares the mean round trip to the chosen with that to everyone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from arqonmesh.core.events import Rebalanced
from arqonmesh.core.kernel import MILLISECOND, Instant
from arqonmesh.core.peers.pool import Pool
from arqonmesh.core.peers.strategies import Strategy
from arqonmesh.ids import NodeId

MILLION: Final = 1_000_000
CLUSTERS_MAX: Final = 32
BAND_FACTOR: Final = 2
BAND_US: Final = 2 * MILLISECOND
"""A new band of latency begins where a round trip is more than twice the one before, and by more than this."""


@dataclass(frozen=True, slots=True)
class Preference:
    """The outcome of the newest choice."""

    chosen: tuple[NodeId, ...] = ()
    clusters: tuple[tuple[str, int, int], ...] = ()
    gain_ppm: int = 0
    at: Instant | None = None
    times: int = 0


def prefer(now: Instant, before: Preference, pool: Pool, strategy: Strategy, k: int) -> Preference:
    """Choose k of the pool anew."""
    chosen = tuple(strategy(pool, k, ()))
    return Preference(chosen, clusters(pool), gain_ppm(pool, chosen), now, before.times + 1)


def told(name: str, preference: Preference) -> Rebalanced:
    return Rebalanced(name, preference.chosen, preference.clusters, preference.gain_ppm)


def gain_ppm(pool: Pool, chosen: tuple[NodeId, ...]) -> int:
    """How much of the mean round trip choosing saves; what is neither measured nor guessed does not count."""
    everyone = pool.latencies()
    near = [rtt for node in chosen if (rtt := pool.latency_us(node)) is not None]
    if not near or not sum(everyone):
        return 0
    return MILLION - sum(near) * len(everyone) * MILLION // (len(near) * sum(everyone))


def clusters(pool: Pool) -> tuple[tuple[str, int, int], ...]:
    """(name, how many, median round trip in microseconds), nearest first; at most 32."""
    found: list[tuple[str, list[int]]] = []
    for region, nodes in pool.regions().items():
        rtts = sorted(rtt for node in nodes if (rtt := pool.latency_us(node)) is not None)
        if region:
            found.append((region, rtts))
            continue
        band: list[int] = []
        for rtt in rtts:
            if band and rtt > band[-1] * BAND_FACTOR and rtt - band[-1] > BAND_US:
                found.append((f"~{band[len(band) // 2] // MILLISECOND} ms", band))
                band = []
            band.append(rtt)
        if band:
            found.append((f"~{band[len(band) // 2] // MILLISECOND} ms", band))
    measured = [(name, len(rtts), rtts[len(rtts) // 2]) for name, rtts in found if rtts]
    return tuple(sorted(measured, key=lambda cluster: (cluster[2], cluster[0]))[:CLUSTERS_MAX])
