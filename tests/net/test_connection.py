"""Two connections on a pretend wire: real QUIC, a clock moved by hand, loss and reordering by seed."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from arqonmesh.net.connection import KEEPALIVE_S, Arrived, Connection
from arqonmesh.net.quic_core import MeshQuic
from arqonmesh.net.quic_fast import FastQuic
from arqonmesh.net.tls import IDLE_TIMEOUT_S, PROTOCOLS, configuration
from arqonmesh.net.udp import PathAddr
from tests.net.kit import key, leaf_of

CLIENT: PathAddr = (("192.0.2.1", 1), None)
SERVER: PathAddr = (("192.0.2.2", 2), None)


@dataclass
class Side:
    connection: Connection
    data: dict[int, bytearray] = field(default_factory=dict)
    datagrams: list[bytes] = field(default_factory=list)
    handshakes: int = 0
    closed: list[str] = field(default_factory=list)
    ended: set[int] = field(default_factory=set)

    def take(self, arrived: Arrived) -> None:
        self.handshakes += arrived.handshake
        for stream, chunks in arrived.streams.items():
            self.data.setdefault(stream, bytearray()).extend(b"".join(chunks))
        self.datagrams += arrived.datagrams
        self.ended.update(arrived.ended)
        if arrived.closed is not None:
            self.closed.append(("peer: " if arrived.closed.by_peer else "self: ") + arrived.closed.reason)


class Pair:
    """A client and a server connection, and the wire between them: delay 10 ms, the rest by the dice."""

    def __init__(
        self,
        *,
        seed: int = 0,
        loss: float = 0.0,
        reorder: float = 0.0,
        double: float = 0.0,
        client_kind: type[MeshQuic] = FastQuic,
        server_kind: type[MeshQuic] = FastQuic,
    ) -> None:
        self.now = 1_000.0
        self.dice = random.Random(seed)
        self.loss, self.reorder, self.double = loss, reorder, double
        self.cut = False
        self.flying: list[tuple[float, int, bytes, bool]] = []
        self.sent = 0
        client = client_kind(
            configuration=configuration(
                leaf_of(key(1)), is_client=True, protocols=[PROTOCOLS.mesh], max_datagram_size=1_200
            )
        )
        client.connect(SERVER, self.now)
        server = server_kind(
            configuration=configuration(
                leaf_of(key(2)), is_client=False, protocols=[PROTOCOLS.mesh], max_datagram_size=1_200
            ),
            original_destination_connection_id=client.original_destination_connection_id,
        )
        self.client = Side(Connection(client, SERVER, outbound=True, now=self.now))
        self.server = Side(Connection(server, CLIENT, outbound=False, now=self.now))

    def _launch(self, side: Side) -> None:
        to_server = side is self.client
        if not to_server and side.connection.quic.untouched:
            return
        for _, datagrams in side.connection.flush(self.now):
            for datagram in datagrams:
                self.sent += 1
                if self.cut or self.dice.random() < self.loss:
                    continue
                late = 0.02 if self.dice.random() < self.reorder else 0.0
                self.flying.append((self.now + 0.01 + late, self.sent, datagram, to_server))
                if self.dice.random() < self.double:
                    self.flying.append((self.now + 0.015, self.sent, datagram, to_server))

    def step(self) -> None:
        """Move to the next arrival or deadline."""
        for side in (self.client, self.server):
            self._launch(side)
            while side.connection.more:
                self._launch(side)
            side.take(side.connection.drain())
        times = [arrival for arrival, *_ in self.flying]
        for side in (self.client, self.server):
            at = side.connection.deadline()
            if at is not None:
                times.append(at)
        if not times:
            self.now += 1.0
            return
        # Time always moves: aioquic lets an ACK that is due at this very instant wait for the pacer.
        self.now = max(self.now + 1e-6, min(times))
        landing = sorted(entry for entry in self.flying if entry[0] <= self.now)
        self.flying = [entry for entry in self.flying if entry[0] > self.now]
        for _, _, datagram, to_server in landing:
            side, source = (self.server, CLIENT) if to_server else (self.client, SERVER)
            side.connection.receive(datagram, source, self.now)
        for side in (self.client, self.server):
            at = side.connection.deadline()
            if at is not None and self.now >= at:
                side.connection.on_timer(self.now)
            side.take(side.connection.drain())

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        steps = 0
        while self.now < until and steps < 200_000:
            self.step()
            steps += 1

    def established(self) -> Pair:
        for _ in range(10_000):
            if self.client.handshakes and self.server.handshakes:
                return self
            self.step()
        raise AssertionError("no handshake")


def test_both_ends_complete_the_handshake_and_see_each_others_chain_and_binding() -> None:
    """Mutual TLS: the server asks, the client shows; the exporter agrees (RFC 9266)."""
    pair = Pair().established()
    client, server = pair.client.connection.quic, pair.server.connection.quic
    assert client.peer_chain() == [
        server.configuration.certificate.public_bytes(Encoding.DER),
        server.configuration.certificate_chain[0].public_bytes(Encoding.DER),
    ]
    assert server.peer_chain()[0] == client.configuration.certificate.public_bytes(Encoding.DER)
    assert client.channel_binding == server.channel_binding
    assert len(client.channel_binding or b"") == 32


def test_two_connections_have_different_channel_bindings() -> None:
    """What is signed over one binding fits no other connection."""
    first, second = Pair().established(), Pair().established()
    assert first.client.connection.quic.channel_binding != second.client.connection.quic.channel_binding


KINDS = [(MeshQuic, MeshQuic), (FastQuic, MeshQuic), (MeshQuic, FastQuic), (FastQuic, FastQuic)]


def _carry(pair: Pair, wanted: dict[int, bytes], *, end: bool = False, back: int = 0) -> None:
    """Send `wanted` as the window allows and step until it is there; `back`: bytes the other way meanwhile."""
    offset = dict.fromkeys(wanted, 0)
    client, server = pair.client.connection, pair.server.connection
    returned = 0
    for _ in range(40_000):
        for stream, data in wanted.items():
            room = min(client.room(), 4_000, len(data) - offset[stream])
            if room > 0:
                offset[stream] += room
                done = end and offset[stream] == len(data)
                client.write(stream, data[offset[stream] - room : offset[stream]], end=done)
        if returned < back and server.has_stream(0) and server.room() > 0:
            chunk = min(server.room(), 3_000, back - returned)
            server.write(0, bytes(chunk))
            returned += chunk
        pair.step()
        if all(len(pair.server.data.get(stream, b"")) == len(data) for stream, data in wanted.items()) and (
            len(pair.client.data.get(0, b"")) == back
        ):
            return


@pytest.mark.parametrize("kinds", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_streams_arrive_whole_under_loss_reordering_and_duplication(
    seed: int, kinds: tuple[type[MeshQuic], type[MeshQuic]]
) -> None:
    """2 % loss, 5 % reordering, 5 % doubled, both directions, three streams, plain and fast ends in every mix."""
    pair = Pair(
        seed=seed, loss=0.02, reorder=0.05, double=0.05, client_kind=kinds[0], server_kind=kinds[1]
    ).established()
    dice = random.Random(seed)
    wanted = {stream: dice.randbytes(120_000) for stream in (0, 4, 8)}
    _carry(pair, wanted, back=60_000)
    assert {stream: bytes(data) for stream, data in pair.server.data.items()} == wanted
    assert pair.client.data[0] == bytes(60_000)
    assert pair.client.closed == pair.server.closed == []


@pytest.mark.parametrize("kinds", KINDS)
def test_the_end_of_a_stream_arrives_after_its_last_byte(kinds: tuple[type[MeshQuic], type[MeshQuic]]) -> None:
    """FIN goes the inherited way and does not overtake what went the short one."""
    pair = Pair(seed=9, loss=0.03, client_kind=kinds[0], server_kind=kinds[1]).established()
    wanted = {0: random.Random(1).randbytes(80_000), 4: b"short"}
    _carry(pair, wanted, end=True)
    pair.run(2.0)
    assert {stream: bytes(data) for stream, data in pair.server.data.items()} == wanted
    assert pair.server.ended == {0, 4}


def test_the_short_path_is_taken_by_nearly_all_packets_of_a_bulk_transfer() -> None:
    """Otherwise the tests above would compare the plain class with itself."""
    pair = Pair().established()
    _carry(pair, {8: bytes(400_000)})
    client, server = pair.client.connection.quic, pair.server.connection.quic
    assert isinstance(client, FastQuic)
    assert isinstance(server, FastQuic)
    assert client.fast_sent > 0.8 * pair.client.connection.packets_sent
    assert server.fast_received > 0.8 * pair.server.connection.packets_received


def test_room_never_lets_more_into_quic_than_the_window() -> None:
    """Handed over and unsent stays within what the congestion window takes, so control never waits inside QUIC."""
    pair = Pair().established()
    connection = pair.client.connection
    for _ in range(300):
        room = connection.room()
        if room > 0:
            connection.write(0, bytes(room))
        assert connection.quic.unsent_bytes() <= connection.quic.window_bytes
        pair.step()


def test_an_idle_connection_stays_up_far_beyond_the_idle_timeout() -> None:
    """A PING after 10 s of silence; ten idle timeouts later it still carries data."""
    pair = Pair().established()
    pair.run(10 * IDLE_TIMEOUT_S)
    pair.client.connection.write(0, b"still here")
    pair.run(1.0)
    assert pair.server.data[0] == b"still here"
    assert pair.sent < 10 * IDLE_TIMEOUT_S / KEEPALIVE_S * 8 + 50


def test_a_cut_wire_ends_the_connection_after_the_idle_timeout() -> None:
    """Silence is noticed even without heartbeats, on both sides."""
    pair = Pair().established()
    pair.cut = True
    pair.run(3 * IDLE_TIMEOUT_S)
    assert pair.client.closed == ["self: Idle timeout"]
    assert pair.server.closed == ["self: Idle timeout"]
    assert pair.client.connection.gone


def test_a_close_reaches_the_peer_with_its_reason_at_once() -> None:
    """The phrase is what the other side shows; the end is told in the first drain, not three timeouts later."""
    pair = Pair().established()
    pair.server.connection.close("trust.expired-leaf: it ended an hour ago")
    pair.step()
    pair.step()
    assert pair.server.closed == ["self: trust.expired-leaf: it ended an hour ago"]
    assert pair.client.closed == ["peer: trust.expired-leaf: it ended an hour ago"]


@pytest.mark.parametrize("end", ["closed by the peer", "broken"])
def test_an_end_in_the_middle_of_a_burst_leaves_nothing_to_be_flushed(
    end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its user flushes a connection in every tick for as long as there is more: that must come to an end with it."""
    pair = Pair().established()
    pair.run(0.5)
    client, server = pair.client.connection, pair.server.connection
    monkeypatch.setattr(client.quic._loss._cc, "congestion_window", 1 << 20)
    monkeypatch.setattr(client.quic.pacer, "_rate", 0.0)
    client.write(0, bytes(500_000))
    assert client.flush(pair.now) and client.more
    if end == "broken":
        monkeypatch.setattr(type(client.quic), "datagrams_to_send", None)
    else:
        server.close("going")
        for _, datagrams in server.flush(pair.now):
            for datagram in datagrams:
                client.receive(datagram, SERVER, pair.now)
    client.flush(pair.now)
    assert client.drain().closed is not None
    assert not client.more


def test_a_lost_close_is_said_again_to_whoever_keeps_sending() -> None:
    """aioquic says CONNECTION_CLOSE once; a peer that missed it would talk to a wall until its idle timeout."""
    pair = Pair().established()
    pair.run(1.0)
    pair.cut = True
    pair.server.connection.close("going")
    pair.step()
    pair.cut = False
    for _ in range(20):
        pair.client.connection.write(0, b"anyone?")
        pair.step()
        if pair.client.closed:
            break
    assert pair.client.closed == ["peer: going"]


def test_close_reasons_are_cut_to_what_fits_a_packet() -> None:
    """A long sentence must not keep the close from being sent."""
    pair = Pair().established()
    pair.client.connection.close("é" * 4_000)
    pair.run(0.1)
    assert pair.server.closed[0].startswith("peer: é")
    assert len(pair.server.closed[0].encode()) <= 210


@pytest.mark.parametrize("kinds", KINDS)
def test_the_keys_are_updated_by_the_dialling_side_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch, kinds: tuple[type[MeshQuic], type[MeshQuic]]
) -> None:
    """aioquic counts no packets; past 4 million, here 50, new keys are asked for, under load and in long silence."""
    monkeypatch.setattr("arqonmesh.net.connection.KEY_UPDATE_PACKETS", 50)
    pair = Pair(seed=3, loss=0.01, client_kind=kinds[0], server_kind=kinds[1]).established()
    phases = set()
    total = 0
    for _ in range(4_000):
        room = min(pair.client.connection.room(), 3_000)
        if room > 0 and total < 600_000:
            pair.client.connection.write(0, bytes(room))
            total += room
        pair.step()
        phases.add(pair.client.connection.quic.key_phase)
    assert len(pair.server.data[0]) == total >= 600_000
    assert phases == {0, 1}
    assert pair.client.closed == pair.server.closed == []


def test_noise_in_the_middle_of_a_connection_is_dropped() -> None:
    """Random bytes, flipped bits of real packets, replays: the stream goes on."""
    pair = Pair(seed=1).established()
    dice = random.Random(5)
    for n in range(200):
        pair.client.connection.write(0, b"%03d" % n)
        for _, datagrams in pair.client.connection.flush(pair.now):
            for datagram in datagrams:
                broken = bytearray(datagram)
                broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
                for data in (bytes(broken), datagram, datagram, dice.randbytes(dice.randrange(1, 1_300))):
                    pair.server.connection.receive(data, CLIENT, pair.now)
        pair.step()
    pair.run(1.0)
    assert pair.server.data[0] == b"".join(b"%03d" % n for n in range(200))
    assert pair.server.closed == []


def test_datagrams_travel_beside_the_streams() -> None:
    """DATAGRAM frames (RFC 9221) need no stream."""
    pair = Pair().established()
    for n in range(5):
        pair.client.connection.send_datagram(b"%d" % n)
    pair.run(0.5)
    assert pair.server.datagrams == [b"%d" % n for n in range(5)]


def test_a_peer_that_sends_far_ahead_of_a_gap_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flow control does not bound what is kept for a stream with a hole in it; we do: 8 MiB, here 200 kB."""
    monkeypatch.setattr("arqonmesh.net.connection.REASSEMBLY_BYTES_MAX", 200_000)
    pair = Pair().established()
    pair.client.connection.write(0, bytes(1_000))
    # The first thousand bytes are counted as sent and never leave.
    pair.client.connection.quic._streams[0].sender._pending.subtract(0, 1_000)
    for _ in range(2_000):
        room = pair.client.connection.room()
        if room > 0:
            pair.client.connection.write(0, bytes(min(room, 60_000)))
        pair.step()
        if pair.server.closed:
            break
    assert pair.server.closed[0].startswith("self: link.reassembly")
    assert not pair.server.data


def test_a_dial_into_silence_repeats_its_first_packets_steadily_and_is_heard_when_the_wire_heals() -> None:
    """Probe timeouts double twice and no more: a wire that heals after 15 s carries the handshake within 0.8 s."""
    pair = Pair()
    pair.cut = True
    healed_at = pair.now + 15.0
    asked: list[float] = []
    while pair.now < healed_at:
        before, at = pair.sent, pair.now
        pair.step()
        if pair.sent > before:
            asked.append(at)
    assert max(later - earlier for earlier, later in itertools.pairwise(asked)) < 1.0
    assert len(asked) < 35, "not for ever as often as at first"
    pair.cut = False
    while not (pair.client.handshakes and pair.server.handshakes):
        pair.step()
    assert pair.now - healed_at < 1.0


@pytest.mark.parametrize("cut_s", [0.05, 0.7, 1.3, 1.9])
def test_a_dial_finds_a_path_that_heals_soon_within_its_next_first_packet(cut_s: float) -> None:
    """Two seconds long one leaves every 0.2 s: the handshake stands a quarter of a second after the cut, whenever."""
    pair = Pair()
    pair.cut = True
    healed_at = pair.now + cut_s
    while pair.client.connection.deadline() is None or pair.now < healed_at - 0.2:
        pair.step()
    pair.now = max(pair.now, healed_at)
    pair.cut = False
    while not (pair.client.handshakes and pair.server.handshakes):
        pair.step()
    assert pair.now - healed_at < 0.25
