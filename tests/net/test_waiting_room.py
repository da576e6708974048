"""Strangers wait for their turn on a real loop; the room is bounded and a repeated first datagram is one stranger."""

from __future__ import annotations

import asyncio

import pytest

from arqonmesh.net import dialling, waiting_room
from arqonmesh.net.intake import Accept, Intake, Place
from arqonmesh.net.udp import PathAddr
from arqonmesh.net.waiting_room import BYTES_MAX, DATAGRAMS_MAX, Stranger, WaitingRoom
from tests.net.kit import Hall, hall
from tests.waiting import until

PATH: PathAddr = (("192.0.2.1", 9130), None)
HERE = Place("192.0.2.1", known=False)


def _id(n: int) -> bytes:
    return n.to_bytes(8, "big")


async def test_one_stranger_is_let_in_per_turn_of_the_loop_and_in_order() -> None:
    """Between two handshakes the loop serves whatever else is ready."""
    order: list[str] = []
    loop = asyncio.get_running_loop()

    def let_in(stranger: Stranger) -> None:
        order.append(stranger.datagrams[0].decode())
        loop.call_soon(order.append, "a link")

    room = WaitingRoom(loop, let_in)
    for n in range(3):
        assert room.take(Accept(_id(n), None), HERE, _id(n), str(n).encode(), PATH)
    assert order == []
    await until(lambda: len(order) == 6)
    assert order[0] == "0"
    assert order.index("a link") < order.index("2")
    assert [name for name in order if name != "a link"] == ["0", "1", "2"]


async def test_what_a_waiting_stranger_repeats_is_kept_with_it_and_bounded() -> None:
    """A second part of its ClientHello is needed; a hundred copies are not."""
    came: list[Stranger] = []
    room = WaitingRoom(asyncio.get_running_loop(), came.append)
    room.take(Accept(_id(1), None), HERE, _id(1), b"first", PATH)
    assert all(room.knows(_id(1), b"\xc0 copy %d" % n, PATH) for n in range(100))
    assert room.knows(_id(1), b"forged", (("192.0.2.66", 1), None)), "another address with this id is nobody new"
    assert not room.knows(_id(2), b"first", PATH)
    await asyncio.sleep(0)
    (stranger,) = came
    assert stranger.datagrams == [b"first", b"\xc0 copy 0", b"\xc0 copy 1", b"\xc0 copy 2"]
    assert len(stranger.datagrams) == DATAGRAMS_MAX


async def test_of_a_waiting_stranger_only_what_a_handshake_needs_is_kept() -> None:
    """Packets with long headers, and together no more than the largest datagram that a node may be set to send."""
    came: list[Stranger] = []
    room = WaitingRoom(asyncio.get_running_loop(), came.append)
    room.take(Accept(_id(1), None), HERE, _id(1), b"\xc0" * 1_200, PATH)
    for more in (b"\x40" * 1_200, b"\xc0" * (BYTES_MAX - 1_199), b"\xc0" * (BYTES_MAX - 1_200), b"\xc0"):
        assert room.knows(_id(1), more, PATH)
    await asyncio.sleep(0)
    assert [len(datagram) for datagram in came[0].datagrams] == [1_200, BYTES_MAX - 1_200]


async def test_a_full_room_takes_nobody_and_a_closed_one_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever finds no place is refused at the door, not forgotten inside."""
    monkeypatch.setattr(waiting_room, "WAITING_MAX", 2)
    came: list[Stranger] = []
    room = WaitingRoom(asyncio.get_running_loop(), came.append)
    assert [room.take(Accept(_id(n), None), HERE, _id(n), b"", PATH) for n in range(3)] == [True, True, False]
    room.close()
    await asyncio.sleep(0)
    assert not came
    assert not len(room)


async def test_a_mesh_that_knocks_at_once_gets_in_with_one_handshake_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty dials in one tick: each becomes a link, and no repeated datagram opened a second connection. Nobody gives
    up a first dial and begins anew, however slow the machine is."""
    monkeypatch.setattr(dialling, "DIAL_S", 10.0)
    intake = Intake()
    async with hall() as made:
        gate = made.member(1, intake=intake)
        others = [made.member(n, handshake_s=30.0) for n in range(2, 22)]
        for other in others:
            other.endpoint.want(gate.id, (gate.at,))
        await gate.heard.until(lambda: _all_linked(made), within_s=30)
        assert gate.heard.refusals == {}
        assert [event[0] for event in gate.heard.events] == ["up"] * len(others)
        assert intake.half_open == 0


def _all_linked(made: Hall) -> bool:
    gate, *others = made.members
    return all(gate.linked(other) for other in others)
