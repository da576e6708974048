"""A pretend wire for membership cores: probes take a moment and may be cut; records reach everyone who can be reached.

Gossip is played by `spread`: what a core publishes is applied to all connected nodes after a short delay, and kept, so
that a healed node hears the newest record of everyone.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import count

from arqonmesh.config.model import MembershipSettings
from arqonmesh.core.events import (
    Applied,
    Late,
    LinkDown,
    LinkUp,
    MemberAdmitted,
    MemberChanged,
    Persisted,
    Publish,
)
from arqonmesh.core.kernel import MILLISECOND, Durable, Effect, Emit, Event, Persist, Put, Row, Send
from arqonmesh.core.membership.core import Membership
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import WireMessage
from arqonmesh.wire.statement import Body
from tests.core.toy import env_of, key_of, node_of


class Wire:
    def __init__(self, names: Sequence[str], *, delay_us: int = 2 * MILLISECOND, seed: int = 1) -> None:
        self.now = 0
        self.seed = seed
        self.delay_us = delay_us
        self.names = {node_of(name): name for name in names}
        self.cores: dict[NodeId, Membership] = {}
        self.cut: dict[tuple[NodeId, NodeId], None] = {}
        self.frozen: dict[NodeId, list[tuple[NodeId, WireMessage | Event]]] = {}
        self.records: dict[tuple[NodeId, int], tuple[int, Applied]] = {}
        self.disks: dict[NodeId, dict[tuple[str, str], Row]] = {node: {} for node in self.names}
        self.changes: list[tuple[int, str, str, str, str]] = []
        """(when, at whom, about whom, old, new)"""
        self.sent: dict[NodeId, int] = dict.fromkeys(self.names, 0)
        self._order = count()
        self._air: list[tuple[int, int, NodeId, NodeId, WireMessage | Event]] = []
        for name in names:
            self.boot(name)
        self.link_all()

    # --- the world ----------------------------------------------------------------------------------------

    def boot(self, name: str) -> None:
        """Start a node, for the first time or again from its disk."""
        node = node_of(name)
        core = Membership(env_of(name, seed=self.seed), MembershipSettings())
        core.describe((f"{name}.example:9130",), "arqonmesh/test", ())
        self.cores[node] = core
        durable: Durable = {"scalars": list(self.disks[node].values())}
        self.perform(node, core.start(self.now, durable))
        for other, other_name in self.names.items():
            admitted = MemberAdmitted(other, key_of(other_name), other_name, "hub")
            self.perform(node, core.on_event(self.now, admitted))
        for _, applied in sorted(self.records.values(), key=lambda entry: entry[0]):
            mine = applied.author == node
            event = Applied(applied.author, applied.kind, applied.key, applied.body, b"", mine)
            self.perform(node, core.on_event(self.now, event))

    def crash(self, name: str) -> None:
        node = node_of(name)
        del self.cores[node]
        for other, core in list(self.cores.items()):
            self.perform(other, core.on_event(self.now, LinkDown(node, "gone")))

    def link_all(self) -> None:
        for node, core in list(self.cores.items()):
            for peer in list(self.cores):
                if peer != node:
                    self.perform(node, core.on_event(self.now, LinkUp(peer, "quic")))

    def link_up(self, a: str, b: str) -> None:
        for one, two in ((node_of(a), node_of(b)), (node_of(b), node_of(a))):
            self.perform(one, self.cores[one].on_event(self.now, LinkUp(two, "quic")))

    def sever(self, a: str, b: str) -> None:
        """Lose everything from a to b."""
        self.cut[(node_of(a), node_of(b))] = None

    def isolate(self, name: str) -> None:
        for other in self.names.values():
            if other != name:
                self.sever(name, other)
                self.sever(other, name)

    def heal(self) -> None:
        """Everything flows again, and everyone hears everyone's newest records."""
        self.cut.clear()
        for _, applied in sorted(self.records.values(), key=lambda entry: entry[0]):
            self.spread(applied)

    def freeze(self, name: str) -> None:
        """SIGSTOP: no timer fires, what arrives waits."""
        self.frozen[node_of(name)] = []

    def thaw(self, name: str) -> None:
        node = node_of(name)
        waiting = self.frozen.pop(node)
        core = self.cores[node]
        late_us = self.now - (core.next_deadline() or self.now)
        if late_us > 0:  # told as the runtime does; and timers come before what is in the socket
            self.perform(node, core.on_event(self.now, Late(late_us)))
            self.perform(node, core.on_timer(self.now))
        for origin, thing in waiting:
            self.arrive(node, origin, thing)

    # --- the machinery ------------------------------------------------------------------------------------

    def spread(self, applied: Applied) -> None:
        for node in self.cores:
            if node != applied.author and (applied.author, node) not in self.cut:
                self.fly(applied.author, node, applied)

    def fly(self, origin: NodeId, to: NodeId, thing: WireMessage | Event) -> None:
        heapq.heappush(self._air, (self.now + self.delay_us, next(self._order), origin, to, thing))

    def perform(self, node: NodeId, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self.sent[node] += 1
                if (node, effect.to) not in self.cut:
                    self.fly(node, effect.to, effect.message)
            elif isinstance(effect, Persist):
                for write in effect.writes:
                    assert isinstance(write, Put)
                    self.disks[node][("membership", "incarnation")] = write.row
                self.fly(node, node, Persisted(effect.token))
            elif isinstance(effect, Emit) and isinstance(effect.event, Publish):
                event = effect.event
                self.publish(node, event.kind, event.key, event.body)
            elif isinstance(effect, Emit) and isinstance(effect.event, MemberChanged):
                change = effect.event
                about = self.names[change.node]
                self.changes.append((self.now, self.names[node], about, change.old, change.new))

    def publish(self, author: NodeId, kind: int, key: str, body: Body) -> None:
        applied = Applied(author, kind, key, body, b"", False)
        self.records[(author, kind)] = (next(self._order), applied)
        self.fly(author, author, Applied(author, kind, key, body, b"", True))
        self.spread(applied)

    def arrive(self, to: NodeId, origin: NodeId, thing: WireMessage | Event) -> None:
        if to in self.frozen:
            self.frozen[to].append((origin, thing))
        elif to in self.cores:
            core = self.cores[to]
            if isinstance(thing, Event):
                self.perform(to, core.on_event(self.now, thing))
            else:
                self.perform(to, core.on_message(self.now, origin, thing))

    def run(self, for_us: int) -> None:
        until = self.now + for_us
        while True:
            timers = [
                (deadline, node)
                for node, core in self.cores.items()
                if node not in self.frozen and (deadline := core.next_deadline()) is not None
            ]
            timer = min(timers, default=None)
            arrival = self._air[0][0] if self._air else None
            upcoming = [when for when in (timer and timer[0], arrival) if when is not None]
            if not upcoming or min(upcoming) > until:
                self.now = until
                return
            self.now = max(self.now, min(upcoming))
            if timer is None or (arrival is not None and arrival <= timer[0]):
                _, _, origin, to, thing = heapq.heappop(self._air)
                self.arrive(to, origin, thing)
            else:
                self.perform(timer[1], self.cores[timer[1]].on_timer(self.now))

    # --- questions ----------------------------------------------------------------------------------------

    def core(self, name: str) -> Membership:
        return self.cores[node_of(name)]

    def states(self, about: str) -> dict[str, str]:
        """Who, among the running, says what about this one (itself apart)."""
        node = node_of(about)
        return {self.names[who]: core.state_of(node) for who, core in self.cores.items() if who != node}

    def seen(self, new: str, since: int = 0) -> list[tuple[int, str, str]]:
        """When who saw whom enter this state."""
        return [(at, who, about) for at, who, about, _, state in self.changes if state == new and at >= since]
