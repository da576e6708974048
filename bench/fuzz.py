"""Hammer the parsers of remote input: understood or refused, nothing else, and memory stays flat.

    python bench/fuzz.py --seconds 60 --target all        # the time is shared among the targets
    python bench/fuzz.py --seconds 60 --target cbor --seed 7

Each case is a valid input with a few mutations, two of them spliced, or noise. A case fails when the parser raises
anything but its own refusal, or takes an input for a value that does not encode to it again; it is then printed as
hex with the seed, and the exit code is 1. Memory is the resident set, after a warm-up and after the last case.

A parser joins by being registered in TARGETS: a name, and a function that makes its `Target`.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

RSS_GROWTH_BYTES_MAX: Final = 8 << 20
MAX_CASE_BYTES: Final = 8_192
WARM_UP_SHARE: Final = 0.3
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Target:
    """One parser under fire."""

    corpus: list[bytes]
    """Valid inputs, from which cases are made."""
    parse: Callable[[bytes], None]
    """Parse one case and check what came out with assertions."""
    refusals: tuple[type[Exception], ...]
    """What it may raise."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one target."""

    name: str
    cases: int
    understood: int
    seconds: float
    rss_growth_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.name:<13} {self.cases:>10,} cases  {self.cases / self.seconds:>9,.0f}/s  "
            f"{self.understood:>9,} understood  {self.cases - self.understood:>10,} refused  "
            f"RSS {self.rss_growth_bytes / 1024:+,.0f} KiB"
        )


class Failure(AssertionError):
    """A parser did what it may not do; `case` repeats it."""

    def __init__(self, name: str, seed: int, case: bytes, what: str) -> None:
        super().__init__(f"{name}, seed {seed}: {what}\n  case: {case.hex()}")
        self.case = case


# --- the parsers ------------------------------------------------------------------------------------------


def cbor_target() -> Target:
    from arqonmesh.errors import DecodeError
    from arqonmesh.wire.cbor import decode, encode

    values = (
        [1, -1, 23, 24, 255, 256, 65_536, 2**32, 2**64 - 1, -(2**64)],
        ["", "text", "\N{GRINNING FACE}" * 20, b"", b"bytes" * 30, None, True, False],
        {"": 1, "a": {"b": [[[[[[]]]]]]}, "aa": "b", "zz": b"\x00" * 300},
        [[["a" * 32, n, n * n] for n in range(30)], False],
        0,
    )

    def parse(case: bytes) -> None:
        assert encode(decode(case, max_bytes=MAX_CASE_BYTES)) == case, "not the encoding of what it was taken for"

    return Target([encode(value) for value in values], parse, (DecodeError,))


def frames_target() -> Target:
    from arqonmesh.errors import DecodeError
    from arqonmesh.wire.frames import FrameParser, frame

    bound = 1_000
    payloads = ([b""], [b"a", b"bc"], [bytes(bound)], [b"x" * n for n in range(40)])

    def parse(case: bytes) -> None:
        whole = FrameParser(bound)
        frames = whole.feed(case)
        assert b"".join(map(frame, frames)) == case[: len(case) - whole.buffered], "frames are not the stream"
        pieces = FrameParser(bound)
        step = 1 + len(case) % 7
        found: list[bytes] = []
        for start in range(0, len(case), step):
            found += pieces.feed(case[start : start + step])
            assert pieces.buffered <= bound + 4, f"{pieces.buffered} bytes held"
        assert found == frames, "cut in pieces the stream gives other frames"

    return Target([b"".join(map(frame, some)) for some in payloads], parse, (DecodeError,))


def messages_target() -> Target:
    from arqonmesh.errors import DecodeError
    from arqonmesh.wire.codec import decode_message, encode_message
    from tests.wire.examples import MESSAGES

    def parse(case: bytes) -> None:
        assert encode_message(decode_message(case)) == case, "not the encoding of what it was taken for"

    return Target([encode_message(message) for message in MESSAGES], parse, (DecodeError,))


def statements_target() -> Target:
    from msgspec.structs import replace

    from arqonmesh.errors import DecodeError
    from arqonmesh.wire.statement import decode_body, decode_statement
    from tests.wire.examples import BODIES, STATEMENT

    def parse(case: bytes) -> None:
        statement = decode_statement(case)
        assert statement.encode() == case, "not the encoding of what it was taken for"
        body = decode_body(statement.kind, statement.body)
        assert body is None or body.encode() == statement.body, "not the encoding of the body it was taken for"

    corpus = [replace(STATEMENT, kind=int(kind), body=body.encode()).encode() for kind, body in BODIES.items()]
    return Target(corpus, parse, (DecodeError,))


def tickets_target() -> Target:
    from arqonmesh.errors import TrustError
    from arqonmesh.ids import ClusterId, MeshId
    from arqonmesh.trust.keys import NodeKey
    from arqonmesh.trust.tickets import mint, parse
    from tests.wire.examples import ULID

    key = NodeKey(bytes(32))
    tickets = [
        mint(
            key,
            mesh_id=MeshId(ULID),
            founder=key.node_id,
            addresses=tuple(f"192.0.2.{n}:9130" for n in range(count)),
            cluster=ClusterId("factory"),
            role="spoke",
            now_ms=0,
            expires_ms=1_000,
            uses=count,
            randomness=random.Random(count).randbytes,
        )
        for count in (1, 2, 8)
    ]

    def check(case: bytes) -> None:
        assert parse(case.decode("utf-8", "surrogateescape")) in tickets, "a ticket that nobody minted"

    return Target([ticket.text.encode() for ticket in tickets], check, (TrustError,))


def certificates_target() -> Target:
    from arqonmesh.errors import TrustError
    from arqonmesh.ids import ClusterId, MeshId
    from arqonmesh.trust.certificates import mint_leaf, verify_chain
    from arqonmesh.trust.keys import NodeKey
    from tests.wire.examples import ULID

    key = NodeKey(bytes(32))
    leaf, node = mint_leaf(
        key, mesh_id=MeshId(ULID), cluster=ClusterId("hq"), not_before_ms=0, not_after_ms=1_000
    ).chain_der

    def parse(case: bytes) -> None:
        """The case stands for the leaf, then for the node certificate."""
        chains = ([leaf, case], [case, node])
        for chain in chains:
            try:
                verify_chain(chain, 0, 0)
            except TrustError:
                continue
            assert chain == [leaf, node], "a chain that nobody signed"
            return
        raise TrustError("trust.refused-both", "refused in either place")

    return Target([leaf, node], parse, (TrustError,))


def envelopes_target() -> Target:
    """A client's frame: through the parser, and through a whole bus in both dialects and as an import."""
    import json

    from arqonmesh.config.model import BusSettings, HistorySettings
    from arqonmesh.core.bus import Bus, BusEnv, ClientInfo
    from arqonmesh.core.bus.envelope import parse as parse_envelope
    from arqonmesh.core.bus.refusal import Refusal
    from arqonmesh.core.events import Imported
    from arqonmesh.core.kernel import CloseClient, Deliver, Emit
    from arqonmesh.ids import ClusterId, NodeId

    env = BusEnv(node_id=NodeId("n" * 32), cluster=ClusterId("hq"), rng=random.Random(1), wall_ms=lambda: 0)
    bus = Bus(env, BusSettings(history=HistorySettings(per_channel=5), channels_max=20, rate_per_s=0))
    everyone = bus.new_client_id()
    bus.client_connected(0, everyone, ClientInfo(subprotocol="arqon.v1"))
    bus.client_frames(0, everyone, [b'{"type":"join","channel":"*"}'])

    def parse(case: bytes) -> None:
        effects = bus.on_event(0, Imported(NodeId("f" * 32), "factory", "telemetry:host", (case,)))
        for subprotocol in ("arqon.v1", ""):
            client = bus.new_client_id()
            effects += bus.client_connected(0, client, ClientInfo(subprotocol=subprotocol))
            effects += bus.client_frames(0, client, [case, case])
            effects += bus.client_disconnected(0, client)
        for effect in effects:
            assert isinstance(effect, Deliver | Emit | CloseClient), f"the bus has no business with {effect}"
            for sent in effect.frames if isinstance(effect, Deliver) else ():
                envelope = json.loads(sent.decode())
                assert envelope["id"], f"not an envelope: {sent!r}"
                assert envelope["type"], f"not an envelope: {sent!r}"
        parse_envelope(case)
        json.loads(case.decode())

    corpus = (
        b'{"type":"event","channel":"telemetry:host","payload":{"load":0.5,"a":[1,null,"\xc3\xa9"]},"v":1}',
        b'{"id":"arq_1","version":"1.0","type":"message","room":"a","channel":"b","from_client":"x","payload":{"t":"hi"}}',
        b'{"type":"event","room":"a:b","payload":[[[{}]]],"metadata":{"echo":true,"ack":true},"correlation_id":"c"}',
        b'{"type":"private","to":["arq_a","arq_b"],"payload":"psst"}',
        b'{"type":"private","payload":{"target":"arq_a"},"version":"1.0"}',
        b'{"type":"command","id":"q","command":"join_channel","args":{"room":"a","channel":"b"}}',
        b'{"type":"command","payload":{"command":"history","parameters":{"channel_id":"a:b","limit":10}}}',
        b'{"type":"history","channel":"a:b","limit":5}',
        b'{"type":"join","channel":"a:*"}',
        b'{"type":"ping"}',
        b'{"id":"arq_01","type":"event","room":"telemetry","channel":"host","from":"arq_02","payload":{},'
        b'"timestamp":"2026-01-01T00:00:00.000Z","v":1}',
    )
    return Target(list(corpus), parse, (Refusal,))


def cbor_envelopes_target() -> Target:
    """A binary frame of a client that agreed on `arqon.v1.cbor`: JSON that both libraries read, or a refusal."""
    import json

    import cbor2

    from arqonmesh.config.model import BusSettings
    from arqonmesh.core.bus import Bus, BusEnv, ClientInfo
    from arqonmesh.core.bus.protocol.cbor import from_json, to_json
    from arqonmesh.core.bus.refusal import Refusal
    from arqonmesh.core.kernel import Deliver
    from arqonmesh.ids import ClusterId, NodeId

    env = BusEnv(node_id=NodeId("n" * 32), cluster=ClusterId("hq"), rng=random.Random(1), wall_ms=lambda: 0)
    bus = Bus(env, BusSettings(channels_max=20))

    def parse(case: bytes) -> None:
        client = bus.new_client_id()
        effects = bus.client_connected(0, client, ClientInfo(subprotocol="arqon.v1.cbor"))
        effects += bus.client_frames(0, client, [case])
        effects += bus.client_disconnected(0, client)
        for effect in effects:
            for sent in effect.frames if isinstance(effect, Deliver) else ():
                assert cbor2.loads(from_json(sent))["id"], f"not an envelope: {sent!r}"
        made = to_json(case, 8 * MAX_CASE_BYTES)
        assert json.loads(from_json_back(made)) == json.loads(made), "JSON and CBOR say different things"

    def from_json_back(made: bytes) -> bytes:
        return to_json(from_json(made), 64 * MAX_CASE_BYTES)

    corpus = (
        {
            "type": "event",
            "channel": "telemetry:host",
            "payload": {"raw": b"\x00\xff", "n": [1, -2, 1.5, None]},
            "v": 1,
        },
        {"type": "private", "to": ["arq_a"], "payload": "\N{GRINNING FACE}" * 20, "trace": {"a": [[[[]]]]}},
        {"type": "command", "id": "q", "command": "join_channel", "args": {"room": "a", "channel": "b"}},
        {"type": "history", "channel": "a:b", "limit": 5, "timestamp": "2026-01-01T00:00:00Z"},
    )
    hostile = (
        b"\xd8\x1c\x81\xd8\x1d\x00",
        b"\xd9\x01\x00\x82\x63abc\xd8\x19\x00",
        b"\xc4\x82\x1b" + b"\x7f" * 8 + b"\x01",
    )
    valid = [cbor2.dumps(frame) for frame in corpus]
    for case in hostile:
        try:
            to_json(case, MAX_CASE_BYTES)
        except Refusal:
            continue
        raise AssertionError(f"a tag was taken: {case.hex()}")
    return Target(valid, parse, (Refusal,))


def yaml_target() -> Target:
    """arqon.yaml: an operator's file, but one that tools and copies garble."""
    from arqonmesh.config.load import loads
    from arqonmesh.config.write import render
    from arqonmesh.errors import ConfigError

    made = render({"node": {"cluster": "factory", "role": "spoke"}, "listen": {"quic": "127.0.0.1:9130"}})
    corpus = (
        made.encode(),
        b"node: {cluster: hq}\nfederation: {export: {allow: ['telemetry:*'], deny: ['a:b']}, import: {allow: ['*']}}\n",
        b"node:\n  cluster: &name hq\n  region: *name\nlinks: {auto: full, heartbeat_ms: 100, misses: 3}\n",
        b"node: {cluster: hq}\nbus: {history: 100, rate_per_s: 1000}\nlog: {level: debug, format: json}\n",
    )
    return Target(list(corpus), lambda case: _understood(loads(case).node.cluster), (ConfigError,))


def http_target() -> Target:
    """A request to the monitoring port: h11 takes it or not, and then its target is read or not."""
    import h11

    from arqonmesh.bridge.http import Request
    from arqonmesh.bridge.http.connection import HEAD_BYTES_MAX
    from arqonmesh.errors import DecodeError

    corpus = (
        b"GET /health HTTP/1.1\r\nHost: a",
        b"GET /history?channel=a:b&limit=5 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x",
        b"HEAD /metrics%20?a=%c3%a9 HTTP/1.0\r\nConnection: keep-alive",
    )

    def parse(case: bytes) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        try:
            connection.receive_data(case + b"\r\n\r\n")
            head = connection.next_event()
            if isinstance(head, h11.Request):
                Request.of(head.method.decode(), head.target.decode("latin-1"))
        except (h11.RemoteProtocolError, ValueError) as refused:
            raise DecodeError("http.refused", str(refused)) from refused

    return Target(list(corpus), parse, (DecodeError,))


def _understood(cluster: str) -> None:
    assert cluster, "a configuration without a cluster"


TARGETS: Final[dict[str, Callable[[], Target]]] = {
    "cbor": cbor_target,
    "frames": frames_target,
    "messages": messages_target,
    "statements": statements_target,
    "tickets": tickets_target,
    "certificates": certificates_target,
    "envelopes": envelopes_target,
    "cbor-envelopes": cbor_envelopes_target,
    "yaml": yaml_target,
    "http": http_target,
}
"""Every parser of remote input by name. Made when used: a target imports what it needs by itself."""


# --- cases ------------------------------------------------------------------------------------------------

_INTERESTING: Final = tuple(
    bytes.fromhex(text)
    for text in [
        "00",
        "17",
        "18",
        "1bffffffffffffffff",
        "3bffffffffffffffff",
        "40",
        "5f",
        "60",
        "7f",
        "80",
        "81",
        "9f",
        "a0",
        "bf",
        "c0",
        "c2",
        "d81c",
        "d81d00",
        "f4",
        "f6",
        "f7",
        "f800",
        "f97e00",
        "fb7ff8000000000000",
        "ff",
        "ffffffff",
        "7fffffff",
        "9a7fffffff",
        "5a7fffffff",
        "c0af",
        "eda080",
        "0d0a",
        "3082",
        "a003020102",
    ]
)
"""Heads, breaks, tags, lengths and text at which CBOR, UTF-8 and DER parsers have stumbled."""


def mutate(rng: random.Random, corpus: list[bytes]) -> bytes:
    """One case: mostly a valid input with one to four changes; sometimes two spliced, sometimes noise."""
    choice = rng.random()
    if choice < 0.05:
        return rng.randbytes(rng.randrange(200))
    if choice < 0.07:
        return rng.choice(corpus)
    case = bytearray(rng.choice(corpus))
    if choice < 0.17:
        other = rng.choice(corpus)
        case[rng.randrange(len(case) + 1) :] = other[rng.randrange(len(other) + 1) :]
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        _change(rng, case)
    return bytes(case[:MAX_CASE_BYTES])


def _change(rng: random.Random, case: bytearray) -> None:
    at = rng.randrange(len(case) + 1)
    kind = rng.randrange(7)
    if kind == 0 and at < len(case):
        case[at] ^= 1 << rng.randrange(8)
    elif kind == 1 and at < len(case):
        case[at] = rng.randrange(256)
    elif kind == 2:
        case[at:at] = rng.choice(_INTERESTING)
    elif kind == 3:
        case[at : at + 8] = rng.choice(_INTERESTING)
    elif kind == 4:
        del case[at : at + rng.randrange(1, 9)]
    elif kind == 5:
        piece = case[at : at + rng.randrange(1, 64)]
        case[at:at] = piece * rng.randrange(1, 4)
    else:
        del case[at:]


# --- the hammer -------------------------------------------------------------------------------------------


def hammer(name: str, target: Target, *, seconds: float, seed: int) -> Report:
    """Cases for `seconds`. Raises Failure at the first that is neither understood nor refused, or for memory."""
    rng = random.Random(f"{name} {seed}")
    for valid in target.corpus:
        target.parse(valid)
    begin = time.monotonic()
    cases = understood = 0
    rss_before = 0
    while (elapsed := time.monotonic() - begin) < seconds:
        if not rss_before and elapsed > seconds * WARM_UP_SHARE:
            rss_before = resident_bytes()
        for _ in range(100):
            case = mutate(rng, target.corpus)
            cases += 1
            try:
                target.parse(case)
            except target.refusals:
                continue
            except Exception as error:
                raise Failure(name, seed, case, f"{type(error).__name__}: {error}") from error
            understood += 1
    growth = resident_bytes() - rss_before if rss_before else 0
    if growth > RSS_GROWTH_BYTES_MAX:
        raise Failure(name, seed, b"", f"memory grew by {growth / (1 << 20):.1f} MiB after the warm-up")
    return Report(name, cases, understood, elapsed, growth)


def resident_bytes() -> int:
    """The resident set of this process, after a collection."""
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * _PAGE_BYTES


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Hammer the parsers of remote input for a bounded time.")
    parser.add_argument("--seconds", type=float, default=60.0, help="time in all, shared among the targets")
    parser.add_argument("--target", default="all", choices=("all", *TARGETS))
    parser.add_argument("--seed", type=int, default=0, help="the same seed makes the same cases")
    options = parser.parse_args(arguments)
    names = list(TARGETS) if options.target == "all" else [options.target]
    for name in names:
        try:
            print(hammer(name, TARGETS[name](), seconds=options.seconds / len(names), seed=options.seed), flush=True)
        except Failure as failure:
            print(f"FAILED {failure}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
