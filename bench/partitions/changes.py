"""What members do to the membership: let others in, invite, say farewell, go down."""

from __future__ import annotations

from arqonmesh.core.admission.judge import Admit
from arqonmesh.ids import encode_ulid
from arqonmesh.sim.crypto import ToyCrypto, toy_key
from arqonmesh.trust.tickets import redemption_bytes
from arqonmesh.wire.messages import JoinRequest
from arqonmesh.wire.statement import Invite, Kind
from bench.partitions.gossip import Log
from bench.partitions.node import MESH, Node
from bench.partitions.world import Broken, World


def try_admission(world: World, by: Node) -> bool:
    """A new node asks this member; by a ticket that someone made before, or by the open door."""
    if len(world.nodes) >= world.nodes_max:
        return False
    joiner = world.add()
    ticket_id, seed = "", b""
    if world.tickets and world.dice.random() < 0.6:
        ticket_id, seed, _ = world.dice.choice(world.tickets)
    binding = world.dice.randbytes(32)
    signed = redemption_bytes(MESH, joiner.key, "c", "hub", ticket_id, binding)
    signature = ToyCrypto(seed).sign(signed) if ticket_id else b""
    request = JoinRequest(MESH, joiner.key, "c", "hub", "", ticket_id, signature)
    answer = by.admission.judge(world.now // 1_000, request, joiner.id, binding)
    if not isinstance(answer, Admit):
        del world.nodes[joiner.id]
        world.refused += 1
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
    world.admitted += 1
    world.tell(f"{by.name} admits {joiner.name}")
    near = [(joiner.id, by.id), (by.id, joiner.id)]
    beside = [(joiner.id, peer) for peer in by.links] + [(peer, joiner.id) for peer in by.links]
    world.connect([*world.edges, *near, *(beside if world.dice.random() < 0.7 else ())])
    return True


def try_invite(world: World, by: Node) -> None:
    if not by.accepts or by.admission.member(by.id) is None:
        world.refused += 1
        return
    world.invited += 1
    ticket_id = encode_ulid(world.now // 1_000, world.dice.getrandbits(80))
    seed = toy_key(f"ticket {ticket_id}")
    uses = world.dice.randrange(1, 3)
    by.say(Kind.INVITE, ticket_id, Invite(seed, "c", "hub", 1 << 50, uses, 0))
    world.tickets = [*world.tickets[-3:], (ticket_id, seed, by.id)]


def leave(world: World, node: Node) -> None:
    world.tell(f"{node.name} leaves")
    node.say(Kind.NODE, "", node.record(leaving=True))
    if world.dice.random() < 0.8:
        world.gossip()
    else:
        world.gossip(authors=0.5)
    down(world, node)
    node.left = True


def down(world: World, node: Node) -> None:
    node.up = False
    world.connect(list(world.edges))
