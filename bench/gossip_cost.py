"""What a signed statement costs, stage by stage, on real keys: select, verify, merge, compare.

    python -m bench.gossip_cost                        # 1,000 authors, 32 statements a delta, 300 deltas
    python -m bench.gossip_cost --authors 100 --statements 1

Two gossip cores in one process, one with everything, one that lags: it is told what it lacks by the real messages, as
bytes, each encoded and decoded on the way. The stages are those that the running node exports as
`arqon_gossip_stage_seconds` (core/gossip/stages.py), with every single value kept instead of a histogram:

    select    answer one digest: find what the other side lacks, pack one delta
    verify    one signature (Ed25519, strict rule)
    merge     take one author's part of a delta in, its signatures apart
    compare   hear one root after something changed, and make our own anew

Signatures are checked one by one: neither library in use (PyNaCl's libsodium, cryptography's OpenSSL) offers batch
verification. What is batched is everything around them: a frame is decoded once, what it repeats is skipped before any
signature is looked at (`skipped`), and all that is new is stored, told and passed on together.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import time
from typing import Final

from arqonmesh.config.model import GossipSettings
from arqonmesh.core.events import LinkUp
from arqonmesh.core.gossip.core import Gossip
from arqonmesh.core.gossip.stages import STAGES, Stages
from arqonmesh.ids import MeshId, NodeId
from arqonmesh.trust.keys import NodeKey
from arqonmesh.wire.codec import decode_message, encode_message
from arqonmesh.wire.messages import GossipDelta, GossipDigest, GossipRoot
from arqonmesh.wire.statement import Kind, NodeRecord, Statement, statement_hash
from bench.core_env import core_env

MESH: Final = MeshId("01K00000000000000000000000")


class EveryValue(Stages):
    """Keeps what was noted."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        super().__init__(time.perf_counter_ns)
        self.values: list[list[int]] = [[] for _ in STAGES]

    def _note(self, stage: int, took_ns: int) -> None:
        self.values[stage].append(took_ns)


class Author:
    """A member that says things."""

    def __init__(self) -> None:
        self.key = NodeKey.generate()
        self.seq, self.previous = 0, bytes(32)

    def say(self, number: int) -> bytes:
        self.seq += 1
        body = NodeRecord(
            node_key=self.key.public,
            cluster="bench",
            role="hub",
            region="eu",
            addresses=("203.0.113.7:9130",),
            incarnation=number,
            leaving=False,
            software="bench",
            capabilities=(),
        )
        fields = (MESH, self.key.node_id, 1, self.seq, self.previous, Kind.NODE, f"k{self.seq % 4}", body.encode())
        unsigned = Statement(*fields, bytes(64))
        made = Statement(*fields, self.key.sign(unsigned.signed_bytes())).encode()
        self.previous = statement_hash(made)
        return made


def core(key: NodeKey, keys: dict[NodeId, bytes]) -> Gossip:
    env = core_env(key, MESH, random.Random(1), region="eu")
    made = Gossip(env, GossipSettings(), keys.get)
    made.measure(EveryValue())
    return made


def run(authors: int, statements: int, deltas: int) -> dict[str, object]:
    """Returns medians in microseconds by stage, and how much was measured."""
    dice = random.Random(7)
    people = [Author() for _ in range(authors)]
    keys = {author.key.node_id: author.key.public for author in people}
    near, far = NodeKey.generate(), NodeKey.generate()
    full, lagging = core(near, keys), core(far, keys)
    for one, other in ((full, far), (lagging, near)):
        one.on_event(0, LinkUp(other.node_id, "quic"))
    for author in people:
        said = GossipDelta(statements=(author.say(0),), bases=((author.key.node_id, 0, 0),))
        full.on_message(0, far.node_id, said)
        lagging.on_message(0, near.node_id, said)
    now, whole = 0, (b"\xff" * 32)
    for stages in (full.stages, lagging.stages):
        assert isinstance(stages, EveryValue)
        stages.values = [[] for _ in STAGES]
    for number in range(deltas):
        now += 2_000_000
        for author in dice.sample(people, min(statements, authors)):
            said = GossipDelta(statements=(author.say(number),), bases=((author.key.node_id, 1, author.seq - 1),))
            full.on_message(now, far.node_id, said)
        lagging.on_message(now, near.node_id, GossipRoot(root=full.root()))
        heads = tuple(lagging.entry(author) for author in sorted(keys))
        digest = decode_message(encode_message(GossipDigest(buckets=whole, heads=heads, reply=False)))
        for effect in full.on_message(now, far.node_id, digest):
            delta = decode_message(encode_message(effect.message))  # type: ignore[union-attr]
            lagging.on_message(now, near.node_id, delta)
            lagging.on_message(now, near.node_id, delta)  # a duplicate costs no signature
    assert lagging.root() == full.root(), "the lagging one has not caught up"
    assert isinstance(full.stages, EveryValue)
    assert isinstance(lagging.stages, EveryValue)
    values = [a + b for a, b in zip(full.stages.values, lagging.stages.values, strict=True)]
    return {
        "authors": authors,
        "statements_per_delta": statements,
        "deltas": deltas,
        "median_us": {stage: round(statistics.median(v) / 1_000, 1) for stage, v in zip(STAGES, values, strict=True)},
        "p99_us": {
            stage: round(sorted(v)[len(v) * 99 // 100] / 1_000, 1) for stage, v in zip(STAGES, values, strict=True)
        },
        "measured": {stage: len(v) for stage, v in zip(STAGES, values, strict=True)},
        "skipped": lagging.counters.get("duplicates", 0),
        "python": platform.python_version(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--authors", type=int, default=1_000)
    parser.add_argument("--statements", type=int, default=32)
    parser.add_argument("--deltas", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = run(arguments.authors, arguments.statements, arguments.deltas)
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"{found['authors']} authors, {found['statements_per_delta']} statements a delta, {found['deltas']} deltas")
    median, p99, measured = found["median_us"], found["p99_us"], found["measured"]
    assert isinstance(median, dict)
    assert isinstance(p99, dict)
    assert isinstance(measured, dict)
    for stage in STAGES:
        print(f"{stage:>8}  median {median[stage]:>8.1f} us   p99 {p99[stage]:>8.1f} us   ({measured[stage]} measured)")
    print(f"duplicates skipped before any signature: {found['skipped']}")


if __name__ == "__main__":
    main()
