"""Pins: such events take no link to a member outside of their regions, whoever's they are and however they came."""

from __future__ import annotations

from itertools import pairwise

import pytest

from arqonmesh.config.model import FederationSettings, PinRule, Rules
from arqonmesh.core.events import Dropped, MemberExpelled, Verdict
from arqonmesh.core.federation.batch import PINS_MAX, Section, decode_section, encode_sections
from arqonmesh.core.federation.policy import Policy
from arqonmesh.core.federation.residency import LEARNED_MAX, NOBODY, Residency
from arqonmesh.errors import DecodeError
from arqonmesh.ids import NodeId
from arqonmesh.wire.cbor import encode
from arqonmesh.wire.codec import decode_message
from arqonmesh.wire.messages import BusBatch
from tests.core.federation.pretend import Member, Net

OPEN = Rules(allow=("*",))
FREE = FederationSettings(export=OPEN)


def pinning(*channels: str, to: tuple[str, ...] = ("eu", "eu-*")) -> FederationSettings:
    return FederationSettings(export=OPEN, pin=(PinRule(channels=channels, regions=to),))


def chain(*regions: str, first: FederationSettings | None = None) -> tuple[Net, list[Member]]:
    """A row of clusters, one per region; the first one has the pin, the others have none."""
    net = Net()
    settings = first or pinning("acme|*")
    members = [
        net.add(f"n{i}", f"c{i}", settings if i == 0 else FREE, region=region) for i, region in enumerate(regions)
    ]
    for one, two in pairwise(members):
        net.connect(one, two)
    return net, members


def dropped(member: Member) -> list[tuple[str, int]]:
    return [(event.reason, event.count) for event in member.said(Dropped) if isinstance(event, Dropped)]


# --- where it goes ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-RE-1")
@pytest.mark.requirement("R-RE-4")
def test_a_tenants_pinned_events_reach_members_of_the_region_only() -> None:
    """One hop: eu-west gets it, us-east does not; another tenant's goes everywhere."""
    net = Net()
    home = net.add("home", "a", pinning("acme|*"), region="eu-central")
    near, far = net.add("near", "b", FREE, region="eu-west"), net.add("far", "c", FREE, region="us-east")
    for other in (near, far):
        net.connect(home, other)
    net.publish(home, "acme|plant:press", b"pinned")
    net.publish(home, "umbrella|plant:press", b"free")
    net.settle()

    assert near.delivered == [("acme|plant:press", b"pinned"), ("umbrella|plant:press", b"free")]
    assert far.delivered == [("umbrella|plant:press", b"free")]


@pytest.mark.requirement("R-RE-1")
def test_a_relay_outside_of_the_region_counts() -> None:
    """eu - us - eu: the far end could have it, and there is no way to it but through us."""
    net, (home, relay, end) = chain("eu", "us", "eu")
    net.publish(home, "acme|plant:press", b"1")
    net.settle()

    assert relay.delivered == end.delivered == []
    assert not any(queue for queue in net.queues.values())


@pytest.mark.requirement("R-RE-1")
def test_every_hop_enforces_a_pin_that_it_has_no_rule_for() -> None:
    """eu - eu - us: the one in the middle has no pin of its own, and passes it on to nobody."""
    net, (home, middle, end) = chain("eu", "eu-west", "us")
    net.publish(home, "acme|plant:press", b"1")
    net.publish(home, "open:x", b"2")
    net.settle()

    assert middle.delivered == [("acme|plant:press", b"1"), ("open:x", b"2")]
    assert end.delivered == [("open:x", b"2")]
    rule = "the origin's pin to eu, eu-*"
    assert ("transit", "acme|plant:press", "c2", False, rule, 1) in middle.fed.decisions()


@pytest.mark.requirement("R-RE-1")
def test_a_hop_adds_its_own_pins_to_the_origins() -> None:
    """The origin pins nothing; a relay in eu does, and so nothing leaves eu there."""
    net = Net()
    home = net.add("home", "a", FREE, region="us")
    relay = net.add("relay", "b", pinning("acme|*"), region="eu")
    out, stay = net.add("out", "c", FREE, region="us"), net.add("stay", "d", FREE, region="eu")
    for one, two in ((home, relay), (relay, out), (relay, stay)):
        net.connect(one, two)
    net.publish(home, "acme|x:y", b"1")
    net.settle()

    assert relay.delivered == stay.delivered == [("acme|x:y", b"1")]
    assert out.delivered == []


@pytest.mark.requirement("R-RE-1")
def test_a_cluster_that_spans_regions_does_not_share_what_is_pinned() -> None:
    """Nodes of one cluster exchange everything else; a private message of the tenant is its data, too."""
    net = Net()
    home = net.add("home", "hq", pinning("acme|*"), region="eu")
    near, far = net.add("near", "hq", region="eu"), net.add("far", "hq", region="us")
    net.connect(home, near)
    net.connect(near, far)
    net.connect(home, far)
    for channel in ("acme|x:y", "$cluster:private|acme", "$cluster:private|umbrella", "$cluster:delete", "raw:x"):
        net.publish(home, channel, b"1")
    net.settle()

    everything = ["acme|x:y", "$cluster:private|acme", "$cluster:private|umbrella", "$cluster:delete", "raw:x"]
    assert [channel for channel, _ in near.delivered] == everything
    assert [channel for channel, _ in far.delivered] == everything[2:]


@pytest.mark.requirement("R-RE-1")
@pytest.mark.parametrize("regions", [("*",), ("eu",)])
def test_who_tells_no_region_gets_nothing_pinned(regions: tuple[str, ...]) -> None:
    """Not even when every region is allowed: not known is not allowed. It gets what follows once it has told one."""
    net = Net()
    home = net.add("home", "a", pinning("acme|*", to=regions), region="eu")
    silent = net.add("silent", "b", FREE)
    net.connect(home, silent)
    net.publish(home, "acme|x:y", b"1")
    net.settle()
    assert silent.delivered == []

    silent.region = "eu"
    net.crash(silent)
    net.boot(silent)
    net.move(silent, "eu")
    net.connect(home, silent)
    net.publish(home, "acme|x:y", b"2")
    net.settle()
    assert silent.delivered == [("acme|x:y", b"2")]


@pytest.mark.requirement("R-RE-1")
def test_a_node_takes_nothing_that_is_pinned_elsewhere() -> None:
    """The sender believed an older record: the receiver refuses, and passes nothing on."""
    net, (home, liar, end) = chain("eu", "eu", "eu")
    liar.region = "us"
    net.crash(liar)
    net.boot(liar)  # its process knows that it is in us; nobody has been told
    net.connect(home, liar)
    net.connect(liar, end)
    net.publish(home, "acme|x:y", b"1")
    net.settle()

    assert liar.delivered == end.delivered == []
    assert ("import", "acme|x:y", "c0", False, "the origin's pin to eu, eu-*", 1) in liar.fed.decisions()


def test_of_several_pins_every_one_holds() -> None:
    """A pack's pin is not weakened by a wider one, nor the other way round."""
    rules = (
        PinRule(channels=("acme|*",), regions=("eu-*", "us-*")),
        PinRule(channels=("*|plant:*",), regions=("eu-west", "eu-north")),
    )
    net = Net()
    home = net.add("home", "a", FederationSettings(export=OPEN, pin=rules), region="eu-west")
    others = [net.add(region, region, FREE, region=region) for region in ("eu-north", "eu-south", "us-east")]
    for other in others:
        net.connect(home, other)
    net.publish(home, "acme|plant:x", b"1")
    net.publish(home, "acme|office:x", b"2")
    net.settle()

    got = {member.name: [frame for _, frame in member.delivered] for member in others}
    assert got == {"eu-north": [b"1", b"2"], "eu-south": [b"2"], "us-east": [b"2"]}


def test_an_event_to_a_whole_room_is_pinned_when_any_channel_of_it_is() -> None:
    """`plant:*` reaches everyone in plant:press."""
    net, (home, far) = chain("eu", "us", first=pinning("plant:press", "lab*"))
    for channel in ("plant:*", "plant:press", "plant:other", "lab:*", "laboratory:*", "la:*", "other:*"):
        net.publish(home, channel, b"1")
    net.settle()

    assert [channel for channel, _ in far.delivered] == ["plant:other", "la:*", "other:*"]


def test_here_is_the_region_of_the_node_that_publishes() -> None:
    """In a rule that all nodes share; without a region of its own a node sends it to nobody."""
    net, (home, near, far) = chain("ap-1", "ap-1", "ap-2", first=pinning("ledger:*", to=("@here",)))
    net.publish(home, "ledger:x", b"1")
    net.settle()
    assert near.delivered and not far.delivered

    net, (home, near, far) = chain("", "ap-1", "", first=pinning("ledger:*", to=("@here", "")))
    net.publish(home, "ledger:x", b"1")
    net.settle()
    assert near.delivered == far.delivered == []


# --- when regions change ---------------------------------------------------------------------------------------


@pytest.mark.requirement("R-RE-1")
def test_what_waits_for_a_member_is_judged_again_when_its_region_changes() -> None:
    """It was held for eu; the member comes back from us: pinned events are dropped and counted, the others arrive."""
    net, (home, other) = chain("eu", "eu")
    net.cut(home, other)
    for channel in ("acme|a:b", "open:x"):
        net.publish(home, channel, b"same tick")
    net.settle()
    net.publish(home, "acme|a:b", b"alone")
    net.settle()
    assert len(home.tables["outbox"]) == 2

    net.move(other, "us")
    net.settle()
    assert dropped(home) == [("pinned", 1), ("pinned", 1)]
    (row,) = home.tables["outbox"].values()
    batch = decode_message(row[2])  # type: ignore[arg-type]
    assert isinstance(batch, BusBatch)
    assert [decode_section(section).channel for section in batch.sections if section] == ["open:x"]
    assert home.fed.backlog(other.node_id) == 1

    net.crash(other)
    net.boot(other)
    net.connect(home, other)
    net.settle()
    assert other.delivered == [("open:x", b"same tick")]
    assert home.tables["outbox"] == {}
    assert home.fed.backlog(other.node_id) == 0


def test_what_flies_when_the_region_changes_is_not_sent_again() -> None:
    """It may have arrived; a new connection carries the rest in order."""
    net, (home, other) = chain("eu", "eu")
    net.publish(home, "acme|a:b", b"1")
    net.tick(home)
    net.publish(home, "open:x", b"2")
    net.tick(home)
    net.move(other, "us")
    box = home.fed._outboxes[other.node_id]
    assert box._flying_bytes == box.bytes > 0 and box.messages == 1
    net.cut(home, other)
    net.crash(other)
    net.boot(other)
    net.connect(home, other)
    net.settle()

    assert other.delivered == [("open:x", b"2")]
    assert home.fed.backlog(other.node_id) == 0


def test_a_restart_judges_what_was_held_by_the_region_of_today() -> None:
    """Rows of an earlier life carry their pins; the link comes up before anybody tells a region: nothing goes."""
    net, (home, other) = chain("eu", "eu")
    net.cut(home, other)
    net.publish(home, "acme|a:b", b"1")
    net.settle()
    net.crash(home)
    home.settings = FREE  # the rule is gone, the pin in the section is not
    other.region = ""  # not told to the new life of home
    net.boot(home)
    net.connect(home, other)
    net.settle()

    assert other.delivered == []
    assert dropped(home)[-1] == ("pinned", 1)


def test_new_pins_hold_for_what_already_waits() -> None:
    """A reload that pins a channel takes it out of the outboxes; one that pins nothing new takes nothing."""
    net, (home, far) = chain("eu", "us", first=FREE)
    net.cut(home, far)
    net.publish(home, "acme|a:b", b"1")
    net.publish(home, "open:x", b"2")
    net.settle()
    home.fed.adopt(FREE)
    net.settle()
    assert dropped(home) == []

    home.fed.adopt(pinning("acme|*"))
    net.settle()
    assert dropped(home) == [("pinned", 1)]
    net.connect(home, far)
    net.settle()
    assert far.delivered == [("open:x", b"2")]


def test_an_expelled_member_has_no_region_any_more() -> None:
    """What was held for it goes."""
    net, (home, other) = chain("eu", "eu")
    net.cut(home, other)
    net.publish(home, "acme|a:b", b"1")
    net.settle()
    net.tell(home, MemberExpelled(other.node_id, "forked"))
    net.settle()
    assert dropped(home) == [("pinned", 1)]


# --- on the wire and in the books ------------------------------------------------------------------------------


def test_sections_without_pins_are_written_as_before() -> None:
    """Two items; with a pin, four. Both are read; more pins than allowed are refused."""
    ((plain, _),) = encode_sections("a:b", [b"1"])
    assert plain == encode(("a:b", (b"1",)))
    ((pinned, _),) = encode_sections("a:b", [b"1"], (("eu",),))
    assert decode_section(plain) == Section("a:b", (b"1",))
    assert decode_section(pinned) == Section("a:b", (b"1",), (("eu",),), False)
    ((many, _),) = encode_sections("a:b", [b"1"], (("eu",),) * (PINS_MAX + 1))
    with pytest.raises(DecodeError):
        decode_section(many)


def test_a_pinned_event_that_nobody_may_have_is_neither_signed_nor_named() -> None:
    """As with what no rule exports; counted as kept, with the rule."""
    net, (home, _far) = chain("eu", "us")
    net.publish(home, "acme|a:b", b"1")
    net.settle()

    assert net.sent_batches == 0
    assert home.fed.counters.kept_local == 1
    rule = "pin[0] acme|* to eu, eu-*"
    assert home.fed.decisions() == (("export", "acme|a:b", "c1", False, rule, 1),)
    assert [event.rule for event in home.said(Verdict) if isinstance(event, Verdict)] == [rule]


def test_one_batch_has_what_each_region_may_have() -> None:
    """One signature; the member in us gets an empty place where the one in eu gets the pinned section."""
    net = Net()
    home = net.add("home", "a", pinning("acme|*"), region="eu")
    near, far = net.add("near", "b", FREE, region="eu"), net.add("far", "c", FREE, region="us")
    net.connect(home, near)
    net.connect(home, far)
    net.publish(home, "acme|a:b", b"1")
    net.publish(home, "open:x", b"2")
    net.tick(home)
    batches = [decode_message(net.queues[home.node_id, other.node_id][0]) for other in (near, far)]
    assert all(isinstance(batch, BusBatch) for batch in batches)
    assert [[bool(section) for section in batch.sections] for batch in batches if isinstance(batch, BusBatch)] == [
        [True, True],
        [False, True],
    ]


# --- history ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-RE-1")
def test_history_goes_where_its_events_might_also_after_a_restart() -> None:
    """A mate without the rule learned the pin with the events, and still knows it in its next life."""
    net = Net()
    home = net.add("home", "hq", pinning("acme|*"), region="eu")
    mate, far = net.add("mate", "hq", region="eu"), net.add("far", "hq", region="us")
    net.connect(home, mate)
    net.connect(mate, far)
    net.publish(home, "acme|a:b", b"1")
    net.settle()
    for _ in range(2):
        assert not home.fed.shares("acme|a:b", far.node_id) and home.fed.shares("acme|a:b", mate.node_id)
        assert not mate.fed.shares("acme|a:b", far.node_id) and mate.fed.shares("acme|a:b", home.node_id)
        assert mate.fed.shares("acme|other:x", far.node_id)
        net.crash(mate)
        net.boot(mate)


def test_what_is_remembered_of_others_pins_is_bounded_and_errs_on_the_safe_side() -> None:
    """Too many pins of a channel: nobody. Too many channels: nothing unknown leaves the region."""
    residency = Residency("eu")
    there, here = NodeId("a" * 32), NodeId("b" * 32)
    residency.described(there, "us")
    residency.described(here, "eu")
    assert residency.learn("a:b", (("us",),)) == (("us",),)
    assert residency.learn("a:b", (("us",),)) is None
    assert residency.learn("a:b", tuple((f"r{i}",) for i in range(PINS_MAX))) == NOBODY
    assert not residency.shares("a:b", there) and not residency.shares("a:b", here)
    assert residency.shares("unseen:x", there)
    for number in range(LEARNED_MAX):
        residency.learn(f"x:{number}", (("eu",),))
    assert not residency.shares("unseen:x", there) and residency.shares("unseen:x", here)


# --- in words --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-FE-10")
@pytest.mark.requirement("R-RE-4")
def test_every_verdict_is_explained() -> None:
    """Pin, region, rule, cluster: for a channel and a member, before anything is sent."""
    settings = FederationSettings(
        export=Rules(allow=("acme|*",), deny=("acme|secret:*",)),
        pin=(PinRule(channels=("acme|*",), regions=("eu",)),),
        packs=("gdpr",),
    )
    policy = Policy("eu", settings)
    asked = [
        ("acme|a:b", False, "eu"),
        ("acme|a:b", False, "us"),
        ("acme|a:b", True, "us"),
        ("acme|a:b", False, ""),
        ("acme|secret:x", False, "eu"),
        ("raw:x", False, "eu"),
        ("raw:x", True, ""),
        ("personal:x", True, "us"),
        ("biometric:x", False, "eu"),
    ]
    told = [policy.verdict(channel, inside=inside, region=region) for channel, inside, region in asked]
    assert [(one.allowed, one.rule) for one in told] == [
        (True, "export.allow[0] acme|*"),
        (False, "pin[0] acme|* to eu"),
        (False, "pin[0] acme|* to eu"),
        (False, "pin[0] acme|* to eu"),
        (False, "export.deny[0] acme|secret:*"),
        (False, "default deny"),
        (True, "same cluster"),
        (False, "gdpr.pin[0] personal:* to eea, eea-*, eu, eu-*"),
        (False, "gdpr.deny[2] biometric:*"),
    ]
    assert told[1].reason == "the channel is pinned, and its region is us"
    assert told[3].reason == "the channel is pinned, and it tells no region"
