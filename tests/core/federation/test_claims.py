"""Who is believed to be in a region: whoever says so, or only members of the clusters that a rule names."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.config.model import ClaimRule, FederationSettings, PinRule, Rules
from arqonmesh.core.events import MemberMoved
from arqonmesh.core.federation.claims import Claims
from tests.core.federation.pretend import Member, Net
from tests.core.federation.test_core import drops

PINNED = FederationSettings(export=Rules(allow=("*",)), pin=(PinRule(channels=("plant:*",), regions=("eu-*",)),))
LEFT_TO_SOUTH = (ClaimRule(regions=("eu-*",), clusters=("south",)),)


def mesh(rules: FederationSettings = PINNED) -> tuple[Net, Member, Member, Member]:
    """Three clusters; the latter two say that they are in the region that the first one pins to."""
    net = Net()
    owner = net.add("owner", "north", rules, region="eu-west")
    named = net.add("named", "south", FederationSettings(), region="eu-west")
    other = net.add("other", "east", FederationSettings(), region="eu-west")
    for member in (named, other):
        net.connect(owner, member)
    net.settle()
    return net, owner, named, other


def believing(claim: tuple[ClaimRule, ...]) -> FederationSettings:
    return msgspec.structs.replace(PINNED, claim=claim)


def test_without_a_rule_whoever_says_so_is_in_a_region() -> None:
    """The word of the member itself, and explain says that it is no more than that."""
    net, owner, named, other = mesh()
    net.publish(owner, "plant:press", b"1")
    net.settle()

    assert named.delivered == other.delivered == [("plant:press", b"1")]
    assert owner.fed.verdict("plant:press", other.node_id).reason.endswith("its region is its own word")


def test_a_region_that_a_rule_leaves_to_clusters_is_told_in_vain_by_others() -> None:
    """Whatever a member writes into its own record: its cluster is in its admission."""
    net, owner, named, other = mesh(believing(LEFT_TO_SOUTH))
    net.publish(owner, "plant:press", b"1")
    net.settle()

    assert named.delivered == [("plant:press", b"1")]
    assert other.delivered == []
    refused = owner.fed.verdict("plant:press", other.node_id)
    assert not refused.allowed
    assert "it says that it is in eu-west, which federation.claim[0] leaves to other clusters" in refused.reason
    assert "federation.claim[0] lets its cluster say so" in owner.fed.verdict("plant:press", named.node_id).reason
    assert (owner.fed.region_of(named.node_id), owner.fed.region_of(other.node_id)) == ("eu-west", "")


def test_a_member_whose_cluster_nobody_vouches_for_is_not_believed() -> None:
    """It is of the cluster that the rule names by its own word alone; explain says so. What waits for it goes, too."""
    net, owner, named, _ = mesh(believing(LEFT_TO_SOUTH))
    net.cut(owner, named)
    net.publish(owner, "plant:press", b"1")
    net.settle()
    assert owner.fed.backlog(named.node_id) == 1
    net.doubts[named.node_id] = "its cluster is its own word"
    net.tell(owner, MemberMoved(named.node_id))
    net.settle()

    assert owner.fed.region_of(named.node_id) == ""
    assert owner.fed.backlog(named.node_id) == 0
    assert ("pinned", 1) in drops(owner)
    refused = owner.fed.verdict("plant:press", named.node_id).reason
    assert "leaves to its own cluster, but its cluster is its own word: it is in no region" in refused
    owner.fed.adopt(believing(()))
    assert owner.fed.region_of(named.node_id) == "eu-west", "without a rule its word is enough"
    owner.fed.adopt(believing(LEFT_TO_SOUTH))
    assert owner.fed.region_of(named.node_id) == ""
    del net.doubts[named.node_id]
    net.tell(owner, MemberMoved(named.node_id))
    assert owner.fed.region_of(named.node_id) == "eu-west"


def test_history_is_not_shared_with_who_is_not_believed() -> None:
    """The rule holds wherever a pin is asked."""
    _, owner, named, other = mesh(believing(LEFT_TO_SOUTH))

    assert owner.fed.shares("plant:press", named.node_id)
    assert not owner.fed.shares("plant:press", other.node_id)


def test_a_rule_that_a_reload_brings_holds_for_what_waits_already() -> None:
    """What is held for a member that is not believed any more is dropped and counted."""
    net, owner, _, other = mesh()
    net.cut(owner, other)
    net.publish(owner, "plant:press", b"1")
    net.settle()
    assert owner.fed.backlog(other.node_id) == 1
    owner.fed.adopt(believing(LEFT_TO_SOUTH))
    net.tick(owner)
    net.settle()

    assert owner.fed.backlog(other.node_id) == 0
    assert ("pinned", 1) in drops(owner)
    owner.fed.adopt(PINNED)
    assert owner.fed.region_of(other.node_id) == "eu-west", "and who is believed again is in its region again"


names = st.sampled_from(["eu-west", "eu-north", "us", "asia", ""])
clusters = st.sampled_from(["north", "south", "east"])
rules = st.builds(
    ClaimRule,
    regions=st.lists(st.sampled_from(["eu-*", "eu-west", "us", "*"]), min_size=1, max_size=2).map(tuple),
    clusters=st.lists(clusters, min_size=1, max_size=2).map(tuple),
)


@given(st.lists(rules, max_size=4), clusters, names, st.sampled_from(["", "invited by a stranger"]))
def test_a_claim_counts_when_no_rule_names_its_region_or_one_that_does_lists_the_cluster(
    some: list[ClaimRule], cluster: str, told: str, doubt: str
) -> None:
    """In any order of rules; a member is never in another region than it says."""
    claims = Claims()
    claims.adopt(some)
    naming = [
        rule for rule in some if any(p in ("*", told) or (p == "eu-*" and told.startswith("eu-")) for p in rule.regions)
    ]
    believed = bool(told) and (not naming or (not doubt and any(cluster in rule.clusters for rule in naming)))

    assert claims.judge(cluster, told, doubt).region == (told if believed else "")
