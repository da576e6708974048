"""Delta debugging: a planted cause is found, and nothing else stays."""

from __future__ import annotations

import pytest

from arqonmesh.core.bus.streams import Streams
from arqonmesh.core.federation.inbox import Inbox, Seen
from arqonmesh.core.kernel import SECOND
from arqonmesh.sim.minimise import Minimiser, rule_of
from arqonmesh.sim.plan import Action, Machine, Plan
from arqonmesh.sim.play import minimised, outcome


def twenty(*causes: int) -> Plan:
    """Twenty actions; a cause is known by its amount."""
    machines = tuple(Machine(name=f"node-{n}", cluster="one") for n in range(5))
    actions = tuple(
        Action(at_us=n * SECOND, kind="clock-step", nodes=("node-1",), amount=n if n in causes else -1)
        for n in range(20)
    )
    return Plan(seed=1, machines=machines, length_us=60 * SECOND, actions=actions, core=("node-0", "node-1", "node-2"))


@pytest.mark.parametrize("causes", [(3, 17), (0, 1), (9, 10), (5,), (0, 7, 19)])
def test_it_finds_the_actions_that_it_takes_together(causes: tuple[int, ...]) -> None:
    """Two far apart, side by side, one, three; and the world around them shrinks too."""

    def broken(plan: Plan) -> str:
        amounts = {action.amount for action in plan.actions}
        return "lost: something" if amounts >= set(causes) else ""

    found = Minimiser(broken).search(twenty(*causes), "lost: something else")
    assert [action.amount for action in found.plan.actions] == list(causes)
    assert found.actions_before == 20 and not found.exhausted and found.tries < 100
    assert [machine.name for machine in found.plan.machines] == ["node-0", "node-1"]
    assert found.plan.core == () and found.plan.length_us <= 20 * SECOND


def test_another_rule_is_another_finding() -> None:
    """A smaller plan that breaks something else is not taken for the cause."""

    def broken(plan: Plan) -> str:
        return "lost: a message" if len(plan.actions) >= 12 else "fork: another thing"

    assert len(Minimiser(broken).search(twenty(), "lost: a message").plan.actions) >= 12


def test_a_search_ends_at_its_bound() -> None:
    """With the best so far, and it says so."""
    found = Minimiser(lambda plan: "lost: x" if len(plan.actions) > 3 else "", tries_max=5).search(twenty(), "lost: x")
    assert found.exhausted and found.tries == 5


def test_figures_in_the_sentence_do_not_matter() -> None:
    """Times and names differ from world to world; the rule is the same."""
    assert rule_of("lost: a never heard b") == rule_of("lost: c never heard d (7 such)")
    assert rule_of("no convergence within 60 s: x") == rule_of("no convergence of the healed quorum a within 45 s: y")
    assert rule_of("fork: x") != rule_of("lost: x")


def test_a_bug_in_a_core_shrinks_to_what_provokes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without both memories of what it has seen, the federation's and the bus's, a node delivers again what a link
    sends again: one cut is enough that outlasts the connection."""
    monkeypatch.setattr(Inbox, "look", lambda *_: Seen.NEW)
    monkeypatch.setattr(Streams, "arrived", lambda *_: True)
    steps = twenty().actions[:3]
    cut = Action(at_us=SECOND // 2, kind="cut", nodes=("node-0",), others=("node-1",), one_way=True, for_us=3 * SECOND)
    machines = (Machine(name="node-0", cluster="one"), Machine(name="node-1", cluster="two", role="spoke"))
    plan = Plan(seed=1, machines=machines, length_us=6 * SECOND, actions=(steps[0], cut, *steps[1:]))
    broken = outcome(plan)
    assert "heard twice" in broken
    found = minimised(plan, broken, 40)
    assert found.plan.actions == (cut,) and not found.exhausted
    assert "heard twice" in outcome(found.plan)
