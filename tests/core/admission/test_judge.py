"""Who may join: open, key and closed; tickets with their terms; and every refusal with its code."""

from __future__ import annotations

import pytest

from arqonmesh.core.admission.core import Admission
from arqonmesh.core.admission.judge import Admit, Judgement, Refuse
from arqonmesh.core.events import Applied, PartitionChanged, Publish
from arqonmesh.errors import CATALOGUE
from arqonmesh.ids import encode_ulid
from arqonmesh.trust.tickets import redemption_bytes
from arqonmesh.wire.messages import JoinOffer, JoinRequest
from arqonmesh.wire.statement import Admission as AdmissionBody
from arqonmesh.wire.statement import Body, Invite, JoinPolicy, Kind
from tests.core.gossip.world import admission_of, genesis_of
from tests.core.toy import MESH, ToyCrypto, env_of, key_of, node_of

NOW = 1_000_000
TICKET = encode_ulid(1, 42)
OTHER_MESH = encode_ulid(1, 1)
BINDING = b"this very connection"
ONE_TIME = key_of("one-time key")
JOIN_KEY = key_of("join key")
WHOLE = PartitionChanged("healthy", True, 3, 2, 3, "crash", "healthy", 3, 3)
CUT_OFF = PartitionChanged("critical", False, 1, 2, 3, "crash", "partitioned", 1, 3, ((node_of("ant"), 7),), 1)


def apply(core: Admission, author: str, kind: Kind, body: Body, key: str = "") -> None:
    core.on_event(0, Applied(node_of(author), kind, key, body, b"", ours=False))


def mesh(policy: str = "key", *, key_public: bytes = JOIN_KEY, me: str = "hub") -> Admission:
    """hub founded it; ant (hub role) and bee (spoke) are members."""
    core = Admission(env_of(me), founder=node_of("hub"))
    apply(core, "hub", Kind.GENESIS, genesis_of("hub"))
    apply(core, "hub", Kind.JOIN_POLICY, JoinPolicy(policy=policy, key_salt=b"salt", key_public=key_public))
    apply(core, "hub", Kind.ADMISSION, admission_of("ant"), node_of("ant"))
    apply(core, "hub", Kind.ADMISSION, admission_of("bee", role="spoke"), node_of("bee"))
    core.on_event(0, WHOLE)
    return core


def invite(
    core: Admission,
    author: str = "ant",
    *,
    uses: int = 1,
    expires_ms: int = NOW + 1,
    revoked_ms: int = 0,
    public_key: bytes = ONE_TIME,
) -> None:
    body = Invite(
        public_key=public_key, cluster="factory", role="spoke", expires_ms=expires_ms, uses=uses, revoked_ms=revoked_ms
    )
    apply(core, author, Kind.INVITE, body, TICKET)


def proven(
    name: str,
    *,
    ticket: str = TICKET,
    signer: bytes = ONE_TIME,
    cluster: str = "factory",
    role: str = "spoke",
    at_ms: int = NOW - 2,
    uses: int = 1,
) -> AdmissionBody:
    """An admission with the joiner's own proof."""
    signed = redemption_bytes(MESH, key_of(name), cluster, role, ticket, BINDING)
    return AdmissionBody(
        node_key=key_of(name),
        cluster=cluster,
        role=role,
        ticket_id=ticket,
        uses=uses,
        admitted_ms=at_ms,
        channel_binding=BINDING,
        signature=ToyCrypto(signer).sign(signed),
    )


def redeemed(core: Admission, author: str, name: str) -> None:
    apply(core, author, Kind.ADMISSION, proven(name, uses=3), node_of(name))


def request(
    name: str = "new",
    *,
    ticket: str = TICKET,
    signer: bytes | None = ONE_TIME,
    cluster: str = "factory",
    role: str = "spoke",
    mesh_id: str = MESH,
    binding: bytes = BINDING,
) -> JoinRequest:
    signed = redemption_bytes(mesh_id, key_of(name), cluster, role, ticket, binding)
    return JoinRequest(
        mesh_id=mesh_id,
        node_key=key_of(name),
        cluster=cluster,
        role=role,
        region="eu",
        ticket_id=ticket,
        signature=b"" if signer is None else ToyCrypto(signer).sign(signed),
    )


def judge(core: Admission, wanted: JoinRequest, name: str = "new", *, now_ms: int = NOW) -> Judgement:
    return core.judge(now_ms, wanted, node_of(name), BINDING)


def code(judgement: Judgement) -> str:
    assert isinstance(judgement, Refuse), judgement
    assert judgement.code in CATALOGUE, f"{judgement.code} has no explanation"
    assert judgement.sentence and len(judgement.sentence) <= 512
    return judgement.code


def test_a_good_ticket_admits_and_says_what_to_publish() -> None:
    """One statement, with the joiner's signature and what it covers; cluster and role as the ticket says."""
    core = mesh()
    invite(core)
    answer = judge(core, request())
    admission = proven("new", at_ms=NOW)
    assert answer == Admit((Publish(Kind.ADMISSION, node_of("new"), admission),), "factory", "spoke")


@pytest.mark.requirement("R-JN-2")
@pytest.mark.parametrize(
    ("policy", "wanted", "expected"),
    [
        ("open", request(ticket="", signer=None), ""),
        ("open", request(), ""),
        ("key", request(ticket="", signer=JOIN_KEY), ""),
        ("key", request(), ""),
        ("key", request(ticket="", signer=None), "admission.key-needed"),
        ("key", request(ticket="", signer=ONE_TIME), "admission.wrong-key"),
        ("closed", request(ticket="", signer=JOIN_KEY), "admission.closed"),
        ("closed", request(), "admission.closed"),
    ],
)
def test_the_policy_decides_which_proof_is_needed(policy: str, wanted: JoinRequest, expected: str) -> None:
    """The table of core/admission/judge.py, row by row."""
    core = mesh(policy)
    invite(core)
    answer = judge(core, wanted)
    assert isinstance(answer, Admit) if not expected else code(answer) == expected


def test_without_a_join_key_only_tickets_let_in() -> None:
    """Policy `key` with an empty key_public."""
    core = mesh("key", key_public=b"")
    assert code(judge(core, request(ticket="", signer=JOIN_KEY))) == "admission.ticket-needed"


def test_before_the_policy_is_known_nobody_is_let_in() -> None:
    """A member that gossip has not told yet makes no offer and admits nobody."""
    core = Admission(env_of("hub"), founder=node_of("hub"))
    apply(core, "hub", Kind.GENESIS, genesis_of("hub"))
    assert core.offer() is None
    assert code(judge(core, request())) == "admission.no-policy"


def test_only_the_founder_sets_the_policy() -> None:
    """A member's own JOIN_POLICY statement changes nothing."""
    core = mesh("closed")
    apply(core, "ant", Kind.JOIN_POLICY, JoinPolicy(policy="open", key_salt=b"", key_public=b""))
    assert code(judge(core, request(ticket="", signer=None))) == "admission.closed"
    assert core.offer() == JoinOffer(MESH, "acme", node_of("hub"), "closed", b"salt")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (request(ticket=encode_ulid(1, 43)), "admission.ticket-unknown"),
        (request(signer=JOIN_KEY), "admission.ticket-signature"),
        (request(signer=None), "admission.ticket-signature"),
        (request(binding=b"another connection"), "admission.ticket-signature"),
        (request(cluster="store"), "admission.ticket-cluster"),
        (request(role="hub"), "admission.ticket-role"),
        (request(role="emperor"), "admission.unknown-role"),
        (request(cluster="Not A Name"), "admission.cluster-name"),
        (request(mesh_id=OTHER_MESH), "admission.wrong-mesh"),
        (request("someone else"), "admission.key-mismatch"),
    ],
)
def test_a_request_that_does_not_fit_its_ticket_is_refused_with_the_reason(wanted: JoinRequest, expected: str) -> None:
    """Each has its own code, and none of them uses the ticket up."""
    core = mesh()
    invite(core)
    assert code(judge(core, wanted)) == expected
    assert isinstance(judge(core, request()), Admit)


def test_a_ticket_ends_at_its_time() -> None:
    """Valid one millisecond before `expires_ms`, expired at it."""
    core = mesh()
    invite(core, expires_ms=NOW)
    for late_ms, said in ((0, "less than a second ago"), (999, "less than a second ago"), (1_000, "expired 1 s ago")):
        refused = judge(core, request(), now_ms=NOW + late_ms)
        assert code(refused) == "admission.ticket-expired"
        assert isinstance(refused, Refuse) and refused.sentence.endswith(said)
    assert isinstance(judge(core, request(), now_ms=NOW - 1), Admit)


def test_a_single_use_ticket_lets_in_one_node_even_before_its_redemption_is_on_disk() -> None:
    """Two requests in a row: the promise to the first counts at once."""
    core = mesh()
    invite(core)
    assert isinstance(judge(core, request()), Admit)
    assert code(judge(core, request("second"), "second")) == "admission.ticket-used-up"
    again = judge(core, request())
    assert isinstance(again, Admit) and again.publish


def test_uses_are_counted_over_all_members_and_each_node_once() -> None:
    """Three uses: one told by two members, one by ant; one is left, and after it none."""
    core = mesh()
    invite(core, uses=3)
    redeemed(core, "ant", "x")
    redeemed(core, "bee", "x")
    redeemed(core, "ant", "y")
    assert [view.used for view in core.invites()] == [2]
    assert isinstance(judge(core, request("z"), "z"), Admit)
    assert code(judge(core, request("w"), "w")) == "admission.ticket-used-up"


@pytest.mark.parametrize(
    "claim",
    [
        proven("y", signer=key_of("guess")),
        proven("y", cluster="store"),
        proven("y", role="hub"),
        proven("y", at_ms=NOW + 1),
        admission_of("y", cluster="factory", role="spoke", ticket=TICKET),
    ],
)
def test_a_claim_that_does_not_keep_to_the_ticket_uses_nothing(claim: AdmissionBody) -> None:
    """Another signature, cluster or role, a date after its end, or no proof at all; and nobody enters by it."""
    core = mesh()
    invite(core)
    apply(core, "ant", Kind.ADMISSION, claim, node_of("y"))
    assert core.member(node_of("y")) is None
    assert isinstance(judge(core, request()), Admit)


def test_a_member_that_asks_again_is_told_yes_and_uses_nothing() -> None:
    """Also when the mesh is closed by now: bee is in, as what it was admitted."""
    core = mesh("closed")
    answer = judge(core, request("bee", cluster="factory", role="hub"), "bee")
    assert answer == Admit((), "bee", "spoke")


@pytest.mark.parametrize("author", ["bee", "stranger"])
def test_a_spoke_or_a_stranger_invites_nobody(author: str) -> None:
    """Hubs, leaders and the founder invite."""
    core = mesh()
    invite(core, author)
    assert code(judge(core, request())) == "admission.ticket-unknown"
    assert core.invites() == ()


def test_an_inviter_that_is_admitted_later_has_invited_then() -> None:
    """Entitlement is looked at when the ticket is used, not when its invite arrives."""
    core = mesh()
    invite(core, "late")
    assert code(judge(core, request())) == "admission.ticket-unknown"
    apply(core, "hub", Kind.ADMISSION, admission_of("late", role="leader"), node_of("late"))
    assert isinstance(judge(core, request()), Admit)


@pytest.mark.parametrize("by", ["ant", "hub"])
def test_a_ticket_is_revoked_by_its_inviter_or_the_founder(by: str) -> None:
    """A newer invite of its author, or the founder's own statement of the same ticket id."""
    core = mesh()
    invite(core, "ant", uses=5)
    invite(core, by, uses=5, revoked_ms=NOW - 1)
    assert code(judge(core, request())) == "admission.ticket-revoked"
    [view] = core.invites()
    assert (view.inviter, view.revoked) == (node_of("ant"), True)


def test_another_member_cannot_revoke_a_ticket_nor_take_it_over() -> None:
    """cat is a hub too: its statement about ant's ticket is its own and changes nothing for ant's."""
    core = mesh()
    apply(core, "hub", Kind.ADMISSION, admission_of("cat"), node_of("cat"))
    invite(core, "ant")
    invite(core, "cat", revoked_ms=NOW - 1, public_key=key_of("cat's own"))
    assert isinstance(judge(core, request()), Admit)


def test_a_ticket_that_the_founder_wrote_and_revoked_stays_visible_as_revoked() -> None:
    """One line in `arqon invite ls`, revoked."""
    core = mesh()
    invite(core, "hub")
    invite(core, "hub", revoked_ms=NOW - 1)
    assert [view.revoked for view in core.invites()] == [True]
    assert code(judge(core, request())) == "admission.ticket-revoked"


@pytest.mark.requirement("R-PA-3")
def test_a_side_without_a_quorum_admits_nobody() -> None:
    """By no policy and with no ticket; members are still told that they are in, and the ticket is not used up."""
    for policy in ("open", "key"):
        core = mesh(policy)
        invite(core)
        core.on_event(0, CUT_OFF)
        answer = judge(core, request())
        assert code(answer) == "mesh.read-only"
        assert isinstance(answer, Refuse)
        assert "1 of 3 votes reachable, 2 required (preset crash)" in answer.sentence
        assert f"missing: {node_of('ant')[:8]} and 1 more" in answer.sentence
        assert isinstance(judge(core, request("bee", cluster="bee"), "bee"), Admit)
        core.on_event(0, WHOLE)
        assert isinstance(judge(core, request()), Admit)


def test_a_node_that_has_not_looked_around_yet_admits_nobody() -> None:
    """Before the first judgement of its own partition core."""
    core = Admission(env_of("hub"), founder=node_of("hub"))
    apply(core, "hub", Kind.GENESIS, genesis_of("hub"))
    apply(core, "hub", Kind.JOIN_POLICY, JoinPolicy(policy="open", key_salt=b"", key_public=b""))
    assert code(judge(core, request(ticket="", signer=None))) == "mesh.read-only"
