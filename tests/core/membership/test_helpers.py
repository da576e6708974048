"""Whom a probe asks for help: those through whom its target can be reached."""

from __future__ import annotations

import pytest

from arqonmesh.config.model import LifeguardSettings, MembershipSettings
from arqonmesh.core.events import Applied, LinkUp, MemberAdmitted, MemberExpelled, Persisted
from arqonmesh.core.kernel import SECOND, Send
from arqonmesh.core.membership.core import Membership
from arqonmesh.wire.messages import PingReq
from arqonmesh.wire.statement import Adjacency, Kind, Links, NodeRecord
from tests.core.toy import env_of, key_of, node_of

NAMES = ("b", "c", "d", "e", "f", "g")
PLAIN = MembershipSettings(lifeguard=LifeguardSettings(local_health=False, suspicion=False, buddy=False))


def mesh(says: dict[str, str], settings: MembershipSettings | None = None) -> Membership:
    """`me`, linked to b, among these; each says whom it has links to, by one letter each ("m" is me)."""
    core = Membership(env_of("me"), settings or MembershipSettings())
    core.start(0, {})
    core.on_event(0, Persisted(1))
    for name in NAMES:
        core.on_event(0, MemberAdmitted(node_of(name), key_of(name), name, "hub"))
        record = NodeRecord(b"", name, "hub", "", (), 1, False, "", ())
        core.on_event(0, Applied(node_of(name), Kind.NODE, "", record, b"", ours=False))
    for name, peers in says.items():
        ends = (node_of("me") if peer == "m" else node_of(peer) for peer in peers)
        links = Links(tuple(Adjacency(end, "up", "quic", 1_000, 0) for end in ends))
        core.on_event(0, Applied(node_of(name), Kind.LINKS, "", links, b"", ours=False))
    core.on_event(0, LinkUp(node_of("b"), "quic"))
    return core


def asked_for(core: Membership, target: str, until: int = 40 * SECOND) -> set[str]:
    """Nobody answers anything: who is asked to ping this one."""
    named = {node_of(name): name for name in NAMES}
    asked: set[str] = set()
    while (now := core.next_deadline()) is not None and now < until:
        for effect in core.on_timer(now):
            message = effect.message if isinstance(effect, Send) else None
            if isinstance(effect, Send) and isinstance(message, PingReq) and message.target == node_of(target):
                asked.add(named[effect.to])
    return asked


def test_in_a_star_the_hub_alone_is_asked() -> None:
    """The others would ask it for the same: a dozen relayed messages for one answer."""
    star = {"b": "mcdefg", "c": "b", "d": "b", "e": "b", "f": "b", "g": "b"}
    assert asked_for(mesh(star), "f") == {"b"}


def test_a_neighbour_of_many_is_asked_for_through_some_of_them() -> None:
    """As many as the settings say, other ones each time."""
    core = mesh({"f": "bcdeg", "b": "mf", "c": "f", "d": "f", "e": "f", "g": "f"})
    assert asked_for(core, "f") > {"b"}


def test_who_alone_reaches_it_asks_nobody() -> None:
    """A hub of its spoke: whoever it asked would ask it in turn."""
    assert asked_for(mesh({"b": "m", "c": "de", "d": "c", "e": "c"}), "b") == set()


def test_no_more_are_asked_than_the_settings_say_and_not_always_the_same() -> None:
    """Three of five at a time; over some probes everyone has its turn."""
    core = mesh({"f": "bcdeg", "b": "mf", "c": "f", "d": "f", "e": "f", "g": "f"})
    named = {node_of(name): name for name in NAMES}
    at_once: dict[int, set[str]] = {}
    while (now := core.next_deadline()) is not None and now < 120 * SECOND:
        for effect in core.on_timer(now):
            message = effect.message if isinstance(effect, Send) else None
            if isinstance(effect, Send) and isinstance(message, PingReq) and message.target == node_of("f"):
                at_once.setdefault(now, set()).add(named[effect.to])
    assert at_once and max(len(asked) for asked in at_once.values()) <= 3
    if len(at_once) > 1:
        assert len({frozenset(asked) for asked in at_once.values()}) > 1


def test_the_dead_and_those_who_are_no_members_are_not_asked() -> None:
    """A record may outlive its author's membership, or come before it."""
    core = mesh({"f": "bcx", "b": "mf", "c": "f"})
    stranger = Links((Adjacency(node_of("f"), "up", "quic", 1_000, 0),))
    core.on_event(0, Applied(node_of("x"), Kind.LINKS, "", stranger, b"", ours=False))
    core.on_event(0, MemberExpelled(node_of("c"), "test"))
    assert asked_for(core, "f") == {"b"}


def test_whoever_the_target_claims_alone_is_not_asked() -> None:
    """Both ends have to say so."""
    core = mesh({"f": "bc", "b": "mf", "c": "d"})
    assert asked_for(core, "f") == {"b"}


def test_whoever_claims_a_link_that_the_target_does_not_is_not_asked() -> None:
    """One could draw everyone's questions about a member by a word, and keep the answers."""
    core = mesh({"f": "b", "b": "mf", "c": "f", "d": "f"})
    assert asked_for(core, "f") == {"b"}


@pytest.mark.parametrize("settings", [MembershipSettings(), PLAIN])
def test_where_links_are_not_known_anybody_is_asked(settings: MembershipSettings) -> None:
    """A member that has said nothing of its links; and SWIM as it was published."""
    says = {} if settings is not PLAIN else {"f": "b", "b": "mf"}
    assert len(asked_for(mesh(says, settings), "f")) >= 3
