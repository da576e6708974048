"""Who is expelled has left, to everyone who listens to members."""

from __future__ import annotations

from arqonmesh.config.model import MembershipSettings
from arqonmesh.core.events import MemberAdmitted, MemberChanged, MemberExpelled
from arqonmesh.core.kernel import Emit, Event
from arqonmesh.core.membership.core import Membership
from tests.core.toy import env_of, key_of, node_of


def test_the_expelled_are_told_as_left_and_count_again_when_they_are_admitted_again() -> None:
    """Also one that never spoke; and nobody is expelled from its own point of view."""
    core = Membership(env_of("a"), MembershipSettings())
    core.start(0, {})

    def told(event: Event) -> list[MemberChanged]:
        effects = core.on_event(0, event)
        return [e.event for e in effects if isinstance(e, Emit) and isinstance(e.event, MemberChanged)]

    admitted = MemberAdmitted(node_of("b"), key_of("b"), "b", "hub")
    assert told(admitted) == []
    left = MemberChanged(node_of("b"), "", "left", 0, "admission-void")
    assert told(MemberExpelled(node_of("b"), "admission-void")) == [left]
    assert told(MemberExpelled(node_of("b"), "admission-void")) == []
    told(admitted)
    assert core.state_of(node_of("b")) == ""
    assert told(MemberExpelled(node_of("a"), "admission-void")) == []
