"""RFC 6455 on a raw socket, case by case, in the order of the Autobahn test suite's sections 1 to 7 and 10.

What Autobahn's echo shows is shown here by events: a message that arrives whole reaches the bus and is published.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from arqonmesh.core.events import Published
from tests.bridge.conftest import RunningBus
from tests.bridge.raw import RawClient

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
FIN = 0x80
OK: tuple[int, ...] = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)
BAD_CODES: tuple[int, ...] = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999)
EVENT = b'{"type":"event","channel":"a:b","payload":"%b"}'
PINGED = b'{"type":"ping","v":1}'


def event(text: str = "x") -> bytes:
    return EVENT % text.encode()


def close(code: int | None, reason: bytes = b"") -> bytes:
    return b"" if code is None else code.to_bytes(2, "big") + reason


@dataclass(frozen=True)
class Case:
    """Frames that a client sends, as (first byte, payload), and what comes of them."""

    name: str
    frames: tuple[tuple[int, bytes], ...]
    events: tuple[str, ...] = ()
    """Payloads that were published."""
    pongs: tuple[bytes, ...] = ()
    code: int | None = None
    """Close code of the server; None: the connection is open and answers."""


def parts(data: bytes, size: int, kind: int = TEXT) -> tuple[tuple[int, bytes], ...]:
    """One message in fragments."""
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    last = len(pieces) - 1
    return tuple(((kind if i == 0 else 0) | (FIN if i == last else 0), piece) for i, piece in enumerate(pieces))


WHOLE = event("whole")
TEN = tuple(b"%d" % n for n in range(10))
CASES: tuple[Case, ...] = (
    # 1: framing, in the three forms of length
    *(
        Case(f"1.1 text of {size} bytes", ((FIN | TEXT, event("x" * (size - 46))),), ("x" * (size - 46),))
        for size in (125, 126, 127, 128, 65_535, 65_536)
    ),
    Case("1.2 binary is not what was agreed", ((FIN | BINARY, b"\x00"),), code=1003),
    Case("1.2 empty binary neither", ((FIN | BINARY, b""),), code=1003),
    # 2: ping and pong
    Case("2.1 ping without payload", ((FIN | PING, b""),), pongs=(b"",)),
    Case("2.2 ping with text", ((FIN | PING, b"hello"),), pongs=(b"hello",)),
    Case("2.3 ping with bytes that are no text", ((FIN | PING, b"\x00\xff\xfe\xfd"),), pongs=(b"\x00\xff\xfe\xfd",)),
    Case("2.4 ping of 125 bytes", ((FIN | PING, b"\xfe" * 125),), pongs=(b"\xfe" * 125,)),
    Case("2.5 ping of 126 bytes", ((FIN | PING, b"\xfe" * 126),), code=1002),
    Case("2.7 a pong that nobody asked for", ((FIN | PONG, b""),)),
    Case("2.8 a pong with payload that nobody asked for", ((FIN | PONG, b"unsolicited"),)),
    Case("2.9 pong, then ping", ((FIN | PONG, b"a"), (FIN | PING, b"b")), pongs=(b"b",)),
    Case("2.10 ten pings", tuple((FIN | PING, one) for one in TEN), pongs=TEN),
    # 3: reserved bits
    *(
        Case(f"3 reserved bits {bits} on {what}", ((FIN | bits << 4 | kind, payload),), code=1002)
        for bits in (1, 2, 3, 4, 5, 6, 7)
        for what, kind, payload in (("text", TEXT, WHOLE), ("ping", PING, b""), ("close", CLOSE, close(1000)))
    ),
    Case("3.2 a reserved bit after a good one", ((FIN | TEXT, WHOLE), (0xA0 | TEXT, WHOLE)), ("whole",), code=1002),
    # 4: opcodes
    *(Case(f"4.1 opcode {code}", ((FIN | code, b""),), code=1002) for code in (3, 4, 5, 6, 7)),
    *(Case(f"4.2 opcode {code}", ((FIN | code, b""),), code=1002) for code in (11, 12, 13, 14, 15)),
    Case("4.1.3 an unknown opcode after a good message", ((FIN | TEXT, WHOLE), (FIN | 5, b"x")), ("whole",), code=1002),
    # 5: fragmentation
    Case("5.1 a ping in fragments", ((PING, b"a"), (FIN, b"b")), code=1002),
    Case("5.2 a pong in fragments", ((PONG, b"a"), (FIN, b"b")), code=1002),
    Case("5.3 text in two", parts(WHOLE, 30), ("whole",)),
    Case("5.4 text byte by byte", parts(WHOLE, 1), ("whole",)),
    Case("5.5 a ping between", (parts(WHOLE, 30)[0], (FIN | PING, b"?"), parts(WHOLE, 30)[1]), ("whole",), (b"?",)),
    Case("5.6 empty fragments", ((TEXT, b""), (0, WHOLE), (0, b""), (FIN, b"")), ("whole",)),
    Case("5.9 a continuation of nothing", ((FIN, WHOLE),), code=1002),
    Case("5.10 a continuation of nothing, not the last", ((0, WHOLE),), code=1002),
    Case("5.11 a continuation after a whole message", ((FIN | TEXT, WHOLE), (FIN, b"x")), ("whole",), code=1002),
    Case("5.15 a message inside of a message", ((TEXT, b"{"), (FIN | TEXT, WHOLE)), code=1002),
    Case("5.18 two beginnings", ((TEXT, b"{"), (TEXT, b"}")), code=1002),
    # 6: UTF-8
    Case("6.2 letters of many scripts", ((FIN | TEXT, event("κόσμε ✓ 𝄞")),), ("κόσμε ✓ 𝄞",)),
    Case("6.2.3 the same, cut inside of letters", parts(event("κόσμε ✓ 𝄞"), 1), ("κόσμε ✓ 𝄞",)),
    *(
        Case(f"6 {what}", ((FIN | TEXT, EVENT % bad),), code=1007)
        for what, bad in (
            ("a lone continuation byte", b"\x80"),
            ("a sequence that is cut off", b"\xce"),
            ("an overlong slash", b"\xc0\xaf"),
            ("an overlong zero", b"\xe0\x80\x80"),
            ("a surrogate", b"\xed\xa0\x80"),
            ("beyond U+10FFFF", b"\xf4\x90\x80\x80"),
            ("FE", b"\xfe"),
        )
    ),
    Case("6.3 bad UTF-8 in the last fragment", ((TEXT, b'{"a":"'), (FIN, b'\xed\xa0\x80"}')), code=1007),
    # 7: closing
    Case("7.1.1 a message, then close", ((FIN | TEXT, WHOLE), (FIN | CLOSE, close(1000))), ("whole",), code=1000),
    Case("7.1.3 ping after close is not answered", ((FIN | CLOSE, close(1000)), (FIN | PING, b"x")), code=1000),
    Case("7.1.4 text after close is not read", ((FIN | CLOSE, close(1000)), (FIN | TEXT, WHOLE)), code=1000),
    Case("7.1.5 close inside of a message", ((TEXT, b"{"), (FIN | CLOSE, close(1000))), code=1000),
    Case("7.3.1 close without a code", ((FIN | CLOSE, b""),), code=1000),
    Case("7.3.2 close with one byte", ((FIN | CLOSE, b"a"),), code=1002),
    Case("7.3.4 close with a reason", ((FIN | CLOSE, close(1000, b"bye")),), code=1000),
    Case("7.3.5 close with the longest reason", ((FIN | CLOSE, close(1000, b"*" * 123)),), code=1000),
    Case("7.3.6 close with a longer one", ((FIN | CLOSE, close(1000, b"*" * 124)),), code=1002),
    Case("7.5.1 close with a reason that is no UTF-8", ((FIN | CLOSE, close(1000, b"\xed\xa0\x80")),), code=1007),
    *(Case(f"7.7 close with {code}", ((FIN | CLOSE, close(code)),), code=code) for code in OK),
    *(Case(f"7.9 close with {n}, that nobody may send", ((FIN | CLOSE, close(n)),), code=1002) for n in BAD_CODES),
    # 10: fragments as senders make them of large messages
    Case("10.1 64 KiB in fragments of 1,300", parts(event("x" * 65_536), 1_300), ("x" * 65_536,)),
)  # fmt: skip


@pytest.mark.requirement("R-BU-1")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_client_of_rfc_6455_gets_what_the_rfc_says(bus: RunningBus, case: Case) -> None:
    """All frames in one write, so that none is judged before the next one is there."""
    client = await RawClient.upgraded(bus.url)
    for first, payload in case.frames:
        await client.send(payload, first=first)
    pongs: list[bytes] = []
    if case.code is None:
        await client.send(PINGED)
    code = None
    while True:
        first, payload = await client.frame()
        if first == FIN | PONG:
            pongs.append(payload)
        elif first == FIN | CLOSE:
            code = int.from_bytes(payload[:2], "big")
            break
        elif b'"pong":true' in payload:
            break
    assert code == case.code
    assert tuple(pongs) == case.pongs
    published = [json.loads(frame)["payload"] for frame in _published(bus)]
    assert tuple(published) == case.events
    await client.hang_up()


async def test_a_second_close_changes_nothing(bus: RunningBus) -> None:
    """7.1.2: it is answered once, as a good close, or as a mistake when both came in one read; then comes the end."""
    client = await RawClient.upgraded(bus.url)
    await client.send(close(1000), first=FIN | CLOSE)
    await client.send(close(1000), first=FIN | CLOSE)
    assert (await client.closed_with())[0] in (1000, 1002)
    await client.hang_up()


@pytest.mark.parametrize("size", [1, 3, 7])
async def test_frames_may_arrive_in_any_pieces(bus: RunningBus, size: int) -> None:
    """1.1.7 and 2.6: headers, masks and payloads cut anywhere."""
    client = await RawClient.upgraded(bus.url)
    frame = bytes((FIN | TEXT, 0x80 | len(WHOLE))) + b"\0\0\0\0" + WHOLE
    data = frame * 3 + b"\x89\x81\0\0\0\0?"
    for start in range(0, len(data), size):
        await client.write(data[start : start + size])
    assert await client.frame() == (FIN | PONG, b"?")
    assert len(_published(bus)) == 3
    await client.hang_up()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: KEY", 426),
        ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: KEY", 426),
        ("Upgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: KEY", 426),
        ("Upgrade: websocket\r\nConnection: close\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: KEY", 426),
        ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2hvcnQ=", 400),
        ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13", 400),
        ("Upgrade: websocket\r\nConnection: x, UPGRADE\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: KEY", 101),
    ],
)
async def test_a_handshake_is_judged_by_rfc_6455(bus: RunningBus, head: str, status: int) -> None:
    """4.2.1; a version that is not spoken is told which one is (4.4)."""
    client = await RawClient.open(bus.url)
    await client.write(
        f"GET / HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".replace("KEY", "dGhlIHNhbXBsZSBub25jZQ==").encode()
    )
    answer = await client.reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    if "Version: 8" in head:
        assert b"Sec-WebSocket-Version: 13" in answer
    await client.hang_up()


@pytest.mark.parametrize(
    ("offers", "chosen"),
    [
        ("arqon.v1", "arqon.v1"),
        ("soap, arqon.v1.cbor, arqon.v1", "arqon.v1.cbor"),
        ("arqon.v1\r\nSec-WebSocket-Protocol: arqon.v1.cbor", "arqon.v1"),
        ("soap", ""),
    ],
)
async def test_the_first_sub_protocol_that_both_speak_is_chosen(bus: RunningBus, offers: str, chosen: str) -> None:
    """In the client's order; none is named when none fits (4.2.2)."""
    client = await RawClient.open(bus.url)
    await client.write(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: %b\r\n\r\n" % offers.encode()
    )
    answer = (await client.reader.readuntil(b"\r\n\r\n")).decode()
    named = [line.partition(": ")[2] for line in answer.split("\r\n") if line.startswith("Sec-WebSocket-Protocol")]
    assert named == ([chosen] if chosen else [])
    await client.hang_up()


def _published(bus: RunningBus) -> list[bytes]:
    return [frame for one in bus.events if isinstance(one, Published) for frame in one.frames]
