"""Resume as a state machine: whatever is published, dropped, evicted, restarted, killed or moved.

A client that comes back sees every event of the channel once and in each stream's order, or is told by name what it
will not see; and in the end all nodes hold the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from arqonmesh.config.model import BusSettings, HistorySettings
from arqonmesh.core.bus.streams import is_over, life_of, oldest_lives
from arqonmesh.ids import ClientId
from tests.core.bus.mates import CHANNEL, Mates, Place

SETTINGS = BusSettings(history=HistorySettings(per_channel=3))
SIDES = st.integers(0, 2)


class Resuming(RuleBasedStateMachine):
    """Three nodes of one cluster, one client that moves between them."""

    def __init__(self) -> None:
        super().__init__()
        self.mates = Mates("nfq", SETTINGS)
        self.sides = self.mates.sides
        self.published: dict[Place, None] = {}
        self.at: int | None = None
        self.client = ClientId("")
        self.seen: list[Place] = []
        self.open: dict[Place, None] = {}
        """What the offsets of live events jumped over."""
        self.named: list[dict[str, Any]] = []
        self.position: dict[str, int] | None = None
        self.since: dict[str, int] = {}
        """As it was said last."""
        self.begun: dict[str, int] = {}
        """Where it first joined."""
        self.waiting = False

    @rule(side=SIDES, count=st.integers(1, 5))
    def publish(self, side: int, count: int) -> None:
        self.published.update(dict.fromkeys(self.mates.publish(self.sides[side], count)))
        self.look()

    @rule(side=SIDES, count=st.integers(1, 9))
    def arrive(self, side: int, count: int) -> None:
        self.sides[side].arrive(count)
        self.look()

    @rule(side=SIDES)
    def commit(self, side: int) -> None:
        self.sides[side].commit()

    @rule(side=SIDES)
    def answer_reads(self, side: int) -> None:
        self.sides[side].answer_reads()
        self.look()

    @rule(side=SIDES, us=st.sampled_from([100_000, 1_000_000, 20_000_000]))
    def pass_time(self, side: int, us: int) -> None:
        self.sides[side].pass_time(us)

    @rule(count=st.integers(1, 20))
    def carry(self, count: int) -> None:
        self.mates.carry(count)
        self.look()

    @rule(count=st.integers(1, 3))
    def lose(self, count: int) -> None:
        self.mates.lose(count)

    @rule(side=SIDES, clean=st.booleans())
    def restart(self, side: int, clean: bool) -> None:
        """What was not committed is gone from there; what had come by federation does not come again."""
        here = self.sides[side]
        self.look()
        if clean:
            here.commit()
        epoch = here.epoch
        self.mates.stop(here)
        if self.at == side:
            self.at, self.waiting = None, False
        self.mates.start(here, epoch if clean else "")
        self.look()

    @rule()
    def drop_client(self) -> None:
        if self.at is not None:
            self.look()
            self.sides[self.at].house.leave(self.client)
            self.at, self.waiting = None, False

    @rule(side=SIDES)
    def come_back(self, side: int) -> None:
        """A client that saw offsets jump, and did not get what is between, says how far it had everything."""
        if self.at is not None:
            return
        house = self.sides[side].house
        self.at, self.client = side, house.connect()
        house.take(self.client)
        frame: dict[str, Any] = {"type": "join", "channel": CHANNEL}
        if self.position is not None:
            self.since = dict(self.position)
            for epoch, offset in self.open:
                self.since[epoch] = min(self.since[epoch], offset - 1)
            frame["since"] = self.since
        self.waiting = True
        house.send(self.client, frame)
        self.look()

    def look(self) -> None:
        """Read what the client was sent, as a client does."""
        if self.at is None:
            return
        for told in self.sides[self.at].house.take(self.client):
            if told["type"] == "event":
                self.hear((told["epoch"], told["offset"]))
            elif told["type"] == "response":
                payload = told["payload"]
                assert self.waiting
                self.waiting = False
                self.named += payload.get("gaps", [])
                if self.position is None:
                    self.begun = dict(payload["position"])
                assert ("gaps" in payload) is (payload.get("recovered") is False)
                before, self.position = self.position or {}, payload["position"]
                for epoch, offset in before.items():
                    assert epoch not in self.since or self.position[epoch] >= self.since[epoch]
                    self.position[epoch] = max(self.position.get(epoch, 0), offset)
                self.open.clear()

    def hear(self, mine: Place) -> None:
        assert self.position is not None
        epoch, offset = mine
        if self.waiting:
            if mine in self.open:
                del self.open[mine]
            else:
                assert mine not in self.seen or offset > self.since.get(epoch, 0), f"{mine} came twice"
                assert mine in self.seen or offset > self.since.get(epoch, 0), f"{mine} came after {self.since}"
        else:
            assert mine not in self.seen, f"{mine} came twice"
            if mine in self.open:
                del self.open[mine]
            else:
                head = self.position.get(epoch, 0)
                assert offset > head, f"{mine} came after {self.position}"
                for number in range(head + 1, offset):
                    if not self.is_named((epoch, number)):
                        self.open[epoch, number] = None
        if mine not in self.seen:
            self.seen.append(mine)
        self.position.setdefault(before_all_lives(epoch, self.position), 0)
        self.position[epoch] = max(self.position.get(epoch, 0), offset)

    def is_named(self, mine: Place) -> bool:
        return any(
            gap["epoch"] == mine[0] and gap["first"] <= mine[1] and (gap["last"] is None or mine[1] <= gap["last"])
            for gap in self.named
        )

    @invariant()
    def everything_up_to_its_position_was_seen_or_named(self) -> None:
        """Since it first joined; and while it is live that is everything this node has."""
        if self.position is None or self.waiting or self.at is None:
            return
        seen = set(self.seen)
        lives = oldest_lives(self.begun)
        channel = self.sides[self.at].house.bus.channels.find(CHANNEL)
        for epoch, offset in self.position.items():
            if epoch not in self.begun and is_over(epoch, lives):
                continue  # over before the client first joined: it is not owed what was published then
            for number in range(self.begun.get(epoch, 0) + 1, offset + 1):
                mine = (epoch, number)
                if mine in self.open:  # the node has it as little
                    assert channel is not None
                    assert any(first <= number <= last for first, last in channel.streams.holes[epoch])
                else:
                    assert mine in seen or self.is_named(mine), f"{mine} is missing and was not named"
        if channel is not None:
            for epoch, head in channel.streams.position().items():
                seen_to = self.position.get(epoch, 0)
                over = epoch not in self.begun and is_over(epoch, lives)
                assert seen_to >= head or over, f"{epoch} goes to {head}, the client to {seen_to}"

    def teardown(self) -> None:
        """All hold the same, and say exactly what none of them holds."""
        self.mates.settle()
        self.look()
        self.everything_up_to_its_position_was_seen_or_named()
        held = [set(side.disk.places()) for side in self.sides]
        assert held[0] == held[1] == held[2]
        for side in self.sides:
            assert len(side.disk.places()) == len(held[0]), "something is held twice"
        if self.published:
            for side in self.sides:
                self.resume_from_nothing(side, held[0])
        super().teardown()

    def resume_from_nothing(self, side: Any, held: set[Place]) -> None:
        client = side.house.connect()
        side.house.take(client)
        since = {epoch: 0 for epoch, _ in self.published}
        side.house.send(client, {"type": "join", "channel": CHANNEL, "since": since})
        side.answer_reads()
        told = side.house.take(client)
        events = [(one["epoch"], one["offset"]) for one in told if one["type"] == "event"]
        (payload,) = [one["payload"] for one in told if one["type"] == "response"]
        assert (len(events), set(events)) == (len(held), held)
        gaps = payload.get("gaps", [])
        known = {epoch for epoch, _ in held}
        for epoch in known:
            heads = max(offset for one, offset in held if one == epoch)
            missing = [(epoch, number) for number in range(1, heads) if (epoch, number) not in held]
            exact = [gap for gap in gaps if gap["epoch"] == epoch and gap["last"] is not None]
            named = [(epoch, number) for gap in exact for number in range(gap["first"], gap["last"] + 1)]
            assert named == missing
            assert [gap for gap in gaps if gap["epoch"] == epoch and gap["last"] is None] == [], gaps


def before_all_lives(epoch: str, position: dict[str, int]) -> str:
    """What a client notes when it hears of a node that its position does not name at all: life 0 of it."""
    node = epoch.partition("-")[0]
    named = any(life is not None and life.node == node for life in map(life_of, position))
    return epoch if named else f"{node}-0"


Resuming.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestResuming = pytest.mark.requirement("R-BU-24")(Resuming.TestCase)
