"""A member's word alone moves nothing: admissions carry the joiner's proof, and every node comes to the same roster."""

from __future__ import annotations

import random
from hashlib import sha256
from itertools import permutations

import pytest

from arqonmesh.core.admission.core import Admission
from arqonmesh.core.events import Applied, Fault, MemberAdmitted, MemberExpelled, Withdrawn
from arqonmesh.core.kernel import Emit
from arqonmesh.core.peers.causes import cause_of
from arqonmesh.ids import NodeId
from arqonmesh.wire.cbor import encode
from arqonmesh.wire.statement import Body, Invite, JoinPolicy, Kind
from tests.core.admission.test_judge import JOIN_KEY, NOW, ONE_TIME, TICKET, proven
from tests.core.gossip.world import admission_of, genesis_of
from tests.core.toy import env_of, key_of, node_of


def applied(author: str, kind: Kind, body: Body, key: str = "", encoded: bytes = b"") -> Applied:
    return Applied(node_of(author), kind, key, body, encoded, ours=False)


def invite(author: str = "ant", *, uses: int = 1, revoked_ms: int = 0, role: str = "spoke") -> Applied:
    body = Invite(ONE_TIME, "factory", role, NOW, uses, revoked_ms)
    return applied(author, Kind.INVITE, body, TICKET)


def admits(author: str, name: str, **options: object) -> Applied:
    body = proven(name, **options)  # type: ignore[arg-type]
    return applied(author, Kind.ADMISSION, body, node_of(name), f"{author} admits {name}".encode())


def key_mesh() -> list[Applied]:
    """hub founded it with a join key; ant is a hub, bee a spoke."""
    return [
        applied("hub", Kind.GENESIS, genesis_of("hub")),
        applied("hub", Kind.JOIN_POLICY, JoinPolicy("key", b"salt", JOIN_KEY)),
        applied("hub", Kind.ADMISSION, admission_of("ant"), node_of("ant")),
        applied("hub", Kind.ADMISSION, admission_of("bee", role="spoke"), node_of("bee")),
    ]


def core(*events: Applied) -> Admission:
    made = Admission(env_of("hub"), founder=node_of("hub"))
    for event in events:
        made.on_event(0, event)
    return made


def names(made: Admission) -> set[NodeId]:
    return {member.node for member in made.members()}


BASE = {node_of(name) for name in ("hub", "ant", "bee")}


@pytest.mark.parametrize(
    "claim",
    [
        applied("bee", Kind.ADMISSION, admission_of("x"), node_of("x")),
        admits("bee", "x", ticket="", signer=ONE_TIME),
        admits("bee", "x", signer=JOIN_KEY),
        admits("bee", "x", cluster="hq"),
        admits("bee", "x", role="hub"),
        admits("bee", "x", at_ms=NOW),
    ],
    ids=["word alone", "wrong join key", "wrong ticket key", "other cluster", "other role", "after its end"],
)
def test_what_a_member_says_without_a_proof_that_fits_admits_nobody(claim: Applied) -> None:
    """In a mesh with a key: neither its word nor a proof of something else."""
    assert names(core(*key_mesh(), invite(), claim)) == BASE


@pytest.mark.parametrize("claim", [admits("bee", "x"), admits("bee", "x", ticket="", signer=JOIN_KEY, role="hub")])
def test_a_proof_counts_whoever_passes_it_on_and_in_any_order(claim: Applied) -> None:
    """A spoke admits by the ticket of a hub, or by the join key; cluster and role are what the joiner signed."""
    said = [*key_mesh(), invite(), claim]
    for seed in range(30):
        random.Random(seed).shuffle(said)
        assert names(core(*said)) == BASE | {node_of("x")}


def test_an_invite_by_a_spoke_proves_nothing_until_it_is_a_hub() -> None:
    """Who may invite is the roster's to say, and the roster is worked out with it."""
    assert names(core(*key_mesh(), invite("bee"), admits("ant", "x"))) == BASE
    promoted = applied("hub", Kind.ADMISSION, admission_of("bee", role="hub", at_ms=3), node_of("bee"))
    assert node_of("x") in names(core(*key_mesh(), invite("bee"), admits("ant", "x"), promoted))


def test_a_ticket_claimed_too_often_lets_in_the_same_ones_everywhere() -> None:
    """The first in the order of a hash over ticket and node; who is void takes with it whom it let in alone."""
    claims = [admits("ant", "x"), admits("bee", "y"), admits("hub", "ant")]
    first, void = sorted(("x", "y"), key=lambda name: sha256(f"{TICKET} {node_of(name)}".encode()).digest())
    behind = admits(void, "z", ticket="", signer=JOIN_KEY)
    for order in permutations([invite(), *claims[:2], behind]):
        assert names(core(*key_mesh(), *order)) == BASE | {node_of(first)}


def test_a_member_whose_use_turns_out_void_is_expelled_and_told_so() -> None:
    """It was in until the other claim came; another admission may bring it back."""
    first, void = sorted(("x", "y"), key=lambda name: sha256(f"{TICKET} {node_of(name)}".encode()).digest())
    made = core(*key_mesh(), invite(), admits("ant", void))
    assert node_of(void) in names(made)
    effects = made.on_event(0, admits("bee", first))
    assert next(e.event for e in effects if isinstance(e, Emit)) == MemberExpelled(node_of(void), "admission-void")
    assert any(isinstance(e, Emit) and isinstance(e.event, MemberAdmitted) for e in effects)
    assert made.refuse(node_of(void), key_of(void)) == "unknown-key"
    made.on_event(0, applied("hub", Kind.ADMISSION, admission_of(void, cluster="factory"), node_of(void)))
    assert names(made) == BASE | {node_of("x"), node_of("y")}


@pytest.mark.parametrize("by", ["ant", "hub"])
def test_a_revoked_ticket_keeps_whom_it_let_in_before(by: str) -> None:
    """By the admissions' own dates: before the revocation counts, from it on does not."""
    made = core(*key_mesh(), invite(uses=9), admits("ant", "x", at_ms=NOW - 9), invite(by, uses=9, revoked_ms=NOW - 5))
    made.on_event(0, admits("bee", "y", at_ms=NOW - 5))
    assert names(made) == BASE | {node_of("x")}


def test_who_redeems_one_single_use_ticket_twice_is_convicted_by_its_own_words() -> None:
    """Two statements by one author that both say 1: no invite and no third party is needed to see it."""
    made = core(*key_mesh(), invite(uses=2))
    made.on_event(0, admits("bee", "x", uses=1))
    assert not any(isinstance(e, Emit) and isinstance(e.event, Fault) for e in made.on_event(0, admits("bee", "x")))
    faults = [e.event for e in made.on_event(0, admits("bee", "y", uses=1)) if isinstance(e, Emit)]
    proof = encode([b"bee admits x", b"bee admits y"])
    assert Fault(node_of("bee"), "double-redemption", proof) in faults
    assert cause_of("double-redemption").convicts


def test_two_members_that_each_redeem_it_once_are_not_to_blame() -> None:
    """On two sides of a cut, neither could know; and a ticket for several may be redeemed several times by one."""
    made = core(*key_mesh(), invite(uses=2))
    said = [
        admits("bee", "x", uses=1),
        admits("ant", "y", uses=1),
        admits("ant", "z", uses=2),
        admits("ant", "w", uses=2),
    ]
    effects = [effect for event in said for effect in made.on_event(0, event)]
    assert not any(isinstance(e, Emit) and isinstance(e.event, Fault) for e in effects)


@pytest.mark.parametrize("seed", range(10))
def test_growing_on_the_spot_and_working_it_out_anew_come_to_the_same(seed: int) -> None:
    """Many admissions by many, tickets too often used, in random order: as from any other order."""
    dice = random.Random(seed)
    people = ["hub", "ant", "bee", *(f"p{index}" for index in range(12))]
    said = key_mesh()
    said.append(invite(dice.choice(["ant", "p1"]), uses=3, role="hub"))
    for name in people[3:]:
        for author in dice.sample(people, 2):
            if dice.random() < 0.5:
                said.append(admits(author, name, role="hub", at_ms=dice.randrange(NOW), uses=3))
            else:
                said.append(admits(author, name, ticket="", signer=JOIN_KEY, role="hub", at_ms=dice.randrange(NOW)))
    newest = {(event.author, event.kind, event.key): event for event in said}
    rosters = []
    for _ in range(4):
        order = list(newest.values())
        dice.shuffle(order)
        made = core(*order)
        rosters.append([(member, made.doubt_of(member.node)) for member in made.members()])
    assert all(roster == rosters[0] for roster in rosters)


def test_an_admission_that_is_said_again_with_another_ticket_gives_the_first_one_back() -> None:
    """Its old claim counts no more, also against others; and whoever takes all of it back leaves nothing behind that a
    later word on the first ticket could stumble over."""
    claims = [admits("bee", "x"), admits("ant", "y")]
    first, void = sorted(("x", "y"), key=lambda name: sha256(f"{TICKET} {node_of(name)}".encode()).digest())
    made = core(*key_mesh(), invite(), *claims)
    assert names(made) == BASE | {node_of(first)}
    by = "bee" if first == "x" else "ant"
    made.on_event(0, admits(by, first, ticket="", signer=JOIN_KEY))
    assert names(made) == BASE | {node_of(first), node_of(void)}
    made.on_event(0, Withdrawn(node_of(by), Kind.ADMISSION, node_of(first)))
    made.on_event(0, invite(revoked_ms=NOW))
    made.on_event(0, Withdrawn(node_of("ant"), Kind.INVITE, TICKET))
    assert names(made) == BASE
