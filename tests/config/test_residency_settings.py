"""Pins, aggregates and packs in arqon.yaml: what is understood, and how what is not is explained."""

from __future__ import annotations

import json

import pytest

from arqonmesh.config.changes import hot_part
from arqonmesh.config.load import loads
from arqonmesh.config.model import AggregateRule, FederationSettings, PinRule
from arqonmesh.config.packs import PACKS, packs_of
from arqonmesh.core.federation.batch import PINS_MAX, REGIONS_MAX
from arqonmesh.core.federation.policy import Policy
from arqonmesh.errors import ConfigError

HEAD = "node: {cluster: hq, region: eu-west}\nfederation:\n"


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loads(text.encode())
    return f"{caught.value.sentence} | {caught.value.hint}"


def test_rules_are_read_and_a_running_node_takes_them() -> None:
    """As lists of groups; all three are hot."""
    text = HEAD + (
        '  pin: [{channels: ["acme|*"], regions: [eu-west, "@here"]}]\n'
        '  aggregate: [{channels: ["metrics:*"], every_s: 5, to: "summary:all", fields: [load], events_min: 1}]\n'
        "  packs: [hipaa, gdpr]\n"
    )
    config = loads(text.encode())
    assert config.federation.pin == (PinRule(channels=("acme|*",), regions=("eu-west", "@here")),)
    assert config.federation.aggregate == (
        AggregateRule(channels=("metrics:*",), every_s=5, to="summary:all", fields=("load",), events_min=1),
    )
    assert hot_part(loads(HEAD.encode()), config) == config


@pytest.mark.parametrize(
    ("lines", "seen", "right"),
    [
        ("  packs: [gdrp]", "federation.packs[0] is 'gdrp'", "one of financial, gdpr or hipaa"),
        ('  pin: [{channels: ["a:*"]}]', "regions is not given", "list of 1 to 16"),
        ("  pin: [{channels: [], regions: [eu]}]", "federation.pin[0].channels is []", "list of 1 to 64"),
        ('  pin: [{channels: ["a:*"], regions: [eu], region: us}]', "has a 'region'", "channels, regions"),
        ('  aggregate: [{channels: ["a:*"], every_s: 0}]', "every_s is 0", "from 1 to 86,400"),
        ('  aggregate: [{channels: ["a:*"], to: "b|c:d"}]', "to is 'b|c:d'", "to: metrics:summary"),
        ('  aggregate: [{channels: ["a:*"], to: "c:*"}]', "to is 'c:*'", "without a tenant"),
    ],
)
def test_what_is_wrong_is_said_with_what_would_be_right(lines: str, seen: str, right: str) -> None:
    """The value, the place, and what fits."""
    said = refused(HEAD + lines + "\n")
    assert seen in said and right in said


@pytest.mark.parametrize("lines", ['  pin: [{channels: ["a:*"], regions: [eu]}]', "  packs: [financial]"])
def test_pins_need_a_region_of_ones_own(lines: str) -> None:
    """Or the others would send nothing pinned here, and nobody would know why."""
    said = refused("node: {cluster: hq}\nfederation:\n" + lines + "\n")
    assert "node.region is empty" in said and "node: {region: eu-west}" in said


@pytest.mark.requirement("R-RE-3")
@pytest.mark.parametrize("name", sorted(PACKS))
def test_a_pack_only_ever_keeps_something_back(name: str) -> None:
    """With it no channel may go anywhere that it may not go without, tenants' channels alike; and it does something."""
    free = Policy("eu-west", _settings(()))
    packed = Policy("eu-west", _settings((name,)))
    pack = PACKS[name]
    rooms = [pattern for pin in pack.pin for pattern in pin.channels]
    rooms += [pattern for rule in pack.aggregate for pattern in rule.channels] + list(pack.deny)
    channels = [pattern.replace("*", "x") for pattern in rooms]
    kept = 0
    for channel in (*channels, "open:x", "t|open:x"):
        for inside in (True, False):
            for region in ("", "eu-west", "us", "mars"):
                with_pack = packed.verdict(channel, inside=inside, region=region)
                without = free.verdict(channel, inside=inside, region=region)
                assert without.allowed or not with_pack.allowed
                if not with_pack.allowed and without.allowed:
                    kept += 1
                    assert with_pack.rule.startswith(f"{name}.")
    assert kept >= 3 * len(channels)
    assert packed.verdict("open:x", inside=False, region="").allowed
    assert all(other in rooms for other in [f"*|{room}" for room in rooms if not room.startswith("*|")])


@pytest.mark.requirement("R-RE-3")
def test_packs_are_data_of_known_size_and_stand_together() -> None:
    """Each once; all of them and the most pins of one's own still travel with a section."""
    assert [pack.name for pack in packs_of(("hipaa", "gdpr", "hipaa"))] == ["hipaa", "gdpr"]
    pins = [pin for pack in PACKS.values() for pin in pack.pin]
    assert len(pins) + 16 <= PINS_MAX
    assert all(len(pin.regions) <= REGIONS_MAX for pin in pins)
    assert all(pack.title and pack.summary.endswith(".") for pack in PACKS.values())


def _settings(packs: tuple[str, ...]) -> FederationSettings:
    text = HEAD + '  export: {allow: ["*"]}\n' + f"  packs: {json.dumps(packs)}\n"
    return loads(text.encode()).federation
