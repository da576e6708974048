"""Who may join: open, key and closed; tickets with their terms; and every refusal with its code."""

from __future__ import annotations

import pytest

from arqonmesh.core.admission.core import Admission
from arqonmesh.core.admission.judge import Admit, Judgement, Refuse
from arqonmesh.core.events import Applied, Publish
from arqonmesh.errors import CATALOGUE
from arqonmesh.ids import encode_ulid
from arqonmesh.trust.tickets import redemption_bytes
from arqonmesh.wire.messages import JoinOffer, JoinRequest
from arqonmesh.wire.statement import Admission as AdmissionBody
from arqonmesh.wire.statement import Body, Invite, JoinPolicy, Kind, Redemption
from tests.core.gossip.world import admission_of, genesis_of
from tests.core.toy import MESH, ToyCrypto, env_of, key_of, node_of

NOW = 1_000_000
TICKET = encode_ulid(1, 42)
OTHER_MESH = encode_ulid(1, 1)
BINDING = b"this very connection"
ONE_TIME = key_of("one-time key")
JOIN_KEY = key_of("join key")


def apply(core: Admission, author: str, kind: Kind, body: Body, key: str = "") -> None:
    core.on_event(0, Applied(node_of(author), kind, key, body, b"", ours=False))


def mesh(policy: str = "key", *, key_public: bytes = JOIN_KEY, me: str = "hub") -> Admission:
    """hub founded it; ant (hub role) and bee (spoke) are members."""
    core = Admission(env_of(me), founder=node_of("hub"))
    apply(core, "hub", Kind.GENESIS, genesis_of("hub"))
    apply(core, "hub", Kind.JOIN_POLICY, JoinPolicy(policy=policy, key_salt=b"salt", key_public=key_public))
    apply(core, "hub", Kind.ADMISSION, admission_of("ant"), node_of("ant"))
    apply(core, "hub", Kind.ADMISSION, admission_of("bee", role="spoke"), node_of("bee"))
    return core


def invite(
    core: Admission,
    author: str = "ant",
    *,
    uses: int = 1,
    expires_ms: int = NOW + 1,
    revoked: bool = False,
    public_key: bytes = ONE_TIME,
) -> None:
    body = Invite(
        public_key=public_key, cluster="factory", role="spoke", expires_ms=expires_ms, uses=uses, revoked=revoked
    )
    apply(core, author, Kind.INVITE, body, TICKET)


def redeemed(core: Admission, author: str, name: str) -> None:
    body = Redemption(ticket_id=TICKET, node_id=node_of(name))
    apply(core, author, Kind.REDEMPTION, body, f"{TICKET}/{node_of(name)}")


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
    """Redemption first, then Admission; cluster and role as the ticket says."""
    core = mesh()
    invite(core)
    answer = judge(core, request())
    assert answer == Admit(
        (
            Publish(
                Kind.REDEMPTION,
                f"{TICKET}/{node_of('new')}",
                Redemption(ticket_id=TICKET, node_id=node_of("new")),
            ),
            Publish(
                Kind.ADMISSION,
                node_of("new"),
                AdmissionBody(
                    node_key=key_of("new"), cluster="factory", role="spoke", ticket_id=TICKET, admitted_ms=NOW
                ),
            ),
        ),
        "factory",
        "spoke",
    )


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
    assert code(judge(core, request())) == "admission.ticket-expired"
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


def test_a_redemption_by_a_stranger_or_under_another_key_uses_nothing() -> None:
    """Only members' redemptions count, under the key `ticket/node`."""
    core = mesh()
    invite(core)
    redeemed(core, "stranger", "x")
    apply(core, "ant", Kind.REDEMPTION, Redemption(ticket_id=TICKET, node_id=node_of("y")), "elsewhere")
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
    apply(core, "ant", Kind.ADMISSION, admission_of("late", role="leader"), node_of("late"))
    assert isinstance(judge(core, request()), Admit)


@pytest.mark.parametrize("by", ["ant", "hub"])
def test_a_ticket_is_revoked_by_its_inviter_or_the_founder(by: str) -> None:
    """A newer invite of its author, or the founder's own statement of the same ticket id."""
    core = mesh()
    invite(core, "ant", uses=5)
    invite(core, by, uses=5, revoked=True)
    assert code(judge(core, request())) == "admission.ticket-revoked"
    [view] = core.invites()
    assert (view.inviter, view.revoked) == (node_of("ant"), True)


def test_another_member_cannot_revoke_a_ticket_nor_take_it_over() -> None:
    """cat is a hub too: its statement about ant's ticket is its own and changes nothing for ant's."""
    core = mesh()
    apply(core, "hub", Kind.ADMISSION, admission_of("cat"), node_of("cat"))
    invite(core, "ant")
    invite(core, "cat", revoked=True, public_key=key_of("cat's own"))
    assert isinstance(judge(core, request()), Admit)


def test_a_ticket_that_the_founder_wrote_and_revoked_stays_visible_as_revoked() -> None:
    """One line in `arqon invite ls`, revoked."""
    core = mesh()
    invite(core, "hub")
    invite(core, "hub", revoked=True)
    assert [view.revoked for view in core.invites()] == [True]
    assert code(judge(core, request())) == "admission.ticket-revoked"
