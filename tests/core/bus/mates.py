"""Nodes of one cluster over their lives: each with its bus, its disk, and what is on its way to it."""

from __future__ import annotations

import json
import random
from collections import deque
from typing import Any

from arqonmesh.config.model import BusSettings
from arqonmesh.core.bus.stamps import Stamps
from arqonmesh.core.events import HistoryRead, Imported, LinkDown, LinkUp, MemberDescribed
from arqonmesh.core.kernel import Effect, Emit, HistoryQuery, KeepFrames, Send
from arqonmesh.ids import NodeId
from arqonmesh.wire.codec import decode_message, encode_message
from arqonmesh.wire.messages import WireMessage
from tests.core.bus.house import House

CHANNEL = "telemetry:host"
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

    def places(self) -> list[Place]:
        return [place(row) for row in self.rows]

    def streams(self, ended: str) -> list[tuple[Any, ...]]:
        heads: dict[str, list[int]] = {}
        for epoch, offset in self.places():
            heads.setdefault(epoch, []).append(offset)
        return [(CHANNEL, epoch, max(seen), _holes(seen), int(epoch == ended)) for epoch, seen in heads.items()]

    def read(self, query: HistoryQuery) -> tuple[tuple[bytes, ...], bool]:
        found = []
        for row in self.rows:
            epoch, offset = place(row)
            if any(epoch == wanted and first <= offset <= last for wanted, first, last in query.ranges or ()):
                found.append(row)
        cut = found[: query.limit] if query.oldest else found[-query.limit :]
        return tuple(cut), len(cut) < len(found)


def _holes(seen: list[int]) -> str:
    missing = sorted(set(range(1, max(seen))) - set(seen))
    return ",".join(f"{offset}-{offset}" for offset in missing)


class _Linked(House):
    """Says what it sends to `side`."""

    def __init__(self, side: Side, settings: BusSettings) -> None:
        super().__init__(settings, node=side.letter, boot_epoch=side.life, durable=side.durable)
        self.side = side
        self.bus.stamps = Stamps(random.Random(f"{side.letter} {side.life}"))

    def perform(self, effects: list[Effect]) -> list[Effect]:
        for effect in effects:
            if isinstance(effect, Send):
                self.side.mates.wire.append((self.side.id, effect.to, encode_message(effect.message)))
        rest = [effect for effect in effects if not isinstance(effect, Send)]
        return super().perform([one for one in rest if not isinstance(one, Emit) or not _is_wish(one)])


def _is_wish(emit: Emit) -> bool:
    return type(emit.event).__name__ == "LinkWanted"


class Side:
    """One node over its lives."""

    def __init__(self, mates: Mates, letter: str, durable: bool) -> None:
        self.mates = mates
        self.letter = letter
        self.id = NodeId(letter * 32)
        self.durable = durable
        self.life = 0
        self.disk = Disk()
        self.way: deque[tuple[NodeId, bytes]] = deque()
        """Events that federation will bring, whatever happens."""

    def start(self, ended: str) -> None:
        self.life += 1
        self.house = _Linked(self, self.mates.settings)
        self.house.bus.cluster_of = lambda node: "hq"
        self.house.bus.start(0, {"streams": self.disk.streams(ended)})

    @property
    def epoch(self) -> str:
        return self.house.bus.shelf.epoch

    def commit(self) -> None:
        for effect in self.house.kept:
            self.disk.keep(effect)
        self.house.kept = []

    def answer_reads(self) -> None:
        """The disk answers, after everything kept so far was committed."""
        self.commit()
        asked, self.house.asked = self.house.asked, []
        for read in asked:
            frames, more = self.disk.read(read.query)
            self.house.tell(HistoryRead(read.token, frames, more))

    def arrive(self, count: int) -> None:
        """What is on its way comes, in its order."""
        for _ in range(min(count, len(self.way))):
            origin, frame = self.way.popleft()
            self.house.tell(Imported(origin, "hq", CHANNEL, (frame,)))

    def pass_time(self, us: int) -> None:
        until = self.house.now + us
        while (due := self.house.bus.next_deadline()) is not None and due <= until:
            self.house.now = max(self.house.now, due)
            self.house.perform(self.house.bus.on_timer(self.house.now))
        self.house.now = until


class Mates:
    """All sides, linked to each other."""

    def __init__(self, letters: str, settings: BusSettings, durable: bool = True) -> None:
        self.settings = settings
        self.wire: deque[tuple[NodeId, NodeId, bytes]] = deque()
        self.sides = [Side(self, letter, durable) for letter in letters]
        self.up: dict[NodeId, Side] = {}
        for side in self.sides:
            self.start(side, "")

    def start(self, side: Side, ended: str) -> None:
        side.start(ended)
        for other in self.sides:
            side.house.tell(MemberDescribed(other.id, "hq", "hub", "", (), ""))
        for other in self.up.values():
            side.house.tell(LinkUp(other.id, "quic"))
            other.house.tell(LinkUp(side.id, "quic"))
        self.up[side.id] = side

    def stop(self, side: Side) -> None:
        """Its links go with what was on them."""
        del self.up[side.id]
        self.wire = deque(entry for entry in self.wire if side.id not in entry[:2])
        for other in self.up.values():
            other.house.tell(LinkDown(side.id, "gone"))

    def publish(self, side: Side, count: int) -> list[Place]:
        house = side.house
        house.wall_ms += 120_000  # whoever is connected was there
        publisher = house.connect()
        for _ in range(count):
            house.send(publisher, {"type": "event", "channel": CHANNEL, "payload": 0})
        house.leave(publisher)
        house.wall_ms -= 120_000
        frames, house.published = [event.frame for event in house.published if event.channel == CHANNEL], []
        for other in self.sides:
            if other is not side:
                other.way += [(side.id, frame) for frame in frames]
        return [place(frame) for frame in frames]

    def carry(self, count: int) -> None:
        for _ in range(min(count, len(self.wire))):
            sender, to, message = self.wire.popleft()
            if to in self.up and sender in self.up:
                house = self.up[to].house
                house.perform(house.bus.on_message(house.now, sender, _read(message)))

    def lose(self, count: int) -> None:
        for _ in range(min(count, len(self.wire))):
            self.wire.popleft()

    def settle(self) -> None:
        """Everything arrives, and time passes, until nobody has anything to tell but what all know."""
        for _ in range(12):
            for side in self.up.values():
                side.arrive(len(side.way))
                side.pass_time(2_000_000)
            for _ in range(30):
                self.carry(len(self.wire))
                for side in self.up.values():
                    side.answer_reads()
                if not self.wire:
                    break


def _read(message: bytes) -> WireMessage:
    return decode_message(message)
