"""A member to which nobody says to have a link yet is not reached by pings, and their silence says nothing."""

from __future__ import annotations

import pytest

from arqonmesh.config.model import LifeguardSettings, MembershipSettings
from arqonmesh.core.events import Applied
from arqonmesh.core.kernel import SECOND
from arqonmesh.core.membership.evidence import Evidence
from arqonmesh.wire.statement import Links
from tests.core.membership.test_evidence import Bench, lists
from tests.core.toy import node_of

SUSPECTED_BY = 8 * SECOND
"""Where others have links to it, three probes in vain are needed."""


def newcomer(settings: MembershipSettings | None = None) -> Bench:
    """Of three members that answer, two are linked to us and the third to the first of these; t says that it lives, and
    has answered nothing yet."""
    bench = Bench("hb", "ct", settings)
    bench.tell(lists("h", up="bc"))
    bench.tell(lists("c", up="h"))
    bench.mute = "t"
    return bench


def test_a_newcomer_is_not_suspected_before_anybody_says_to_have_a_link_to_it() -> None:
    bench = newcomer()
    bench.run(SUSPECTED_BY)
    assert bench.state("t") == "alive"


def test_nor_is_one_that_says_so_alone() -> None:
    """The other end's record is on its way."""
    bench = newcomer()
    bench.tell(lists("t", up="h"))
    bench.run(SUSPECTED_BY)
    assert bench.state("t") == "alive"


def test_as_soon_as_the_other_end_says_so_too_silence_counts() -> None:
    bench = newcomer()
    bench.tell(lists("t", up="h"))
    bench.run(2 * SECOND)
    bench.tell(lists("h", up="bct"))
    bench.run(SUSPECTED_BY)
    assert bench.state("t") != "alive"


def test_who_never_has_a_link_is_suspected_all_the_same() -> None:
    """Ten seconds later than others."""
    bench = newcomer()
    bench.run(10 * SECOND + SUSPECTED_BY)
    assert bench.state("t") != "alive"


@pytest.mark.parametrize(
    "settings",
    [
        MembershipSettings(link_evidence_ms=0),
        MembershipSettings(lifeguard=LifeguardSettings(local_health=False, suspicion=False, buddy=False)),
    ],
    ids=["links are no evidence", "plain SWIM"],
)
def test_switched_off_silence_always_counts(settings: MembershipSettings) -> None:
    bench = newcomer(settings)
    bench.run(SUSPECTED_BY)
    assert bench.state("t") != "alive"


@pytest.mark.parametrize(
    ("own", "hubs", "between"),
    [
        (None, lists("h", up="b"), True),
        (lists("t", up="h"), lists("h", up="b"), True),
        (lists("t", up="h"), lists("h", up="b", down="t"), True),
        (lists("t", up="h"), lists("h", up="bt"), False),
        (None, lists("h", up="bt"), False),
        (lists("t", up="g"), lists("h", up="b"), False),
        (lists("t"), lists("h", up="b"), False),
    ],
    ids=[
        "has said nothing yet",
        "says so alone",
        "has another by now, or is gone, which the hub tells",
        "both say so",
        "the other says so",
        "had one to a member that is dead: nobody will tell",
        "says that it has none",
    ],
)
def test_when_a_member_is_between_links(own: Applied | None, hubs: Applied, between: bool) -> None:
    evidence = Evidence(node_of("me"))
    for name in "hb":
        evidence.vouches(node_of(name), counts=True)
    for said in (hubs, own):
        if said is not None:
            assert isinstance(said.body, Links)
            evidence.advertised(0, said.author, said.body)
    assert evidence.is_between_links(node_of("t")) is between
