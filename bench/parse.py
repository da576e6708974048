"""What it costs the bus to read one frame of a client, in microseconds, by the kind of frame.

python -m bench.parse [--json]
"""

from __future__ import annotations

import argparse
import json
import timeit
from typing import Final

from arqonmesh.core.bus.envelope import parse

_PAYLOAD: Final = b'{"t":"0000000000000000000","x":"%b"}' % (b"x" * 92)
FRAMES: Final = {
    "short event": b'{"type":"event","channel":"bench:fan","payload":%b}' % _PAYLOAD,
    "whole event": b'{"id":"arq_01JD0000000000000000000000","type":"event","room":"bench","channel":"fan","payload":%b,'
    b'"correlation_id":"c1","metadata":{"echo":true},"timestamp":"2026-03-01T12:00:00.123Z","v":1}' % _PAYLOAD,
    "ArqonBus 1.0": b'{"id":"arq_01JD0000000000000000000000","version":"1.0","type":"message","room":"bench","channel":'
    b'"fan","sender":"arq_me","timestamp":"2026-03-01T12:00:00.123456+00:00","payload":%b}' % _PAYLOAD,
    "unknown field": b'{"type":"event","channel":"bench:fan","trace":"00-4bf92f35","payload":%b}' % _PAYLOAD,
    "2,000 objects": b'{"type":"event","channel":"bench:fan","payload":[%b]}' % b",".join([b'{"n":1}'] * 2_000),
}
ROUNDS: Final = 5


def measure(frame: bytes) -> float:
    """Microseconds per call: the best of `ROUNDS`, because everything else on the machine only adds."""
    timer = timeit.Timer(lambda: parse(frame))
    count = max(1, int(0.02 / (timer.timeit(20) / 20)))
    return min(timer.repeat(ROUNDS, count)) / count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = {name: round(measure(frame), 3) for name, frame in FRAMES.items()}
    if arguments.json:
        print(json.dumps(result))
        return
    for name, cost_us in result.items():
        print(f"{name:<15} {len(FRAMES[name]):>6} B  {cost_us:>8.3f} us")


if __name__ == "__main__":
    main()
