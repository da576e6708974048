"""The few actions of a plan that it takes to break a rule: delta debugging (Zeller, Hildebrandt, IEEE TSE 28(2), 2002).

    break the list into chunks ─▶ does one chunk alone still break it? ─▶ do all but one? ─▶ smaller chunks ─▶ ...

until no single action can be left out (1-minimal). Then what is not in the list: does it need the climate, the clocks,
the liveness phase, so many nodes, so much time? A smaller plan counts only if it breaks the same rule, told by the
first words of the sentence: a plan that breaks another one is another finding.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from arqonmesh.core.kernel import SECOND
from arqonmesh.sim.plan import Action, Machine, Plan

TRIES_MAX: Final = 200
"""Worlds that one search plays at most; what is found by then is the answer."""

Outcome = Callable[[Plan], str]
"""The rule that a plan breaks, as a sentence; empty when every rule held."""


@dataclass(slots=True)
class Minimal:
    """What a search found."""

    plan: Plan
    broken: str
    """The sentence of the smallest plan."""
    actions_before: int
    tries: int = 0
    exhausted: bool = False
    """TRIES_MAX was reached; a smaller one may exist."""


def rule_of(broken: str) -> str:
    """What two failures have in common when they are the same finding: `lost`, `fork`, `no convergence`, ..."""
    return broken.split(":")[0].split(" within")[0].split(" at ")[0].split(" of the ")[0]


class _Spent(Exception):
    """TRIES_MAX."""


class Minimiser:
    """`tried` is told after every world that was played."""

    def __init__(
        self,
        outcome: Outcome,
        *,
        tries_max: int = TRIES_MAX,
        tried: Callable[[Minimal], object] = lambda found: None,
    ) -> None:
        self._outcome = outcome
        self._tries_max = tries_max
        self._tried = tried

    def search(self, plan: Plan, broken: str) -> Minimal:
        """The smallest plan found that breaks the rule which `plan` broke, as `broken` says."""
        self._found = found = Minimal(plan, broken, len(plan.actions))
        self._rule = rule_of(broken)
        try:
            self._actions()
            for smaller in (_without_phase, _without_climate, _fewer_nodes, _plain_clocks, _shorter):
                self._greedy(smaller)
            self._actions()
        except _Spent:
            found.exhausted = True
        return found

    def _breaks(self, plan: Plan) -> bool:
        found = self._found
        if found.tries >= self._tries_max:
            raise _Spent
        found.tries += 1
        broken = self._outcome(plan)
        if rule_of(broken) == self._rule and broken:
            found.plan, found.broken = plan, broken
        self._tried(found)
        return found.plan is plan

    def _actions(self) -> None:
        """ddmin over the list of actions."""
        parts = 2
        if self._found.plan.actions and self._breaks(_with(self._found.plan, ())):
            return
        while len(self._found.plan.actions) > 1:
            plan = self._found.plan
            chunks = _chunks(plan.actions, parts)
            rests = [tuple(a for c in chunks if c is not chunk for a in c) for chunk in chunks]
            if parts > 2 and any(self._breaks(_with(plan, rest)) for rest in rests):
                parts = max(parts - 1, 2)
            elif parts == 2 and any(self._breaks(_with(plan, chunk)) for chunk in chunks):
                parts = 2
            elif parts < len(plan.actions):
                parts = min(len(plan.actions), 2 * parts)
            else:
                return

    def _greedy(self, smaller: Callable[[Plan], Iterator[Plan]]) -> None:
        """Take the first that still breaks it, and begin again from there."""
        while any(self._breaks(plan) for plan in smaller(self._found.plan)):
            pass


def _with(plan: Plan, actions: Sequence[Action]) -> Plan:
    return msgspec.structs.replace(plan, actions=tuple(actions))


def _chunks(actions: Sequence[Action], parts: int) -> list[tuple[Action, ...]]:
    ends = [len(actions) * number // parts for number in range(parts + 1)]
    return [tuple(actions[a:b]) for a, b in itertools.pairwise(ends) if b > a]


def _without_phase(plan: Plan) -> Iterator[Plan]:
    if plan.core:
        yield msgspec.structs.replace(plan, core=())


def _without_climate(plan: Plan) -> Iterator[Plan]:
    if plan.climate is not None:
        yield msgspec.structs.replace(plan, climate=None)


def _fewer_nodes(plan: Plan) -> Iterator[Plan]:
    """Without a node that no action names; the founder stays, and a quorum to heal does."""
    named = {name for action in plan.actions if action.kind != "cut" for name in (*action.nodes, *action.others)}
    for machine in plan.machines[:0:-1]:
        name = machine.name
        if name not in named and len(plan.machines) > 2:
            yield msgspec.structs.replace(
                plan,
                machines=tuple(other for other in plan.machines if other is not machine),
                core=tuple(other for other in plan.core if other != name),
                actions=tuple(cut for action in plan.actions if (cut := _spared(action, name)) is not None),
            )


def _spared(action: Action, name: str) -> Action | None:
    """The action without this node; None when nothing is left of it."""
    nodes = tuple(other for other in action.nodes if other != name)
    others = tuple(other for other in action.others if other != name)
    if not nodes or (action.kind == "cut" and not others):
        return None
    return msgspec.structs.replace(action, nodes=nodes, others=others)


def _plain_clocks(plan: Plan) -> Iterator[Plan]:
    plain = tuple(Machine(name=m.name, cluster=m.cluster, role=m.role) for m in plan.machines)
    if plain != plan.machines:
        yield msgspec.structs.replace(plan, machines=plain)


def _shorter(plan: Plan) -> Iterator[Plan]:
    last = max((action.at_us + action.for_us for action in plan.actions), default=0)
    if last + SECOND < plan.length_us:
        yield msgspec.structs.replace(plan, length_us=last + SECOND)
