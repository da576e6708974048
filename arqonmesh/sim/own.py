"""A user's own arqon.yaml files as the nodes of a simulated mesh, a failure at a given moment, and what came of it.

Every node has a client that says something on each channel that some export rule names, and on one that none does, and
a client that listens to all of them. What may be heard where follows from the files' rules, hop by hop.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from arqonmesh.config.load import load
from arqonmesh.config.model import Config
from arqonmesh.core.federation.policy import Policy
from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.errors import NotFound, UsageError
from arqonmesh.sim.broken import Broken
from arqonmesh.sim.checkers import check_always, wait_for_convergence
from arqonmesh.sim.simulation import Simulation

NODES_MAX: Final = 32
CHANNELS_MAX: Final = 8
TALK_EVERY_US: Final = 500 * MILLISECOND
UNEXPORTED: Final = "unexported:sim"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What to try. Times count from the moment at which the mesh has formed."""

    files: tuple[Path, ...]
    fail: tuple[str, ...]
    """`link:A-B`, `node:A`, `site:A`."""
    at_us: int
    heal_at_us: int | None
    for_us: int
    seed: int


@dataclass(frozen=True, slots=True)
class Flow:
    """What one node's client said on one channel, and what another one's heard of it."""

    origin: str
    listener: str
    channel: str
    said: int
    heard: int
    outcome: str


@dataclass(frozen=True, slots=True)
class Verdict:
    ok: bool
    verdict: str
    sentences: tuple[str, ...]
    flows: tuple[Flow, ...]


class _Failure(NamedTuple):
    what: str
    down: tuple[str, ...]
    """Nodes that are killed."""
    some: tuple[str, ...]
    others: tuple[str, ...]
    """Between these and `some`, every packet is lost."""


def tell_trial(trial: Trial) -> tuple[Verdict, Simulation]:
    """Raises ConfigError for a file, UsageError `sim.span`, `sim.fail`, `sim.nodes`, NotFound `sim.unknown-name`."""
    if trial.fail and trial.at_us >= trial.for_us:
        raise UsageError(
            "sim.span",
            f"--at {_span(trial.at_us)} is not before the end of the story at {_span(trial.for_us)}; it needs to be",
            hint=f"arqon sim from FILE FILE ... --for {_span(trial.at_us + 60 * SECOND)}",
        )
    if trial.heal_at_us is not None and not trial.at_us < trial.heal_at_us < trial.for_us:
        raise UsageError(
            "sim.span",
            f"--heal-at {_span(trial.heal_at_us)} needs to lie between --at {_span(trial.at_us)} and "
            f"--for {_span(trial.for_us)}",
            hint=f"arqon sim from FILE FILE ... --for {_span(trial.heal_at_us + 60 * SECOND)}",
        )
    configs = name_them([(path, load(path, {})) for path in trial.files])
    configs = dict(sorted(configs.items(), key=lambda named: named[1].node.role == "spoke"))  # a hub founds the mesh
    failures = [read_failure(text, configs) for text in trial.fail]
    return _Story(trial, configs, failures).tell()


def name_them(files: list[tuple[Path, Config]]) -> dict[str, Config]:
    """By cluster where that tells them apart, else by file, else by directory, else by number."""
    if not 2 <= len(files) <= NODES_MAX:
        raise UsageError(
            "sim.nodes",
            f"{len(files)} files; a mesh needs 2 to {NODES_MAX} nodes, one file each",
            hint="arqon sim from hq/arqon.yaml factory/arqon.yaml",
        )
    clusters = [config.node.cluster for _, config in files]
    stems = [path.stem for path, _ in files]
    folders = [path.resolve().parent.name for path, _ in files]
    named: dict[str, Config] = {}
    for index, (_, config) in enumerate(files):
        choices = [names[index] for names in (clusters, stems, folders) if names.count(names[index]) == 1]
        name = choices[0] if choices else f"{clusters[index]}-{index + 1}"
        named[name if name not in named else f"{name}-{index + 1}"] = config
    return named


def read_failure(text: str, configs: dict[str, Config]) -> _Failure:
    kind, _, what = text.partition(":")
    names = tuple(configs)
    if kind == "link" and what:
        for middle in (index for index, letter in enumerate(what) if letter == "-"):
            a, b = what[:middle], what[middle + 1 :]
            if a in configs and b in configs and a != b:
                return _Failure(f"the link between {a} and {b}", (), (a,), (b,))
        raise NotFound(
            "sim.unknown-name",
            f"--fail {text} names no link; it needs two of the nodes {', '.join(names)}, "
            f"as in link:{names[0]}-{names[1]}",
            hint=f"arqon sim from FILE FILE ... --fail link:{names[0]}-{names[1]}",
        )
    if kind == "node" and what:
        if what not in configs:
            raise NotFound(
                "sim.unknown-name",
                f"--fail {text} names no node; it needs to be one of {', '.join(names)}",
                hint=f"arqon sim from FILE FILE ... --fail node:{names[0]}",
            )
        return _Failure(f"node {what}", (what,), (), ())
    if kind == "site" and what:
        inside = tuple(name for name, c in configs.items() if what in (c.node.region, c.node.cluster, name))
        outside = tuple(name for name in names if name not in inside)
        if inside and outside:
            return _Failure(f"site {what}", (), inside, outside)
        sites = sorted({c.node.region or c.node.cluster for c in configs.values()})
        raise NotFound(
            "sim.unknown-name",
            f"--fail {text} names {'everyone' if inside else 'no site'}; it needs to be one of {', '.join(sites)}",
            hint=f"arqon sim from FILE FILE ... --fail site:{sites[0]}",
        )
    raise UsageError(
        "sim.fail",
        f"--fail {text!r} has no form that works; it needs to be link:A-B, node:A or site:A",
        hint=f"arqon sim from FILE FILE ... --fail link:{names[0]}-{names[1]}",
    )


class _Story:
    def __init__(self, trial: Trial, configs: dict[str, Config], failures: list[_Failure]) -> None:
        self.trial = trial
        self.configs = configs
        self.failures = failures
        self.sim = sim = Simulation(trial.seed)
        self.policies = {name: Policy(config.node.region, config.federation) for name, config in configs.items()}
        self.channels = self._channels()
        for name, config in configs.items():
            sim.add_config(name, config, talks_every_us=TALK_EVERY_US, channels=self.channels)
        self._failed_at = 0
        self._reached: dict[tuple[str, str, bool], dict[str, None]] = {}
        sim.ledger.may_hear = lambda listener, origin, channel: listener in self._reach(origin, channel, linked=False)
        sim.ledger.must_hear = lambda listener, origin, channel: listener in self._reach(origin, channel, linked=True)

    def tell(self) -> tuple[Verdict, Simulation]:
        sim, trial = self.sim, self.trial
        sim.found()
        broken, took = "", 0
        try:
            wait_for_convergence(sim)
            sim.tell("world", "the mesh has formed, everyone knows everyone; clients begin to talk")
            began = sim.world.now
            sim.talk()
            if self.failures:
                sim.world.at(began + trial.at_us, self._fail)
            if trial.heal_at_us is not None:
                sim.world.at(began + trial.heal_at_us, self._heal)
            while sim.world.now < began + trial.for_us:
                sim.run_for(min(SECOND, began + trial.for_us - sim.world.now))
                check_always(sim)
            sim.hush()
            sim.run_for(2 * SECOND)
            if trial.heal_at_us is not None or not self.failures:
                took = wait_for_convergence(sim)
                sim.run_for(SECOND)
        except Broken as error:
            broken = str(error)
        return self._verdict(broken, took), sim

    # --- what goes wrong ----------------------------------------------------------------------------------

    def _fail(self) -> None:
        self._failed_at = self.sim.world.now
        for failure in self.failures:
            self.sim.tell("world", f"{failure.what} fails")
            for name in failure.down:
                if self.sim.processes[name].alive:
                    self.sim.crash(name)
            if failure.some:
                self.sim.cut(failure.some, failure.others)

    def _heal(self) -> None:
        self.sim.tell("world", "everything is whole again")
        self.sim.calm()

    # --- what may be heard --------------------------------------------------------------------------------

    def _channels(self) -> tuple[str, ...]:
        """One of each pattern that some file exports, and one that none does."""
        patterns = [p for config in self.configs.values() for p in config.federation.export.allow]
        named = [p.replace("*", "sim") if ":" in p else f"{p.replace('*', 'sim')}:sim" for p in patterns]
        return tuple(dict.fromkeys([*named[: CHANNELS_MAX - 1], UNEXPORTED]))

    def _passes(self, origin: str, a: str, b: str, channel: str) -> bool:
        """From a node to the next: what the pins of both, origin and sender, leave there; inside a cluster all of it,
        else what both rules let through."""
        for pinned in (self.policies[who].residency.pinned(channel) for who in (origin, a)):
            if pinned is not None and pinned.refusal(self.configs[b].node.region) is not None:
                return False
        if self.configs[a].node.cluster == self.configs[b].node.cluster:
            return True
        return self.policies[a].leaving(channel).allowed and self.policies[b].entering(channel).allowed

    def _linked(self, a: str, b: str) -> bool:
        """Whether one of them dials the other by its settings (or is the founder, whom everyone dials once)."""
        founder = next(iter(self.configs))
        if founder in (a, b):
            return True
        autos = {self.configs[name].links.auto for name in (a, b)}
        if autos & {"full", "overlay"}:
            return True
        hub = [self.configs[name].node.role != "spoke" for name in (a, b)]
        return (self.configs[a].links.auto == "hubs" and hub[1]) or (self.configs[b].links.auto == "hubs" and hub[0])

    def _reach(self, origin: str, channel: str, *, linked: bool) -> dict[str, None]:
        known = self._reached.get((origin, channel, linked))
        if known is not None:
            return known
        reached, queue = {origin: None}, deque([origin])
        while queue:
            here = queue.popleft()
            for there in self.configs:
                if there not in reached and self._passes(origin, here, there, channel):
                    if linked and not self._linked(here, there):
                        continue
                    reached[there] = None
                    queue.append(there)
        self._reached[origin, channel, linked] = reached
        return reached

    # --- what came of it ----------------------------------------------------------------------------------

    def _verdict(self, broken: str, took_us: int) -> Verdict:
        flows = tuple(
            self._flow(origin, listener, channel)
            for origin in self.configs
            for listener in self.configs
            for channel in self.channels
            if origin != listener
        )
        lost = sum(flow.said - flow.heard for flow in flows if flow.outcome.startswith("lost"))
        held = sum(flow.said - flow.heard for flow in flows if flow.outcome.startswith("held"))
        sentences = [*self._noticed(), *self._read_only()]
        if took_us and self.trial.heal_at_us is not None:
            sentences.append(f"after the end of the story all agreed within {took_us / SECOND:.1f} s")
        if broken:
            return Verdict(False, f"broken: {broken}", tuple(sentences), flows)
        if lost:
            return Verdict(False, f"{lost} messages were lost", tuple(sentences), flows)
        if held:
            end = f"nothing was lost; {held} deliveries wait for who is cut off or down"
            return Verdict(True, end, tuple(sentences), flows)
        return Verdict(True, "nothing was lost, and everyone agrees", tuple(sentences), flows)

    def _flow(self, origin: str, listener: str, channel: str) -> Flow:
        ledger = self.sim.ledger
        said = [message for message in ledger.said if message.origin == origin and message.channel == channel]
        heard = sum(message in ledger.heard.get(listener, {}) for message in said)
        missing = len(said) - heard
        outcome = "delivered"
        if listener not in self._reach(origin, channel, linked=False):
            outcome = f"kept: {self._keeper(origin, listener, channel)}"
        elif missing:
            gone = sum(
                (message in ledger.maybe_lost or (listener, message) in ledger.excused)
                for message in said
                if message not in ledger.heard.get(listener, {})
            )
            apart = self.trial.heal_at_us is None and bool(self.failures)
            outcome = f"held: {missing} wait" if apart else f"lost: {missing}"
            if gone == missing:
                outcome = f"gone with the memory of a killed node: {gone}"
            elif listener not in self._reach(origin, channel, linked=True):
                outcome = f"no way: {missing} without a link that would carry them"
        return Flow(origin, listener, channel, len(said), heard, outcome)

    def _keeper(self, origin: str, listener: str, channel: str) -> str:
        one, other = self.configs[origin].node, self.configs[listener].node
        verdict = self.policies[origin].verdict(channel, inside=one.cluster == other.cluster, region=other.region)
        if not verdict.allowed:
            return f"{origin}'s {verdict.rule}"
        ruling = self.policies[listener].entering(channel)
        return f"{listener}'s {ruling.rule}" if not ruling.allowed else "the rules of who is between"

    def _noticed(self) -> list[str]:
        """Who said first that a link is down, and how soon."""
        if not self._failed_at:
            return []
        first: dict[str, str] = {}
        for at, who, what in self.sim.world.trace.story:
            if at > self._failed_at and who in self.configs and "is down" in what and who not in first:
                first[who] = f"{who} noticed after {(at - self._failed_at) / SECOND:.2f} s: {what}"
        return list(first.values())

    def _read_only(self) -> list[str]:
        """Spans in which a node refused governed writes, after the failure."""
        if not self._failed_at:
            return []
        since: dict[str, int] = {}
        spans: list[str] = []
        for at, who, what in self.sim.world.trace.story:
            if at <= self._failed_at or not what.startswith("mesh is "):
                continue
            if "read-only" in what:
                since.setdefault(who, at)
            elif who in since:
                spans.append(f"{who} was read-only for {(at - since.pop(who)) / SECOND:.1f} s")
        return [*spans, *(f"{who} has been read-only since {at / SECOND:.1f} s" for who, at in since.items())]


def _span(us: int) -> str:
    return f"{us / SECOND:g}s"
