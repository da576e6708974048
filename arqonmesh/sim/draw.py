"""A plan from a seed, swarm-style: first it is drawn which faults there are at all and how strong, then when and whom.
All faults always hides the bugs that need one of them alone (swarm testing, Groce et al., ISSTA 2012); the kinds and
ranges are those of TigerBeetle's VOPR, fitted to a mesh.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final, Literal

from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.sim.link_model import Spread
from arqonmesh.sim.plan import Action, Machine, Plan, Weather

NODES_MAX: Final = 9
LENGTH_MIN_US: Final = 4 * SECOND
LENGTH_MAX_US: Final = 16 * SECOND
OFFSET_MAX_MS: Final = 300_000
"""Wall clocks are off by up to five minutes, which is what certificates allow for."""
DRIFT_MAX_PPM: Final = 500
STEP_MAX_MS: Final = 60_000

FAULTS: Final = (
    "climate",
    "weather",
    "clog",
    "cut",
    "kill",
    "kill-writing",
    "power",
    "torn-writes",
    "disk-error",
    "slow-disk",
    "stop",
    "clock-offset",
    "clock-drift",
    "clock-step",
    "leave",
    "join",
    "next-version",
)
Cutting = Literal["uniform size", "uniform assignment", "isolate one"]


class Drawing:
    """One seed's plan in the making."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._dice = Random(f"{seed} plan")
        dice = self._dice
        share = dice.choice((0.2, 0.4, 0.6))
        self.on = [fault for fault in FAULTS if dice.random() < share]
        self._pace_us = dice.choice((300, 700, 1_500)) * MILLISECOND
        self._worst_us = dice.choice((1, 3, 6)) * SECOND
        """How long a single action lasts at most."""
        self._cutting: Cutting = dice.choice(("uniform size", "uniform assignment", "isolate one"))
        self._one_way_share = dice.choice((0.0, 0.5, 1.0))
        self._spread: Spread = dice.choice(("uniform", "exponential", "wan"))
        nodes = min(dice.randrange(2, NODES_MAX + 1), dice.randrange(2, NODES_MAX + 1))
        self._auto: Literal["hubs", "full", "overlay"] = dice.choice(("hubs", "hubs", "full", "overlay"))
        self.machines = self._mesh(nodes)
        self._names = [machine.name for machine in self.machines]
        self._gone: list[str] = []
        self._joined = 0

    def plan(self) -> Plan:
        length_us = self._dice.randrange(LENGTH_MIN_US, LENGTH_MAX_US)
        acts = {name: act for name, act in self._acts().items() if name in self.on}
        actions: list[Action] = []
        at_us = 0
        while acts:
            at_us += self._dice.randrange(50 * MILLISECOND, 2 * self._pace_us)
            if at_us >= length_us:
                break
            action = acts[self._dice.choice(list(acts))](at_us)
            if action is not None:
                actions.append(action)
        return Plan(
            seed=self._seed,
            machines=tuple(self.machines),
            auto=self._auto,
            faults=tuple(self.on),
            climate=self._weather() if "climate" in self.on else None,
            length_us=length_us,
            actions=tuple(actions),
            core=self._core(),
            shut_out=self._dice.random() < 0.7,
        )

    # --- the mesh -----------------------------------------------------------------------------------------

    def _mesh(self, nodes: int) -> list[Machine]:
        dice = self._dice
        hubs = nodes if self._auto != "hubs" else dice.randrange(1, nodes + 1)
        # What may not leave a cluster needs links inside of it; the overlay promises none.
        clusters = nodes if self._auto == "overlay" else dice.randrange(1, nodes + 1)
        return [
            Machine(
                name=f"node-{number}",
                cluster=f"cluster-{number if clusters == nodes else dice.randrange(0, clusters)}",
                role="hub" if number < hubs else "spoke",
                wall_offset_ms=dice.randrange(-OFFSET_MAX_MS, OFFSET_MAX_MS + 1) if "clock-offset" in self.on else 0,
                drift_ppm=dice.choice((-DRIFT_MAX_PPM, 0, DRIFT_MAX_PPM)) if "clock-drift" in self.on else 0,
                torn_writes="torn-writes" in self.on,
            )
            for number in range(nodes)
        ]

    def _core(self) -> tuple[str, ...]:
        """A majority of everyone that was ever a member, the founder among them (always a hub), so that it can link."""
        founder, *rest = [name for name in self._names if name not in self._gone]
        least = (len(self._names) + self._joined) // 2 + 1
        if least > len(rest) + 1:
            return ()
        others = self._dice.sample(rest, self._dice.randrange(least - 1, len(rest) + 1))
        return (founder, *sorted(others))

    # --- what happens -------------------------------------------------------------------------------------

    def _acts(self) -> dict[str, Callable[[int], Action | None]]:
        def down(kind: Literal["kill", "power", "disk-error", "kill-writing"]) -> Callable[[int], Action]:
            return lambda at_us: Action(at_us=at_us, kind=kind, nodes=self._one(), for_us=self._span())

        return {
            "weather": self._turn,
            "clog": lambda at_us: self._pair(at_us, "clog"),
            "cut": self._cut,
            "kill": down("kill"),
            "kill-writing": down("kill-writing"),
            "power": down("power"),
            "torn-writes": down("power"),
            "disk-error": down("disk-error"),
            "slow-disk": lambda at_us: Action(
                at_us=at_us, kind="slow-disk", nodes=self._one(), for_us=self._span(), amount=self._dice.choice((5, 50))
            ),
            "stop": lambda at_us: Action(at_us=at_us, kind="stop", nodes=self._one(), for_us=self._span()),
            "clock-step": lambda at_us: Action(
                at_us=at_us,
                kind="clock-step",
                nodes=self._one(),
                amount=self._dice.randrange(-STEP_MAX_MS, STEP_MAX_MS + 1),
            ),
            "leave": self._leave,
            "join": self._join,
            "next-version": lambda at_us: Action(at_us=at_us, kind="next-version", nodes=self._one()),
        }

    def _one(self) -> tuple[str, ...]:
        return (self._dice.choice(self._names),)

    def _span(self) -> int:
        return self._dice.randrange(20 * MILLISECOND, self._worst_us)

    def _pair(self, at_us: int, kind: Literal["clog", "weather"], weather: Weather | None = None) -> Action:
        a, b = self._dice.sample(self._names, 2)
        return Action(at_us=at_us, kind=kind, nodes=(a,), others=(b,), for_us=self._span(), weather=weather)

    def _turn(self, at_us: int) -> Action:
        return self._pair(at_us, "weather", self._weather())

    def _weather(self) -> Weather:
        dice = self._dice
        return Weather(
            delay_us=dice.choice((500, 5_000, 30_000, 100_000)),
            jitter_us=dice.choice((0, 1_000, 20_000)),
            spread=self._spread,
            loss_ppm=dice.choice((0, 10_000, 100_000, 300_000)),
            duplicate_ppm=dice.choice((0, 100_000, 500_000)),
            reorder_ppm=dice.choice((0, 50_000, 300_000)),
            bandwidth_bytes_per_s=dice.choice((0, 0, 1_000_000, 200_000)),
        )

    def _cut(self, at_us: int) -> Action:
        dice, names = self._dice, list(self._names)
        dice.shuffle(names)
        if self._cutting == "isolate one":
            some = names[:1]
        elif self._cutting == "uniform size":
            some = names[: dice.randrange(1, len(names))]
        else:
            some = [name for name in names if dice.random() < 0.5] or names[:1]
        others = [name for name in names if name not in some] or [some.pop()]
        one_way = dice.random() < self._one_way_share
        return Action(
            at_us=at_us, kind="cut", nodes=tuple(some), others=tuple(others), one_way=one_way, for_us=self._span()
        )

    def _leave(self, at_us: int) -> Action | None:
        """At most one in four, never a founder, nor a hub that its cluster or its spokes may need."""
        may = [m.name for m in self.machines if m.name not in self._gone and m.name != self.machines[0].name]
        if self._auto == "hubs":
            may = [name for name in may if next(m for m in self.machines if m.name == name).role == "spoke"]
        if not may or len(self._gone) >= len(self._names) // 4:
            return None
        leaver = self._dice.choice(may)
        self._gone.append(leaver)
        return Action(at_us=at_us, kind="leave", nodes=(leaver,))

    def _join(self, at_us: int) -> Action | None:
        if self._joined >= max(1, len(self._names) // 4):
            return None
        self._joined += 1
        return Action(at_us=at_us, kind="join", nodes=(f"joiner-{self._joined}",), others=self._one())


def draw(seed: int) -> Plan:
    """The plan of this seed."""
    return Drawing(seed).plan()
