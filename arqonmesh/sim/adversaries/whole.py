"""Trials in meshes of whole nodes: seven of them, two adversaries, an honest one that loses power meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

from arqonmesh.config.model import LinkSettings, PeerSettings
from arqonmesh.core.kernel import SECOND
from arqonmesh.sim.adversaries.adversary import Adversary
from arqonmesh.sim.adversaries.arena import STEP_US, Arena, plane_of
from arqonmesh.sim.adversaries.black_hole import BlackHole
from arqonmesh.sim.adversaries.equivocator import Equivocator
from arqonmesh.sim.adversaries.flooder import Flooder
from arqonmesh.sim.adversaries.framer import Framer
from arqonmesh.sim.adversaries.link_state_liar import LinkStateLiar
from arqonmesh.sim.adversaries.on_off import OnOff
from arqonmesh.sim.adversaries.outcome import Outcome
from arqonmesh.sim.adversaries.redeemer import Redeemer
from arqonmesh.sim.adversaries.replayer import Replayer
from arqonmesh.sim.adversaries.slanderer import Slanderer
from arqonmesh.sim.adversaries.whitewasher import Whitewasher
from arqonmesh.sim.broken import Broken

NODES: Final = 7
SLOW: Final = PeerSettings(rate_per_s=50, burst=100)
"""A limit that a flood exceeds by ten times without drowning the simulator; a healthy link needs half of it."""
DAY_MS: Final = 25 * 3_600_000
HALF: Final = 500_000


def equivocator(seed: int) -> Outcome:
    """Convicted by everyone within two seconds; afterwards all agree on what is left of what they said."""
    arena = _fought(Arena(seed, NODES, (Equivocator,)), 6 * SECOND)
    expect(arena, contained_us=2 * SECOND)
    bad = tuple(sorted(adversary.node for adversary in arena.adversaries))
    for process in arena.honest:
        if plane_of(process).gossip.forked != bad:
            raise Broken(f"{process.name} does not hold every equivocator convicted")
    return told(arena)


def replayer(seed: int) -> Outcome:
    """Whatever is said again is heard once."""
    return told(_fought(Arena(seed, NODES, (Replayer,)), 5 * SECOND))


def slanderer(seed: int) -> Outcome:
    """Ten thousand forgeries and as many accusations as it likes: victims live and keep their score."""
    arena = _fought(Arena(seed, NODES, (Slanderer,)), 7 * SECOND)
    expect(arena, contained_us=2 * SECOND)
    return told(arena)


def framer(seed: int) -> Outcome:
    """The relay finds out by itself, and blames who sent it; one that forgot all by a power cut finds out anew."""
    arena = _fought(Arena(seed, NODES, (Framer,)), 10 * SECOND)
    expect(arena, contained_us=10 * SECOND)
    return told(arena)


def flooder(seed: int) -> Outcome:
    """Nobody answers more than the limit allows, and after half a minute nobody listens any more."""
    arena = Arena(seed, NODES, (Flooder,), peers=SLOW)
    steps = 0

    def look() -> None:
        nonlocal steps
        steps += 1
        for one in arena.adversaries:
            assert isinstance(one, Flooder)
            _within(one, one.answered, (steps * STEP_US // SECOND + 1) * SLOW.rate_per_s + SLOW.burst)

    arena.watchers.append(look)
    _fought(arena, 30 * SECOND)
    expect(arena, contained_us=30 * SECOND)
    return told(arena)


def whitewasher(seed: int) -> Outcome:
    """The old name stays ignored, also by a victim that started again; the fresh one gets a tenth."""
    arena = Arena(seed, NODES, (Whitewasher,), peers=SLOW)
    arena.settle()
    for process in arena.sim.processes.values():
        process.wall_offset_ms += DAY_MS  # they have known each other for a day
    arena.sim.run_for(SECOND)
    arena.begin()
    arena.fight(3 * SECOND, power=False)
    expect(arena, contained_us=3 * SECOND)
    outcome = told(arena)
    old = arena.adversaries[0]
    fresh = arena.admit("fresh", Whitewasher)
    assert isinstance(fresh, Whitewasher)
    fresh.fresh = True
    arena.sim.run_for(3 * SECOND)
    victim = next(process for process in arena.honest if process.node_id in old.harmed)
    arena.sim.crash(victim.name)
    arena.sim.boot(victim.name)
    fresh.begin()
    arena.fight(8 * SECOND, power=False)
    if not plane_of(victim).peers.ignored(old.node):
        raise Broken(f"{victim.name} listens to {old.process.name} again, because it started again")
    _within(fresh, fresh.answered, 9 * SLOW.rate_per_s // 10 + 2 * SLOW.burst)
    arena.peace()
    return outcome


def on_off(seed: int) -> Outcome:
    """With a half-life of 15 s it is ignored for at least half of the time."""
    arena = Arena(seed, NODES, (OnOff,), peers=PeerSettings(half_life_s=15.0))
    ignored: list[bool] = []
    arena.watchers.append(lambda: ignored.append(max(arena.score_ppm(one) for one in arena.adversaries) < HALF))
    _fought(arena, 40 * SECOND)
    if 2 * sum(ignored) < len(ignored):
        raise Broken(
            f"the on-off adversaries were listened to in {len(ignored) - sum(ignored)} of {len(ignored)} looks"
        )
    return told(arena)


def link_state_liar(seed: int) -> Outcome:
    """A line of honest nodes; both liars offer a way round. No route uses a link that is not there."""
    arena = Arena(seed, NODES, (LinkStateLiar,), links=LinkSettings(auto="none"))
    arena.sim.found()
    arena.sim.run_for(2 * SECOND)
    bad = [adversary.process for adversary in arena.adversaries]
    arena.relink([*pairwise(arena.honest), *zip(arena.honest, bad, strict=False)])
    arena.absence_excused = True
    arena.sim.run_for(3 * SECOND)
    arena.settle()
    arena.watchers.append(lambda: real_routes(arena))
    arena.begin()
    arena.fight(5 * SECOND, power=False)
    arena.watchers.clear()
    arena.fight(3 * SECOND)
    arena.peace()
    real_routes(arena)
    return told(arena)


def black_hole(seed: int) -> Outcome:
    """A line of honest nodes, and two that offer each of them a short way: once these are convicted no route of anyone
    leads over them, also not of one that has started again since."""
    arena = Arena(seed, NODES, (BlackHole,), links=LinkSettings(auto="none"))
    arena.sim.found()
    arena.sim.run_for(2 * SECOND)
    bad = [adversary.process for adversary in arena.adversaries]
    arena.relink([*pairwise(arena.honest), *((process, hole) for process in arena.honest for hole in bad)])
    arena.absence_excused = True
    arena.sim.run_for(3 * SECOND)
    arena.settle()
    arena.begin()
    arena.fight(3 * SECOND, power=False)
    expect(arena, contained_us=3 * SECOND)
    arena.watchers.append(lambda: trusted_routes(arena))
    arena.fight(5 * SECOND)
    arena.watchers.clear()
    arena.peace()
    trusted_routes(arena)
    return told(arena)


def redeemer(seed: int) -> Outcome:
    """Of two strangers one is in, the same one everywhere; who let both in is convicted, who was asked is not."""
    arena = Arena(seed, NODES, (Redeemer,))
    for one in arena.adversaries:
        assert isinstance(one, Redeemer)
        one.doors = tuple(arena.honest[1:3])
    _fought(arena, 8 * SECOND)
    for one in arena.adversaries:
        assert isinstance(one, Redeemer)
        for pair in one.pairs:
            for process in arena.honest:
                entered = [node for node in pair if plane_of(process).admission.member(node) is not None]
                if len(entered) > 1:
                    raise Broken(f"{process.name} has {len(entered)} members by a ticket for one")
    expect(arena, contained_us=8 * SECOND)
    return told(arena)


# --- what trials have in common -----------------------------------------------------------------------------


def _fought(arena: Arena, duration_us: int) -> Arena:
    arena.settle()
    arena.begin()
    arena.fight(duration_us)
    arena.peace()
    return arena


def expect(arena: Arena, *, contained_us: int) -> None:
    """Every adversary was below one half with all whom it harms within this time."""
    for adversary in arena.adversaries:
        took_us = arena.contained_us.get(adversary.process.name)
        if took_us is None or took_us > contained_us:
            score = arena.score_ppm(adversary) / 1_000_000
            raise Broken(
                f"{adversary.process.name} is not contained within {contained_us / SECOND:.0f} s ({score:.2f})"
            )


def told(arena: Arena) -> Outcome:
    times = [arena.contained_us.get(one.process.name) for one in arena.adversaries]
    known = [time for time in times if time is not None]
    score = max(arena.score_ppm(one) for one in arena.adversaries)
    return Outcome(max(known) / SECOND if len(known) == len(times) else None, score / 1_000_000)


def _within(adversary: Adversary, answered: dict[Any, int], most: int) -> None:
    worst = max(answered.values(), default=0)
    if worst > most:
        raise Broken(f"a victim answered {worst} messages of {adversary.process.name}; the limit allows {most}")


def real_routes(arena: Arena) -> None:
    """Between honest nodes every hop of every route is a link that stands."""
    sim = arena.sim
    for process in arena.running:
        for other in arena.running:
            route = plane_of(process).routing.route(other.node_id)
            for one, next_one in pairwise(route or ()):
                a, b = sim.processes[sim.names[one]], sim.processes[sim.names[next_one]]
                there = a.endpoint is not None and b.endpoint is not None and b.node_id in a.endpoint.ends
                if not there:
                    raise Broken(f"{process.name} reaches {other.name} by a link of {a.name} and {b.name} that is none")


def trusted_routes(arena: Arena) -> None:
    """No honest node's route to another leads over an adversary; those that stand in line all have one."""
    bad = [adversary.node for adversary in arena.adversaries]
    whole = len(arena.running) == len(arena.honest)
    for process in arena.running:
        for other in arena.running:
            route = plane_of(process).routing.route(other.node_id)
            if any(node in bad for node in route or ()):
                raise Broken(f"{process.name} reaches {other.name} over one that is convicted")
            if whole and route is None and not arena.lost_power:
                raise Broken(f"{process.name} has no way to {other.name}")


WHOLE: Final[dict[str, Callable[[int], Outcome]]] = {
    Equivocator.NAME: equivocator,
    Replayer.NAME: replayer,
    Slanderer.NAME: slanderer,
    Framer.NAME: framer,
    Flooder.NAME: flooder,
    Whitewasher.NAME: whitewasher,
    OnOff.NAME: on_off,
    LinkStateLiar.NAME: link_state_liar,
    BlackHole.NAME: black_hole,
    Redeemer.NAME: redeemer,
}
