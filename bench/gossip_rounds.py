"""Rounds of push-pull until every node has a new statement: the gossip cores that ship, driven in synchronous rounds.

    python -m bench.gossip_rounds                      # n = 100 and 1,000, k = 10 and 3, with and without faults
    python -m bench.gossip_rounds --nodes 10000 --seeds 3

What is run: one `core.gossip.core.Gossip` per node on a complete graph. In a round each node begins one exchange with
each of k partners, who come after it in the core's own ring of that round (`core/gossip/ring.py`); with `--draw lot`
they are drawn by the peer selection's `Pool.random` (different ones, never itself). An exchange is the
core's own conversation: GossipRoot, and when roots differ GossipDigest, GossipDelta and what that asks for in return.
All of a round's messages are answered from the states at its beginning; deltas are delivered at its end, so nothing
travels two hops in one round. What the core pushes on its own when it merges is not carried: that is the broadcast's
business, and rounds are about repair alone. Signatures are the simulator's toy MAC; messages are objects, not bytes.

Faults: 30 % of the nodes (drawn by lot, never the origin) answer nothing and begin nothing, and one exchange in twenty
does not come about. A partner that says nothing is replaced by another one, at most `core.gossip.repair.RETRIES`
times, as the core does within its round (`--retries 0` for none). `--loss message` loses each message of an exchange
(three for a push, four for a pull) with that chance instead, which the streams they travel on would not. Counted are
the rounds until every node that is not silent has the statement.

The bound is log_{k+1} n: what one knows can at best grow k+1-fold in a round. Target: 1.25 x its ceiling on average,
and at most 1.5 rounds more with faults.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from arqonmesh.config.model import GossipSettings
from arqonmesh.core.events import LinkDown, LinkUp, Persisted, Publish
from arqonmesh.core.gossip.core import Gossip
from arqonmesh.core.gossip.repair import RETRIES
from arqonmesh.core.gossip.ring import place
from arqonmesh.core.kernel import MILLISECOND, SECOND, Effect, Env, Persist, Send
from arqonmesh.core.peers.pool import Pool
from arqonmesh.ids import ClusterId, NodeId, node_id_of
from arqonmesh.sim.crypto import ToyCrypto, toy_key
from arqonmesh.sim.field.node import MESH
from arqonmesh.wire.messages import GossipDelta, WireMessage
from arqonmesh.wire.statement import JoinPolicy, Kind

SILENT_PERCENT: Final = 30
LOSS_PPM: Final = 50_000
ROUNDS_MAX: Final = 60
SETTINGS: Final = GossipSettings()


@dataclass(slots=True)
class Run:
    """What one run came to."""

    rounds: int
    messages: int
    deltas: int


class Meadow:
    """n gossip cores, and rounds."""

    def __init__(self, n: int, k: int, seed: int, *, faults: bool, per_message: bool, retries: int, ring: bool) -> None:
        """`ring`: partners by turns, not by lot."""
        self.k = k
        self.ring = ring
        self.retries = retries
        self.per_message = per_message
        self.dice = random.Random(f"{seed} rounds {n} {k} {faults}")
        self.faults = faults
        keys = {node_id_of(key): key for key in (toy_key(f"rounds {index}") for index in range(n))}
        self.ids = list(keys)
        self.pool = Pool(self.dice)
        self.nodes: dict[NodeId, Gossip] = {}
        for node, key in keys.items():
            env = Env(
                node_id=node,
                public_key=key,
                cluster=ClusterId("rounds"),
                role="hub",
                region="",
                mesh_id=MESH,
                rng=self.dice,
                wall_ms=lambda: 1_700_000_000_000,
                crypto=ToyCrypto(key),
                boot_epoch=1,
            )
            self.nodes[node] = Gossip(env, SETTINGS, keys.get)
            self.pool.add(node, None)
        origin, others = self.ids[0], self.ids[1:]
        count = n * SILENT_PERCENT // 100 if faults else 0
        self.silent = dict.fromkeys(self.dice.sample(others, count))
        self.now = 0
        self.first_round = self.dice.randrange(0, 1 << 40)
        self.messages = self.deltas = 0
        self._say_something(origin)
        self.root = self.nodes[origin].root()

    def run(self) -> Run:
        for number in range(1, ROUNDS_MAX + 1):
            self._round()
            heard = (g.root() == self.root for node, g in self.nodes.items() if node not in self.silent)
            if all(heard):
                return Run(number, self.messages, self.deltas)
        raise AssertionError(f"not all nodes have it after {ROUNDS_MAX} rounds")

    def _say_something(self, origin: NodeId) -> None:
        core = self.nodes[origin]
        said = core.on_event(0, Publish(Kind.JOIN_POLICY, "", JoinPolicy(policy="open", key_salt=b"", key_public=b"")))
        for effect in said:
            if isinstance(effect, Persist):
                core.on_event(0, Persisted(effect.token))

    def _round(self) -> None:
        """Every exchange of this round, then every delta that came of it."""
        self.now += 10 * SECOND
        arriving: list[tuple[NodeId, NodeId, GossipDelta]] = []
        number = self.first_round + self.now // SETTINGS.repair_interval_ms // MILLISECOND
        order = sorted(self.ids, key=lambda node: (place(number, node), node))
        for index, node in enumerate(order):
            if node in self.silent:
                continue
            partners = self._by_turns(order, index) if self.ring else self._by_lot(node)
            for _ in range(self.k):
                retries = self.retries
                while not self._exchange(node, next(partners), arriving) and retries > 0:
                    retries -= 1
        for source, to, delta in arriving:
            self.nodes[to].on_message(self.now, source, delta)

    def _by_turns(self, order: list[NodeId], index: int) -> Iterator[NodeId]:
        return (order[(index + step) % len(order)] for step in range(1, len(order)))

    def _by_lot(self, node: NodeId) -> Iterator[NodeId]:
        return iter(self.pool.random(self.k * (1 + self.retries), [node]))

    def _exchange(self, node: NodeId, partner: NodeId, arriving: list[tuple[NodeId, NodeId, GossipDelta]]) -> bool:
        """A link for the time of one conversation. Its messages in order, deltas put aside. False when nothing came
        back."""
        if self.faults and not self.per_message and self._loses():
            return False
        answered = False
        near, far = self.nodes[node], self.nodes[partner]
        open_ = [(node, partner, said) for said in _messages(near.on_event(self.now, LinkUp(partner, "quic")))]
        far.on_event(self.now, LinkUp(node, "quic"))
        while open_:
            source, to, message = open_.pop(0)
            answered |= to == node
            self.messages += 1
            if to in self.silent or (self.faults and self.per_message and self._loses()):
                continue
            if isinstance(message, GossipDelta):
                self.deltas += 1
                arriving.append((source, to, message))
                continue
            answers = self.nodes[to].on_message(self.now, source, message)
            open_ += [(to, source, answer) for answer in _messages(answers)]
        near.on_event(self.now, LinkDown(partner, "done"))
        far.on_event(self.now, LinkDown(node, "done"))
        return answered

    def _loses(self) -> bool:
        return self.dice.randrange(1_000_000) < LOSS_PPM


def bound(n: int, k: int) -> int:
    """Ceiling of log_{k+1} n, in integers."""
    rounds, reach = 0, 1
    while reach < n:
        reach *= k + 1
        rounds += 1
    return rounds


def _messages(effects: list[Effect]) -> list[WireMessage]:
    return [effect.message for effect in effects if isinstance(effect, Send)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, nargs="+", default=[100, 1_000])
    parser.add_argument("--partners", type=int, nargs="+", default=[10, 3])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--loss", choices=("exchange", "message"), default="exchange")
    parser.add_argument("--retries", type=int, default=RETRIES)
    parser.add_argument("--draw", choices=("ring", "lot"), default="ring")
    arguments = parser.parse_args()
    per_message = arguments.loss == "message"
    print("     n   k  faults  bound  target   mean  min  max  messages per node")
    for n in arguments.nodes:
        for k in arguments.partners:
            plain = 0.0
            for faults in (False, True):
                began = time.process_time()
                runs = [
                    Meadow(
                        n,
                        k,
                        seed,
                        faults=faults,
                        per_message=per_message,
                        retries=arguments.retries,
                        ring=arguments.draw == "ring",
                    ).run()
                    for seed in range(arguments.seeds)
                ]
                mean = sum(run.rounds for run in runs) / len(runs)
                target = plain + 1.5 if faults else 1.25 * bound(n, k)
                plain = mean
                low, high = min(run.rounds for run in runs), max(run.rounds for run in runs)
                each = sum(run.messages for run in runs) / len(runs) / n
                print(
                    f"{n:>6} {k:>3} {'30%+5%' if faults else 'none':>7} {bound(n, k):>6} {target:>7.2f} {mean:>6.2f}"
                    f" {low:>4} {high:>4}  {each:.1f}  {'met' if mean <= target else 'MISSED'}"
                    f"  ({time.process_time() - began:.1f} s)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
