"""Gray failure in the simulator: members that stop and go, and what each part of Lifeguard does about it.

    python -m bench.gray_sim                                  # 64 nodes, 16 of them stop 8 s, run 64 ms, for 120 s
    python -m bench.gray_sim --nodes 128 --stopped 4 16 32 --stop-ms 2048 8192 16384 --seeds 3

The real membership cores on a pretend wire: 1 to 5 ms one way; a record leaves its author at the next of its rounds of
gossip (200 ms, memberlist's; our nodes push at once, --gossip-ms 0), reaches everyone 5 to 60 ms after that, and a
repair each second brings what was missed. A stopped node's timers and inbox stand still; up to 1,024 inputs wait, the
rest is lost; when it runs again its overdue timers fire first, then all that waited comes in one burst, of which it
handles two per millisecond, and what comes meanwhile waits behind. That is the interval experiment of Lifeguard
(DSN-W 2018), with its ablation: plain SWIM, each part alone, all three. There no link ever falls, for SWIM knows of
none. The last row adds ours: four hubs, and a stopped node's links fall after 350 ms, and are back 300 ms after it runs
for good.

| column      | meaning                                                                                              |
|-------------|------------------------------------------------------------------------------------------------------|
| FP          | "dead" about a member that was never stopped, said by anyone                                         |
| FP-         | the same, said by a member that was never stopped either                                             |
| first       | from a kill in the healthy mesh to the first "dead", median and 99th percentile over kills and seeds |
| everyone    | from the kill until the last node says so, median                                                    |
| B/s         | bytes of probe messages per node and second, healthy, without packet overhead                        |

Exits non-zero unless all three together have at least 20 times fewer FP- than plain SWIM (or none) and their first
detection is at most 10 % slower.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import random
import statistics
import sys
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from arqonmesh.config.model import LifeguardSettings, MembershipSettings
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
from arqonmesh.core.kernel import MILLISECOND, SECOND, Effect, Emit, Env, Event, Persist, Send
from arqonmesh.core.membership.core import Membership
from arqonmesh.ids import ClusterId, MeshId, NodeId, encode_ulid, node_id_of
from arqonmesh.sim.crypto import ToyCrypto, toy_key
from arqonmesh.wire.codec import encode_message
from arqonmesh.wire.messages import WireMessage
from arqonmesh.wire.statement import Adjacency, Body, Kind
from arqonmesh.wire.statement import Links as LinksRecord

INBOX_MAX: Final = 1_024
HUBS: Final = 4
LINK_LOSS_US: Final = 350 * MILLISECOND
LINK_BACK_US: Final = 300 * MILLISECOND
SETTLE_US: Final = 10 * SECOND
KILLS: Final = 4
OVERDUE_ROUNDS: Final = 16
SERVICE_US: Final = 500
"""What a node that has fallen behind takes for each input that waits."""
MESH: Final = MeshId(encode_ulid(1_700_000_000_000, 1))


def settings_of(*, health: bool, suspicion: bool, buddy: bool, links: bool = False) -> MembershipSettings:
    lifeguard = LifeguardSettings(local_health=health, suspicion=suspicion, buddy=buddy)
    return MembershipSettings(lifeguard=lifeguard, link_evidence_ms=1_000 if links else 0)


VARIANTS: Final = {
    "plain SWIM": settings_of(health=False, suspicion=False, buddy=False),
    "+ local health": settings_of(health=True, suspicion=False, buddy=False),
    "+ suspicion": settings_of(health=False, suspicion=True, buddy=False),
    "+ buddy": settings_of(health=False, suspicion=False, buddy=True),
    "all three": settings_of(health=True, suspicion=True, buddy=True),
    "all + links": settings_of(health=True, suspicion=True, buddy=True, links=True),
}

Key = tuple[NodeId, int]


@dataclass(slots=True)
class Node:
    index: int
    id: NodeId
    core: Membership
    alive: bool = True
    stopped: bool = False
    inbox: deque[tuple[NodeId, Any]] = field(default_factory=deque)
    outbox: list[Key] = field(default_factory=list)
    holds: dict[Key, int] = field(default_factory=dict)
    links: dict[int, None] = field(default_factory=dict)
    stops: int = 0
    bytes_sent: int = 0


class Gray:
    """One seed, one mesh of membership cores."""

    def __init__(self, count: int, seed: int, settings: MembershipSettings, gossip_us: int) -> None:
        self.now = 0
        self._gossip_us = gossip_us
        self.dice = random.Random(f"{seed} gray")
        self.deaths: list[tuple[int, int, int]] = []
        """(when, at whom, about whom)"""
        self.lost = 0
        self._heap: list[tuple[int, int, int, Any, Any]] = []
        self._made = itertools.count()
        self._records: dict[Key, tuple[int, Applied]] = {}
        self._log: deque[tuple[Key, int]] = deque()
        keys = [toy_key(f"gray {index}") for index in range(count)]
        self.index = {node_id_of(key): index for index, key in enumerate(keys)}
        self.nodes = [
            Node(index, node_id_of(key), Membership(_env(index, key, seed), settings)) for index, key in enumerate(keys)
        ]
        for node in self.nodes:
            self.perform(node, node.core.start(0, {}))
            for key in keys:
                self.hear(node, MemberAdmitted(node_id_of(key), key, "sim", "hub"))
            self.at(self.dice.randrange(0, SECOND), self._repair, node)
        self._hubs = self.nodes[:HUBS] if settings.link_evidence_ms else self.nodes
        for node in self.nodes:
            for hub in self._hubs:
                if hub.index < node.index:
                    self._link(node, hub)

    # --- the world ----------------------------------------------------------------------------------------

    def at(self, when: int, action: Any, subject: Any) -> None:
        heapq.heappush(self._heap, (when, next(self._made), -1, action, subject))

    def run(self, for_us: int) -> None:
        until = self.now + for_us
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, target, subject, content = heapq.heappop(heap)
            if target < 0:
                subject(content)
                continue
            node = self.nodes[target]
            if content is None:
                if node.alive and not node.stopped and (node.core.next_deadline() or 0) <= self.now:
                    self.perform(node, node.core.on_timer(self.now))
            elif node.stopped or node.inbox:
                if len(node.inbox) < INBOX_MAX:
                    node.inbox.append((subject, content))
                else:
                    self.lost += 1
            else:
                self.take(node, subject, content)
        self.now = until

    def stop(self, node: Node) -> None:
        node.stopped = True
        node.stops += 1
        self.at(self.now + LINK_LOSS_US, self._links_fall, (node, node.stops))

    def go(self, node: Node) -> None:
        node.stopped = False
        deadline = node.core.next_deadline()
        if deadline is not None and deadline < self.now - 50 * MILLISECOND:
            self.perform(node, node.core.on_event(self.now, Late(self.now - deadline)))
        for _ in range(OVERDUE_ROUNDS):  # a probe that ran out meanwhile fails before its answer is read
            if (node.core.next_deadline() or self.now + 1) > self.now:
                break
            self.perform(node, node.core.on_timer(self.now))
        if node.inbox:
            self.at(self.now + SERVICE_US, self._drain, (node, node.stops))
        for key in dict.fromkeys(node.outbox):
            self.at(self.now + self.dice.randrange(0, self._gossip_us + 1), self._leave, (node, key))
        node.outbox.clear()
        self.at(self.now + LINK_BACK_US, self._links_return, (node, node.stops))

    def _drain(self, what: tuple[Node, int]) -> None:
        """The next of what waited; what comes meanwhile waits behind it."""
        node, stops = what
        if node.stopped or node.stops != stops or not node.inbox:
            return
        self.take(node, *node.inbox.popleft())
        if node.inbox:
            self.at(self.now + SERVICE_US, self._drain, what)

    def kill(self, node: Node) -> None:
        node.alive = False
        self.at(self.now + LINK_LOSS_US, self._links_fall, (node, node.stops))

    # --- messages and records -----------------------------------------------------------------------------

    def take(self, node: Node, origin: NodeId, content: Any) -> None:
        if not node.alive:
            return
        if isinstance(content, WireMessage):
            self.perform(node, node.core.on_message(self.now, origin, content))
        elif isinstance(content, tuple):
            self._receive(node, *content)
        else:
            self.hear(node, content)

    def hear(self, node: Node, event: Event) -> None:
        self.perform(node, node.core.on_event(self.now, event))

    def perform(self, node: Node, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                node.bytes_sent += len(encode_message(effect.message))
                when = self.now + self.dice.randrange(1_000, 5_000)
                heapq.heappush(self._heap, (when, next(self._made), self.index[effect.to], node.id, effect.message))
            elif isinstance(effect, Persist):
                self.hear(node, Persisted(effect.token))
            elif isinstance(effect, Emit) and isinstance(effect.event, Publish):
                self.publish(node, effect.event.kind, effect.event.body)
            elif isinstance(effect, Emit) and isinstance(effect.event, MemberChanged) and effect.event.new == "dead":
                self.deaths.append((self.now, node.index, self.index[effect.event.node]))
        deadline = node.core.next_deadline()
        if deadline is not None:
            heapq.heappush(self._heap, (max(deadline, self.now), next(self._made), node.index, None, None))

    def publish(self, node: Node, kind: int, body: Body) -> None:
        key = (node.id, int(kind))
        version = self._records.get(key, (0, None))[0] + 1
        self._records[key] = (version, Applied(node.id, int(kind), "", body, b"", False))
        node.holds[key] = version
        self.hear(node, Applied(node.id, int(kind), "", body, b"", True))
        self.at(self.now + self.dice.randrange(0, self._gossip_us + 1), self._leave, (node, key))

    def _leave(self, what: tuple[Node, Key]) -> None:
        """The author's next round of gossip; one that is stopped has none until it runs."""
        node, key = what
        if node.stopped:
            node.outbox.append(key)
        if node.stopped or not node.alive:
            return
        version, applied = self._records[key]
        for other in self.nodes:
            if other is not node:
                when = self.now + self.dice.randrange(5_000, 60_000)
                heapq.heappush(self._heap, (when, next(self._made), other.index, node.id, (key, version, applied)))

    def _receive(self, node: Node, key: Key, version: int, applied: Applied) -> None:
        if node.holds.get(key, 0) < version:
            node.holds[key] = version
            self.hear(node, applied)

    def _repair(self, node: Node) -> None:
        """Once a second: whatever the newest records say that was missed, as from a peer that has them."""
        self.at(self.now + SECOND, self._repair, node)
        if node.alive and not node.stopped:
            for key, (version, applied) in list(self._records.items()):
                author = self.nodes[self.index[key[0]]]
                if node.holds.get(key, 0) < version and not author.stopped and key not in author.outbox:
                    self._receive(node, key, version, applied)

    # --- links --------------------------------------------------------------------------------------------

    def _link(self, one: Node, other: Node) -> None:
        for node, peer in ((one, other), (other, one)):
            node.links[peer.index] = None
            self.hear(node, LinkUp(peer.id, "sim"))
            self._advertise(node)

    def _links_fall(self, what: tuple[Node, int]) -> None:
        node, stops = what
        if node.stops != stops or (node.alive and not node.stopped) or self._hubs is self.nodes:
            return
        for index in list(node.links):
            peer = self.nodes[index]
            del node.links[index]
            del peer.links[node.index]
            self.run_or_wait(peer, LinkDown(node.id, "silent"))
            self._advertise(peer, node.id)
            if node.alive:
                self.run_or_wait(node, LinkDown(peer.id, "closed by peer"))

    def _links_return(self, what: tuple[Node, int]) -> None:
        node, stops = what
        if node.stops == stops and node.alive and not node.stopped:
            hubs = self.nodes if node.index < HUBS else self.nodes[:HUBS]
            for peer in hubs:
                if peer is not node and peer.alive and not peer.stopped and peer.index not in node.links:
                    self._link(node, peer)

    def run_or_wait(self, node: Node, event: Event) -> None:
        if node.stopped:
            node.inbox.append((node.id, event))
        else:
            self.hear(node, event)

    def _advertise(self, node: Node, lost: NodeId | None = None) -> None:
        if node.stopped or not node.alive or self._hubs is self.nodes:
            return
        listed = [Adjacency(self.nodes[index].id, "up", "sim", 1_000, 0) for index in node.links]
        if lost is not None:
            listed.append(Adjacency(lost, "down", "sim", 1_000, 0))
        self.publish(node, Kind.LINKS, LinksRecord(tuple(listed)))


def _env(index: int, key: bytes, seed: int) -> Env:
    return Env(
        node_id=node_id_of(key),
        public_key=key,
        cluster=ClusterId("sim"),
        role="hub",
        region="",
        mesh_id=MESH,
        rng=random.Random(f"{seed} core {index}"),
        wall_ms=lambda: 0,
        crypto=ToyCrypto(key),
        boot_epoch=1,
    )


@dataclass(slots=True)
class Row:
    fp: int = 0
    fp_minus: int = 0
    first_s: list[float] = field(default_factory=list)
    everyone_s: list[float] = field(default_factory=list)
    bytes_per_s: float = 0.0


def intervals(
    gossip_us: int,
    count: int,
    stopped: int,
    stop_us: int,
    run_us: int,
    for_us: int,
    seed: int,
    variant: MembershipSettings,
    row: Row,
) -> None:
    """The interval experiment: who is called dead without ever having been stopped?"""
    gray = Gray(count, seed, variant, gossip_us)
    gray.run(SETTLE_US)
    chosen = gray.dice.sample(gray.nodes[1:], stopped)
    victims = {node.index: None for node in chosen}
    gray.deaths.clear()
    until = gray.now + for_us
    while gray.now < until:
        for node in chosen:
            gray.stop(node)
        gray.run(stop_us)
        for node in chosen:
            gray.go(node)
        gray.run(run_us)
    gray.run(10 * SECOND)
    for _, who, about in gray.deaths:
        if about not in victims:
            row.fp += 1
            row.fp_minus += who not in victims


def kills(gossip_us: int, count: int, seed: int, variant: MembershipSettings, row: Row) -> None:
    """Some members of a healthy mesh die, one after the other."""
    gray = Gray(count, seed, variant, gossip_us)
    gray.run(SETTLE_US)
    before, at = sum(node.bytes_sent for node in gray.nodes), gray.now
    gray.run(20 * SECOND)
    row.bytes_per_s = (sum(node.bytes_sent for node in gray.nodes) - before) / count / ((gray.now - at) / SECOND)
    for victim in gray.dice.sample(gray.nodes[HUBS:], KILLS):
        gray.deaths.clear()
        at = gray.now
        gray.kill(victim)
        gray.run(25 * SECOND)
        times = sorted((when - at) / SECOND for when, _, about in gray.deaths if about == victim.index)
        if times:
            row.first_s.append(times[0])
            row.everyone_s.append(times[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=64)
    parser.add_argument("--stopped", type=int, nargs="+", default=[16], help="how many stop, all at the same time")
    parser.add_argument("--stop-ms", type=int, nargs="+", default=[8_000], help="how long they stop")
    parser.add_argument("--run-ms", type=int, nargs="+", default=[64], help="how long they run in between")
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--gossip-ms", type=int, default=200, help="an author's rounds of gossip; 0: told at once")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    grid = list(itertools.product(args.stopped, args.stop_ms, args.run_ms))
    rows: dict[str, dict[str, Any]] = {}
    for name in args.variants:
        row = Row()
        cells = []
        for stopped, stop_ms, run_ms in grid:
            cell = Row()
            for seed in range(1, args.seeds + 1):
                world = (args.gossip_ms * 1_000, args.nodes, stopped, stop_ms * 1_000, run_ms * 1_000)
                intervals(*world, args.seconds * SECOND, seed, VARIANTS[name], cell)
            cells.append(
                {"stopped": stopped, "stop_ms": stop_ms, "run_ms": run_ms, "fp": cell.fp, "fp-": cell.fp_minus}
            )
            row.fp, row.fp_minus = row.fp + cell.fp, row.fp_minus + cell.fp_minus
        for seed in range(1, args.seeds + 1):
            kills(args.gossip_ms * 1_000, args.nodes, seed, VARIANTS[name], row)
        first = sorted(row.first_s)
        rows[name] = {
            "fp": row.fp,
            "fp-": row.fp_minus,
            "first_p50_s": round(statistics.median(first), 2),
            "first_p99_s": round(first[min(len(first) - 1, len(first) * 99 // 100)], 2),
            "everyone_p50_s": round(statistics.median(row.everyone_s), 2),
            "bytes_per_node_s": round(row.bytes_per_s),
            "grid": cells,
        }
        if not args.json:
            shown = rows[name]
            print(
                f"{name:16} FP {shown['fp']:6}  FP- {shown['fp-']:6}  first p50 {shown['first_p50_s']:6.2f} s  p99"
                f" {shown['first_p99_s']:6.2f} s  everyone p50 {shown['everyone_p50_s']:6.2f} s "
                f" {shown['bytes_per_node_s']:4} B/s",
                flush=True,
            )
            for cell_row in cells if len(cells) > 1 else ():
                print(f"    {cell_row}")
    if args.json:
        print(json.dumps({"v": 1, "nodes": args.nodes, "seconds": args.seconds, "seeds": args.seeds, "rows": rows}))
    sys.exit(0 if good(rows) else 1)


def good(rows: dict[str, dict[str, Any]]) -> bool:
    plain, full = rows.get("plain SWIM"), rows.get("all three")
    if plain is None or full is None:
        return True
    return bool(full["fp-"] * 20 <= plain["fp-"] and full["first_p50_s"] <= plain["first_p50_s"] * 1.1)


if __name__ == "__main__":
    main()
