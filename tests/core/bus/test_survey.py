"""What a join of a pattern with `since` is answered: where its channels stand, and what nobody can say of them."""

from __future__ import annotations

from typing import Any

import pytest

from arqonmesh.config.model import BusSettings, RoomRule
from arqonmesh.core.bus import survey as survey_module
from arqonmesh.core.bus.identity import ANONYMOUS, Identity
from arqonmesh.core.bus.streams import epoch_of
from arqonmesh.ids import ClientId
from tests.core.bus.house import START_MS, House

OWN = "n" * 32


def own(life: int) -> str:
    return epoch_of(OWN, life)


def publish(house: House, client: ClientId, channel: str, count: int = 1) -> None:
    for n in range(count):
        house.send(client, {"type": "event", "channel": channel, "payload": n})


def joined(house: House, client: ClientId, pattern: str, since: dict[str, int]) -> dict[str, Any]:
    answer = house.ask(client, {"type": "join", "channel": pattern, "since": since})
    payload: dict[str, Any] = answer["payload"]
    return payload


def restarted(life: int, *rows: tuple[str, str, int, str, int], durable: bool = True, ended: int = 0) -> House:
    """A node in this life; rows of its disk: (channel, epoch, head, holes, ended), and the life that ended well."""
    house = House(boot_epoch=life, durable=durable)
    house.bus.start(house.now, {"streams": rows, "ended": ((ended,),)})
    return house


@pytest.mark.parametrize(
    ("pattern", "named"),
    [("a:*", ["a:b", "a:c"]), ("*:b", ["a:b", "x:b"]), ("*", ["a:b", "a:c", "x:b"])],
)
def test_a_pattern_is_told_where_its_channels_stand(pattern: str, named: list[str]) -> None:
    """And where one stands in which nothing was published: what comes from now on is live."""
    house = House(boot_epoch=5)
    publisher, member = house.connect(), house.connect()
    for channel in ("a:b", "a:c", "x:b"):
        publish(house, publisher, channel, 3)
    told = joined(house, member, pattern, {})
    assert told["position"] == {own(5): 0}
    assert told["positions"] == {channel: {own(5): 3} for channel in named}
    assert "recovered" not in told, "nobody has come back"


def test_after_a_restart_what_was_published_since_is_named_and_nothing_else() -> None:
    """Channels of which the disk knows, in the table or not; not those that were quiet since the pattern was joined."""
    house = restarted(6, ("a:old", own(4), 9, "", 1), ("a:b", own(5), 7, "", 1), ("x:y", own(5), 1, "", 1))
    publish(house, house.connect(), "a:new")
    told = joined(house, house.connect(), "a:*", {own(5): 0})
    assert told["positions"] == {"a:b": {own(5): 7}, "a:new": {own(6): 1}}
    assert (told["position"], told["recovered"], "gaps" in told) == ({own(6): 0}, True, False)


@pytest.mark.parametrize("case", ["a crash", "a crash before anything was kept", "nothing on disk"])
def test_a_life_of_which_something_may_be_gone_is_told_as_a_gap(case: str) -> None:
    """It ended in a crash, or this node keeps nothing: there may have been channels that nobody knows any more."""
    rows = [("x:y", own(5), 1, "", 0)] if case == "a crash" else []
    durable = case != "nothing on disk"
    house = restarted(6, *rows, durable=durable, ended=4 if durable else 5)
    told = joined(house, member := house.connect(), "a:*", {own(5): 0})
    assert (told["recovered"], told["gaps"]) == (False, [{"epoch": own(5), "first": 1, "last": None}])
    assert joined(house, member, "a:*", told["position"])["recovered"] is True, "told once"


def test_a_quiet_life_that_ended_well_leaves_no_doubt() -> None:
    """Nothing was published in it at all: the disk says that it ended in good order."""
    house = restarted(6, ended=5)
    assert joined(house, house.connect(), "a:*", {own(5): 0})["recovered"] is True


@pytest.mark.parametrize(
    ("ended", "age_s", "recovered"), [(True, 3_600, True), (False, 3_600, False), (True, 10**6, False)]
)
def test_a_channel_in_which_nothing_was_is_in_no_doubt_after_a_restart_in_good_order(
    ended: bool, age_s: int, recovered: bool
) -> None:
    """For who had heard nothing of it either; after a crash, or where it may have been too old to be kept, it is."""
    before = START_MS // 1_000 - age_s
    house = restarted(before + 60, ended=before if ended else 0)
    told = joined(house, house.connect(), "a:b", {own(before): 0})
    assert (told["recovered"], "gaps" in told) == (recovered, not recovered)
    page = house.ask(house.connect(), {"type": "history", "channel": "a:b", "since": {own(before): 0}})["payload"]
    assert ("gaps" in page) is (not recovered)


def test_a_channel_whose_end_is_in_doubt_is_named_as_such() -> None:
    """Its last events may not have reached the disk: who asks for its history is told."""
    house = restarted(6, ("a:b", own(5), 7, "", 0), ("a:older", own(3), 7, "", 0))
    assert joined(house, house.connect(), "a:*", {own(5): 0})["unsure"] == ["a:b"]


def test_nobody_is_told_of_a_channel_that_it_may_not_read() -> None:
    """Neither to join nor to read; nor of another tenant's."""
    rules = (RoomRule(rooms=("a:secret",), join="granted"), RoomRule(rooms=("a:past",), history="admin"))
    house = House(BusSettings(rooms=()), boot_epoch=5)
    house.bus.permissions.adopt(rules)
    admin = house.connect(identity=Identity(subject="ann", role="admin"))
    acme = house.connect(identity=Identity(subject="bob", role="user", tenant="acme"))
    for channel in ("a:b", "a:secret", "a:past"):
        publish(house, admin, channel)
    publish(house, acme, "a:theirs")
    assert list(joined(house, house.connect(identity=ANONYMOUS), "a:*", {})["positions"]) == ["a:b"]
    assert list(joined(house, acme, "*", {})["positions"]) == ["a:theirs"]


@pytest.mark.parametrize("bound", ["CHANNELS_MAX", "LOOKED_AT_MAX", "POSITIONS_BYTES_MAX"])
def test_an_answer_is_bounded_and_says_so(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes back to more than it names is not told that nothing is missing."""
    monkeypatch.setattr(survey_module, bound, 80 if bound == "POSITIONS_BYTES_MAX" else 2)
    house = House(boot_epoch=5)
    publisher, member = house.connect(), house.connect()
    for n in range(4):
        publish(house, publisher, f"a:{n}")
    told = joined(house, member, "a:*", {own(5): 0})
    assert (list(told["positions"]), told["positions_more"], told["recovered"]) == (["a:0", "a:1"], True, False)


def test_a_plain_join_of_a_pattern_is_answered_as_ever() -> None:
    """Who does not ask is told nothing more, and a `since` that is none is refused."""
    house = House(boot_epoch=5)
    member = house.connect()
    assert "positions" not in house.ask(member, {"type": "join", "channel": "a:*"})["payload"]
    refused = house.ask(member, {"type": "join", "channel": "a:*", "since": {"x": -1}})
    assert (refused["type"], refused["payload"]["code"]) == ("error", "bus.invalid-field")
