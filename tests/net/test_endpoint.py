"""Real endpoints on loopback: links that come up, collapse, fall, come back, and carry what they are given."""

from __future__ import annotations

import asyncio
import random
import socket

import pytest

from arqonmesh.core.kernel import Lane
from arqonmesh.ids import NodeId
from arqonmesh.net.api import Endpoint
from arqonmesh.net.dialling import DIAL_S, TURN_S, dial_patience_s
from arqonmesh.net.endpoint import QuicEndpoint
from arqonmesh.net.lanes import QUEUE_BYTES_MAX
from arqonmesh.wire.messages import MAX_DATAGRAM_BYTES, MAX_FRAME_BYTES
from tests.net.kit import Member, hall, key, leaf_of


@pytest.mark.requirement("R-TR-1")
@pytest.mark.requirement("R-TR-4")
async def test_two_members_link_and_frames_go_both_ways_on_every_lane() -> None:
    """One dial, one link; each lane delivers what was sent on it."""
    async with hall() as made:
        a, b = made.member(1), made.member(2)
        await made.linked(a, b)
        for lane in Lane:
            assert a.endpoint.send(b.id, lane, b"to b %d" % lane)
            assert b.endpoint.send(a.id, lane, b"to a %d" % lane)
        await b.heard.until(lambda: len(b.heard.frames) == 4)
        await a.heard.until(lambda: len(a.heard.frames) == 4)

        assert sorted(b.heard.frames) == sorted((a.id, lane, b"to b %d" % lane) for lane in Lane)
        assert sorted(a.heard.frames) == sorted((b.id, lane, b"to a %d" % lane) for lane in Lane)
        assert a.endpoint.links()[b.id].outbound
        assert not b.endpoint.links()[a.id].outbound
        assert a.endpoint.links()[b.id].software == "test/1"


async def test_a_link_up_is_told_once_on_both_sides_and_before_any_frame() -> None:
    """The listener hears `up`, then frames."""
    async with hall() as made:
        a, b = made.member(1), made.member(2)
        await made.linked(a, b)
        assert [event[:2] for event in a.heard.events] == [("up", b.id)]
        assert [event[:2] for event in b.heard.events] == [("up", a.id)]
        assert a.endpoint.dials()[0].state == "up"


async def test_a_wish_without_a_name_learns_its_peer() -> None:
    """`arqon link add quic://HOST:PORT` knows an address only."""
    async with hall() as made:
        a, b = made.member(1), made.member(2)
        a.endpoint.want(None, (f"quic://{b.at}",))
        await a.heard.until(lambda: a.linked(b))
        (dial,) = a.endpoint.dials()
        assert (dial.peer, dial.state, dial.address) == (b.id, "up", f"quic://{b.at}")


@pytest.mark.requirement("R-TR-4")
@pytest.mark.parametrize("seed", range(12))
async def test_simultaneous_dials_collapse_to_one_link_and_lose_nothing(seed: int) -> None:
    """Both dial at once and send as soon as they may: one connection remains, every frame arrives once, in order."""
    async with hall() as made:
        dice = random.Random(seed)
        a, b = made.member(2 * seed + 1), made.member(2 * seed + 2)
        sent: dict[str, list[bytes]] = {a.id: [], b.id: []}

        def keep_sending(member: Member, peer: Member) -> None:
            for _ in range(dice.randrange(6)):
                data = b"%d" % len(sent[member.id])
                if member.endpoint.send(peer.id, Lane.PRIORITY, data):
                    sent[member.id].append(data)

        first, second = (a, b) if seed % 2 else (b, a)
        first.endpoint.want(second.id, (second.at,))
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
        second.endpoint.want(first.id, (first.at,))
        for _ in range(200):
            keep_sending(a, b)
            keep_sending(b, a)
            await asyncio.sleep(0.000_2)
        for member in (a, b):
            member.endpoint.send((b if member is a else a).id, Lane.PRIORITY, b"end")
        await a.heard.until(lambda: b"end" in a.heard.data())
        await b.heard.until(lambda: b"end" in b.heard.data())

        assert a.heard.data() == [*sent[b.id], b"end"]
        assert b.heard.data() == [*sent[a.id], b"end"]
        await a.heard.until(lambda: _open(a) == _open(b) == 1)
        assert a.endpoint.links()[b.id].outbound != b.endpoint.links()[a.id].outbound
        assert [event[0] for event in a.heard.events] == ["up"]
        assert [event[0] for event in b.heard.events] == ["up"]


def _open(member: Member) -> int:
    return sum(not entry.connection.quic.ending for entry in member.endpoint._traffic.entries)


async def test_a_dial_to_a_linked_peer_gives_way_without_disturbing_the_link() -> None:
    """B dials A although A's link stands: B's wish is fulfilled by it, and nobody hears of a change."""
    async with hall() as made:
        a, b = made.member(1), made.member(2)
        await made.linked(a, b)
        b.endpoint.want(None, (a.at,))
        await b.heard.until(lambda: b.endpoint.dials()[0].state == "up")
        assert [event[0] for event in a.heard.events] == ["up"]
        assert [event[0] for event in b.heard.events] == ["up"]


async def test_a_restarted_peer_replaces_its_old_link_at_once() -> None:
    """Same key, higher boot epoch, another port, no word of farewell: down, then up, without waiting for a timeout."""
    async with hall() as made:
        a, b = made.member(1), made.member(2)
        await made.linked(b, a)
        b.crash()
        reborn = made.member(2, boot_epoch=2)
        reborn.endpoint.want(a.id, (a.at,))
        await a.heard.until(lambda: len(a.heard.events) == 3, within_s=2)
        assert [event[:2] for event in a.heard.events] == [("up", b.id), ("down", b.id), ("up", b.id)]
        assert "replaced" in a.heard.events[1][2]
        a.endpoint.send(b.id, Lane.CONTROL, b"hello again")
        await reborn.heard.until(lambda: reborn.heard.data() == [b"hello again"])


async def test_a_restarted_peer_that_was_dialled_replaces_the_link_too() -> None:
    """A dialled B; B restarts and dials A: the boot epoch says that A's own connection is dead."""
    async with hall() as made:
        a, b = made.member(1), made.member(2)
        await made.linked(a, b)
        b.crash()
        reborn = made.member(2, boot_epoch=2)
        reborn.endpoint.want(a.id, (a.at,))
        await a.heard.until(lambda: len(a.heard.events) == 3, within_s=2)
        assert [event[0] for event in a.heard.events] == ["up", "down", "up"]
        assert not a.endpoint.links()[b.id].outbound


@pytest.mark.requirement("R-TR-7")
async def test_a_wish_dials_again_until_the_peer_is_back_and_shows_how_it_stands() -> None:
    """State, attempt, last error and next try are visible; the first listener at the address gets the link."""
    async with hall() as made:
        a, b = made.member(1), made.member(2, handshake_s=0.2)
        await made.linked(a, b)
        port = b.endpoint.address[1]
        await b.endpoint.close("going home")
        await a.heard.until(lambda: len(a.heard.events) == 2)
        assert a.heard.events[1] == ("down", b.id, "closed by the peer: going home")
        (dial,) = a.endpoint.dials()
        assert dial.state in ("waiting", "dialling")
        assert dial.last_error == "closed by the peer: going home"
        made.member(2, boot_epoch=2, listen=f"127.0.0.1:{port}")
        await a.heard.until(lambda: a.linked(b))
        assert a.endpoint.dials()[0].attempt >= 2


async def test_an_address_where_nobody_answers_is_shown_as_such() -> None:
    """Silence is an error like any other: a sentence, an attempt count and a next try."""
    async with hall() as made:
        a, gone = made.member(1, handshake_s=0.05), made.member(2)
        at = gone.at
        gone.crash()
        a.endpoint.want(None, (at,))
        await a.heard.until(lambda: a.endpoint.dials()[0].attempt >= 3)
        (dial,) = a.endpoint.dials()
        assert dial.last_error == f"not reached: link.handshake-timeout: no answer from {at} in 0.05 s"
        assert dial.next_try_in_s is None or 0 <= dial.next_try_in_s <= 0.2


async def test_several_addresses_of_a_peer_are_tried_in_turn() -> None:
    """The first address is dead; the second one leads to the link."""
    async with hall() as made:
        a, b, gone = made.member(1, handshake_s=0.05), made.member(2), made.member(3)
        gone.crash()
        a.endpoint.want(b.id, (gone.at, b.at))
        await a.heard.until(lambda: a.linked(b))
        assert a.endpoint.dials()[0].address == b.at


async def test_a_forgotten_wish_is_dialled_no_more_and_its_link_stays() -> None:
    """`forget` ends the wish; `disconnect` ends the link."""
    async with hall() as made:
        a, b = made.member(1), made.member(2)
        await made.linked(a, b)
        a.endpoint.forget(b.id)
        assert a.endpoint.dials() == []
        assert a.linked(b)
        a.endpoint.disconnect(b.id, "operator: no longer wanted")
        await b.heard.until(lambda: not b.linked(a))
        assert b.heard.events[-1] == ("down", a.id, "closed by the peer: operator: no longer wanted")
        assert a.heard.events[-1] == ("down", b.id, "closed here: operator: no longer wanted")


@pytest.mark.requirement("R-ID-4")
@pytest.mark.requirement("R-ID-5")
async def test_rotating_the_leaf_under_traffic_costs_no_link_and_no_frame() -> None:
    """Links keep the leaf they were made with; the next handshake shows the new one."""
    async with hall() as made:
        a, b, c = made.member(1), made.member(2), made.member(3)
        await made.linked(a, b)
        fresh = leaf_of(key(1))
        for n in range(200):
            a.endpoint.send(b.id, Lane.BULK, b"%d" % n)
            if n == 100:
                a.endpoint.rotate(fresh)
            await asyncio.sleep(0)
        await b.heard.until(lambda: len(b.heard.frames) == 200)
        assert b.heard.data() == [b"%d" % n for n in range(200)]
        assert [event[0] for event in b.heard.events] == ["up"]

        await made.linked(a, c)
        (entry,) = c.endpoint._traffic.entries
        assert entry.connection.quic.peer_chain() == fresh.chain_der


@pytest.mark.requirement("R-TR-10")
@pytest.mark.requirement("R-TR-15")
async def test_control_is_not_held_up_by_megabytes_of_bulk() -> None:
    """6 MB of bulk are queued first; control frames sent afterwards arrive among its first tenth."""
    async with hall() as made:
        a, b = made.member(1), made.member(2)
        await made.linked(a, b)
        for _ in range(100):
            assert a.endpoint.send(b.id, Lane.BULK, bytes(60_000))
        await b.heard.until(lambda: len(b.heard.frames) >= 1)
        for n in range(5):
            assert a.endpoint.send(b.id, Lane.CONTROL, b"urgent %d" % n)
        await b.heard.until(lambda: len(b.heard.frames) == 105, within_s=20)
        lanes = [lane for _, lane, _ in b.heard.frames]
        last_control = max(index for index, lane in enumerate(lanes) if lane is Lane.CONTROL)
        assert last_control < 20


@pytest.mark.requirement("R-TR-10")
@pytest.mark.parametrize("who", ["dialling", "listening", "both"])
async def test_a_link_collapsed_to_one_lane_keeps_the_lanes_apart_for_the_listener(who: str) -> None:
    """`lanes = 1` on either side: one stream, and every frame is still delivered under its own lane."""
    async with hall() as made:
        a = made.member(1, one_lane=who in ("dialling", "both"))
        b = made.member(2, one_lane=who in ("listening", "both"))
        await made.linked(a, b)
        for n in range(30):
            lane = (Lane.CONTROL, Lane.PRIORITY, Lane.BULK)[n % 3]
            assert a.endpoint.send(b.id, lane, b"%d" % n)
            assert b.endpoint.send(a.id, lane, b"%d" % n)
        await a.heard.until(lambda: len(a.heard.frames) == 30)
        await b.heard.until(lambda: len(b.heard.frames) == 30)
        for heard in (a.heard, b.heard):
            for index, lane in enumerate((Lane.CONTROL, Lane.PRIORITY, Lane.BULK)):
                assert heard.data(lane) == [b"%d" % n for n in range(index, 30, 3)]


@pytest.mark.requirement("R-TR-18")
async def test_a_slow_peer_costs_a_bounded_queue_and_a_no() -> None:
    """A peer that reads nothing: `send` says no when the lane is full, and says why in a counter."""
    async with hall() as made:
        a, b = made.member(1), made.member(2)
        await made.linked(a, b)
        b.endpoint._loop.remove_reader(b.endpoint._udp._socket.fileno())
        accepted = 0
        while a.endpoint.send(b.id, Lane.BULK, bytes(100_000)):
            accepted += 1
            assert accepted < 200
            await asyncio.sleep(0)
        assert QUEUE_BYTES_MAX - 200_000 <= a.endpoint.backlog(b.id) <= QUEUE_BYTES_MAX
        assert a.endpoint.counters["lane.full.bulk"] == 1
        assert a.endpoint.send(b.id, Lane.CONTROL, b"control has its own queue")
        b.crash()
        a.endpoint.disconnect(b.id, "too slow")


async def test_what_is_too_large_for_its_lane_is_refused() -> None:
    """A datagram that fits no packet would block all later ones for ever; it is never handed over."""
    async with hall() as made:
        a, b = made.member(1), made.member(2)
        await made.linked(a, b)
        assert not a.endpoint.send(b.id, Lane.DATAGRAM, bytes(MAX_DATAGRAM_BYTES + 1))
        assert not a.endpoint.send(b.id, Lane.BULK, bytes(MAX_FRAME_BYTES + 1))
        assert a.endpoint.send(b.id, Lane.DATAGRAM, bytes(MAX_DATAGRAM_BYTES))
        assert a.endpoint.send(b.id, Lane.BULK, bytes(MAX_FRAME_BYTES))
        await b.heard.until(lambda: len(b.heard.frames) == 2)
        assert {len(data) for data in b.heard.data()} == {MAX_DATAGRAM_BYTES, MAX_FRAME_BYTES}


@pytest.mark.parametrize("segmented", [(True, True), (True, False), (False, True), (False, False)])
async def test_the_plain_path_delivers_what_the_segmented_one_does(segmented: tuple[bool, bool]) -> None:
    """GSO and GRO on or off at either end: the same bytes, in order."""
    async with hall() as made:
        a, b = made.member(1, segmented=segmented[0]), made.member(2, segmented=segmented[1])
        assert segmented[0] or a.endpoint.segments == (False, False)
        await made.linked(a, b)
        dice = random.Random(7)
        frames = [dice.randbytes(dice.randrange(1, 20_000)) for _ in range(200)]
        for data in frames:
            assert a.endpoint.send(b.id, Lane.BULK, data)
        await b.heard.until(lambda: len(b.heard.frames) == 200, within_s=20)
        assert b.heard.data() == frames


async def test_a_socket_on_all_addresses_answers_from_the_one_that_was_asked() -> None:
    """A node bound to 0.0.0.0 and dialled at 127.0.0.2 answers from there, or the client would drop it."""
    async with hall() as made:
        everywhere, a = made.member(1, listen="0.0.0.0:0"), made.member(2, listen="0.0.0.0:0")
        a.endpoint.want(everywhere.id, (f"127.0.0.2:{everywhere.endpoint.address[1]}",))
        await a.heard.until(lambda: a.linked(everywhere))
        await everywhere.heard.until(lambda: everywhere.linked(a))
        assert everywhere.endpoint.send(a.id, Lane.CONTROL, b"from where you asked")
        await a.heard.until(lambda: a.heard.data() == [b"from where you asked"])


async def test_ipv6_and_ipv4_meet_on_one_socket() -> None:
    """`[::]` takes both families and dials both."""
    async with hall() as made:
        both, four = made.member(1, listen="[::]:0"), made.member(2)
        six = made.member(3, listen="[::1]:0")
        both.endpoint.want(four.id, (four.at,))
        both.endpoint.want(six.id, (f"[::1]:{six.endpoint.address[1]}",))
        await both.heard.until(lambda: both.linked(four) and both.linked(six))
        assert both.endpoint.links()[four.id].address == four.at


async def test_frames_queued_before_close_still_arrive() -> None:
    """`close` gives what is queued half a second, then says why it goes."""
    async with hall() as made:
        a, b = made.member(1), made.member(2)
        await made.linked(a, b)
        for n in range(50):
            a.endpoint.send(b.id, Lane.CONTROL, b"%d" % n)
        await a.endpoint.close("node stops")
        await b.heard.until(lambda: ("down", a.id, "closed by the peer: node stops") in b.heard.events)
        assert b.heard.data() == [b"%d" % n for n in range(50)]


async def test_who_knocks_while_a_node_says_goodbye_is_not_let_in() -> None:
    """`close` waits for what is queued to somebody who has died; a newcomer would have a link for less than that."""
    async with hall() as made:
        a, b, c = made.member(1), made.member(2), made.member(3)
        await made.linked(a, b)
        b.crash()
        a.endpoint.send(b.id, Lane.CONTROL, b"never acknowledged")
        closing = asyncio.create_task(a.endpoint.close("node stops"))
        await asyncio.sleep(0)
        c.endpoint.want(a.id, (a.at,))
        await closing
        assert c.id not in [peer for _, peer, _ in a.heard.events]
        assert c.heard.events == []


async def test_close_leaves_no_timer_and_no_socket_behind() -> None:
    """After `close` the endpoint holds nothing of the loop."""
    async with hall() as made:
        a, b = made.member(1), made.member(2)
        await made.linked(a, b)
        a.endpoint.want(None, ("127.0.0.1:9",))
        await a.endpoint.close("over")
        assert not a.endpoint._traffic.entries
        assert not a.endpoint._tasks
        assert a.endpoint._udp._socket.fileno() == -1
        assert a.endpoint.send(b.id, Lane.CONTROL, b"too late") is False


async def test_frames_to_nobody_are_counted() -> None:
    """No link, no queue: False and a counter."""
    async with hall() as made:
        a = made.member(1)
        assert a.endpoint.send(key(2).node_id, Lane.CONTROL, b"anyone?") is False
        assert a.endpoint.counters["send.no-link"] == 1
        assert a.endpoint.backlog(key(2).node_id) == 0


async def test_addresses_that_are_none_are_left_out() -> None:
    """They come from other nodes; one of them must not end the process."""
    async with hall() as made:
        a, b = made.member(1), made.member(2)
        a.endpoint.want(b.id, ("nonsense", b.at))
        await a.heard.until(lambda: a.linked(b))
        assert a.endpoint.counters["dial.bad-address"] == 1


async def test_a_name_that_does_not_resolve_is_told() -> None:
    """Looking up names does not block the loop and ends in a sentence."""
    async with hall() as made:
        a = made.member(1)
        a.endpoint.want(None, ("no-such-host.invalid:9130",))
        await a.heard.until(lambda: "link.name" in a.endpoint.dials()[0].last_error)


def test_the_endpoint_fits_the_seam_to_the_runtime() -> None:
    """`net.api.Endpoint` names everything that the runtime calls."""
    fits: type[Endpoint] = QuicEndpoint
    names = [name for name in vars(Endpoint) if not name.startswith("_")]
    assert all(hasattr(fits, name) for name in names)
    assert {"send", "backlog", "want", "forget", "disconnect", "links", "dials", "join", "close"} <= set(names)


async def test_a_first_dial_that_nobody_answers_is_given_up_soon_and_tried_again() -> None:
    """A node that was away for a moment is found by the next dial; only later dials wait as long as slow paths need."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        async with hall() as made:
            a = made.member(1)
            began = asyncio.get_running_loop().time()
            a.endpoint.want(None, (f"127.0.0.1:{silent.getsockname()[1]}",))
            await a.heard.until(lambda: a.endpoint.dials()[0].attempt == 2)
            assert asyncio.get_running_loop().time() - began < 2 * DIAL_S
            assert a.endpoint.dials()[0].last_error.startswith("not reached: link.handshake-timeout")


async def test_a_frame_that_breaks_its_reader_costs_its_own_link_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What came behind it in the same read is lost, so the link begins anew; the others do not notice."""
    async with hall() as made:
        a, b, c = made.member(1), made.member(2), made.member(3)
        await made.linked(b, a)
        await made.linked(c, a)
        take = a.heard.frame

        def fragile(peer: NodeId, lane: Lane, data: bytes) -> None:
            if data == b"poison":
                raise AssertionError("a mistake of ours")
            take(peer, lane, data)

        monkeypatch.setattr(a.heard, "frame", fragile)
        b.endpoint.send(a.id, Lane.CONTROL, b"poison")
        c.endpoint.send(a.id, Lane.CONTROL, b"fine")
        await a.heard.until(lambda: a.heard.data() == [b"fine"])
        await b.heard.until(
            lambda: any(kind == "down" and "link.frame-failed" in why for kind, _, why in b.heard.events)
        )
        await b.heard.until(lambda: b.linked(a))
        assert a.linked(c)
        assert not any(kind == "down" and peer == c.id for kind, peer, _ in a.heard.events)
        assert "broke its reader" in caplog.text


def test_each_dial_waits_twice_as_long_as_the_one_before_up_to_the_handshakes_time() -> None:
    """A starved peer answers late, and every fresh dial costs it another handshake: 1, 2, 4, 8, 16, 20, 20 ... s."""
    assert [dial_patience_s(n, 1, 20.0) for n in range(1, 9)] == [1, 2, 4, 8, 16, 20, 20, 20]
    assert dial_patience_s(10_000, 1, 20.0) == 20


def test_an_address_among_several_has_its_turn_and_now_and_then_the_whole_time() -> None:
    """A dead first address must not keep the second one waiting for twenty seconds."""
    patience = [dial_patience_s(n, 2, 20.0) for n in range(1, 33)]
    assert patience[:6] == [1, 1, 2, 2, 4, 4]
    assert patience.count(20.0) == 2
    assert max(wait for wait in patience if wait != 20.0) == TURN_S
