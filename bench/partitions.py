"""Cuts of every kind while members come and go: no two sides may both change the membership, and all must agree after.

    python -m bench.partitions --seeds 10000             # a minute or two for each preset
    python -m bench.partitions --seeds 1 --first 4711 --preset byzantine --tell
    python -m bench.partitions --exhaustive 9            # every cut in two of up to nine nodes

The admission and partition cores of every node, with an abstract gossip in place of links and disks: what one node of a
side has said reaches all of it, each author's records in order. Everything that a cut can interrupt is tried: in the
moments before a side has noticed, any of its nodes still admits and invites, records of some authors have crossed and
those of others have not. Then, whenever a side has noticed what it reaches, two nodes of different sides must not both
accept governed writes. Sides: parts of the graph of links that work both ways. Trouble: cuts in two and in k, rings and
chains with holes (overlapping views), links that work one way, nodes that are down, leave, come back, are ignored.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Final, Literal

from arqonmesh.config.model import MembershipSettings
from arqonmesh.core.admission.core import Admission
from arqonmesh.core.admission.judge import Admit
from arqonmesh.core.events import (
    Applied,
    LinkDown,
    LinkUp,
    MemberAdmitted,
    MemberChanged,
    MemberExpelled,
    Publish,
    ScoreChanged,
)
from arqonmesh.core.kernel import MILLISECOND, SECOND, Effect, Emit, Env
from arqonmesh.core.partition.core import Partition
from arqonmesh.core.router import Router
from arqonmesh.ids import ClusterId, MeshId, NodeId, encode_ulid, node_id_of
from arqonmesh.sim.crypto import ToyCrypto, toy_key
from arqonmesh.trust.tickets import redemption_bytes
from arqonmesh.wire.messages import JoinRequest
from arqonmesh.wire.statement import Adjacency, Body, Genesis, Invite, JoinPolicy, Kind, Links, NodeRecord

MESH: Final = MeshId(encode_ulid(1_700_000_000_000, 3))
Preset = Literal["byzantine", "crash"]
NOTICE_US: Final = 200 * MILLISECOND
"""After this a side has noticed what it reaches (here links tell at once; the judgement waits 50 ms)."""
CALM_US: Final = 30 * SECOND
NEW_MAX: Final = 7
"""Nodes that come during one story, so that what is new can outnumber what was there."""


class Broken(Exception):
    """A rule was broken; the sentence says which and where."""


@dataclass(frozen=True, slots=True)
class Record:
    seq: int
    kind: int
    key: str
    body: Body


@dataclass(slots=True)
class Log:
    """What one node holds of one author: the newest record of each (kind, key), and how far it has heard it."""

    head: int = 0
    newest: dict[tuple[int, str], Record] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        self.head = max(self.head, record.seq)
        self.newest.pop((record.kind, record.key), None)
        self.newest[record.kind, record.key] = record

    def beyond(self, head: int) -> list[Record]:
        return sorted((r for r in self.newest.values() if r.seq > head), key=lambda r: r.seq)


class Node:
    """The two cores of one node, and what it has heard."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.key = toy_key(name)
        self.id = node_id_of(self.key)
        self.logs: dict[NodeId, Log] = {}
        self.links: dict[NodeId, None] = {}
        self.up = False
        self.left = False
        self.incarnation = 0
        self.known: dict[NodeId, str] = {}

    def boot(self) -> None:
        """Start with what is held: as after a restart, records of each author in their order."""
        world = self.world
        env = Env(
            node_id=self.id,
            public_key=self.key,
            cluster=ClusterId("c"),
            role="hub",
            region="",
            mesh_id=MESH,
            rng=random.Random(f"{world.seed} {self.name} {self.incarnation}"),
            wall_ms=lambda: world.now // 1_000,
            crypto=ToyCrypto(self.key),
            boot_epoch=1,
        )
        self.admission = Admission(env, world.founder)
        settings = MembershipSettings(partition_preset=world.preset)
        self.partition = Partition(env, settings, world.founder)
        self.router = Router((self.admission, self.partition))
        self.up, self.left = True, False
        self.links = {}
        self.known = {}
        self.perform(self.router.start(world.now, {}))
        for author, log in list(self.logs.items()):
            for record in log.beyond(0):
                self.apply(author, record)
        self.incarnation += 1
        self.say(Kind.NODE, "", self.record(leaving=False))

    def record(self, *, leaving: bool) -> NodeRecord:
        return NodeRecord(self.key, "c", "hub", "", (), self.incarnation, leaving, "", ())

    def say(self, kind: int, key: str, body: Body) -> None:
        log = self.logs.setdefault(self.id, Log())
        record = Record(log.head + 1, kind, key, body)
        log.take(record)
        self.apply(self.id, record)

    def apply(self, author: NodeId, record: Record) -> None:
        ours = author == self.id
        self.perform(
            self.router.event(self.world.now, Applied(author, record.kind, record.key, record.body, b"", ours))
        )
        if record.kind == Kind.NODE:
            self.look_at(author)

    def look_at(self, node: NodeId, *, expelled: bool = False) -> None:
        """What membership would say of a member, by its own record."""
        log = self.logs.get(node)
        record = None if log is None else log.newest.get((Kind.NODE, ""))
        state = ""
        if self.admission.member(node) is None:
            state = "left" if expelled or node in self.known else ""
        elif record is not None:
            assert isinstance(record.body, NodeRecord)
            state = "left" if record.body.leaving else "alive"
        if state and state != self.known.get(node):
            old, self.known[node] = self.known.get(node, ""), state
            self.perform(self.router.event(self.world.now, MemberChanged(node, old, state, 1, "record")))

    def perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            assert isinstance(effect, Emit), effect
            event = effect.event
            if isinstance(event, Publish):
                self.say(event.kind, event.key, event.body)
            elif isinstance(event, MemberAdmitted | MemberExpelled):
                self.look_at(event.node, expelled=isinstance(event, MemberExpelled))

    @property
    def accepts(self) -> bool:
        return self.up and self.partition.writable


class World:
    """Nodes, the links between them, one clock for all."""

    def __init__(self, seed: int, preset: Preset, *, tell: bool = False) -> None:
        self.seed = seed
        self.preset: Preset = preset
        self.dice = random.Random(f"partitions {seed} {preset}")
        self.now = 1_700_000_000_000_000
        self.nodes: dict[NodeId, Node] = {}
        self.edges: dict[tuple[NodeId, NodeId], None] = {}
        """Packets go from the first to the second."""
        self.tells = tell
        self.admitted = self.refused = self.invited = self.changes = 0
        self.founder = NodeId("")
        self.nodes_max = 1 << 20
        self.tickets: list[tuple[str, bytes, NodeId]] = []
        first = self.add()
        self.founder = first.id
        first.boot()
        first.say(Kind.GENESIS, "", Genesis("m", 1, first.key, "c", "hub"))
        first.say(Kind.JOIN_POLICY, "", JoinPolicy(policy="open", key_salt=b"", key_public=b""))
        self.pass_time(SECOND)

    def add(self) -> Node:
        node = Node(self, f"n{len(self.nodes)}")
        self.nodes[node.id] = node
        return node

    def tell(self, what: str) -> None:
        if self.tells:
            print(f"{(self.now - 1_700_000_000_000_000) / SECOND:9.3f}  {what}")

    def alive(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.up]

    # --- links --------------------------------------------------------------------------------------------

    def connect(self, pairs: Iterable[tuple[NodeId, NodeId]]) -> None:
        """Exactly these directions work from now on; every node whose links changed says so."""
        self.edges = dict.fromkeys((a, b) for a, b in pairs if a != b and self.nodes[a].up and self.nodes[b].up)
        for node in self.alive():
            links = {other: None for other in self.nodes if self.linked(node.id, other)}
            if links.keys() == node.links.keys():
                continue
            before, node.links = node.links, links
            for peer in before.keys() | links.keys():
                if peer not in links:
                    node.perform(node.router.event(self.now, LinkDown(peer, "cut")))
                elif peer not in before:
                    node.perform(node.router.event(self.now, LinkUp(peer, "quic")))
            adjacencies = tuple(Adjacency(peer, "up", "quic", 1, 0) for peer in sorted(links))
            node.say(Kind.LINKS, "", Links(adjacencies))

    def linked(self, a: NodeId, b: NodeId) -> bool:
        """A link needs both directions: its liveness is measured by answers."""
        return (a, b) in self.edges and (b, a) in self.edges

    def sides(self) -> list[list[Node]]:
        left = {node.id: node for node in self.alive()}
        sides: list[list[Node]] = []
        while left:
            _, first = left.popitem()
            side = [first]
            for here in side:
                for peer in here.links:
                    if peer in left:
                        side.append(left.pop(peer))  # noqa: PERF401 - the list grows while it is gone through
            sides.append(side)
        return sides

    # --- gossip and time ----------------------------------------------------------------------------------

    def gossip(self, *, authors: float = 1.0) -> bool:
        """Within each side everyone hears what anyone has heard; with `authors` below 1, of some authors only."""
        moved = False
        for side in self.sides():
            best: dict[NodeId, Log] = {}
            for node in side:
                for author, log in node.logs.items():
                    if author not in best or log.head > best[author].head:
                        best[author] = log
            heads = {author: log.head for author, log in best.items()}
            for author, head in heads.items():
                if authors < 1 and self.dice.random() >= authors:
                    continue
                for node in side:
                    own = node.logs.setdefault(author, Log())
                    if own.head < head:
                        moved = True
                        for record in best[author].beyond(own.head):
                            own.take(record)
                            node.apply(author, record)
        return moved

    def pass_time(self, duration_us: int) -> None:
        """Gossip and timers, until nothing more is to be said and the time is over."""
        until = self.now + duration_us
        while True:
            while self.gossip():
                pass
            dues = [due for node in self.alive() if (due := node.router.next_deadline()) is not None]
            due = min(dues, default=until)
            if due > until:
                break
            if dues:
                self.now = max(self.now, due)
                for node in self.alive():
                    node.perform(node.router.timer(self.now))
            else:
                break
        self.now = until
        self.check()

    # --- what is tried ------------------------------------------------------------------------------------

    def try_admission(self, by: Node) -> bool:
        """A new node asks this member; by a ticket that someone made before, or by the open door."""
        if len(self.nodes) >= self.nodes_max:
            return False
        joiner = self.add()
        ticket_id, seed = "", b""
        if self.tickets and self.dice.random() < 0.6:
            ticket_id, seed, _ = self.dice.choice(self.tickets)
        binding = self.dice.randbytes(32)
        signed = redemption_bytes(MESH, joiner.key, "c", "hub", ticket_id, binding)
        signature = ToyCrypto(seed).sign(signed) if ticket_id else b""
        request = JoinRequest(MESH, joiner.key, "c", "hub", "", ticket_id, signature)
        answer = by.admission.judge(self.now // 1_000, request, joiner.id, binding)
        if not isinstance(answer, Admit):
            del self.nodes[joiner.id]
            self.refused += 1
            return False
        if not by.accepts:
            raise Broken(f"{by.name} is read-only and admitted {joiner.name}")
        for publish in answer.publish:
            by.say(publish.kind, publish.key, publish.body)
        for author, log in by.logs.items():
            mine = joiner.logs.setdefault(author, Log())
            for record in log.beyond(0):
                mine.take(record)
        joiner.boot()
        self.admitted += 1
        self.tell(f"{by.name} admits {joiner.name}")
        near = [(joiner.id, by.id), (by.id, joiner.id)]
        beside = [(joiner.id, peer) for peer in by.links] + [(peer, joiner.id) for peer in by.links]
        self.connect([*self.edges, *near, *(beside if self.dice.random() < 0.7 else ())])
        return True

    def try_invite(self, by: Node) -> None:
        if not by.accepts or by.admission.member(by.id) is None:
            self.refused += 1
            return
        self.invited += 1
        ticket_id = encode_ulid(self.now // 1_000, self.dice.getrandbits(80))
        seed = toy_key(f"ticket {ticket_id}")
        uses = self.dice.randrange(1, 3)
        by.say(Kind.INVITE, ticket_id, Invite(seed, "c", "hub", 1 << 50, uses, 0))
        self.tickets = [*self.tickets[-3:], (ticket_id, seed, by.id)]

    def leave(self, node: Node) -> None:
        self.tell(f"{node.name} leaves")
        node.say(Kind.NODE, "", node.record(leaving=True))
        if self.dice.random() < 0.8:
            self.gossip()
        else:
            self.gossip(authors=0.5)
        self.down(node)
        node.left = True

    def down(self, node: Node) -> None:
        node.up = False
        self.connect(list(self.edges))

    # --- what must hold -----------------------------------------------------------------------------------

    def check(self) -> None:
        """No two sides accept governed writes, once they have noticed what they reach."""
        accepting = [side for side in self.sides() if any(node.accepts for node in side)]
        if len(accepting) > 1:
            names = [sorted(node.name for node in side) for side in accepting]
            raise Broken(f"two sides accept governed writes: {names}")

    def check_equal(self) -> None:
        """After the heal: one roster, one electorate, one view of it all."""
        states: dict[object, str] = {}
        told: dict[str, tuple[object, ...]] = {}
        for node in self.alive():
            if node.admission.member(node.id) is None:
                continue  # expelled: its admission was one too many for a ticket
            view, electorate = node.partition.view(), node.partition.electorate
            members = tuple((m.node, m.cluster, m.role) for m in node.admission.members())
            voters = tuple(sorted(electorate.voters()))
            seen = (electorate.latest, electorate.settled, view.writable, view.reachable, view.members, view.phase)
            states.setdefault((members, voters, seen), node.name)
            told[node.name] = (len(members), len(voters), *seen)
        if len(states) > 1:
            raise Broken(f"after the heal, nodes differ: {[(name, told[name]) for name in states.values()]}")
        first = next(iter(states.values()))
        if not told[first][4]:
            raise Broken(f"after the heal nobody may write: {told[first]}")


# --- shapes -------------------------------------------------------------------------------------------------


def both(pairs: Iterable[tuple[NodeId, NodeId]]) -> Iterator[tuple[NodeId, NodeId]]:
    for a, b in pairs:
        yield a, b
        yield b, a


def web(dice: random.Random, ids: list[NodeId]) -> Iterator[tuple[NodeId, NodeId]]:
    """Links that hold these together: everyone with everyone in small sets, else a tree with some more."""
    if len(ids) <= 8:
        yield from both(combinations(ids, 2))
        return
    for index, one in enumerate(ids[1:], 1):
        yield from both([(one, ids[dice.randrange(max(0, index - 6), index)])])
    for _ in range(len(ids)):
        yield from both([(dice.choice(ids), dice.choice(ids))])


def shape(world: World) -> tuple[str, list[tuple[NodeId, NodeId]]]:
    """A cut by the dice: its name, and which directions still work."""
    dice = world.dice
    ids = [node.id for node in world.alive()]
    dice.shuffle(ids)
    kind = dice.choice(("two", "two", "many", "chain", "one-way", "alone"))
    if kind == "two":
        middle = dice.randrange(1, max(2, len(ids)))
        parts = [ids[:middle], ids[middle:]]
    elif kind == "many":
        parts = [[] for _ in range(dice.randrange(2, max(3, min(7, len(ids)))))]
        for node in ids:
            dice.choice(parts).append(node)
    elif kind == "alone":
        parts = [ids[:1], ids[1:]]
    elif kind == "chain":  # everyone sees its neighbours only; some links of the chain are missing
        return kind, list(both((a, b) for a, b in pairwise(ids) if dice.random() < 0.85))
    else:
        middle = dice.randrange(1, max(2, len(ids)))
        across = [(a, b) for a in ids[:middle] for b in ids[middle:]]
        return kind, [*web(dice, ids[:middle]), *web(dice, ids[middle:]), *across]
    return kind, [pair for part in parts for pair in web(dice, part)]


def whole(world: World) -> list[tuple[NodeId, NodeId]]:
    return list(web(world.dice, [node.id for node in world.alive()]))


def grow(world: World, size: int) -> None:
    """A mesh of this size, everyone with a vote."""
    while len(world.nodes) < size:
        for _ in range(min(size - len(world.nodes), 1 + len(world.nodes))):
            by = next((node for node in world.alive() if node.accepts), None)
            if by is None or not world.try_admission(by):
                world.tickets = []
        world.connect(whole(world))
        world.pass_time(3 * SECOND)


def play(seed: int, preset: Preset, *, tell: bool = False, size: int = 0) -> World:
    """One story: grow, cut and cut again with members coming and going, heal. Raises Broken."""
    world = World(seed, preset, tell=tell)
    dice = world.dice
    size = size or (dice.randrange(2, 8) if dice.random() < 0.97 else dice.randrange(8, 24))
    grow(world, size)
    world.nodes_max = size + NEW_MAX
    for _ in range(dice.randrange(2, 6)):
        rush(world)
        name, pairs = shape(world)
        world.tell(f"cut: {name}")
        world.connect(pairs)
        rush(world)  # nobody has noticed yet
        world.pass_time(NOTICE_US)
        for _ in range(dice.randrange(1, 4)):
            act(world)
            world.pass_time(dice.choice((NOTICE_US, 2 * SECOND)))
        if dice.random() < 0.3:
            world.connect(whole(world))
            world.pass_time(dice.choice((NOTICE_US, 3 * SECOND)))
    heal(world)
    return world


def rush(world: World) -> None:
    """What is under way in the moment of a cut: writes by anyone who still may, some records crossing, some not."""
    dice = world.dice
    for _ in range(dice.randrange(0, 6)):
        by = dice.choice(world.alive())
        if dice.random() < 0.7:
            world.try_admission(by)
        else:
            world.try_invite(by)
        if dice.random() < 0.4:
            world.gossip(authors=0.5)
        if dice.random() < 0.3:
            world.now += 60 * MILLISECOND
            for node in world.alive():
                node.perform(node.router.timer(world.now))


def act(world: World) -> None:
    """Something happens during the split."""
    dice = world.dice
    what = dice.random()
    alive = world.alive()
    if what < 0.35:
        for by in alive[:12]:  # on all sides
            world.try_admission(by) if dice.random() < 0.5 else world.try_invite(by)
    elif what < 0.5:
        leavers = [node for node in alive if node.id != world.founder or dice.random() < 0.1]
        for node in dice.sample(leavers, min(len(leavers), dice.randrange(1, 3))):
            if len(world.alive()) > 2:
                world.leave(node)
    elif what < 0.65:
        gone = [node for node in world.nodes.values() if not node.up]
        for node in gone[:2]:
            by = dice.choice(world.alive())
            world.tell(f"{node.name} comes {'back' if node.left else 'up'} at {by.name}")
            node.boot()
            beside = [pair for peer in (*by.links, by.id) for pair in ((node.id, peer), (peer, node.id))]
            world.connect([*world.edges, *beside])
    elif what < 0.75 and len(alive) > 2:
        world.down(dice.choice(alive))
    elif what < 0.85:
        one, other = dice.choice(alive), dice.choice(alive)
        if one is not other:
            one.perform(one.router.event(world.now, ScoreChanged(other.id, 100_000, "malformed", True)))
    else:
        _, pairs = shape(world)
        world.connect(pairs)
    world.changes += 1


def heal(world: World) -> None:
    """Everyone up who did not leave for good, all links whole, nobody ignored; then all agree."""
    world.tell("heal")
    for node in world.nodes.values():
        if not node.up and not node.left:
            node.boot()
    for node in world.alive():
        for other in world.nodes:
            node.perform(node.router.event(world.now, ScoreChanged(other, 1_000_000, "forgiven", False)))
    founder = world.nodes[world.founder]
    for _ in range(2):
        world.connect(both(combinations([node.id for node in world.alive()], 2)))
        world.pass_time(CALM_US)
        for node in list(world.nodes.values()):
            if node.up and founder.up and founder.admission.member(node.id) is None:
                world.down(node)  # expelled: nobody links with it any more
            elif not node.up and founder.up and founder.partition.electorate.votes(node.id):
                node.boot()  # it left with a vote that nobody else could take: it is missed, and has to come back
    world.connect(whole(world))
    world.pass_time(CALM_US)
    if founder.up:
        world.check_equal()


def exhaustive(most: int) -> int:
    """Every cut in two of 2 to `most` nodes, both presets; the number of cuts. Raises Broken."""
    cuts = 0
    presets: tuple[Preset, ...] = ("crash", "byzantine")
    for preset in presets:
        for size in range(2, most + 1):
            world = World(size, preset)
            grow(world, size)
            ids = list(world.nodes)
            for bits in range(1, 1 << (size - 1)):
                one = [node for index, node in enumerate(ids) if bits >> index & 1]
                two = [node for node in ids if node not in one]
                world.connect(both([*combinations(one, 2), *combinations(two, 2)]))
                world.pass_time(2 * SECOND)
                need = world.nodes[ids[0]].partition.view().required
                for side in (one, two):
                    accepts = [world.nodes[node].accepts for node in side]
                    if any(accepts) is not all(accepts) or any(accepts) is not (len(side) >= need):
                        raise Broken(f"{preset}, {size} nodes, side of {len(side)}: {accepts}, {need} needed")
                cuts += 1
            world.connect(whole(world))
            world.pass_time(3 * SECOND)
            world.check_equal()
    return cuts


def main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--preset", choices=("crash", "byzantine", "both"), default="both")
    parser.add_argument("--nodes", type=int, default=0, help="as many at the start; by the dice otherwise")
    parser.add_argument("--exhaustive", type=int, default=0, metavar="N")
    parser.add_argument("--tell", action="store_true", help="print what happens")
    told = parser.parse_args(args)
    began = time.monotonic()
    if told.exhaustive:
        print(f"{exhaustive(told.exhaustive)} cuts in two of up to {told.exhaustive} nodes: never two sides that write")
        return 0
    presets: tuple[Preset, ...] = ("crash", "byzantine")
    for preset in presets:
        if told.preset not in (preset, "both"):
            continue
        admitted = refused = invited = broken = nodes = 0
        for seed in range(told.first, told.first + told.seeds):
            try:
                world = play(seed, preset, tell=told.tell, size=told.nodes)
            except Broken as error:
                broken += 1
                print(f"seed {seed}, {preset}: {error}")
                print(f"  python -m bench.partitions --first {seed} --seeds 1 --preset {preset} --tell")
                continue
            admitted, refused, invited = admitted + world.admitted, refused + world.refused, invited + world.invited
            nodes = max(nodes, len(world.nodes))
        print(
            f"{preset:>9}: {told.seeds} seeds, {broken} broken; {admitted} admitted, {invited} invited, "
            f"{refused} refused, up to {nodes} nodes; {time.monotonic() - began:.0f} s"
        )
        if broken:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
