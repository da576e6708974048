"""The small doors: the intake, the socket, addresses, the Hello, and the check of aioquic's private names."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest
from aioquic import tls
from aioquic._buffer import Buffer
from aioquic.quic.packet import pull_quic_header
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.errors import ArqonError, ConfigError, PeerError, TrustError
from arqonmesh.net import addresses, quic_core
from arqonmesh.net.addresses import is_address, known_sockaddr, look_up, parse_address, show_address
from arqonmesh.net.hello import LocalNode, make_hello, read_hello
from arqonmesh.net.intake import Accept, Answer, Drop, Intake
from arqonmesh.net.quic_core import MeshQuic
from arqonmesh.net.quic_fast import FastQuic, quic_class
from arqonmesh.net.tls import PROTOCOLS, configuration
from arqonmesh.net.udp import READS_PER_WAKEUP, STALE_NS, PathAddr, UdpSocket, _equal_runs
from arqonmesh.trust.certificates import LeafIdentity, verify_chain
from tests.net.kit import CLUSTER, MESH, key, leaf_of, wall_ms

HERE = ("192.0.2.7", 4_000)


def _initial() -> tuple[MeshQuic, bytes]:
    quic = MeshQuic(
        configuration=configuration(
            leaf_of(key(1)), is_client=True, protocols=[PROTOCOLS.mesh], max_datagram_size=1_200
        )
    )
    quic.connect(HERE, 1.0)
    return quic, quic.datagrams_to_send(1.0)[0][0]


# --- intake -----------------------------------------------------------------------------------------------


@given(st.binary(max_size=1_500))
def test_noise_is_dropped_or_answered_with_less_than_it_brought(data: bytes) -> None:
    """No datagram raises, none makes us send more than it was long."""
    verdict = Intake().judge(data or b"\x00", HERE, 1.0)
    assert isinstance(verdict, Accept | Drop) or len(verdict.datagram) < len(data)


def test_a_first_datagram_is_accepted_a_short_one_is_not() -> None:
    """RFC 9000, 14.1: 1,200 bytes at least."""
    _, initial = _initial()
    assert isinstance(Intake().judge(initial, HERE, 1.0), Accept)
    assert Intake().judge(initial[:1_100], HERE, 1.0) == Drop("drop.unknown-connection")


def test_an_unknown_version_is_answered_with_ours() -> None:
    """RFC 9000, 6: Version Negotiation, and no state."""
    _, initial = _initial()
    verdict = Intake().judge(initial[:1] + b"\x0a\x0a\x0a\x0a" + initial[5:], HERE, 1.0)
    assert isinstance(verdict, Answer)
    assert pull_quic_header(Buffer(data=verdict.datagram)).supported_versions == [1]


def test_a_retry_token_is_good_for_its_address_and_its_time() -> None:
    """Above the mark a newcomer is asked to show that it receives; the token fits no other address and ages."""
    intake = Intake(retry_above=0)
    quic, initial = _initial()
    verdict = intake.judge(initial, HERE, 1.0)
    assert isinstance(verdict, Answer)
    quic.receive_datagram(verdict.datagram, HERE, 1.1)
    again = quic.datagrams_to_send(1.1)[0][0]
    accepted = intake.judge(again, HERE, 1.2)
    assert isinstance(accepted, Accept)
    assert accepted.retry_source is not None
    assert intake.judge(again, ("192.0.2.8", 4_000), 1.2) == Drop("drop.bad-token")
    assert intake.judge(again, HERE, 40.0) == Drop("drop.bad-token")


# --- the socket -------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 1_500), max_size=300))
def test_runs_for_segmented_sends_keep_the_order_and_the_kernels_rules(sizes: list[int]) -> None:
    """Equal sizes, only the last one shorter, at most 64 and 65,000 bytes per run."""
    datagrams = [bytes((n % 251,)) * size for n, size in enumerate(sizes)]
    runs = _equal_runs(datagrams)
    assert [datagram for run in runs for datagram in run] == datagrams
    for run in runs:
        assert len(run) <= 64
        assert sum(map(len, run)) <= 65_000
        assert {len(datagram) for datagram in run[:-1]} <= {len(run[0])}
        assert len(run[-1]) <= len(run[0])


async def _exchange(sender: UdpSocket, receiver: UdpSocket, datagrams: list[bytes]) -> list[bytes]:
    loop = asyncio.get_running_loop()
    came: list[bytes] = []
    done = asyncio.Event()

    def readable() -> None:
        receiver.receive(lambda data, path: came.append(data))
        if len(came) >= len(datagrams):
            done.set()

    receiver.attach(loop, readable)
    sender.attach(loop, lambda: None)
    sender.send(datagrams, (receiver.address, None))
    async with asyncio.timeout(5):
        await done.wait()
    sender.close()
    receiver.close()
    return came


@pytest.mark.parametrize("out", [True, False])
@pytest.mark.parametrize("into", [True, False])
async def test_segmented_and_plain_sockets_carry_the_same_datagrams(out: bool, into: bool) -> None:
    """What differs is the number of system calls."""
    sender = UdpSocket("127.0.0.1", 0, segmented_out=out)
    receiver = UdpSocket("127.0.0.1", 0, segmented_in=into)
    datagrams = [bytes((n,)) * (1_200 if n % 20 else 700) for n in range(100)]
    assert await _exchange(sender, receiver, datagrams) == datagrams


async def test_a_route_that_refuses_segments_is_served_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments larger than the device's packets are refused by the kernel: the plain path takes over, remembered."""
    sender, receiver = UdpSocket("127.0.0.1", 0), UdpSocket("127.0.0.1", 0)
    if not sender.segments_out:
        pytest.skip("this kernel has no UDP_SEGMENT")
    # 65 segments are one more than any kernel before 6.9 takes; 129 are too many for every one.
    monkeypatch.setattr("arqonmesh.net.udp.SEGMENTS_MAX", 400)
    datagrams = [bytes((n % 250,)) * 100 for n in range(400)]
    assert await _exchange(sender, receiver, datagrams) == datagrams
    assert sender.counters["send.unsegmented"] == 1


async def test_an_unreachable_destination_is_lost_and_counted() -> None:
    """The network's refusal is weather."""
    made = UdpSocket("127.0.0.1", 0)
    made.send([b"x"], (("203.0.113.1", 9), None))
    assert sum(made.counters.values()) == 1
    made.close()


async def test_an_icmp_error_does_not_stop_the_reader() -> None:
    """A datagram to a closed port comes back as an error of some read; what comes after it is still read."""
    made, closed = UdpSocket("127.0.0.1", 0), UdpSocket("127.0.0.1", 0)
    gone: PathAddr = (closed.address, None)
    closed.close()
    other = UdpSocket("127.0.0.1", 0)
    for _ in range(3):
        made.send([b"anyone?"], gone)
    assert await _exchange(other, made, [b"still reading"]) == [b"still reading"]


def test_a_taken_port_is_a_sentence_with_a_hint() -> None:
    """`link.listen` says which address, and what to do."""
    first = UdpSocket("127.0.0.1", 0)
    with pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.0\.1") as error:
        UdpSocket("127.0.0.1", first.address[1])
    assert error.value.code == "link.listen"
    assert "ss -ulnp" in error.value.hint
    first.close()


def test_the_socket_asks_for_large_buffers() -> None:
    """4 MiB each way; the kernel says what it granted."""
    made = UdpSocket("127.0.0.1", 0)
    assert min(made.buffer_bytes) >= 200_000
    made.close()


# --- addresses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.1:9130", "10.0.0.1", 9130),
        ("quic://factory.example:1", "factory.example", 1),
        ("[::1]:65535", "::1", 65_535),
        ("quic://[fe80::1%eth0]:9130", "fe80::1%eth0", 9130),
    ],
)
def test_addresses_are_read_as_people_write_them(text: str, host: str, port: int) -> None:
    """HOST:PORT, [V6]:PORT, with or without quic://."""
    assert parse_address(text) == (host, port)


@pytest.mark.parametrize(
    "text", ["", "host", ":1", "host:", "host:99999", "::1:5", "host:1x", "http://h:1", "h:" + "9" * 5_000]
)
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    """`link.address`, and never another exception."""
    with pytest.raises(ConfigError) as error:
        parse_address(text)
    assert error.value.code == "link.address"
    assert not is_address(text)


@given(st.text(max_size=40))
def test_no_text_breaks_the_address_parser(text: str) -> None:
    """Addresses arrive from other nodes."""
    is_address(text)


def test_ipv6_on_an_ipv4_socket_is_explained() -> None:
    """The person is told which setting to change."""
    with pytest.raises(PeerError, match="IPv4 only") as error:
        known_sockaddr("[::1]:1", socket.AF_INET)
    assert error.value.code == "link.family"
    assert known_sockaddr("127.0.0.1:5", socket.AF_INET6) == ("::ffff:127.0.0.1", 5, 0, 0)
    assert show_address(("::ffff:127.0.0.1", 5, 0, 0)) == "127.0.0.1:5"
    assert show_address(("::1", 5, 0, 0)) == "[::1]:5"


@pytest.mark.parametrize("name", ["x" * 64 + ".invalid", "a..b", "a\0b", "name.invalid"])
async def test_a_name_without_an_address_is_told_like_any_other(name: str) -> None:
    """Names come from other nodes: whatever the resolver says to one, the wish for it goes on."""
    with pytest.raises(PeerError) as error:
        await look_up(f"{name}:1", socket.AF_INET)
    assert error.value.code == "link.name"


def test_an_interface_that_is_not_there_is_told() -> None:
    """A link-local address of another machine names an interface of that machine."""
    with pytest.raises(PeerError) as error:
        known_sockaddr("[fe80::1%nowhere0]:1", socket.AF_INET6)
    assert error.value.code == "link.name"


async def test_a_resolver_that_hangs_keeps_nothing_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look-ups beyond the bound fail at once, and the loop's own threads are free for the store."""
    answering = threading.Event()

    def hang(*arguments: object) -> list[tuple[object, ...]]:
        answering.wait(10)
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("192.0.2.7", 1))]

    monkeypatch.setattr("socket.getaddrinfo", hang)
    waiting = [asyncio.create_task(look_up("a.example:1", socket.AF_INET)) for _ in range(addresses.LOOK_UPS_MAX)]
    await asyncio.sleep(0)
    try:
        with pytest.raises(PeerError, match="has to wait"):
            await look_up("b.example:1", socket.AF_INET)
        async with asyncio.timeout(5):
            await asyncio.to_thread(threading.get_ident)
    finally:
        answering.set()
    assert set(await asyncio.gather(*waiting)) == {("192.0.2.7", 1)}


# --- Hello ------------------------------------------------------------------------------------------------

LOCAL = LocalNode(key=key(2), cluster=CLUSTER, boot_epoch=7, software="test/1", capabilities=("federation/1",))
BINDING = bytes(range(32))


def _identity() -> LeafIdentity:
    return verify_chain(leaf_of(key(2)).chain_der, wall_ms(), 0)


def _made() -> bytes:
    return make_hello(LOCAL, mesh_id=MESH, peer=key(1).node_id, channel_binding=BINDING, wall_ms=5)


def test_a_hello_says_who_and_what_and_is_read_back() -> None:
    """Versions, mesh, cluster, epoch, clock, capabilities, software."""
    hello, version = read_hello(
        _made(), identity=_identity(), local=key(1).node_id, mesh_id=MESH, channel_binding=BINDING
    )
    assert version == 2
    assert (hello.node_id, hello.boot_epoch, hello.wall_ms) == (key(2).node_id, 7, 5)
    assert hello.capabilities == ("federation/1",)


def test_a_hello_fits_one_connection_and_one_receiver() -> None:
    """Neither replayed on another TLS session nor relayed to another node nor reflected."""
    for local, binding in ((key(3).node_id, BINDING), (key(2).node_id, BINDING), (key(1).node_id, bytes(32))):
        with pytest.raises(TrustError) as error:
            read_hello(_made(), identity=_identity(), local=local, mesh_id=MESH, channel_binding=binding)
        assert error.value.code == "trust.hello-signature"


@given(st.data())
def test_no_changed_byte_of_a_hello_goes_unnoticed(data: st.DataObject) -> None:
    """Any flipped bit is refused, with an error of ours."""
    made = bytearray(_made())
    made[data.draw(st.integers(0, len(made) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ArqonError):
        read_hello(bytes(made), identity=_identity(), local=key(1).node_id, mesh_id=MESH, channel_binding=BINDING)


# --- aioquic's private names ------------------------------------------------------------------------------


def test_the_self_check_passes_on_the_pinned_aioquic() -> None:
    """A handshake in memory with certificates both ways."""
    quic_core.self_check()
    quic_core.self_check(FastQuic)


def test_the_fast_class_is_used_only_with_the_aioquic_it_was_written_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """With another release the library's own way is taken for every packet."""
    assert quic_class(fast=True) is FastQuic
    assert quic_class(fast=False) is MeshQuic
    monkeypatch.setattr("arqonmesh.net.quic_fast.TESTED_VERSIONS", ("1.0",))
    assert quic_class(fast=True) is MeshQuic


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("_request_client_certificate", "does not see the client's certificates"),
        ("_peer_certificate", "does not behave"),
    ],
)
def test_an_aioquic_that_changed_a_name_is_refused_in_a_sentence(
    name: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would be a mesh without authentication is a start that fails, with the version to install."""
    monkeypatch.setattr(tls.Context, name, property(lambda self: None, lambda self, value: None), raising=False)
    with pytest.raises(ConfigError, match=says) as error:
        quic_core.self_check()
    assert error.value.code == "link.quic-core"
    assert "aioquic>=1.7.2" in error.value.hint


async def test_what_waited_too_long_in_the_kernel_is_dropped_and_what_is_fresh_is_read() -> None:
    """A starved node must not work on what is seconds old while its peers wait for an answer to what is new."""
    late_ns = 0
    sender = UdpSocket("127.0.0.1", 0)
    receiver = UdpSocket("127.0.0.1", 0, wall_ns=lambda: time.time_ns() + late_ns)
    try:
        path: PathAddr = (receiver.address, None)
        old = 3 * READS_PER_WAKEUP
        for _ in range(old):
            sender.send([b"a heartbeat of long ago"], path)
        late_ns = 2 * STALE_NS
        seen: list[bytes] = []
        assert receiver.receive(lambda datagram, _: seen.append(datagram)) == 0
        assert receiver.counters["receive.stale"] == old
        late_ns = 0
        sender.send([b"new"], path)
        assert receiver.receive(lambda datagram, _: seen.append(datagram)) == 1
        assert seen == [b"new"]
        assert receiver.counters["receive.stale"] == old
    finally:
        sender.close()
        receiver.close()
