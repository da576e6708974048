"""The durable history under load: kill -9 in the middle of it, start again, and read back.

    python -m bench.history                                  20,000 messages/s for 60 s
    python -m bench.history --rate 5000 --seconds 5 --json

One node, one publisher, one channel. The publisher notes when it sent what; the node is killed; what is in history.db
then is counted, event by event. `lost_ms` is how long before the kill the first event that is missing was sent: it has
to lie within the group-commit window and the time that a commit takes, and nothing older may be missing. Then the node
is started again and 50 events at a time are read back over the bus: the newest, and others from all over the history.
"""

from __future__ import annotations

import argparse
import bisect
import json
import random
import re
import socket
import sqlite3
import sys
import time
from typing import Any

from arqonmesh.store.history.writer import COMMIT_EVERY_S
from arqonmesh_testbed.loopback import LoopbackNode, loopback_mesh
from bench import inline
from bench.bus_load import connect, percentile, text_frame

CHANNEL = "bench:history"
PAYLOAD_BYTES = 128
STATED_MS = 250
"""Window of the group commit, a commit under load, and what waits in sockets at 20,000 messages a second."""
READ_P99_MS = 20.0
_NUMBER = re.compile(r'"n":(\d+)')


class Publisher:
    """Sends numbered messages at a rate, and remembers when each millisecond's worth left."""

    def __init__(self, port: int) -> None:
        self.sock = connect(port)
        self.sent = 0
        self.marks: list[tuple[int, float]] = [(0, time.monotonic())]

    def run(self, rate_per_s: int, seconds: float) -> float:
        """Returns the rate that was reached."""
        filler = "x" * (PAYLOAD_BYTES - 24)
        begun = time.monotonic()
        self.sock.setblocking(True)
        while (elapsed := time.monotonic() - begun) < seconds:
            due = int(elapsed * rate_per_s) - self.sent
            if due <= 0:
                time.sleep(0.001)
                continue
            frames = [
                text_frame(
                    f'{{"type":"event","channel":"{CHANNEL}","payload":{{"n":{number},"x":"{filler}"}}}}'.encode()
                )
                for number in range(self.sent + 1, self.sent + min(due, 500) + 1)
            ]
            self.sock.sendall(b"".join(frames))
            self.sent += len(frames)
            self.marks.append((self.sent, time.monotonic()))
        return self.sent / (time.monotonic() - begun)

    def sent_at(self, number: int) -> float:
        index = bisect.bisect_left(self.marks, (number, 0.0))
        return self.marks[min(index, len(self.marks) - 1)][1]


class Reader:
    """Asks for history over the bus, one question at a time."""

    def __init__(self, port: int) -> None:
        self.sock = connect(port)
        self.left = b""
        self.next_frame()  # the welcome

    def ask(self, **question: Any) -> tuple[dict[str, Any], float]:
        """The answer's payload, and how long it took in milliseconds."""
        asked = {"type": "history", "channel": CHANNEL, **question}
        begun = time.perf_counter()
        self.sock.sendall(text_frame(json.dumps(asked).encode()))
        frame = self.next_frame()
        took_ms = (time.perf_counter() - begun) * 1_000
        answer = json.loads(frame)
        assert answer["type"] == "response", answer
        return dict(answer["payload"]), took_ms

    def next_frame(self) -> bytes:
        self._have(2)
        size, start = self.left[1], 2
        if size == 126:
            self._have(4)
            size, start = int.from_bytes(self.left[2:4], "big"), 4
        elif size == 127:
            self._have(10)
            size, start = int.from_bytes(self.left[2:10], "big"), 10
        self._have(start + size)
        frame, self.left = self.left[start : start + size], self.left[start + size :]
        return frame

    def _have(self, count: int) -> None:
        while len(self.left) < count:
            piece = self.sock.recv(1 << 18)
            if not piece:
                raise ConnectionError("the bus closed the connection")
            self.left += piece


def stored(node: LoopbackNode) -> tuple[int, int]:
    """(highest number, how many events) in history.db as the kill left it."""
    connection = sqlite3.connect(f"file:{node.data_dir / 'history.db'}?mode=ro", uri=True)
    highest = count = 0
    for (frames,) in connection.execute("SELECT frames FROM chunks ORDER BY id"):
        numbers = _NUMBER.findall(frames)
        count += len(numbers)
        highest = max(highest, int(numbers[-1]))
    connection.close()
    return highest, count


def read_back(node: LoopbackNode, questions: int, offsets: int) -> dict[str, list[float]]:
    """Milliseconds of the first question, of the newest 50, and of 50 from anywhere."""
    reader = Reader(node.bus)
    answer, first_ms = reader.ask(limit=50)
    assert answer["returned"] == 50, answer
    epoch = next(epoch for epoch, offset in answer["position"].items() if offset)
    took: dict[str, list[float]] = {"first": [first_ms], "newest": [], "anywhere": []}
    for _ in range(questions):
        took["newest"].append(reader.ask(limit=50)[1])
        answer, took_ms = reader.ask(limit=50, since={epoch: random.randrange(max(1, offsets - 600))})
        assert answer["returned"] == 50, answer
        took["anywhere"].append(took_ms)
    reader.sock.shutdown(socket.SHUT_RDWR)
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=20_000, help="messages per second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--questions", type=int, default=300, help="reads of each kind after the restart")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with loopback_mesh("bus: {history: {max_bytes: 4294967296}}\n", inline.arqon) as mesh:
        node = mesh.make("history")
        node.start()
        publisher = Publisher(node.bus)
        reached = publisher.run(args.rate, args.seconds)
        node.kill()
        killed = time.monotonic()
        highest, count = stored(node)
        lost_ms = 0.0 if highest == publisher.sent else (killed - publisher.sent_at(highest + 1)) * 1_000
        began = time.perf_counter()
        node.start()
        start_ms = (time.perf_counter() - began) * 1_000
        took = read_back(node, args.questions, highest)
    result = {
        "rate_asked": args.rate,
        "rate_reached": round(reached),
        "sent": publisher.sent,
        "stored": count,
        "missing_below_the_end": highest - count,
        "lost": publisher.sent - highest,
        "lost_ms": round(lost_ms, 1),
        "window_ms": round(COMMIT_EVERY_S * 1_000),
        "restart_ms": round(start_ms),
        "first_read_ms": round(took["first"][0], 1),
        **{
            f"{kind}_p{int(share * 100)}_ms": round(percentile_ms(took[kind], share), 2)
            for kind in ("newest", "anywhere")
            for share in (0.5, 0.99)
        },
    }
    good = (
        result["missing_below_the_end"] == 0
        and lost_ms <= STATED_MS
        and percentile_ms(took["newest"], 0.99) < READ_P99_MS
        and percentile_ms(took["anywhere"], 0.99) < READ_P99_MS
    )
    if args.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:24} {value:>12,}")
        print("ok" if good else f"not met: lost within {STATED_MS} ms, no hole, p99 below {READ_P99_MS:g} ms")
    return 0 if good else 1


def percentile_ms(samples: list[float], share: float) -> float:
    return percentile(sorted(round(sample * 1_000) for sample in samples), share) / 1_000


if __name__ == "__main__":
    sys.exit(main())
