"""Plans: drawn from a seed, written down, played, and with checkers that can fail."""

from __future__ import annotations

import pytest

from arqonmesh.core.federation.outbox import Outbox
from arqonmesh.core.kernel import SECOND
from arqonmesh.errors import ConfigError
from arqonmesh.sim.accounts import check_accounts, check_bounds
from arqonmesh.sim.broken import Broken
from arqonmesh.sim.draw import FAULTS, draw
from arqonmesh.sim.enact import FUTURE_KIND
from arqonmesh.sim.network import Endpoint
from arqonmesh.sim.plan import Action, Machine, Plan, decode_plan, encode_plan, told
from arqonmesh.sim.play import outcome, play, replay_plan


def plan(*actions: Action, nodes: int = 3, core: tuple[str, ...] = (), length_us: int = 3 * SECOND) -> Plan:
    """One hub and spokes, each a cluster."""
    machines = tuple(
        Machine(name=f"node-{n}", cluster=f"cluster-{n}", role="hub" if n == 0 else "spoke") for n in range(nodes)
    )
    return Plan(seed=1, machines=machines, length_us=length_us, actions=actions, core=core)


def test_a_seed_draws_the_same_plan_and_a_plan_survives_being_written_down() -> None:
    """Byte for byte; whoever a plan names is in it."""
    for seed in range(60):
        drawn = draw(seed)
        assert drawn == draw(seed)
        assert decode_plan(encode_plan(drawn)) == drawn
        assert all(told(action) for action in drawn.actions)


def test_seeds_differ_in_which_faults_there_are_at_all() -> None:
    """Swarm testing: every fault is off in some worlds and on in others."""
    worlds = [set(draw(seed).faults) for seed in range(60)]
    for fault in FAULTS:
        assert 0 < sum(fault in world for world in worlds) < len(worlds), fault


@pytest.mark.parametrize("seed", [5, 26])
def test_a_drawn_world_ends_well(seed: int) -> None:
    """A mesh with bad weather; a join into a clogged link."""
    result, _ = play("swarm", seed)
    assert result.broken == "", result.replay
    assert result.packets > 0 and result.bytes > result.packets
    assert result.peaks["federation.outbox-messages"] > 0


def test_a_plan_read_back_plays_the_same_world() -> None:
    """The file is all that it takes."""
    drawn = draw(5)
    assert replay_plan(decode_plan(encode_plan(drawn)))[0].trace == play("swarm", 5)[0].trace


@pytest.mark.parametrize(
    "text", ["", "{}", '{"seed":1,"machines":[],"length_us":1}', encode_plan(draw(3)).replace('"kind"', '"kin"')]
)
def test_what_is_no_plan_is_refused(text: str) -> None:
    """With what is wrong with it."""
    with pytest.raises(ConfigError, match="no plan"):
        decode_plan(text)


def test_a_plan_that_names_a_stranger_is_refused() -> None:
    """So that a typing error is no quiet pass."""
    with pytest.raises(ConfigError, match="'node-9'"):
        decode_plan(encode_plan(plan(Action(at_us=0, kind="kill", nodes=("node-9",)))))


# --- single faults -----------------------------------------------------------------------------------------------


def test_a_later_version_among_us_does_no_harm() -> None:
    """Its statement is kept and passed on, also by who starts again; its message is counted, and nobody is blamed."""
    told_at = Action(at_us=SECOND, kind="next-version", nodes=("node-1",))
    restart = Action(at_us=2 * SECOND, kind="power", nodes=("node-2",), for_us=SECOND // 2)
    author = Action(at_us=2 * SECOND, kind="kill", nodes=("node-1",), for_us=SECOND // 2)
    result, sim = replay_plan(plan(told_at, restart, author, length_us=4 * SECOND))
    assert result.broken == ""
    assert result.dropped["node unknown-message"] == 2  # one on each lane, to the hub
    assert not [key for key in sim.observer.faults if key[2] != "timeout"]
    for process in sim.processes.values():
        assert any(row[1] == FUTURE_KIND for row in process.disk.durable()["statements"]), process.name


def test_a_newcomer_is_let_in_and_hears_what_is_said_from_then_on() -> None:
    """And a leaver is gone for good; both are told."""
    joins = Action(at_us=SECOND // 2, kind="join", nodes=("new",), others=("node-0",))
    leaves = Action(at_us=2 * SECOND, kind="leave", nodes=("node-2",))
    result, sim = replay_plan(plan(joins, leaves, nodes=4, length_us=5 * SECOND))
    assert result.broken == ""
    assert sim.ledger.heard["new"] and list(sim.departed) == ["node-2"]
    assert any(who == "node-0" and "node-2 left" in what for _, who, what in sim.world.trace.story)


def test_after_a_disk_error_the_process_stops_and_starts_again_with_what_it_had() -> None:
    """No write is tried again; what was promised is kept, and nobody contradicts itself."""
    fails = Action(at_us=SECOND, kind="disk-error", nodes=("node-0",), for_us=2 * SECOND)
    result, sim = replay_plan(plan(fails, length_us=4 * SECOND))
    assert result.broken == ""
    assert any("disk error" in what for _, _, what in sim.world.trace.story)
    assert sim.processes["node-0"].lives == 2


# --- the checkers can fail ---------------------------------------------------------------------------------------


def test_a_quorum_that_does_not_recover_alone_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """With diallers that give up for good, the healed quorum never agrees; healing the rest would not help either."""
    monkeypatch.setattr(Endpoint, "_redial", lambda endpoint, peer: None)
    apart = Action(at_us=SECOND, kind="cut", nodes=("node-1",), others=("node-0", "node-2"), for_us=60 * SECOND)
    broken = outcome(plan(apart, core=("node-0", "node-1")))
    assert broken.startswith("no convergence of the healed quorum node-0 node-1 within 45 s")


def test_the_others_stay_broken_while_the_quorum_is_healed() -> None:
    """What is outside of it comes back only afterwards."""
    down = Action(at_us=SECOND, kind="kill", nodes=("node-2",), for_us=60 * SECOND)
    result, sim = replay_plan(plan(down, core=("node-0", "node-1")))
    assert result.broken == ""
    words = [what for _, _, what in sim.world.trace.story]
    agreed = next(n for n, what in enumerate(words) if "the healed quorum agrees" in what)
    assert "starts again" not in words[:agreed] and "starts again" in words[agreed:]


def test_a_counter_that_is_off_by_one_is_caught() -> None:
    """What a node counts is held against what its clients said and heard."""
    _, sim = replay_plan(plan())
    check_accounts(sim)
    sim.processes["node-1"].running.bus.counters["published"] += 1
    with pytest.raises(Broken, match=r"node-1 counts .* as bus published"):
        check_accounts(sim)


def test_a_queue_beyond_its_cap_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outbox that is never trimmed, with a bound of its own settings' size."""
    monkeypatch.setattr(Outbox, "trim", lambda box: [])
    _, sim = replay_plan(plan())
    check_bounds(sim)
    plane = sim.processes["node-0"].running.plane
    assert plane is not None
    next(iter(plane.federation._outboxes.values())).messages = 1 << 30
    with pytest.raises(Broken, match=r"node-0 holds .* in federation\.outbox-messages"):
        check_bounds(sim)
