"""A long run: 1,000 clients of one node, a third of them gone and back at random, and every message accounted for.

    python -m bench.soak [--minutes 60] [--clients 1000] [--rooms 50] [--rate 4] [--json]

Each room hears numbered messages. In every minute about a third of the clients is cut off (half of them without a
word), stays away for up to `--away` seconds and joins again with the position it had (`since`): from the first number
that it saw on, every number has to come once, in order, across all its lives. The resident memory of the node is taken
every ten seconds; it counts as flat when the last quarter's mean is at most 5 % above the second quarter's.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import re
import socket
import statistics
import struct
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from arqonmesh_testbed.loopback import LoopbackNode, loopback_mesh
from bench import inline
from bench.bus_crowd import Crowd, Member, begin, connect_many, finish, many_files, rss_mb
from bench.bus_load import connect, percentile, text_frame

SAMPLE_EVERY_S = 10.0
GROWTH_MAX = 1.05
_NUMBER = re.compile(rb'"n":(\d+),"t":(\d+)')
_POSITION = re.compile(rb'"epoch":"([^"]+)","offset":(\d+)')
_RESET = struct.pack("ii", 1, 0)


class Account:
    """What one client has seen of its room."""

    __slots__ = ("back_at_s", "epoch", "expected", "member", "number", "offset", "recovered", "room")

    def __init__(self, number: int, room: int, member: Member) -> None:
        self.number = number
        self.room = room
        self.member: Member | None = member
        self.expected = 0
        """The number that has to come next; 0 before the first."""
        self.epoch = b""
        self.offset = 0
        self.back_at_s = 0.0
        self.recovered = True

    def join(self) -> bytes:
        since = b',"since":{"%b":%d}' % (self.epoch, self.offset) if self.epoch else b""
        return b'{"type":"join","channel":"soak:room%d"%b,"id":"join"}' % (self.room, since)


class Soak:
    """The clients, the publisher, and the accounts."""

    def __init__(self, node: LoopbackNode, clients: int, rooms: int, away_s: float, seed: int) -> None:
        self.node = node
        self.rng = random.Random(seed)
        self.away_s = away_s
        self.counts: Counter[str] = Counter()
        self.latencies_us: list[int] = []
        self.memory_mb: list[float] = []
        self.numbers = [0] * rooms
        self.crowd = Crowd(self.heard)
        self.accounts = []
        for member in connect_many(node.bus, clients):
            account = Account(member.number, member.number % rooms, member)
            self.accounts.append(account)
            member.send(account.join())
            self.crowd.add(member)
            self.crowd.turn(0)
        self.gone: list[tuple[float, int]] = []
        """(when it comes back, which client)."""
        self.publisher = connect(node.bus)
        self.publisher.setblocking(True)
        self.crowd.run(2.0)

    def heard(self, member: Member, frames: Sequence[bytes]) -> None:
        account = self.accounts[member.number] if member.number < len(self.accounts) else None
        if account is None or account.member is not member:
            return
        now_ns = time.monotonic_ns()
        for frame in frames:
            found = _NUMBER.search(frame)
            if found is None:
                if b'"command":"join_channel"' in frame and b'"recovered":false' in frame:
                    self.counts["not_recovered"] += 1
                continue
            number = int(found[1])
            if account.expected and number != account.expected:
                self.counts["twice" if number < account.expected else "lost"] += abs(number - account.expected)
            account.expected = max(account.expected, number + 1)
            position = _POSITION.search(frame)
            assert position is not None, frame
            account.epoch, account.offset = position[1], int(position[2])
            self.counts["received"] += 1
            if number == self.numbers[account.room] and number % 16 == 0:  # what is live; the rest was missed meanwhile
                self.latencies_us.append((now_ns - int(found[2])) // 1_000)

    def publish(self) -> None:
        """The next message of every room, in one write."""
        frames = []
        for room in range(len(self.numbers)):
            self.numbers[room] += 1
            payload = b'{"n":%d,"t":%d,"x":"%b"}' % (self.numbers[room], time.monotonic_ns(), b"x" * 80)
            frames.append(text_frame(b'{"type":"event","channel":"soak:room%d","payload":%b}' % (room, payload)))
        self.publisher.sendall(b"".join(frames))
        self.counts["published"] += len(frames)

    def cut(self) -> None:
        """One client goes, in the middle of whatever it is being sent."""
        account = self.rng.choice(self.accounts)
        member = account.member
        if member is None:
            return
        self.crowd.remove(member)
        if self.rng.random() < 0.5:
            member.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        member.sock.close()
        account.member = None
        self.counts["reconnects"] += 1
        heapq.heappush(self.gone, (time.monotonic() + self.rng.uniform(0.05, self.away_s), account.number))

    def come_back(self) -> None:
        while self.gone and self.gone[0][0] <= time.monotonic():
            account = self.accounts[heapq.heappop(self.gone)[1]]
            member = finish(begin(self.node.bus), account.number)
            account.member = member
            member.send(account.join())
            self.crowd.add(member)

    def look_for_the_cut_off(self) -> None:
        """Whom the bus closed by itself comes back as the others do, and is counted."""
        for member in self.crowd.closed:
            account = self.accounts[member.number]
            if account.member is member:
                self.counts["cut_off_by_the_bus"] += 1
                account.member = None
                heapq.heappush(self.gone, (time.monotonic() + 0.1, account.number))
        self.crowd.closed.clear()

    def run(self, seconds: float, rate: float) -> None:
        began = time.monotonic()
        cuts_per_s = len(self.accounts) / 3 / 60
        published = cuts = samples = 0
        while (elapsed := time.monotonic() - began) < seconds:
            if elapsed * rate >= published:
                self.publish()
                published += 1
            while elapsed * cuts_per_s > cuts:
                self.cut()
                cuts += 1
            if elapsed >= samples * SAMPLE_EVERY_S:
                self.memory_mb.append(rss_mb(self.node.pid))
                samples += 1
                if samples % 6 == 1:
                    self.tell(elapsed)
            self.come_back()
            self.look_for_the_cut_off()
            self.crowd.turn(0.01)
        self.gone = [(0.0, number) for _, number in self.gone]
        self.come_back()
        self.crowd.run(3.0)
        self.memory_mb.append(rss_mb(self.node.pid))

    def behind(self) -> int:
        """Messages that some client has not got at the end."""
        return sum(max(0, self.numbers[account.room] + 1 - account.expected) for account in self.accounts)

    def tell(self, elapsed_s: float) -> None:
        print(
            f"{elapsed_s / 60:6.1f} min  RSS {self.memory_mb[-1]:6.1f} MB  "
            + "  ".join(f"{name} {count:,}" for name, count in sorted(self.counts.items())),
            file=sys.stderr,
            flush=True,
        )


def growth(samples: list[float]) -> float:
    """The last quarter's mean beside the second quarter's: the first is the filling of rings and caches."""
    quarter = max(1, len(samples) // 4)
    return statistics.mean(samples[-quarter:]) / statistics.mean(samples[quarter : 2 * quarter] or samples[:1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--rooms", type=int, default=50)
    parser.add_argument("--rate", type=float, default=4.0, help="messages per second of each room")
    parser.add_argument("--away", type=float, default=20.0, help="seconds that a client stays away at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if missing := many_files(arguments.clients):
        print(missing, file=sys.stderr)
        return 2
    with loopback_mesh(command=inline.arqon) as mesh:
        node = mesh.make("soak")
        node.start()
        soak = Soak(node, arguments.clients, arguments.rooms, arguments.away, arguments.seed)
        cpu_s = node.cpu_s()
        soak.run(arguments.minutes * 60, arguments.rate)
        cpu_s = node.cpu_s() - cpu_s
    result: dict[str, Any] = {
        "minutes": arguments.minutes,
        **{name: soak.counts[name] for name in ("published", "received", "reconnects")},
        "lost": soak.counts["lost"],
        "twice": soak.counts["twice"],
        "not_recovered": soak.counts["not_recovered"],
        "not_there_at_the_end": soak.behind(),
        "cut_off_by_the_bus": soak.counts["cut_off_by_the_bus"],
        "rss_first_mb": round(soak.memory_mb[0], 1),
        "rss_max_mb": round(max(soak.memory_mb), 1),
        "rss_last_mb": round(soak.memory_mb[-1], 1),
        "rss_growth": round(growth(soak.memory_mb), 3),
        "node_cpu": round(cpu_s / (arguments.minutes * 60), 3),
        "p50_ms": percentile(soak.latencies_us, 0.5) / 1_000,
        "p99_ms": percentile(soak.latencies_us, 0.99) / 1_000,
    }
    faults = ("lost", "twice", "not_recovered", "not_there_at_the_end", "cut_off_by_the_bus")
    good = not any(result[name] for name in faults) and result["rss_growth"] <= GROWTH_MAX
    if arguments.json:
        print(json.dumps({**result, "rss_mb": [round(one, 1) for one in soak.memory_mb]}))
    else:
        for name, value in result.items():
            print(f"{name:24} {value:>14,}")
        print("ok" if good else f"not met: none lost, none twice, all recovered, RSS within {GROWTH_MAX:.0%}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
