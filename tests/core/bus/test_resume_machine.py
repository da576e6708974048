"""Resume as a state machine: whatever is published, dropped, evicted, restarted or moved, a client that comes back sees
every event of the channel once and in each stream's order, or is told by name what it will not see."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from arqonmesh.config.model import BusSettings, HistorySettings
from arqonmesh.core.bus.streams import life_of, newest_lives
from arqonmesh.core.events import HistoryRead, Imported
from arqonmesh.core.kernel import HistoryQuery, KeepFrames
from arqonmesh.ids import ClientId, NodeId
from tests.core.bus.house import House

CHANNEL = "telemetry:host"
SETTINGS = BusSettings(history=HistorySettings(per_channel=3))
Place = tuple[str, int]


def place(frame: bytes) -> Place:
    told = json.loads(frame)
    return told["epoch"], told["offset"]


class Disk:
    """What `KeepFrames` and `ReadHistory` mean, in the plainest way."""

    def __init__(self) -> None:
        self.rows: list[bytes] = []

    def keep(self, effect: KeepFrames) -> None:
        self.rows += effect.frames

    def streams(self, ended: str) -> list[tuple[Any, ...]]:
        heads: dict[str, list[int]] = {}
        for row in self.rows:
            epoch, offset = place(row)
            heads.setdefault(epoch, []).append(offset)
        return [(CHANNEL, epoch, max(seen), _holes(seen), int(epoch == ended)) for epoch, seen in heads.items()]

    def read(self, query: HistoryQuery) -> tuple[bytes, ...]:
        wanted = {epoch: (first, last) for epoch, first, last in query.ranges or ()}
        found = []
        for row in self.rows:
            epoch, offset = place(row)
            first, last = wanted.get(epoch, (1, 0))
            if first <= offset <= last:
                found.append(row)
        return tuple(found[-query.limit :])


def _holes(seen: list[int]) -> str:
    missing = sorted(set(range(1, max(seen))) - set(seen))
    return ",".join(f"{offset}-{offset}" for offset in missing)


class Side:
    """One node over its lives: its bus, its disk, and what is on its way to it."""

    def __init__(self, letter: str) -> None:
        self.letter = letter
        self.life = 0
        self.disk = Disk()
        self.way: list[bytes] = []
        self.start("")

    def start(self, ended: str) -> None:
        self.life += 1
        self.house = House(SETTINGS, node=self.letter, boot_epoch=self.life, durable=True)
        self.house.bus.start(0, {"streams": self.disk.streams(ended)})

    @property
    def epoch(self) -> str:
        return self.house.bus.shelf.epoch


class Resuming(RuleBasedStateMachine):
    """Two nodes of one cluster, one client that moves between them."""

    def __init__(self) -> None:
        super().__init__()
        self.sides = [Side("n"), Side("f")]
        self.published: dict[Place, None] = {}
        self.lost: dict[Place, None] = {}
        """Had come to a node that crashed before it committed them: they are marked as arrived there, so that node will
        not hear of them again. Clients see the hole in the offsets."""
        self.at: int | None = None
        self.client = ClientId("")
        self.seen: list[Place] = []
        self.named: list[dict[str, Any]] = []
        self.position: dict[str, int] | None = None
        self.begun: dict[str, int] = {}
        """Where it first joined."""
        self.waiting = False

    @rule(side=st.integers(0, 1), count=st.integers(1, 5))
    def publish(self, side: int, count: int) -> None:
        house = self.sides[side].house
        publisher = house.connect()
        for _ in range(count):
            house.send(publisher, {"type": "event", "channel": CHANNEL, "payload": 0})
        house.leave(publisher)
        for event in house.published:
            self.published[place(event.frame)] = None
            self.sides[1 - side].way.append(event.frame)
        house.published = []
        self.look()

    @rule(side=st.integers(0, 1), count=st.integers(1, 9))
    def arrive(self, side: int, count: int) -> None:
        """What is on its way comes, in its order; federation keeps it until then."""
        here = self.sides[side]
        frames, here.way = here.way[:count], here.way[count:]
        origin = NodeId(self.sides[1 - side].letter * 32)
        if frames:
            here.house.tell(Imported(origin, "hq", CHANNEL, tuple(frames)))
        self.look()

    @rule(side=st.integers(0, 1))
    def commit(self, side: int) -> None:
        here = self.sides[side]
        for effect in here.house.kept:
            here.disk.keep(effect)
        here.house.kept = []

    @rule(side=st.integers(0, 1))
    def answer_reads(self, side: int) -> None:
        """The disk answers, after everything kept so far was committed."""
        self.commit(side)
        here = self.sides[side]
        asked, here.house.asked = here.house.asked, []
        for read in asked:
            here.house.tell(HistoryRead(read.token, here.disk.read(read.query)))
        self.look()

    @rule(side=st.integers(0, 1), clean=st.booleans())
    def restart(self, side: int, clean: bool) -> None:
        here = self.sides[side]
        self.look()
        if clean:
            self.commit(side)
        for effect in here.house.kept:
            self.lost.update(dict.fromkeys(map(place, effect.frames)))
        epoch = here.epoch
        if self.at == side:
            self.at, self.waiting = None, False
        here.start(epoch if clean else "")

    @rule()
    def drop_client(self) -> None:
        if self.at is not None:
            self.look()
            self.sides[self.at].house.leave(self.client)
            self.at, self.waiting = None, False

    @rule(side=st.integers(0, 1))
    def come_back(self, side: int) -> None:
        if self.at is not None:
            return
        house = self.sides[side].house
        self.at, self.client = side, house.connect()
        house.take(self.client)
        frame: dict[str, Any] = {"type": "join", "channel": CHANNEL}
        if self.position is not None:
            frame["since"] = self.position
        self.waiting = True
        house.send(self.client, frame)
        self.look()

    def look(self) -> None:
        """Read what the client was sent, as a client does."""
        if self.at is None:
            return
        for told in self.sides[self.at].house.take(self.client):
            if told["type"] == "event":
                mine = (told["epoch"], told["offset"])
                assert mine not in self.seen, f"{mine} came twice"
                assert self.position is not None
                assert mine[1] > self.position.get(mine[0], 0), f"{mine} came after {self.position}"
                assert mine[1] == self.position.get(mine[0], 0) + 1 or self.waiting or self.is_gap(mine), (
                    f"a hole {mine}"
                )
                self.seen.append(mine)
                self.position[mine[0]] = mine[1]
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
                    assert epoch not in self.position or self.position[epoch] >= offset

    def is_gap(self, mine: Place) -> bool:
        """Whether what is between the client's position and this event is nowhere, or was named."""
        assert self.position is not None
        return all(
            self.is_named((mine[0], offset))
            or (mine[0], offset) in self.lost
            or (mine[0], offset) not in self.published
            for offset in range(self.position.get(mine[0], 0) + 1, mine[1])
        )

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
        lives = newest_lives(self.begun)
        for epoch, offset in self.position.items():
            life = life_of(epoch)
            assert life is not None
            if epoch not in self.begun and (life.boot, life.generation) < lives.get(life.node, (0, 0)):
                continue  # over before the client first joined: it is not owed what was published then
            for number in range(self.begun.get(epoch, 0) + 1, offset + 1):
                mine = (epoch, number)
                assert mine in seen or self.is_named(mine) or mine in self.lost, f"{mine} is missing and was not named"
        channel = self.sides[self.at].house.bus.channels.find(CHANNEL)
        if channel is not None:
            for epoch, head in channel.streams.position().items():
                assert self.position.get(epoch, 0) >= head, f"{epoch} goes to {head}, the client is at {self.position}"


Resuming.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestResuming = pytest.mark.requirement("R-BU-24")(Resuming.TestCase)
