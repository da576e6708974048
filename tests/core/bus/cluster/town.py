"""Several buses of one cluster, joined by lossless links that tests cut and mend; time moves by hand."""

from __future__ import annotations

import random
from collections import deque

from arqonmesh.core.bus import ClientInfo
from arqonmesh.core.bus.cluster.exchange import REPAIR_US
from arqonmesh.core.bus.identity import ANONYMOUS, Identity
from arqonmesh.core.bus.stamps import Stamps
from arqonmesh.core.events import CLUSTER_ONLY, Imported, LinkDown, LinkUp, MemberChanged, Published
from arqonmesh.core.kernel import Effect, Emit, Event, Lane, Send
from arqonmesh.ids import ClientId, NodeId
from arqonmesh.wire.codec import decode_message, encode_message
from arqonmesh.wire.messages import WireMessage
from tests.core.bus.house import House, Json

HQ = "hq"


class Home(House):
    """One node of the cluster."""

    def __init__(self, town: Town, letter: str, boot_epoch: int = 1) -> None:
        super().__init__(node=letter, boot_epoch=boot_epoch)
        self.town = town
        self.id = self.bus.env.node_id
        self.bus.stamps = Stamps(random.Random(f"{letter} {boot_epoch}"))  # or all would give the same ids
        self.bus.cluster_of = lambda node: town.clusters.get(node)

    def perform(self, effects: list[Effect]) -> list[Effect]:
        ours: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Send):
                assert effect.lane is Lane.CONTROL
                self.town.on_the_way.append((self.id, effect.to, effect.message))
            elif (
                isinstance(effect, Emit)
                and isinstance(effect.event, Published)
                and effect.event.channel.startswith(CLUSTER_ONLY)
            ):
                self.town.calls.append((self.id, effect.event))
            else:
                ours.append(effect)
        return super().perform(ours)

    def guest(self, channel: str = "", *, identity: Identity = ANONYMOUS, **about: str) -> ClientId:
        """A canonical client that has joined; its inbox is empty."""
        client = self.bus.new_client_id()
        self.inboxes[client] = []
        info = ClientInfo("127.0.0.1:5", about.pop("subprotocol", "arqon.v1"), identity=identity, **about)
        self.perform(self.bus.client_connected(self.now, client, info))
        if channel:
            self.send(client, {"type": "join", "channel": channel})
        self.inboxes[client].clear()
        return client

    def presence(self) -> dict[str, list[tuple[str, str]]]:
        """Every channel of the cluster as this node tells it: (client, node) of its members, sorted."""
        asking = self.guest()
        told = {}
        for listed in self.ask(asking, {"type": "list_channels", "limit": 1_000})["payload"]["channels"]:
            info = self.ask(asking, {"type": "channel_info", "channel": listed["id"], "limit": 1_000})
            members = [(member["client_id"], member["node"]) for member in info["payload"]["channel"]["members"]]
            assert len(members) == listed["member_count"]
            told[listed["id"]] = sorted(members)
        self.leave(asking)
        return told


class Town:
    """The nodes by letter, and what is on its way between them."""

    def __init__(self, *letters: str) -> None:
        self.clusters: dict[NodeId, str] = {NodeId(letter * 32): HQ for letter in letters}
        self.on_the_way: deque[tuple[NodeId, NodeId, WireMessage]] = deque()
        self.calls: deque[tuple[NodeId, Published]] = deque()
        self.links: set[frozenset[NodeId]] = set()
        self.homes: dict[NodeId, Home] = {}
        self.lost = 0
        """How many of the next messages are lost."""
        self.sent = 0
        for letter in letters:
            home = Home(self, letter)
            self.homes[home.id] = home

    def __getitem__(self, letter: str) -> Home:
        return self.homes[NodeId(letter * 32)]

    def link(self, one: str, other: str) -> None:
        a, b = self[one], self[other]
        self.links.add(frozenset((a.id, b.id)))
        a.tell(LinkUp(b.id, "quic"))
        b.tell(LinkUp(a.id, "quic"))

    def cut(self, one: str, other: str) -> None:
        a, b = self[one], self[other]
        self.links.discard(frozenset((a.id, b.id)))
        a.tell(LinkDown(b.id, "cut"))
        b.tell(LinkDown(a.id, "cut"))

    def mesh(self) -> None:
        """Everybody with everybody."""
        letters = [home.id[0] for home in self.homes.values()]
        for index, one in enumerate(letters):
            for other in letters[index + 1 :]:
                self.link(one, other)

    def die(self, letter: str) -> None:
        """Its links go, and the others find it dead."""
        gone = self.homes.pop(NodeId(letter * 32))
        for pair in sorted(self.links, key=sorted):
            if gone.id in pair:
                self.links.discard(pair)
                (other,) = pair - {gone.id}
                self.homes[other].tell(LinkDown(gone.id, "gone"))
        self.tell_all(MemberChanged(gone.id, "suspect", "dead", 1, "silence"))

    def tell_all(self, event: Event) -> None:
        for home in self.homes.values():
            home.tell(event)

    def settle(self) -> None:
        """Until nobody has anything to say but repairs."""
        for _ in range(200):
            while self.on_the_way or self.calls:
                self._carry()
            due = [home for home in self.homes.values() if self._due(home)]
            if not due:
                return
            for home in due:
                home.now = max(home.now, self._due(home) or 0)
                home.perform(home.bus.on_timer(home.now))
        raise AssertionError("the nodes never stop talking")

    def pass_time(self, us: int = REPAIR_US) -> None:
        """So much later, repairs included."""
        for home in self.homes.values():
            home.now += us
            home.perform(home.bus.on_timer(home.now))
        self.settle()

    def _due(self, home: Home) -> int | None:
        due = home.bus.next_deadline()
        return None if due is None or due > home.now + 1_000_000 else due or 1

    def _carry(self) -> None:
        while self.on_the_way:
            sender, to, message = self.on_the_way.popleft()
            if self.lost:
                self.lost -= 1
                continue
            if frozenset((sender, to)) in self.links and to in self.homes:
                self.sent += 1
                home = self.homes[to]
                home.perform(home.bus.on_message(home.now, sender, decode_message(encode_message(message))))
        while self.calls:
            sender, said = self.calls.popleft()
            for home in list(self.homes.values()):
                if home.id != sender:
                    home.tell(Imported(sender, self.clusters[sender], said.channel, said.frames))


def only(frames: list[Json], event: str) -> list[Json]:
    """The notices of one kind."""
    return [
        frame["payload"] for frame in frames if frame["type"] == "system" and frame["payload"].get("event") == event
    ]
