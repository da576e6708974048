"""Who is a member: a chain of admissions that begins at the founder, whatever the order of arrival."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.core.admission.core import Admission
from arqonmesh.core.admission.proof import proof, roster_from
from arqonmesh.core.events import Applied, MemberAdmitted, MemberMoved
from arqonmesh.core.kernel import Emit
from arqonmesh.errors import TrustError
from arqonmesh.ids import NodeId, encode_ulid
from arqonmesh.wire.statement import Body, JoinPolicy, Kind, decode_statement
from tests.core.gossip.world import admission_of, genesis_of, signed
from tests.core.toy import MESH, env_of, key_of, node_of


def applied(author: str, kind: Kind, body: Body, key: str = "") -> Applied:
    return Applied(node_of(author), kind, key, body, b"", ours=False)


def admits(author: str, name: str, *, key: str = "", at_ms: int = 2, cluster: str = "") -> Applied:
    body = admission_of(name, at_ms=at_ms, cluster=cluster)
    return applied(author, Kind.ADMISSION, body, key or node_of(name))


GENESIS = applied("hub", Kind.GENESIS, genesis_of("hub"))


def tell(core: Admission, *events: Applied) -> list[NodeId]:
    """Feed the events; the nodes that were admitted, in order."""
    nodes: list[NodeId] = []
    for event in events:
        for effect in core.on_event(0, event):
            assert isinstance(effect, Emit)
            if isinstance(effect.event, MemberMoved):
                continue
            assert isinstance(effect.event, MemberAdmitted)
            assert core.key_of(effect.event.node) == effect.event.public_key
            nodes.append(effect.event.node)
    return nodes


OPEN = JoinPolicy(policy="open", key_salt=b"", key_public=b"")


def admission(policy: JoinPolicy = OPEN) -> Admission:
    """An open mesh, where a member's word is enough: what is tested here is the chain."""
    core = Admission(env_of("ant"), founder=node_of("hub"))
    core.on_event(0, applied("hub", Kind.JOIN_POLICY, policy))
    return core


def test_the_founder_is_the_first_member() -> None:
    """Nobody is a member before the genesis; then the founder, with the key that its id is the hash of."""
    core = admission()
    assert core.members() == ()
    assert core.key_of(node_of("hub")) is None
    assert tell(core, GENESIS) == [node_of("hub")]
    assert core.key_of(node_of("hub")) == key_of("hub")
    assert core.cluster_of(node_of("hub")) == "hq"


def test_a_member_admits_and_the_admitted_admit_in_turn() -> None:
    """hub admits ant, ant admits bee: three members, and bee's entry names ant."""
    core = admission()
    admitted = tell(core, GENESIS, admits("hub", "ant"), admits("ant", "bee"))
    assert admitted == [node_of("hub"), node_of("ant"), node_of("bee")]
    bee = core.member(node_of("bee"))
    assert bee is not None and bee.admitted_by == node_of("ant")


def test_a_chain_that_arrives_backwards_enters_at_once_when_its_beginning_is_known() -> None:
    """cat by bee, bee by ant, ant by hub, and last the genesis: all four then, each once."""
    core = admission()
    backwards = (admits("bee", "cat"), admits("ant", "bee"), admits("hub", "ant"))
    assert tell(core, *backwards) == []
    assert tell(core, GENESIS) == [node_of(name) for name in ("hub", "ant", "bee", "cat")]


@given(order=st.permutations(range(8)))
def test_the_order_of_arrival_changes_nothing(order: list[int]) -> None:
    """Two admissions of one node with different clusters, a chain, repeats: the same roster in every order."""
    events = [
        GENESIS,
        admits("hub", "ant"),
        admits("ant", "bee", at_ms=9, cluster="late"),
        admits("hub", "bee", at_ms=5, cluster="early"),
        admits("bee", "cat"),
        admits("stranger", "dog"),
        admits("cat", "cat"),
        admits("bee", "cat"),
    ]
    core = admission()
    admitted = tell(core, *(events[index] for index in order))
    assert sorted(admitted) == sorted(node_of(name) for name in ("hub", "ant", "bee", "cat"))
    assert core.cluster_of(node_of("bee")) == "early"
    assert [member.node for member in core.members()] == sorted(admitted)


@pytest.mark.parametrize(
    "event",
    [
        admits("stranger", "dog"),
        admits("dog", "dog"),
        admits("hub", "dog", key=node_of("eel")),
        admits("hub", "dog", key="dog"),
        applied("stranger", Kind.GENESIS, genesis_of("stranger")),
        applied("hub", Kind.GENESIS, genesis_of("stranger")),
    ],
    ids=["by-a-stranger", "by-itself", "under-another-id", "under-no-id", "other-founder", "founder-with-other-key"],
)
def test_what_does_not_chain_to_the_founder_admits_nobody(event: Applied) -> None:
    """By a stranger, by itself, under an id that the key does not hash to, or from another genesis."""
    core = admission()
    tell(core, event, GENESIS)
    assert [member.node for member in core.members()] == [node_of("hub")]
    assert tell(core, event) == []
    assert core.key_of(node_of("hub")) == key_of("hub")


def test_an_admission_of_the_founder_does_not_change_what_the_genesis_said() -> None:
    """The founder is in by its genesis alone."""
    core = admission()
    assert tell(core, GENESIS, admits("hub", "ant"), admits("ant", "hub", cluster="elsewhere", at_ms=0)) == [
        node_of("hub"),
        node_of("ant"),
    ]
    assert core.cluster_of(node_of("hub")) == "hq"


def test_no_member_gives_itself_another_cluster_or_role() -> None:
    """A date is whatever its author writes: neither ant's own word, nor that of a node which ant lets in for it, nor
    both about the one that let ant in, changes what the earlier links of the chain said; and in no order."""
    forged = [
        admits("ant", "ant", at_ms=0, cluster="hq"),
        admits("ant", "puppet", at_ms=0),
        admits("puppet", "ant", at_ms=0, cluster="hq"),
        admits("puppet", "hand", at_ms=0, cluster="hq"),
        admits("ant", "hand", at_ms=0, cluster="hq"),
    ]
    honest = [GENESIS, admits("hub", "hand", cluster="west"), admits("hand", "ant", cluster="factory")]
    for seed in range(20):
        core, events = admission(), honest + forged
        random.Random(seed).shuffle(events)
        tell(core, *events)
        assert core.cluster_of(node_of("ant")) == "factory"
        assert core.cluster_of(node_of("hand")) == "west"


def test_the_newest_word_of_an_admitter_counts_whatever_was_heard_before() -> None:
    """Gossip brings latecomers only the newest statement, so nothing may hang on an older one."""
    core = admission()
    tell(core, GENESIS, admits("hub", "ant", at_ms=3, cluster="old"), admits("hub", "ant", at_ms=9, cluster="new"))
    assert core.cluster_of(node_of("ant")) == "new"


def test_only_a_member_with_its_own_key_may_link() -> None:
    """`refuse` is None for a member with the key of its id, else `unknown-key`."""
    core = admission()
    tell(core, GENESIS, admits("hub", "ant"))
    assert core.refuse(node_of("ant"), key_of("ant")) is None
    assert core.refuse(node_of("ant"), key_of("bee")) == "unknown-key"
    assert core.refuse(node_of("bee"), key_of("bee")) == "unknown-key"


# --- what a joiner checks ---------------------------------------------------------------------------------------------

GENESIS_STATEMENT = signed("hub", 1, genesis_of("hub"), kind=Kind.GENESIS)
POLICY_STATEMENT = signed("hub", 3, OPEN, kind=Kind.JOIN_POLICY)
VERIFY: Callable[[bytes, bytes, bytes], bool] = env_of("ant").crypto.verify


def admission_statement(author: str, seq: int, name: str) -> bytes:
    return signed(author, seq, admission_of(name), kind=Kind.ADMISSION, key=node_of(name))


def roster(*statements: bytes) -> list[NodeId]:
    return sorted(roster_from(statements, node_of("hub"), MESH, VERIFY).members)


def test_a_joiner_believes_what_chains_to_the_founder_it_was_told_of() -> None:
    """Four members over three links of the chain, from statements in any order."""
    statements = [
        GENESIS_STATEMENT,
        POLICY_STATEMENT,
        admission_statement("hub", 2, "ant"),
        admission_statement("ant", 1, "bee"),
        admission_statement("bee", 1, "cat"),
    ]
    for seed in range(10):
        random.Random(seed).shuffle(statements)
        assert roster(*statements) == sorted(node_of(name) for name in ("hub", "ant", "bee", "cat"))


def test_a_joiner_does_not_count_whom_nobody_let_in() -> None:
    """A stranger's admission among the statements is ignored: its signature cannot even be checked."""
    assert roster(GENESIS_STATEMENT, admission_statement("stranger", 1, "dog")) == [node_of("hub")]


def test_a_joiner_keeps_only_what_was_verified() -> None:
    """What a stranger is said to have said would be believed once that stranger is a member; so would a member's
    record, which travels with the gossip and is checked there."""
    good = [GENESIS_STATEMENT, admission_statement("hub", 2, "ant"), admission_statement("ant", 1, "bee")]
    planted = [
        admission_statement("stranger", 1, "dog"),
        signed("stranger", 2, genesis_of("hub"), kind=Kind.ADMISSION, key="x", raw_body=b"\x80"),
        signed("hub", 9, genesis_of("hub"), kind=200),
    ]
    statements = [*planted, *good]
    assert proof(statements, roster_from(statements, node_of("hub"), MESH, VERIFY)) == tuple(good)


def forged(statement: bytes) -> bytes:
    return msgspec.structs.replace(decode_statement(statement), signature=bytes(64)).encode()


@pytest.mark.parametrize(
    ("statements", "code"),
    [
        ([], "admission.no-genesis"),
        ([admission_statement("hub", 2, "ant")], "admission.no-genesis"),
        ([signed("eel", 1, genesis_of("eel"), kind=Kind.GENESIS)], "admission.no-genesis"),
        ([signed("hub", 1, genesis_of("eel"), kind=Kind.GENESIS)], "admission.no-genesis"),
        ([forged(GENESIS_STATEMENT)], "admission.bad-signature"),
        ([GENESIS_STATEMENT, forged(admission_statement("hub", 2, "ant"))], "admission.bad-signature"),
        ([GENESIS_STATEMENT, b"rubbish"], "admission.malformed-statement"),
        (
            [GENESIS_STATEMENT, signed("hub", 2, genesis_of("hub"), kind=Kind.ADMISSION, raw_body=b"\x80")],
            "admission.malformed-statement",
        ),
        (
            [signed("hub", 1, genesis_of("hub"), kind=Kind.GENESIS, mesh=encode_ulid(1, 1))],
            "admission.wrong-mesh",
        ),
    ],
    ids=[
        "nothing",
        "no-genesis",
        "other-founder",
        "other-key",
        "forged-genesis",
        "forged-admission",
        "rubbish",
        "bad-body",
        "other-mesh",
    ],
)
def test_a_joiner_refuses_an_answer_that_proves_nothing(statements: list[bytes], code: str) -> None:
    """No genesis of the right founder, a signature that does not hold, bytes that are no statement, another mesh."""
    with pytest.raises(TrustError) as refusal:
        roster(*statements)
    assert refusal.value.code == code
