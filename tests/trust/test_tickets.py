"""Tickets and join keys: one line lets a node in, and no other line does."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from arqonmesh.errors import TrustError
from arqonmesh.ids import ClusterId, MeshId
from arqonmesh.trust import join_key
from arqonmesh.trust.keys import NodeKey
from arqonmesh.trust.tickets import (
    PREFIX,
    Ticket,
    mint,
    parse,
    redemption_bytes,
    sign_redemption,
    verify_redemption,
)

NOW = 1_700_000_000_000
HOUR = 3_600_000
INVITER = NodeKey(bytes(range(32)))
FOUNDER = NodeKey(bytes(32))
MESH = MeshId("01J9Z3NDEKTSV4RRFFQ69G5FAV")


def make(*addresses: str, cluster: str = "factory", role: str = "spoke", uses: int = 1) -> Ticket:
    return mint(
        INVITER,
        mesh_id=MESH,
        founder=FOUNDER.node_id,
        addresses=addresses or ("192.0.2.7:9130", "[2001:db8::7]:9130"),
        cluster=ClusterId(cluster),
        role=role,
        now_ms=NOW,
        expires_ms=NOW + HOUR,
        uses=uses,
        randomness=random.Random(1).randbytes,
    )


TICKET = make()


def refusal(text: str) -> TrustError:
    with pytest.raises(TrustError) as caught:
        parse(text)
    return caught.value


# --- the line ---------------------------------------------------------------------------------------------


def test_a_ticket_is_one_line_that_reads_back() -> None:
    """Prefix, then a-z and 2-7 only: it survives every shell, mail and chat."""
    text = TICKET.text

    assert text.startswith(PREFIX)
    assert set(text[len(PREFIX) :]) <= set("abcdefghijklmnopqrstuvwxyz234567")
    assert len(text) < 500
    assert parse(text) == TICKET
    assert parse(text).inviter == INVITER.node_id


def test_a_ticket_survives_mail_and_qr_codes() -> None:
    """White space anywhere, line breaks, upper case."""
    text = TICKET.text
    broken = "\n".join(text[start : start + 76] for start in range(0, len(text), 76))

    assert parse(f"  {broken}\r\n") == TICKET
    assert parse(text.upper()) == TICKET


def test_a_ticket_changed_at_any_character_is_refused() -> None:
    """Every position, several characters each; the sentence asks to copy it again."""
    text = TICKET.text
    rng = random.Random(5)
    for at in range(len(text)):
        for other in (*rng.sample("abcdefghijklmnopqrstuvwxyz234567", 3), "1", "!", ""):
            if other != text[at]:
                error = refusal(text[:at] + other + text[at + 1 :])
                assert error.code in ("trust.ticket-malformed", "trust.ticket-checksum"), (at, other)


def test_a_ticket_cut_or_grown_anywhere_is_refused() -> None:
    """Half a line selected, a character doubled, two pasted."""
    text = TICKET.text
    for length in range(len(text)):
        error = refusal(text[:length])
        assert error.code.startswith("trust.ticket-")
        if length > len(PREFIX):
            assert "not copied whole" in error.sentence, length
    for more in ("a", "aa", "aaaaaaaa", text):
        assert refusal(text + more).code.startswith("trust.ticket-")


@pytest.mark.parametrize("field", [name for name in Ticket.__struct_fields__ if name != "signature"])
def test_every_field_is_covered_by_the_inviters_signature(field: str) -> None:
    """Changed with a fresh checksum, as a forger would: the signature does not hold."""
    forged = {
        "mesh_id": "01J9Z3NDEKTSV4RRFFQ69G5FAW",
        "founder": INVITER.node_id,
        "inviter_key": FOUNDER.public,
        "addresses": ("198.51.100.1:9130",),
        "ticket_id": "01J9Z3NDEKTSV4RRFFQ69G5FAX",
        "seed": bytes(32),
        "cluster": "hq",
        "role": "leader",
        "expires_ms": NOW + 1_000 * HOUR,
        "uses": 10_000,
    }
    changed = replace(TICKET, **{field: forged[field]})

    assert refusal(changed.text).code == "trust.ticket-signature"


def test_a_small_order_inviter_key_signs_nothing() -> None:
    """Under the neutral element R = A, S = 0 would satisfy the equation for any ticket."""
    neutral = b"\x01" + bytes(31)
    forged = replace(TICKET, inviter_key=neutral, signature=neutral + bytes(32))

    assert refusal(forged.text).code == "trust.ticket-signature"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "hello",
        "arqon",
        "arqon1",
        "arqon2" + "a" * 40,
        "arqon1" + "a" * 5_000,
        "arqon1\x00",
        "ärqon1aa",
        "arqon1====",
    ],
)
def test_rubbish_gets_a_helpful_sentence(text: str) -> None:
    """What was wrong, what a ticket is, and the command that makes one."""
    error = refusal(text)

    assert error.code in ("trust.ticket-malformed", "trust.ticket-checksum")
    assert "arqon invite new" in error.sentence + error.hint or "copy the line again" in error.sentence


@settings(max_examples=300)
@given(st.text(max_size=200) | st.text("abcdefghijklmnopqrstuvwxyz234567", max_size=200).map(PREFIX.__add__))
def test_noise_is_no_ticket(text: str) -> None:
    """TrustError and nothing else."""
    assert refusal(text).code.startswith("trust.ticket-")


# --- content ----------------------------------------------------------------------------------------------


def test_a_ticket_expires_at_its_time() -> None:
    """Good until the last millisecond; then the sentence says since when and the hint how to get another."""
    assert not TICKET.is_expired(NOW + HOUR - 1)
    TICKET.check_expiry(NOW)
    assert TICKET.is_expired(NOW + HOUR)
    for later, said in (
        (40, "less than a second ago"),
        (5_000, "5 s ago"),
        (3 * HOUR, "3 h ago"),
        (72 * HOUR, "3 d ago"),
        (HOUR, "60 min ago"),
    ):
        with pytest.raises(TrustError, match=f"expired {said}") as caught:
            TICKET.check_expiry(NOW + HOUR + later)
        assert caught.value.code == "trust.ticket-expired"
        assert "arqon invite new" in caught.value.hint


def test_each_ticket_has_its_own_id_and_secret() -> None:
    """From the system's generator when none is given."""
    common = {"mesh_id": MESH, "founder": FOUNDER.node_id, "addresses": ("a:1",), "cluster": ClusterId("c")}
    one, other = (mint(INVITER, role="hub", now_ms=NOW, expires_ms=NOW + 1, uses=1, **common) for _ in range(2))  # type: ignore[arg-type]

    assert one.ticket_id != other.ticket_id
    assert one.seed != other.seed


def test_a_ticket_shows_its_secret_nowhere_but_in_its_text() -> None:
    """Neither repr nor str, which end in logs."""
    assert TICKET.ticket_id in repr(TICKET)
    for shown in (repr(TICKET), str(TICKET), f"{TICKET}"):
        assert "seed" not in shown and str(TICKET.seed) not in shown and TICKET.seed.hex() not in shown


@pytest.mark.parametrize("wrong", [{"uses": 0}, {"uses": 10_001}, {"role": ""}, {"cluster": "x" * 65}])
def test_what_does_not_fit_a_ticket_is_not_minted(wrong: dict[str, str | int]) -> None:
    """Said at once to the inviter, and not later to the invited."""
    with pytest.raises(TrustError) as caught:
        make(**wrong)  # type: ignore[arg-type]
    assert caught.value.code == "trust.ticket-unfit"


def test_nine_addresses_are_too_many_and_none_too_few() -> None:
    """One to eight."""
    assert len(make(*(f"192.0.2.{n}:9130" for n in range(8))).addresses) == 8
    with pytest.raises(TrustError):
        make(*(f"192.0.2.{n}:9130" for n in range(9)))


# --- redemption -------------------------------------------------------------------------------------------


def test_who_holds_the_ticket_redeems_it_for_one_key_on_one_connection() -> None:
    """The signature holds for exactly what was signed; each part changed alone and it does not."""
    right = [MESH, INVITER.public, "factory", "spoke", TICKET.ticket_id, b"exporter"]
    wrong = ["01J9Z3NDEKTSV4RRFFQ69G5FAW", FOUNDER.public, "store", "hub", "", b"another"]
    signature = sign_redemption(TICKET.seed, redemption_bytes(*right))  # type: ignore[arg-type]

    assert verify_redemption(TICKET.public_key, redemption_bytes(*right), signature)  # type: ignore[arg-type]
    assert redemption_bytes(*right).startswith(b"arqonmesh/v1/join\x00")  # type: ignore[arg-type]
    for position, other in enumerate(wrong):
        changed = [*right[:position], other, *right[position + 1 :]]
        assert not verify_redemption(TICKET.public_key, redemption_bytes(*changed), signature)  # type: ignore[arg-type]
    assert not verify_redemption(INVITER.public, redemption_bytes(*right), signature)  # type: ignore[arg-type]


@pytest.mark.requirement("R-JN-2")
def test_who_knows_the_join_key_redeems_it_and_the_mesh_keeps_only_a_hash() -> None:
    """scrypt(key, salt) seeds the signing key; salt and public half are all that the mesh has."""
    salt = join_key.new_salt()
    kept = join_key.public_half(join_key.derive("correct horse battery", salt))
    redemption = redemption_bytes(MESH, INVITER.public, "factory", "spoke", "", b"exporter")

    right = sign_redemption(join_key.derive(" correct horse battery\n", salt), redemption)
    wrong = sign_redemption(join_key.derive("correct horse batterz", salt), redemption)

    assert verify_redemption(kept, redemption, right)
    assert not verify_redemption(kept, redemption, wrong)


CAFE_HASH = "51da57818f5bc60c3cef72f81eba7344cb2ea59f05594fabeda154813803b2de"


def test_the_join_key_hash_is_scrypt_with_the_parameters_written_down() -> None:
    """n 2^15, r 8, p 1 (RFC 7914); the salt matters; composed and decomposed letters are one phrase."""
    salt = b"0123456789abcdef"

    assert join_key.derive("caf\u00e9 au lait", salt).hex() == CAFE_HASH
    assert join_key.derive("cafe\u0301 au lait", salt).hex() == CAFE_HASH
    assert join_key.derive("caf\u00e9 au lait", salt[::-1]).hex() != CAFE_HASH


@pytest.mark.parametrize(("key", "salt", "code"), [
    ("short", bytes(16), "trust.join-key-length"),
    ("x" * 257, bytes(16), "trust.join-key-length"),
    ("        a        ", bytes(16), "trust.join-key-length"),
    ("long enough", b"", "trust.join-key-salt"),
    ("long enough", bytes(33), "trust.join-key-salt"),
])  # fmt: skip
def test_a_join_key_or_salt_out_of_bounds_is_refused(key: str, salt: bytes, code: str) -> None:
    """8 to 256 characters; before any work is done."""
    with pytest.raises(TrustError) as caught:
        join_key.derive(key, salt)
    assert caught.value.code == code
