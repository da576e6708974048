"""Which members a node dials without being asked."""

from __future__ import annotations

import pytest

from arqonmesh.config.model import LinkSettings
from arqonmesh.core.events import MemberChanged, MemberDescribed
from arqonmesh.core.kernel import Connect, Disconnect, Effect
from arqonmesh.core.topology import Topology
from tests.core.toy import env_of, node_of


def described(name: str, role: str = "hub", *addresses: str) -> MemberDescribed:
    return MemberDescribed(node_of(name), name, role, "eu", addresses or (f"{name}:9130",), "test")


def topology(auto: str = "hubs", auto_max: int = 8) -> Topology:
    settings = LinkSettings(auto=auto, auto_max=auto_max)  # type: ignore[arg-type]
    return Topology(env_of("me"), settings, node_of("founder"))


@pytest.mark.requirement("R-JN-13")
def test_hubs_and_leaders_are_dialled_and_spokes_are_not() -> None:
    """Roles are routing attributes: everyone dials hubs and leaders, nobody dials a spoke."""
    core = topology()

    assert core.on_event(0, described("hub")) == [Connect(node_of("hub"), ("hub:9130",))]
    assert core.on_event(0, described("leader", "leader")) == [Connect(node_of("leader"), ("leader:9130",))]
    assert core.on_event(0, described("spoke", "spoke")) == []


def test_the_founder_is_dialled_whatever_its_role() -> None:
    """A mesh of spokes alone still hangs together."""
    assert topology().on_event(0, described("founder", "spoke")) == [Connect(node_of("founder"), ("founder:9130",))]


def test_a_newcomer_dials_hubs_by_the_word_of_who_admitted_it() -> None:
    """Before any record came by gossip; the spokes that it is told of are left alone."""
    core = topology()
    assert core.introduce(node_of("hub"), "hub", ("hub:1",)) == [Connect(node_of("hub"), ("hub:1",))]
    assert core.introduce(node_of("other"), "spoke", ("other:1",)) == []


def test_a_full_mesh_dials_everyone_and_none_dials_nobody() -> None:
    """`links.auto` is the operator's choice."""
    assert topology("full").on_event(0, described("spoke", "spoke")) != []
    assert topology("none").on_event(0, described("hub")) == []


def test_a_node_does_not_dial_itself() -> None:
    """Its own record describes it like any other."""
    assert topology("full").on_event(0, described("me")) == []


def test_a_member_that_moved_is_dialled_at_its_new_address() -> None:
    """A repeat with nothing new says nothing."""
    core = topology()
    core.on_event(0, described("hub"))

    assert core.on_event(0, described("hub")) == []
    assert core.on_event(0, described("hub", "hub", "10.0.0.9:9130")) == [Connect(node_of("hub"), ("10.0.0.9:9130",))]


def test_a_member_that_left_is_given_up_and_the_next_takes_its_place() -> None:
    """At most auto_max members are wanted; the choice among more is stable."""
    core = topology(auto_max=1)
    wanted: list[Effect] = []
    for name in ("a", "b"):
        wanted += core.on_event(0, described(name))
    assert len(wanted) == 1
    first = core.wanted[0]

    effects = core.on_event(0, MemberChanged(first, "alive", "left", 1, "said so"))

    assert effects[0] == Disconnect(first, "member-left", forget=True)
    assert isinstance(effects[1], Connect)
    assert effects[1].peer != first


def test_a_dead_member_stays_wanted() -> None:
    """It may come back; the dialer tries for ever."""
    core = topology()
    core.on_event(0, described("hub"))

    assert core.on_event(0, MemberChanged(node_of("hub"), "suspect", "dead", 1, "silent")) == []
    assert core.wanted == (node_of("hub"),)
