"""Which members a node dials without being asked."""

from __future__ import annotations

import pytest

from arqonmesh.config.model import LinkSettings
from arqonmesh.core.events import (
    LinkWanted,
    MemberAdmitted,
    MemberChanged,
    MemberDescribed,
    MemberExpelled,
    MemberIntroduced,
    OverlayRuns,
)
from arqonmesh.core.kernel import Connect, Disconnect, Effect, Emit, Event
from arqonmesh.core.topology import Topology
from tests.core.toy import env_of, node_of


def tell(core: Topology, event: Event) -> list[Effect]:
    """What comes of it, at the end of its moment."""
    return [*core.on_event(0, event), *core.on_timer(0)]


def described(name: str, role: str = "hub", *addresses: str) -> MemberDescribed:
    return MemberDescribed(node_of(name), name, role, "eu", addresses or (f"{name}:9130",), "test")


def topology(auto: str = "hubs", auto_max: int = 8, full_max: int = 200) -> Topology:
    settings = LinkSettings(auto=auto, auto_max=auto_max, full_max=full_max)  # type: ignore[arg-type]
    return Topology(env_of("me"), settings, node_of("founder"))


@pytest.mark.requirement("R-JN-13")
def test_hubs_and_leaders_are_dialled_and_spokes_are_not() -> None:
    """Roles are routing attributes: everyone dials hubs and leaders, nobody dials a spoke."""
    core = topology()

    assert tell(core, described("hub")) == [Connect(node_of("hub"), ("hub:9130",))]
    assert tell(core, described("leader", "leader")) == [Connect(node_of("leader"), ("leader:9130",))]
    assert tell(core, described("spoke", "spoke")) == []


def test_the_founder_is_dialled_whatever_its_role() -> None:
    """A mesh of spokes alone still hangs together."""
    assert tell(topology(), described("founder", "spoke")) == [Connect(node_of("founder"), ("founder:9130",))]


def test_a_newcomer_dials_hubs_by_the_word_of_who_admitted_it() -> None:
    """Before any record came by gossip; the spokes that it is told of are left alone."""
    core = topology()
    assert core.introduce(0, node_of("hub"), "hub", ("hub:1",)) == []
    assert core.on_timer(0) == [Connect(node_of("hub"), ("hub:1",))]
    assert core.introduce(0, node_of("other"), "spoke", ("other:1",)) == []
    assert core.on_timer(0) == []


def test_a_full_mesh_dials_everyone_and_none_dials_nobody() -> None:
    """`links.auto` is the operator's choice."""
    assert tell(topology("full"), described("spoke", "spoke")) != []
    assert tell(topology("none"), described("hub")) == []


def test_who_is_expelled_keeps_no_link_whoever_made_it() -> None:
    """A member that leaves closes its links itself; one whose admission is void has no reason to."""
    core = topology()
    gone = Disconnect(node_of("spoke"), "member-expelled", forget=True)
    assert tell(core, MemberExpelled(node_of("spoke"), "admission-void")) == [gone]
    tell(core, described("hub"))
    assert tell(core, MemberExpelled(node_of("hub"), "admission-void")) == [
        Disconnect(node_of("hub"), "member-expelled", forget=True)
    ]


def test_a_node_does_not_dial_itself() -> None:
    """Its own record describes it like any other."""
    assert tell(topology("full"), described("me")) == []


def test_a_member_that_moved_is_dialled_at_its_new_address() -> None:
    """A repeat with nothing new says nothing."""
    core = topology()
    tell(core, described("hub"))

    assert tell(core, described("hub")) == []
    assert tell(core, described("hub", "hub", "10.0.0.9:9130")) == [Connect(node_of("hub"), ("10.0.0.9:9130",))]


def test_a_member_that_left_is_given_up_and_the_next_takes_its_place() -> None:
    """At most auto_max members are wanted; the choice among more is stable."""
    core = topology(auto_max=1)
    wanted: list[Effect] = []
    for name in ("a", "b"):
        wanted += tell(core, described(name))
    assert len(wanted) == 1
    first = core.wanted[0]

    effects = tell(core, MemberChanged(first, "alive", "left", 1, "said so"))

    assert effects[0] == Disconnect(first, "member-left", forget=True)
    assert isinstance(effects[1], Connect)
    assert effects[1].peer != first


@pytest.mark.parametrize("together", [False, True])
def test_who_is_wanted_of_many_depends_on_their_names_and_not_on_their_order(together: bool) -> None:
    """Told at one moment, forwards, backwards, one by one or together: the same three of forty hubs; and other ones
    than another node wants, or all nodes would turn to the same hubs."""
    hubs = [described(f"h{number}") for number in range(40)]
    chosen: list[tuple[str, ...]] = []
    for name, order in (("me", hubs), ("me", hubs[::-1]), ("you", hubs)):
        core = Topology(env_of(name), LinkSettings(auto="hubs", auto_max=3), node_of("founder"))
        effects = core.on_events(5, order) if together else [e for event in order for e in core.on_event(5, event)]
        assert effects == []
        assert core.next_deadline() == 5
        assert len(core.on_timer(5)) == 3
        assert core.next_deadline() is None
        chosen.append(core.wanted)
    assert chosen[0] == chosen[1]
    assert set(chosen[0]).isdisjoint(chosen[2])


def test_who_is_wanted_stays_wanted_when_others_come_later() -> None:
    """No link that stands is given up for one that may never stand."""
    core = topology(auto_max=3)
    for number in range(3):
        tell(core, described(f"h{number}"))
    wanted = core.wanted
    for number in range(3, 40):
        assert tell(core, described(f"h{number}")) == []
    assert core.wanted == wanted


def test_a_dead_member_stays_wanted() -> None:
    """It may come back; the dialer tries for ever."""
    core = topology()
    tell(core, described("hub"))

    assert tell(core, MemberChanged(node_of("hub"), "suspect", "dead", 1, "silent")) == []
    assert core.wanted == (node_of("hub"),)


# --- wishes have owners --------------------------------------------------------------------------------------------


def wants(core: Topology, name: str, by: str, *addresses: str) -> list[Effect]:
    return tell(core, LinkWanted(node_of(name), by, addresses))


def test_a_link_is_closed_with_the_last_wish_and_not_before() -> None:
    """One core asks, another must not close: whoever takes its wish back leaves those of others."""
    core = topology()
    assert wants(core, "a", "overlay", "a:1") == [Connect(node_of("a"), ("a:1",))]
    wants(core, "a", "regions", "a:1")
    assert wants(core, "a", "overlay") == []
    assert node_of("a") in core.wanted
    assert wants(core, "a", "regions") == [Disconnect(node_of("a"), "not-wanted", forget=True)]
    assert core.wanted == ()


def test_no_core_closes_what_is_wanted_by_role() -> None:
    """A hub stays a hub, whatever the others think of its link."""
    core = topology()
    tell(core, described("hub"))
    wants(core, "hub", "regions", "hub:9130")
    assert wants(core, "hub", "regions") == []
    assert core.wanted == (node_of("hub"),)


def test_a_link_that_nobody_here_asked_for_is_closed_without_forgetting_anything() -> None:
    """The dialler may hold a wish of the operator's for it."""
    assert wants(topology(), "a", "overlay") == [Disconnect(node_of("a"), "not-wanted", forget=False)]


def test_a_wanted_member_that_moves_is_dialled_at_its_new_address_whoever_wants_it() -> None:
    """The address book is topology's; a core that wants a link need not follow it."""
    core = topology("overlay")
    tell(core, described("a"))
    wants(core, "a", "overlay", "a:9130")
    assert tell(core, described("a", "hub", "10.0.0.9:9130")) == [Connect(node_of("a"), ("10.0.0.9:9130",))]


def test_where_nobody_is_to_be_dialled_no_core_opens_or_closes_a_link() -> None:
    """`links.auto: none`: links are the operator's alone, for leaders of regions, too."""
    core = topology("none")
    tell(core, described("a"))
    assert wants(core, "a", "regions", "a:9130") == []
    assert core.wanted == ()
    assert wants(core, "a", "regions") == [], "a link that the operator added stays"


def test_who_leaves_is_wanted_by_nobody() -> None:
    """Every wish ends with the membership."""
    core = topology("overlay")
    wants(core, "a", "overlay", "a:1")
    wants(core, "a", "regions", "a:1")
    effects = tell(core, MemberChanged(node_of("a"), "alive", "left", 1, "said so"))
    assert effects == [Disconnect(node_of("a"), "member-left", forget=True)]
    assert core.wanted == ()


# --- the overlay ---------------------------------------------------------------------------------------------------


def admit(core: Topology, count: int) -> list[Effect]:
    """Members beside this node, described, too."""
    effects: list[Effect] = []
    for number in range(count):
        name = f"n{number}"
        effects += tell(core, MemberAdmitted(node_of(name), b"", name, "hub"))
        effects += tell(core, described(name))
    return effects


def test_under_overlay_nobody_is_dialled_by_role() -> None:
    """The overlay is told that it runs, and asks for what it wants."""
    core = topology("overlay")
    assert core.start(0, {}) == [Emit(OverlayRuns(True, ()))]
    assert admit(core, 10) == []
    assert core.addresses_of(node_of("n3")) == ("n3:9130",)


def test_a_full_mesh_that_grows_large_falls_over_to_the_overlay() -> None:
    """Above full_max; the links that stand are handed over, none is closed."""
    core = topology("full", auto_max=3, full_max=10)
    admit(core, 9)
    assert not core.by_overlay
    wanted = core.wanted
    (told,) = tell(core, MemberAdmitted(node_of("one more"), b"", "c", "hub"))
    assert told == Emit(OverlayRuns(True, wanted))
    assert core.by_overlay
    assert core.wanted == wanted
    for node in wanted:  # no wish by role is left beside the overlay's
        assert tell(core, LinkWanted(node, "overlay", ())) == [Disconnect(node, "not-wanted", forget=True)]


def test_a_mesh_that_shrinks_is_full_again_with_hysteresis() -> None:
    """Below three quarters of full_max: one member that comes and goes changes nothing."""
    core = topology("full", auto_max=3, full_max=10)
    admit(core, 10)
    assert core.by_overlay
    for number in range(3):
        tell(core, MemberChanged(node_of(f"n{number}"), "alive", "left", 1, ""))
        assert core.by_overlay
    effects = tell(core, MemberChanged(node_of("n3"), "alive", "left", 1, ""))
    assert effects[-1] == Emit(OverlayRuns(False, ()))
    assert not core.by_overlay
    for node in core.wanted:
        tell(core, LinkWanted(node, "overlay", ()))
    assert len(core.wanted) == 3, "by role, when the overlay has taken its wishes back"


def test_hubs_stay_the_operators_star_however_large_the_mesh() -> None:
    """Only `full` falls over."""
    core = topology("hubs", full_max=5)
    admit(core, 20)
    assert not core.by_overlay


def test_who_admitted_us_names_members_to_turn_to() -> None:
    """They are the overlay's last resorts; under other choices they are dialled as before."""
    core = topology("overlay")
    assert core.told(0, node_of("hub"), "hub", ("hub:1",)) == [Emit(MemberIntroduced(node_of("hub")))]
    assert core.told(0, node_of("me"), "hub", ("me:1",)) == []
    hubs = topology()
    effects = hubs.told(0, node_of("hub"), "hub", ("hub:1",))
    assert effects == [Emit(MemberIntroduced(node_of("hub")))]
    assert hubs.on_timer(0) == [Connect(node_of("hub"), ("hub:1",))]
