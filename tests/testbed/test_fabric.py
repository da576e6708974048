"""Which packet arrives where and when, and who is let in: pure, with a hand-moved clock."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.errors import ConfigError, NotFound
from arqonmesh.sim.link_model import LinkModel
from arqonmesh_testbed.fabric import MODEL_FIELDS, set_model
from arqonmesh_testbed.flows import FLOWS_MAX, IDLE_US, Flows

from .packets import fabric_abc, packet


def test_a_packet_arrives_after_the_delay_of_its_direction() -> None:
    """The lab decides by the simulator's own class, one model per direction."""
    fabric = fabric_abc(delay_us=20_000)
    set_model(fabric.path("b", "a").model, {"delay_us": 1_000})
    assert isinstance(fabric.path("a", "b").model, LinkModel)
    assert fabric.plan(5, "a", packet("a", "b")) == ("b", (20_005,))
    assert fabric.plan(5, "b", packet("b", "a")) == ("a", (1_005,))


def test_nodes_without_a_link_do_not_hear_each_other() -> None:
    """a - b - c: what a sends to c goes nowhere, and is counted."""
    fabric = fabric_abc()
    assert fabric.plan(0, "a", packet("a", "c")) is None
    assert fabric.plan(0, "a", packet("a", "192.0.2.1")) is None
    assert fabric.stats()["nodes"][0]["strays"] == 2


def test_a_one_way_cut_loses_one_direction_only() -> None:
    """A silent one-way cut: a's packets vanish, b's arrive; heal ends it."""
    fabric = fabric_abc(delay_us=10)
    fabric.cut("a", "b", one_way=True)
    assert fabric.plan(0, "a", packet("a", "b")) is None
    assert fabric.plan(0, "b", packet("b", "a")) == ("a", (10,))
    assert fabric.path("a", "b").cut == 1
    assert fabric.heal() == 1
    assert fabric.plan(0, "a", packet("a", "b")) == ("b", (10,))


def test_loss_follows_its_share() -> None:
    """250,000 ppm lose a quarter; all are counted."""
    fabric = fabric_abc(loss_ppm=250_000)
    arrived = sum(fabric.plan(n, "a", packet("a", "b")) is not None for n in range(4_000))
    assert 2_800 < arrived < 3_200
    assert fabric.path("a", "b").lost == 4_000 - arrived


@pytest.mark.parametrize(
    "changes",
    [{"latency": 5}, {"delay_us": -1}, {"delay_us": 1.5}, {"delay_us": True}, {"loss_ppm": 1_000_001}, {"cut": 1}],
)
def test_a_wrong_change_of_a_model_is_refused_whole(changes: dict[str, Any]) -> None:
    """All or nothing: nothing of a refused change is applied."""
    model = LinkModel(delay_us=7)
    with pytest.raises(ConfigError) as refused:
        set_model(model, {"delay_us": 9, **changes})
    assert refused.value.code == "lab.model"
    assert model.delay_us == (7 if "delay_us" not in changes else model.delay_us) == 7


def test_every_public_figure_of_the_model_can_be_set() -> None:
    """A figure that the simulator's model gains must not be missing in the lab."""
    assert set(MODEL_FIELDS) == {name for name in LinkModel.__slots__ if not name.startswith("_")}


def test_a_link_that_is_not_there_is_told_with_those_that_are() -> None:
    """Errors say what would be right."""
    with pytest.raises(NotFound, match="no link from a to c; a is linked to b") as missing:
        fabric_abc().cut("a", "c")
    assert missing.value.code == "lab.no-link"
    with pytest.raises(NotFound, match="a, b, c"):
        fabric_abc().cut("a", "x")


def test_behind_outbound_only_reachability_only_answers_get_in() -> None:
    """As behind a home router: b reaches a after a wrote to b, from that port to that port and no other."""
    fabric = fabric_abc(delay_us=10)
    fabric.set_outbound_only("a", True)
    answer = packet("b", "a", ports=(2000, 1000))
    assert fabric.plan(0, "b", answer) is None
    assert fabric.plan(1, "a", packet("a", "b", ports=(1000, 2000))) is not None
    assert fabric.plan(2, "b", answer) == ("a", (12,))
    assert fabric.plan(3, "b", packet("b", "a", ports=(2001, 1000))) is None
    assert fabric.plan(3, "b", packet("b", "a", ports=(2000, 1001))) is None
    assert fabric.path("b", "a").unsolicited == 3
    assert fabric.plan(4, "b", packet("b", "a", protocol=1)) == ("a", (14,)), "ICMP passes"
    fabric.set_outbound_only("a", False)
    assert fabric.plan(5, "b", packet("b", "a", ports=(1, 2))) is not None


def test_a_flow_closes_after_two_idle_minutes() -> None:
    """RFC 4787, REQ-5: not before two minutes; traffic in either direction keeps it open."""
    flows = Flows()
    answer = packet("b", "a", ports=(2000, 1000))
    flows.went_out(0, packet("a", "b", ports=(1000, 2000)))
    assert flows.may_come_in(IDLE_US, answer)
    assert flows.may_come_in(2 * IDLE_US, answer), "the answer kept it open"
    assert not flows.may_come_in(3 * IDLE_US + 1, answer)


def test_flows_are_bounded_and_the_oldest_goes() -> None:
    """A scan from inside cannot fill the table."""
    flows = Flows()
    for port in range(FLOWS_MAX + 10):
        flows.went_out(port, packet("a", "b", ports=(port, 9)))
    assert (len(flows), flows.forgotten) == (FLOWS_MAX, 10)
    assert not flows.may_come_in(0, packet("b", "a", ports=(9, 0)))
    assert flows.may_come_in(0, packet("b", "a", ports=(9, 10)))


@given(st.binary(max_size=60))
def test_any_bytes_are_planned_or_dropped(data: bytes) -> None:
    """What a kernel hands over is not checked by anybody before the switch."""
    fabric = fabric_abc()
    fabric.set_outbound_only("b", True)
    fabric.plan(0, "a", data)
    fabric.plan(0, "a", packet("a", "b")[:20] + data)
    fabric.plan(0, "b", packet("b", "a", fragment=1)[:20] + data)
