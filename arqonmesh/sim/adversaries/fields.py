"""Trials of one core among many nodes, in a field: a hundred of them, a third of them against the rest."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import hypot
from typing import Final

from arqonmesh.config.model import BroadcastSettings, CoordinateSettings, LinkSettings, OverlaySettings, PeerSettings
from arqonmesh.core.broadcast import Plumtree
from arqonmesh.core.coordinates.core import Coordinates
from arqonmesh.core.events import Broadcast, BroadcastArrived, MemberAdmitted, MemberDescribed, MemberIntroduced
from arqonmesh.core.kernel import MILLISECOND, SECOND, Core
from arqonmesh.core.overlay.core import Overlay
from arqonmesh.core.peers.core import Peers
from arqonmesh.core.topology import Topology
from arqonmesh.ids import node_id_of
from arqonmesh.sim.adversaries.arena import faulty_max
from arqonmesh.sim.adversaries.coordinate_liar import CoordinateLiar
from arqonmesh.sim.adversaries.eclipser import Eclipser
from arqonmesh.sim.adversaries.outcome import Outcome
from arqonmesh.sim.adversaries.promise_breaker import PromiseBreaker
from arqonmesh.sim.broken import Broken
from arqonmesh.sim.crypto import toy_key
from arqonmesh.sim.field import EnvOf, Field, full_graph, regular_graph, uniform
from arqonmesh.sim.field.accept import Accepting

MANY: Final = 100
LINKS: Final = 10
HALF: Final = 500_000
SETTLE_US: Final = 15 * SECOND
ATTACK_S: Final = 30
FEW: Final = 10
FAR_US: Final = 60 * MILLISECOND
ERROR_MAX: Final = 0.25
"""Median misjudgement; without liars it is 3 to 6 %."""
QUOTAS: Final = OverlaySettings(active_max=5, shuffle_interval_ms=10_000)
NO_QUOTAS: Final = OverlaySettings(active_max=5, shuffle_interval_ms=10_000, outbound_min=0, source_percent=100)


def broken_promises(seed: int) -> Outcome:
    """Every payload reaches every honest node; within half a minute everyone who asked a liar knows it for one."""
    bad = range(MANY - faulty_max(MANY), MANY)
    field = Field(seed, uniform(seed, 5 * MILLISECOND, 40 * MILLISECOND))

    def honest(env: EnvOf) -> tuple[Core, ...]:
        return (
            Peers(env("peers"), PeerSettings()),
            Plumtree(env("broadcast"), BroadcastSettings(), lambda: MANY),
            Accepting(env("accept")),
        )

    for index in range(MANY):
        field.add((lambda env: (PromiseBreaker(env("broadcast")),)) if index in bad else honest)
    for index in range(bad.start):
        for node in field.nodes:
            field.tell(index, MemberAdmitted(node.id, node.public_key, "field", "hub"))
    field.lay(regular_graph(MANY, LINKS, seed))
    arrived: dict[bytes, dict[int, None]] = {}
    field.watch(BroadcastArrived, lambda now, index, event: arrived.setdefault(event.data, {}).update({index: None}))
    dice = random.Random(seed)
    contained_s: int | None = None
    for second in range(1, 31):
        source, data = dice.randrange(0, bad.start), bytes([second]) * 1_000
        arrived[data] = {source: None}
        field.tell(source, Broadcast("news", data))
        field.run_for(SECOND)
        if contained_s is None and _worst(field, bad) < HALF:
            contained_s = second
    field.run_for(3 * SECOND)
    for data, reached in arrived.items():
        missing = [index for index in range(bad.start) if index not in reached]
        if missing:
            raise Broken(f"payload {data[0]} did not reach honest node {missing[0]} ({len(missing)} such)")
    if contained_s is None:
        raise Broken(f"who breaks promises still has a score of {_worst(field, bad) / 1_000_000:.2f} after 30 s")
    for index in range(bad.start):
        peers = field.nodes[index].core(Peers)
        blamed = [other for other in range(bad.start) if peers.score_ppm(field.now, field.nodes[other].id) < 1_000_000]
        if blamed:
            raise Broken(f"honest node {index} blames honest node {blamed[0]}")
    return Outcome(float(contained_s), _worst(field, bad) / 1_000_000)


def _worst(field: Field, bad: range) -> int:
    """The highest score that a liar has with an honest neighbour."""
    return max(
        field.nodes[index].core(Peers).score_ppm(field.now, field.nodes[liar].id)
        for liar in bad
        for peer in field.nodes[liar].links
        if (index := field.by_id[peer]) not in bad
    )


def eclipse(seed: int, settings: OverlaySettings = QUOTAS) -> Outcome:
    """A third of all floods one node with names and requests: at no second is its whole view theirs. Gossip is not on
    the field, so everyone is handed what it would have told of all members: it is what one candidate in four is drawn
    from, liars among them."""
    field = Field(seed, uniform(seed, MILLISECOND, 20 * MILLISECOND))
    gang_size = faulty_max(MANY)
    size = MANY - gang_size
    victim = size // 2
    dice = random.Random(seed)

    def honest(env: EnvOf) -> tuple[Core, ...]:
        founder = node_id_of(toy_key("field 0"))
        topology = Topology(env("topology"), LinkSettings(auto="overlay"), founder)
        return topology, Overlay(env("overlay"), settings, founder, lambda _: ("field:1",))

    for index in range(size):
        field.add(honest)
        if index:
            field.tell(index, MemberIntroduced(field.nodes[dice.randrange(0, index)].id))
        field.run_for(50 * MILLISECOND)
    field.run_for(SETTLE_US)
    gang = [node_id_of(toy_key(f"field {size + number}")) for number in range(gang_size)]
    others = [node.id for node in field.nodes if node.index != victim]
    for _ in range(gang_size):
        field.add(lambda env: (Eclipser(env("overlay"), gang, others, field.nodes[victim].id),))
    for index in range(size):
        for node in field.nodes:
            field.tell(index, MemberDescribed(node.id, "field", "spoke", "", ("field:1",), ""))
    for second in range(ATTACK_S):
        field.run_for(SECOND)
        if set(field.nodes[victim].core(Overlay).report().active) <= set(gang):
            raise Broken(f"after {second + 1} s the victim knows nobody but its adversaries")
    return Outcome()


def coordinate_liars(seed: int) -> Outcome:
    """Honest nodes find their places on a plane as well as if nobody lied, and believe no liar that it is near."""
    bad = range(FEW - faulty_max(FEW), FEW)
    dice = random.Random(seed)
    places = [(dice.uniform(0, 60_000), dice.uniform(0, 60_000)) for _ in range(FEW)]

    def latency_us(one: int, other: int) -> int:
        return 5_000 + int(hypot(*(a - b for a, b in zip(places[one], places[other], strict=True))))

    field = Field(seed, latency_us)
    for index in range(FEW):
        if index in bad:
            field.add(lambda env: (CoordinateLiar(env("coordinates")),))
        else:
            field.add(lambda env: (Coordinates(env("coordinates"), CoordinateSettings()),))
    field.lay(full_graph(FEW))
    field.run_for(600 * SECOND)
    cores = [field.nodes[index].core(Coordinates) for index in range(bad.start)]
    errors: list[float] = []
    for one, core in enumerate(cores):
        for other in range(one):
            truth_us = latency_us(one, other) + latency_us(other, one)
            errors.append(abs(core.own.distance_to(cores[other].own) * SECOND / truth_us - 1))
        for liar in bad:
            truth_us = latency_us(one, liar) + latency_us(liar, one)
            guess_us = core.guess_us(field.nodes[liar].id)
            if guess_us is not None and truth_us > FAR_US and 5 * guess_us < truth_us:
                raise Broken(f"node {one} takes a liar {truth_us // 1_000} ms away for one {guess_us // 1_000} ms away")
    error = sorted(errors)[len(errors) // 2]
    if error > ERROR_MAX:
        raise Broken(f"honest nodes misjudge each other by {error:.0%}, half of them by more")
    return Outcome()


FIELDS: Final[dict[str, Callable[[int], Outcome]]] = {
    "broken-promise relay": broken_promises,
    "eclipse joiner": eclipse,
    "coordinate liar": coordinate_liars,
}
