"""Whose handshake finds a place when somebody wants them all."""

from __future__ import annotations

import asyncio

import pytest

from arqonmesh.net import doorway, intake
from arqonmesh.net.addresses import host_of, literal_host, network_of
from arqonmesh.net.intake import INITIAL_BYTES_MAX, Accept, Drop, Intake
from arqonmesh.net.tls import PROTOCOLS, configuration
from arqonmesh.net.udp import SockAddr
from tests.net.kit import hall, key, leaf_of, stranger
from tests.net.test_doors import HERE, _initial

FULL = Drop("link.half-open-limit", refused=True)
MEMBER = ("198.51.100.1", 9130)


def members_only(host: str) -> bool:
    return host == MEMBER[0]


def v4(number: int) -> SockAddr:
    return (f"192.0.2.{number}", 4_000)


def v6(network: int, host: int) -> SockAddr:
    return (f"2001:db8:0:{network:x}::{host:x}", 4_000, 0, 0)


def taken(door: Intake, sockaddr: SockAddr, most: int = 1_000) -> int:
    """How many places this address gets."""
    for number in range(most):
        if not isinstance(door.judge(INITIAL, sockaddr, 1.0), Accept):
            return number
        door.opened(sockaddr)
    return most


INITIAL = _initial()[1]


@pytest.mark.parametrize("member", [MEMBER, ("::ffff:198.51.100.1", 9130, 0, 0)])
def test_two_addresses_that_never_finish_leave_a_member_its_place(member: SockAddr) -> None:
    """However many places strangers take, half of them are for addresses where members are."""
    door = Intake(retry_above=1_000, member_host=members_only)
    assert [taken(door, v4(1)), taken(door, v4(2)), taken(door, v4(3))] == [64, 64, 0]
    assert taken(door, member) == 128
    assert door.half_open == 256
    assert door.judge(INITIAL, member, 1.0) == FULL


def test_where_a_link_stood_a_member_is() -> None:
    """A spoke behind a router tells no address; after a cut the whole site knocks from one."""
    door = Intake(retry_above=1_000)
    door.linked(v4(9))
    assert [taken(door, v4(1)), taken(door, v4(2))] == [64, 64]
    assert taken(door, v4(9)) == 128


def test_addresses_of_old_links_are_forgotten_in_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one whose link was made longest ago first."""
    monkeypatch.setattr(intake, "HOSTS_MAX", 2)
    door = Intake()
    for number in (1, 2, 1, 3):
        door.linked(v4(number))
    assert [door.opened(v4(number)).known for number in (1, 2, 3)] == [True, False, True]


def test_the_addresses_of_one_ipv6_network_count_as_one() -> None:
    """Whoever has one address of a /64 has all 2^64."""
    door = Intake(retry_above=1_000)
    assert sum(taken(door, v6(1, host), 1) for host in range(1, 200)) == 64
    assert taken(door, v6(2, 1)) == 64


def test_a_place_that_is_settled_is_free_again_whatever_was_learned_meanwhile() -> None:
    """It goes back to where it was taken from."""
    door = Intake(half_open_max=4)
    place = door.opened(HERE)
    door.linked(HERE)
    known = door.opened(HERE)
    assert (door.half_open, door.unknown) == (2, 1)
    door.settled(place)
    door.settled(known)
    assert (door.half_open, door.unknown) == (0, 0)
    assert taken(door, v4(1)) == 2


def test_hosts_are_compared_as_addresses_and_not_as_text() -> None:
    """Scopes, mapped IPv4 and spellings of one address."""
    assert host_of(("fe80::1%eth0", 1, 0, 2)) == "fe80::1" == literal_host("[FE80:0::1%eth0]:9130")
    assert host_of(("::ffff:192.0.2.1", 1, 0, 0)) == "192.0.2.1" == literal_host("quic://192.0.2.1:9130")
    assert literal_host("hub.example:9130") is literal_host("nonsense") is None
    assert network_of("2001:db8::1") == network_of("2001:db8::2") != network_of("2001:db8:0:1::1")


def test_a_first_datagram_longer_than_any_node_sends_is_not_one() -> None:
    """It would be kept until its turn."""
    long = INITIAL + bytes(INITIAL_BYTES_MAX - len(INITIAL))
    assert Intake().judge(long + b"\x00", HERE, 1.0) == Drop("drop.unknown-connection")
    assert isinstance(Intake().judge(long, HERE, 1.0), Accept)


def test_the_largest_datagram_size_fits() -> None:
    """`links.max_datagram_size` at its largest makes a first datagram that is taken."""
    quic = type(_initial()[0])(
        configuration=configuration(
            leaf_of(key(1)), is_client=True, protocols=[PROTOCOLS.mesh], max_datagram_size=INITIAL_BYTES_MAX
        )
    )
    quic.connect(HERE, 1.0)
    assert isinstance(Intake().judge(quic.datagrams_to_send(1.0)[0][0], HERE, 1.0), Accept)


async def test_at_a_crowded_door_a_handshake_that_takes_seconds_gives_up_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its time is not the whole of handshake_ms then; the next newcomer has the place."""
    monkeypatch.setattr(doorway, "UNKNOWN_S", 0.05)
    async with hall() as made:
        door = Intake(half_open_max=2)
        good, late = made.member(1, intake=door, handshake_s=60.0), made.member(2)
        made.ids.add(key(4).node_id)
        async with stranger(good, leaf=leaf_of(key(4))) as knocking:
            await good.heard.until(lambda: door.unknown == 1)
            await asyncio.sleep(0.06)  # what is looked at is how long a real handshake has taken
            late.endpoint.want(good.id, (good.at,))
            await good.heard.until(lambda: late.linked(good) and good.linked(late))
            assert good.heard.refusals["link.handshake-timeout"] == 1
            await knocking.until(lambda: knocking.told.startswith("link.handshake-timeout: "))
            assert door.unknown == door.half_open == 0
