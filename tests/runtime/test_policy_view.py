"""What `arqon policy explain` asks a node: of the channel that an event would be on, and of no other."""

from __future__ import annotations

import pytest

from arqonmesh.config.model import Config, FederationSettings, NodeSettings, Rules
from arqonmesh.core.node import Node
from arqonmesh.errors import UsageError
from arqonmesh.runtime.policy_view import policy_view
from arqonmesh.sim.checkers import wait_for_convergence
from arqonmesh.sim.simulation import Simulation


@pytest.fixture(scope="module")
def node() -> Node:
    sim = Simulation(1)
    rules = Rules(allow=("default:open", "plant:*", "acme|*"))
    sim.add_config("a", Config(node=NodeSettings(cluster="a"), federation=FederationSettings(export=rules)))
    sim.add("b")
    sim.found()
    wait_for_convergence(sim)
    found = sim.machine("a").node
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("typed", "full", "allowed"),
    [
        ("open", "default:open", True),
        ("nocolon", "default:nocolon", False),
        ("plant:press", "plant:press", True),
        ("plant:*", "plant:*", True),
        ("acme|press", "acme|default:press", True),
        ("$mesh:state", "$mesh:state", False),
    ],
)
def test_a_name_is_resolved_as_an_event_to_it_would_be(node: Node, typed: str, full: str, allowed: bool) -> None:
    """A name without a room is one of the default room, and the verdict is about that."""
    view = policy_view(node, typed)
    assert view.channel == full
    assert [verdict.allowed for verdict in view.verdicts] == [allowed]


@pytest.mark.parametrize("typed", ["a b", "a:b:c", "*", "a:", "|a:b", "No|a:b"])
def test_a_name_that_no_event_can_be_on_has_no_verdict(node: Node, typed: str) -> None:
    """It is refused as the bus refuses it, with a command instead of a frame."""
    with pytest.raises(UsageError) as refused:
        policy_view(node, typed)
    assert refused.value.code in ("bus.channel-name", "bus.tenant")
    assert refused.value.hint.startswith("arqon policy explain ")
