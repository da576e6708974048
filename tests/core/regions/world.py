"""Regions cores of many nodes, with records that reach all of them at once, and a clock that is moved by hand."""

from __future__ import annotations

from dataclasses import replace

from arqonmesh.config.model import RegionSettings
from arqonmesh.core.events import Applied, LeadersChanged, LinkWanted, MemberChanged, MemberDescribed, Publish
from arqonmesh.core.kernel import SECOND, Effect, Emit, Event
from arqonmesh.core.regions.core import Regions
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Kind, RegionSummary
from tests.core.toy import env_of, node_of

Member = tuple[str, str, str]
"""(name, region, role)."""


class World:
    """Every member hears of every other at once; who is dead neither hears nor ticks, and hears all when it returns."""

    def __init__(self, members: list[Member], settings: RegionSettings | None = None) -> None:
        self.settings = settings or RegionSettings()
        self.now = 0
        self.members = {name: (region, role) for name, region, role in members}
        self.names = {node_of(name): name for name in self.members}
        self.states = dict.fromkeys(self.members, "alive")
        self.cores: dict[str, Regions] = {}
        self.records: dict[tuple[NodeId, str], RegionSummary] = {}
        self.published: list[tuple[int, str, RegionSummary]] = []
        self.changes: dict[str, list[tuple[str, tuple[str, ...]]]] = {name: [] for name in self.members}
        self.wishes: dict[str, dict[str, tuple[str, ...]]] = {name: {} for name in self.members}
        for name in self.members:
            self.boot(name)

    def boot(self, name: str) -> None:
        """A process begins: it learns what is on record, members first."""
        region, role = self.members[name]
        env = replace(env_of(name, role=role), region=region)
        core = self.cores[name] = Regions(env, self.settings, lambda: [(node, 1, 1) for node in sorted(self.names)])
        self.changes[name].clear()
        self.perform(name, core.start(self.now, {}))
        for other in self.members:
            self.hear(name, described(other, *self.members[other]))
            self.hear(name, MemberChanged(node_of(other), "", self.states[other], 1, "joined"))
        for (author, key), body in self.records.items():
            self.hear(name, Applied(author, Kind.REGION_SUMMARY, key, body, b"", author == node_of(name)))

    def set_state(self, name: str, state: str) -> None:
        """Everyone alive sees this member so; one that comes back boots."""
        old, self.states[name] = self.states[name], state
        if old in ("dead", "left") and state in ("alive", "suspect"):
            self.boot(name)
        for other in self.alive():
            self.hear(other, MemberChanged(node_of(name), old, state, 1, "test"))

    def alive(self) -> list[str]:
        return [name for name, state in self.states.items() if state in ("alive", "suspect")]

    def run_for(self, duration_us: int) -> None:
        """Fire what is due, in the order of time."""
        end = self.now + duration_us
        while True:
            deadlines = [(self.cores[name].next_deadline(), name) for name in self.alive()]
            due = sorted((at, name) for at, name in deadlines if at is not None and at <= end)
            if not due:
                break
            self.now = max(self.now, due[0][0])
            self.perform(due[0][1], self.cores[due[0][1]].on_timer(self.now))
        self.now = end

    def settle(self) -> None:
        """Long enough for every claim and summary."""
        self.run_for(30 * SECOND)

    def hear(self, name: str, event: Event) -> None:
        self.perform(name, self.cores[name].on_event(self.now, event))

    def perform(self, name: str, effects: list[Effect]) -> None:
        for effect in effects:
            assert isinstance(effect, Emit)
            event = effect.event
            if isinstance(event, Publish):
                assert isinstance(event.body, RegionSummary)
                self.records[node_of(name), event.key] = event.body
                self.published.append((self.now, name, event.body))
                for other in self.alive():
                    ours = other == name
                    self.hear(other, Applied(node_of(name), event.kind, event.key, event.body, b"", ours))
            elif isinstance(event, LeadersChanged):
                self.changes[name].append((event.region, self.named(event.leaders)))
            elif isinstance(event, LinkWanted):
                if event.addresses:
                    self.wishes[name][self.names[event.peer]] = event.addresses
                else:
                    del self.wishes[name][self.names[event.peer]]

    def leaders(self, region: str) -> tuple[str, ...]:
        """On which everyone alive agrees."""
        opinions = {self.named(self.cores[name].leaders(region)): name for name in self.alive()}
        assert len(opinions) == 1, f"nodes disagree on the leaders of {region}: {opinions}"
        return next(iter(opinions))

    def named(self, nodes: tuple[NodeId, ...]) -> tuple[str, ...]:
        return tuple(self.names[node] for node in nodes)


def described(name: str, region: str, role: str = "hub", *, address: str = "", software: str = "v1") -> MemberDescribed:
    at = address or f"{name}:9130"
    return MemberDescribed(node_of(name), f"cluster-{name[0]}", role, region, (at,), software)


def mesh(*regions: str, size: int = 4) -> list[Member]:
    """`size` hubs in each region: eu0, eu1, ..."""
    return [(f"{region}{index}", region, "hub") for region in regions for index in range(size)]
