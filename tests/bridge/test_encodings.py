"""CBOR and compression on the wire: the same bus, other bytes."""

from __future__ import annotations

import asyncio
import json
import math
import zlib
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

from arqonmesh.bridge import deflate, encoding
from arqonmesh.core.bus.protocol.cbor import from_json, to_json
from arqonmesh.core.bus.refusal import Refusal
from tests.bridge.conftest import Json, RunningBus, StartBus, ask, receive
from tests.bridge.raw import RawClient

CHANNEL = "telemetry:host"
EVENT = {"type": "event", "channel": CHANNEL, "payload": {"load": 0.5}}
BYTES_MAX = 100_000


async def cbor_client(bus: RunningBus, **options: Any) -> ClientConnection:
    """Connected, welcomed."""
    from websockets.typing import Subprotocol

    client = await connect(bus.url, proxy=None, subprotocols=[Subprotocol("arqon.v1.cbor")], **options)
    assert client.subprotocol == "arqon.v1.cbor"
    assert (await receive_cbor(client))["payload"]["client_id"]
    return client


async def receive_cbor(client: ClientConnection) -> Json:
    async with asyncio.timeout(10):
        data = await client.recv()
    assert isinstance(data, bytes)
    decoded = cbor2.loads(data)
    assert isinstance(decoded, dict)
    return decoded


async def ask_cbor(client: ClientConnection, frame: Json) -> Json:
    await client.send(cbor2.dumps(frame))
    return await receive_cbor(client)


async def test_json_and_cbor_clients_share_a_channel(bus: RunningBus) -> None:
    """Either hears the other, with the same id; bytes become base64."""
    new = await cbor_client(bus)
    assert (await ask_cbor(new, {"type": "join", "channel": CHANNEL}))["status"] == "success"
    async with bus.member(CHANNEL) as member:
        await receive_cbor(new)  # that the other has joined
        await new.send(cbor2.dumps({**EVENT, "payload": {"raw": b"\x00\xff", "n": [1, -2, 1.5, None, True]}}))
        heard = await receive(member)
        assert heard["payload"] == {"raw": "AP8=", "n": [1, -2, 1.5, None, True]}
        await member.send(json.dumps({**EVENT, "trace": "x"}))
        frame = await receive_cbor(new)
        assert (frame["payload"], frame["trace"], frame["v"]) == ({"load": 0.5}, "x", 1)
    await new.close()


async def test_an_event_is_made_into_cbor_once_for_all(bus: RunningBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many clients hear it."""
    clients = [await cbor_client(bus) for _ in range(5)]
    for client in clients:
        await client.send(cbor2.dumps({"type": "join", "channel": CHANNEL}))
    async with bus.client() as publisher:
        for client in clients:
            await client.send(cbor2.dumps({"type": "command", "command": "ping"}))
            while (await receive_cbor(client)).get("command") != "ping":
                pass
        made: list[bytes] = []

        def counting(message: bytes) -> bytes:
            made.append(message)
            return from_json(message)

        monkeypatch.setattr(encoding, "from_json", counting)
        await publisher.send(json.dumps(EVENT))
        for client in clients:
            while (await receive_cbor(client))["type"] != "event":
                pass
    assert len(made) == 1
    for client in clients:
        await client.close()


@pytest.mark.parametrize("number", ["1" * 5_000, "-" + "9" * 60_000, "1e999"])
async def test_a_number_that_nobody_reads_stops_no_delivery(bus: RunningBus, number: str) -> None:
    """It is JSON, so JSON clients get its bytes; a CBOR client of the same audience gets an infinity."""
    new = await cbor_client(bus)
    await ask_cbor(new, {"type": "join", "channel": CHANNEL})
    async with bus.member(CHANNEL) as member, bus.client() as publisher, asyncio.timeout(10):
        await receive_cbor(new)  # that the other has joined
        for payload in (number, '"after"'):
            await publisher.send(f'{{"type":"event","channel":"{CHANNEL}","payload":{payload}}}')
        assert f'"payload":{number},' in str(await member.recv())
        assert (await receive(member))["payload"] == "after"
        assert abs((await receive_cbor(new))["payload"]) == math.inf
        assert (await receive_cbor(new))["payload"] == "after"
    await new.close()


async def test_who_cannot_be_written_to_is_closed_and_the_others_are_written_to(
    bus: RunningBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1011, after which it may come back for what it missed; who else is in the audience hears this and the next."""

    def failing(message: bytes) -> bytes:
        raise ValueError("not to be said")

    new = await cbor_client(bus)
    await ask_cbor(new, {"type": "join", "channel": CHANNEL})
    async with bus.member(CHANNEL) as member, bus.client() as publisher:
        await receive_cbor(new)  # that the other has joined
        monkeypatch.setattr(encoding, "from_json", failing)
        for payload in (1, 2):
            await publisher.send(json.dumps({**EVENT, "payload": payload}))
        with pytest.raises(ConnectionClosedError):
            await receive_cbor(new)
        seen = [await receive(member) for _ in range(3)]
    assert new.close_code == 1011
    assert [frame["payload"] for frame in seen if frame["type"] == "event"] == [1, 2]
    assert ("bridge", "unencodable") in bus.drops()


async def test_what_is_no_cbor_is_answered_as_what_is_no_json(bus: RunningBus) -> None:
    """bus.invalid-cbor with a sentence; the frames beside it count."""
    client = await cbor_client(bus)
    for bad in (b"\xff", cbor2.dumps({1: 2}), cbor2.dumps(EVENT) + b"\x00", b"\xd8\x1c\x80", b"\x81" * 70 + b"\x00"):
        await client.send(bad)
        answer = await receive_cbor(client)
        assert answer["payload"]["code"] == "bus.invalid-cbor", answer
    assert (await ask_cbor(client, {"type": "ping"}))["payload"]["pong"] is True
    answer = await ask_cbor(client, {"type": "event", "channel": 5, "id": 7})
    assert [one["field"] for one in answer["payload"]["problems"]] == ["channel", "id", "payload"]
    await client.close()


async def test_a_text_frame_of_a_cbor_client_is_refused(bus: RunningBus) -> None:
    """1003, as a binary frame of a JSON client is."""
    client = await cbor_client(bus)
    await client.send("{}")
    await client.wait_closed()
    assert client.close_code == 1003
    assert bus.drops() == [("bridge", "text-frame")]


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.text(), values, max_size=4))
def test_json_and_cbor_say_the_same(value: Json) -> None:
    """There and back."""
    made = to_json(cbor2.dumps(value), BYTES_MAX)
    assert json.loads(made) == value
    assert cbor2.loads(from_json(made)) == value


@given(st.binary(max_size=300))
def test_any_bytes_are_one_json_value_or_refused(frame: bytes) -> None:
    """Refusal, and nothing else."""
    try:
        made = to_json(frame, BYTES_MAX)
    except Refusal:
        return
    json.loads(made)


def test_a_frame_that_grows_as_json_is_refused_by_its_size_there() -> None:
    """Control characters take six bytes in JSON."""
    with pytest.raises(Refusal, match="60002 bytes"):
        to_json(cbor2.dumps("\x01" * 10_000), 50_000)


# --- compression --------------------------------------------------------------------------------------------


async def test_compression_is_off_unless_it_is_switched_on(bus: RunningBus) -> None:
    """The client's offer is passed over."""
    async with bus.client(compression="deflate") as client:
        assert client.protocol.extensions == []
        assert (await ask(client, {"type": "ping"}))["status"] == "success"


async def test_compressed_clients_and_others_hear_the_same(start_bus: StartBus) -> None:
    """Both ways, JSON and CBOR, whole and in fragments."""
    bus = await start_bus(compression=True)
    payload = {"text": "all work and no play " * 50}
    async with bus.member(CHANNEL, compression="deflate") as packed, bus.member(CHANNEL, compression=None) as plain:
        assert [extension.name for extension in packed.protocol.extensions] == ["permessage-deflate"]
        await receive(packed)  # that the other has joined
        await packed.send(json.dumps({**EVENT, "payload": payload}))
        assert (await receive(plain))["payload"] == payload
        frame = json.dumps({**EVENT, "payload": payload})
        await packed.send([frame[:300], frame[300:]])
        assert (await receive(plain))["payload"] == payload
        await plain.send(frame)
        assert (await receive(packed))["payload"] == payload
        both = await cbor_client(bus, compression="deflate")
        await both.send(cbor2.dumps({**EVENT, "payload": payload}))
        assert (await receive(packed))["payload"] == payload
        await both.close()


async def test_a_compression_bomb_ends_where_a_giant_frame_ends(start_bus: StartBus) -> None:
    """1009, before more than frame_bytes_max was unpacked."""
    bus = await start_bus(compression=True, frame_bytes_max=10_000)
    client = await RawClient.upgraded(
        bus.url, "Connection: Upgrade\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
    )
    bomb = deflate.deflate(b" " * 1_000_000)
    assert len(bomb) < 10_000 < 1_000_000
    await client.send(bomb, first=0xC1)
    assert (await client.closed_with())[0] == 1009
    await client.hang_up()
    assert bus.drops() == [("bridge", "frame-too-large")]


async def test_what_is_not_deflate_is_a_protocol_error(start_bus: StartBus) -> None:
    """1002; and so is the bit on a fragment that does not begin a message."""
    bus = await start_bus(compression=True)
    offer = "Connection: Upgrade\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
    client = await RawClient.upgraded(bus.url, offer)
    await client.send(b"\xff" * 20, first=0xC1)
    assert (await client.closed_with())[0] == 1002
    await client.hang_up()
    client = await RawClient.upgraded(bus.url, offer)
    await client.send(b"{", first=0x01)
    await client.send(b"}", first=0xC0)
    assert (await client.closed_with())[0] == 1002
    await client.hang_up()


@pytest.mark.parametrize(
    ("offer", "taken"),
    [
        ("permessage-deflate", True),
        ("permessage-deflate; client_max_window_bits", True),
        ("permessage-deflate; client_max_window_bits=12; server_no_context_takeover", True),
        ("permessage-deflate; server_max_window_bits=15", True),
        ("permessage-deflate; server_max_window_bits=10", False),
        ("permessage-deflate; client_max_window_bits=7", False),
        ("permessage-deflate; unheard_of", False),
        ("permessage-deflate; client_no_context_takeover; client_no_context_takeover", False),
        ("x-webkit-deflate-frame", False),
    ],
)
def test_an_offer_is_taken_when_it_can_be_kept(offer: str, taken: bool) -> None:
    """RFC 7692, 7.1: what cannot be kept is declined, the next offer is looked at."""
    assert deflate.accepts([offer]) is taken
    assert deflate.accepts([offer, "permessage-deflate"]) is True


@given(st.binary(max_size=2_000))
def test_deflate_and_inflate_are_inverse(message: bytes) -> None:
    """And a message of exactly the bound fits."""
    assert deflate.inflate(deflate.deflate(message), len(message)) == message
    if message:
        with pytest.raises(Refusal):
            deflate.inflate(deflate.deflate(message), len(message) - 1)
    assert zlib.decompressobj(-15).decompress(deflate.deflate(message) + b"\x00\x00\xff\xff") == message
