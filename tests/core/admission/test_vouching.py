"""Whose cluster is more than its own word: who came by a ticket of the founder, or of one of that cluster who did."""

from __future__ import annotations

import random

import pytest

from arqonmesh.config.model import ClaimRule, FederationSettings
from arqonmesh.core.admission.core import Admission
from arqonmesh.core.admission.vouching import OWN_WORD
from arqonmesh.core.events import Applied, MemberAdmitted, MemberDescribed, MemberExpelled, MemberMoved, Withdrawn
from arqonmesh.core.federation.core import Federation
from arqonmesh.core.kernel import Emit, Event
from arqonmesh.ids import NodeId, encode_ulid, short
from arqonmesh.wire.statement import Body, Invite, JoinPolicy, Kind
from tests.core.admission.test_judge import JOIN_KEY, NOW, proven
from tests.core.gossip.world import genesis_of
from tests.core.toy import env_of, key_of, node_of

FOUNDED = Applied(node_of("hub"), Kind.GENESIS, "", genesis_of("hub"), b"", ours=False)


def said(author: str, kind: Kind, body: Body, key: str = "") -> Applied:
    return Applied(node_of(author), kind, key, body, b"", ours=False)


def policy(name: str) -> Applied:
    return said("hub", Kind.JOIN_POLICY, JoinPolicy(name, b"salt", JOIN_KEY))


def ticket_of(inviter: str, joiner: str) -> str:
    return encode_ulid(1, sum(f"{inviter} {joiner}".encode()))


def invites(inviter: str, joiner: str, cluster: str, *, role: str = "hub", revoked_ms: int = 0) -> Applied:
    body = Invite(key_of(f"{inviter} {joiner}"), cluster, role, NOW, 1, revoked_ms)
    return said(inviter, Kind.INVITE, body, ticket_of(inviter, joiner))


def lets_in(author: str, joiner: str, cluster: str, *, inviter: str = "", role: str = "hub") -> Applied:
    """By a ticket of this inviter, or with the join key (which an open mesh does not look at)."""
    ticket = ticket_of(inviter, joiner) if inviter else ""
    signer = key_of(f"{inviter} {joiner}") if inviter else JOIN_KEY
    body = proven(joiner, ticket=ticket, signer=signer, cluster=cluster, role=role, uses=1 if inviter else 0)
    return said(author, Kind.ADMISSION, body, node_of(joiner))


def by_ticket(inviter: str, joiner: str, cluster: str, *, role: str = "hub") -> list[Applied]:
    """The inviter makes a ticket and lets its holder in."""
    return [
        invites(inviter, joiner, cluster, role=role),
        lets_in(inviter, joiner, cluster, inviter=inviter, role=role),
    ]


def roster(*events: Event) -> Admission:
    core = Admission(env_of("hub"), founder=node_of("hub"))
    for event in events:
        core.on_event(0, event)
    return core


def another_cluster(inviter: str, cluster: str) -> str:
    return f"it was invited by {short(node_of(inviter))} of another cluster ({cluster})"


def nobody_vouches(inviter: str) -> str:
    return f"it was invited by {short(node_of(inviter))}, whose own cluster nobody vouches for"


@pytest.mark.parametrize("name", ["open", "key"])
@pytest.mark.parametrize("author", ["hub", "eva"])
def test_without_a_ticket_a_cluster_is_the_joiners_own_word(name: str, author: str) -> None:
    """The founder, or a hub of that cluster, that lets it in says nothing of its own: it copies what was asked for."""
    made = roster(FOUNDED, policy(name), *by_ticket("hub", "eva", "eu"), lets_in(author, "x", "eu"))

    assert made.cluster_of(node_of("x")) == "eu"
    assert made.doubt_of(node_of("x")) == OWN_WORD


def test_the_founder_is_of_its_cluster_by_the_genesis_and_a_stranger_of_none() -> None:
    """Somebody has to be first."""
    made = roster(FOUNDED)

    assert made.doubt_of(node_of("hub")) == ""
    assert made.doubt_of(node_of("x")) == "it is not on the roster"
    assert roster().doubt_of(node_of("hub")) == "it is not on the roster"


STORY: list[Applied] = [
    FOUNDED,
    policy("open"),
    *by_ticket("hub", "eva", "eu"),  # a hub of eu, invited by the founder
    *by_ticket("eva", "eli", "eu"),  # and one that this one invited
    *by_ticket("eli", "edd", "eu", role="spoke"),
    *by_ticket("hub", "uma", "us"),  # a hub of us, as good as that of eu
    *by_ticket("uma", "spy", "eu"),  # which invites a node of its own into eu
    *by_ticket("spy", "spy2", "eu"),  # and that one the next
    lets_in("uma", "liar", "eu"),
    *by_ticket("liar", "liar2", "eu"),
    *by_ticket("eva", "guest", "us"),
]
DOUBTS = {
    "hub": "",
    "eva": "",
    "eli": "",
    "edd": "",
    "uma": "",
    "spy": another_cluster("uma", "us"),
    "spy2": nobody_vouches("spy"),
    "liar": OWN_WORD,
    "liar2": nobody_vouches("liar"),
    "guest": another_cluster("eva", "eu"),
}


def test_a_ticket_vouches_when_its_maker_is_the_founder_or_vouched_for_in_that_cluster() -> None:
    """A hub of another cluster cannot lend a cluster, neither at once nor over a node of its own."""
    made = roster(*STORY)

    assert {name: made.doubt_of(node_of(name)) for name in DOUBTS} == DOUBTS
    assert len(made.members()) == len(DOUBTS)


@pytest.mark.parametrize("seed", range(40))
def test_who_is_vouched_for_does_not_depend_on_the_order_of_arrival(seed: int) -> None:
    """Nor on a restart, which is another order. Whoever follows the events knows what the roster knows."""
    events = STORY.copy()
    random.Random(seed).shuffle(events)
    made = roster()
    heard: dict[NodeId, tuple[str | None, bool]] = {}
    for event in events:
        for effect in made.on_event(0, event):
            assert isinstance(effect, Emit)
            if isinstance(effect.event, MemberExpelled):
                heard.pop(effect.event.node)
            elif isinstance(effect.event, MemberAdmitted | MemberMoved):
                heard[effect.event.node] = (made.cluster_of(effect.event.node), made.doubt_of(effect.event.node) == "")

    assert {name: made.doubt_of(node_of(name)) for name in DOUBTS} == DOUBTS
    assert heard == {m.node: (m.cluster, made.doubt_of(m.node) == "") for m in made.members()}


def test_two_that_invited_each_other_vouch_for_nobody() -> None:
    """Both are in by the join key; their tickets for each other change nothing."""
    key = [FOUNDED, policy("key"), lets_in("hub", "a", "eu"), lets_in("hub", "b", "eu")]
    made = roster(*key, *by_ticket("a", "b", "eu"), *by_ticket("b", "a", "eu"))

    assert made.doubt_of(node_of("a")) == nobody_vouches("b")
    assert made.doubt_of(node_of("b")) == nobody_vouches("a")


def test_a_ticket_that_a_founder_revokes_was_not_made_by_it() -> None:
    """Its word on the ticket of another repeats the terms, and ends them."""
    word = said("hub", Kind.INVITE, Invite(key_of("uma spy"), "eu", "hub", NOW, 1, NOW - 1), ticket_of("uma", "spy"))
    made = roster(*STORY, word)

    assert made.cluster_of(node_of("spy")) == "eu"
    assert made.doubt_of(node_of("spy")) == another_cluster("uma", "us")


def test_who_stays_a_member_on_another_ground_may_lose_its_voucher_and_gain_it_again() -> None:
    """It came by the join key and by a ticket; the ticket goes and comes, and with it whom that one invited."""
    invite, admission = by_ticket("hub", "x", "eu")
    made = roster(FOUNDED, policy("key"), *by_ticket("hub", "eva", "eu"), lets_in("eva", "x", "eu"))
    for event in by_ticket("x", "y", "eu"):
        made.on_event(0, event)
    moved = [Emit(MemberMoved(node_of("x"))), Emit(MemberMoved(node_of("y")))]
    assert (made.doubt_of(node_of("x")), made.doubt_of(node_of("y"))) == (OWN_WORD, nobody_vouches("x"))

    by_eva = said("eva", Kind.ADMISSION, admission.body, node_of("x"))
    made.on_event(0, said("hub", Kind.ADMISSION, lets_in("hub", "x", "eu").body, node_of("x")))
    made.on_event(0, invite)
    assert made.on_event(0, by_eva) == moved
    assert (made.doubt_of(node_of("x")), made.doubt_of(node_of("y"))) == ("", "")
    assert made.on_event(0, Withdrawn(node_of("hub"), Kind.INVITE, ticket_of("hub", "x"))) == moved
    assert made.on_event(0, invite) == moved


def test_a_ticket_that_comes_after_another_admission_vouches_at_once() -> None:
    """Cluster, role and place on the roster stay as they are; what changes is on whose word."""
    invite, admission = by_ticket("hub", "x", "eu")
    made = roster(FOUNDED, policy("key"), *by_ticket("hub", "eva", "eu"), lets_in("hub", "x", "eu"), invite)
    before = made.member(node_of("x"))

    by_eva = said("eva", Kind.ADMISSION, admission.body, node_of("x"))
    assert made.on_event(0, by_eva) == [Emit(MemberMoved(node_of("x")))]
    assert made.member(node_of("x")) == before


def test_a_ticket_into_another_cluster_vouches_for_nothing() -> None:
    """x is in us by the word nearest to the founder; its ticket was for eu. Nor does a ticket that was not used."""
    known = [FOUNDED, policy("key"), *by_ticket("hub", "eva", "eu"), invites("hub", "x", "eu")]
    by_eva = lets_in("eva", "x", "eu", inviter="hub")
    for word in (lets_in("hub", "x", "us"), lets_in("hub", "x", "us", inviter="hub")):
        made = roster(*known, by_eva, word)
        assert made.cluster_of(node_of("x")) == "us"
        assert made.doubt_of(node_of("x")) == OWN_WORD


def test_a_ticket_of_a_spoke_vouches_for_nobody() -> None:
    """It may not invite."""
    made = roster(
        FOUNDED,
        policy("key"),
        *by_ticket("hub", "edd", "eu", role="spoke"),
        lets_in("hub", "x", "eu"),
        *by_ticket("edd", "x", "eu"),
    )

    assert made.doubt_of(node_of("x")) == OWN_WORD


def test_a_move_from_one_cluster_to_another_is_told() -> None:
    """Vouched for in both: a claim that counted may not count any more."""
    made = roster(FOUNDED, policy("open"), *by_ticket("hub", "uma", "us"), *by_ticket("hub", "x", "eu"))
    made.on_event(0, invites("uma", "x", "us"))

    assert made.on_event(0, lets_in("hub", "x", "us", inviter="uma")) == [Emit(MemberMoved(node_of("x")))]
    assert (made.cluster_of(node_of("x")), made.doubt_of(node_of("x"))) == ("us", "")


def test_a_claim_is_believed_as_the_roster_vouches() -> None:
    """The two cores together: what a member may say of its region follows from how it came in."""
    made = roster(*STORY)
    rules = FederationSettings(claim=(ClaimRule(regions=("eu-*",), clusters=("eu",)),))
    fed = Federation(
        env_of("hub"),
        rules,
        keys=made.key_of,
        cluster_of=made.cluster_of,
        doubt_of=made.doubt_of,
        convicted=lambda node: False,
        barred=lambda node: False,
    )
    for member in made.members():
        fed.on_event(0, MemberDescribed(member.node, member.cluster, member.role, "eu-west", (), ""))

    believed = [name for name in DOUBTS if fed.region_of(node_of(name)) == "eu-west"]
    assert believed == ["eva", "eli", "edd"]
    for event in by_ticket("hub", "liar", "eu"):
        for effect in made.on_event(0, event):
            assert isinstance(effect, Emit)
            fed.on_event(0, effect.event)
    assert fed.region_of(node_of("liar")) == fed.region_of(node_of("liar2")) == "eu-west"
