"""Nodes of different protocol versions tell each other so, by name, and exchange nothing else."""

from __future__ import annotations

import pytest

from arqonmesh.errors import PeerError
from arqonmesh.net.hello import VERSIONS
from arqonmesh.net.tls import PROTOCOLS, Protocols
from arqonmesh.wire.messages import JoinAccept, JoinOffer, JoinRequest
from tests.net.kit import MESH, Hall, Member, hall

FORMER, NEXT = Protocols(1), Protocols(3, former=(2, 1))
PAIRS = {
    "the former dials": (FORMER, PROTOCOLS),
    "the former is dialled": (PROTOCOLS, FORMER),
    "the next dials": (NEXT, PROTOCOLS),
    "the next is dialled": (PROTOCOLS, NEXT),
}


def pair(made: Hall, case: str) -> tuple[Member, Member]:
    dialling, listening = PAIRS[case]
    return made.member(1, protocols=dialling), made.member(2, protocols=listening)


def newest(dialling: Protocols, listening: Protocols, agreed: int) -> tuple[int, int]:
    """What each end is known by to the other: the version agreed upon is the older one's."""
    return (agreed, listening.version) if dialling.version == agreed else (dialling.version, agreed)


@pytest.mark.parametrize("case", PAIRS)
async def test_no_link_stands_between_versions_and_the_dial_names_both(case: str) -> None:
    """Neither end is told of a link or a frame, so no core can blame anyone; the dialling side shows what to do, and
    the newer end counts and tells it."""
    async with hall() as made:
        one, two = pair(made, case)
        agreed = min(protocols.version for protocols in PAIRS[case])
        dialling, listening = newest(*PAIRS[case], agreed)
        newer = one if PAIRS[case][0].version > PAIRS[case][1].version else two
        one.endpoint.want(two.id, (two.at,))
        await one.heard.until(lambda: "link.version" in one.endpoint.dials()[0].last_error)
        await newer.heard.until(lambda: newer.heard.refusals["link.version"] > 0)
        told = one.endpoint.dials()[0].last_error
        sentence = (
            f"the node that dials speaks arqon-mesh/{dialling}, the node that is dialled arqon-mesh/{listening}; "
            "update the older one"
        )
        assert sentence in told
        assert sentence in newer.heard.sentences
        for member in (one, two):
            assert not member.heard.events and not member.heard.frames and not member.endpoint.links()


@pytest.mark.parametrize("case", PAIRS)
async def test_a_join_between_versions_ends_before_the_offer(case: str) -> None:
    """The joiner signs nothing and redeems nothing; its error names both versions and the remedy."""

    def build(offer: JoinOffer, channel_binding: bytes) -> JoinRequest:
        raise AssertionError("an offer came")

    def judge(*_: object) -> JoinAccept:
        raise AssertionError("a request came")

    async with hall() as made:
        joiner, gate = pair(made, case)
        gate.roster.offer = JoinOffer(MESH, "acme", gate.id, "open", b"")
        gate.roster.judge = judge
        with pytest.raises(PeerError) as caught:
            await joiner.endpoint.join(gate.at, build, timeout_s=5)
        assert caught.value.code == "link.version"
        told = str(caught.value)
        assert all(f"arqon-join/{protocols.version}" in told for protocols in PAIRS[case])
        assert "update the older one" in told


async def test_nodes_of_one_version_link_whatever_they_know_of_others() -> None:
    """The names of former versions are never what two nodes of today agree upon."""
    async with hall() as made:
        one, two = made.member(1), made.member(2, protocols=Protocols(PROTOCOLS.version))
        await made.linked(one, two)
        assert one.endpoint.links().keys() == {two.id}


def test_the_hello_says_the_version_that_tls_agreed_upon() -> None:
    """One number for both: what changed the statements changed the protocol."""
    assert (PROTOCOLS.version,) == VERSIONS
    assert PROTOCOLS.version not in PROTOCOLS.former
