"""Everything that must not become a link: refused before any frame, counted here, readable at the other end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aioquic.quic.events import StreamDataReceived

from arqonmesh.core.kernel import Lane
from arqonmesh.net.hello import LocalNode, make_hello
from arqonmesh.net.intake import Intake
from arqonmesh.wire.frames import frame
from tests.net.kit import (
    CLUSTER,
    HOUR_MS,
    MESH,
    OTHER_MESH,
    Hall,
    Member,
    Stranger,
    hall,
    key,
    leaf_of,
    stranger,
    wall_ms,
)

pytestmark = pytest.mark.requirement("R-ID-3")


async def _refused_dial(made: Hall, bad: Member, good: Member, code: str) -> str:
    """`bad` dials `good`; what the dialling side can show afterwards."""
    bad.endpoint.want(None, (good.at,))
    await good.heard.until(lambda: good.heard.refusals[code] > 0)
    await bad.heard.until(lambda: code in bad.endpoint.dials()[0].last_error)
    assert not good.heard.events and not good.heard.frames
    assert not bad.heard.events and not bad.heard.frames
    return bad.endpoint.dials()[0].last_error


async def test_a_key_that_is_in_no_roster_is_refused_and_told_so() -> None:
    """Sound certificates are not membership: the authority decides, and its code reaches the dialling side."""
    async with hall() as made:
        good, bad = made.member(1), made.member(2, admitted=False)
        bad.roster.members = {good.id}
        error = await _refused_dial(made, bad, good, "trust.unknown-key")
        assert error.startswith("refused by peer: trust.unknown-key: ")


async def test_an_expired_leaf_is_refused_and_told_so() -> None:
    """A leaf beyond its end and beyond the allowed skew of 300 s is refused."""
    async with hall() as made:
        good = made.member(1)
        bad = made.member(2, leaf=leaf_of(key(2), age_ms=3 * HOUR_MS, life_ms=HOUR_MS))
        error = await _refused_dial(made, bad, good, "trust.expired-leaf")
        assert error.startswith("refused by peer: trust.expired-leaf: ")


async def test_a_leaf_just_within_the_skew_is_taken() -> None:
    """Clocks may differ by 300 s; a leaf that ended 100 s ago still links."""
    async with hall() as made:
        good = made.member(1)
        late = made.member(2, leaf=leaf_of(key(2), age_ms=HOUR_MS + 100_000, life_ms=HOUR_MS))
        await made.linked(late, good)


async def test_a_leaf_of_another_mesh_is_refused() -> None:
    """The leaf names its mesh; another one's is refused on both sides."""
    async with hall() as made:
        good = made.member(1)
        bad = made.member(2, leaf=leaf_of(key(2), mesh=OTHER_MESH))
        await _refused_dial(made, bad, good, "trust.wrong-mesh")


async def test_the_dialling_side_refuses_too() -> None:
    """Mutual means mutual: a dialler does not link to a listener that its roster does not know."""
    async with hall() as made:
        good, bad = made.member(1), made.member(2)
        good.roster.members = {good.id}
        good.endpoint.want(None, (bad.at,))
        await good.heard.until(lambda: good.heard.refusals["trust.unknown-key"] > 0)
        assert good.endpoint.dials()[0].last_error.startswith("refused here: trust.unknown-key")
        assert not good.heard.events
        assert not bad.heard.events


async def test_another_node_at_the_address_of_a_wanted_peer_is_refused() -> None:
    """A wish that names its peer takes nobody else."""
    async with hall() as made:
        a, b, c = made.member(1), made.member(2), made.member(3)
        a.endpoint.want(c.id, (b.at,))
        await a.heard.until(lambda: a.heard.refusals["link.other-node"] > 0)
        assert not a.heard.events and not b.heard.events


async def test_dialling_oneself_is_given_up_at_once() -> None:
    """The only wish that can never come true."""
    async with hall() as made:
        a = made.member(1)
        a.endpoint.want(None, (a.at,))
        await a.heard.until(lambda: a.endpoint.dials()[0].state == "given-up")
        assert "link.self" in a.endpoint.dials()[0].last_error


async def test_a_node_without_a_mesh_takes_no_member() -> None:
    """Before a seed or a join there is nothing to link to."""
    async with hall() as made:
        blank, member = made.member(1, mesh=None), made.member(2)
        await _refused_dial(made, member, blank, "link.no-mesh")


async def _knock(good: Member, code: str, knocking: Stranger) -> None:
    await good.heard.until(lambda: good.heard.refusals[code] > 0)
    await knocking.until(lambda: knocking.told != "")
    assert not good.heard.events and not good.heard.frames
    assert not any(isinstance(event, StreamDataReceived) for event in knocking.events)


async def test_a_client_without_a_certificate_is_refused() -> None:
    """TLS lets an empty certificate through; we do not."""
    async with hall() as made:
        good = made.member(1)
        async with stranger(good, leaf=None) as knocking:
            await _knock(good, "trust.no-certificate", knocking)
            assert knocking.told.startswith("trust.no-certificate: ")


async def test_a_foreign_protocol_fails_in_tls_and_is_counted() -> None:
    """ALPN is exact: `h3` is neither `arqon-mesh` nor `arqon-join`."""
    async with hall() as made:
        good = made.member(1)
        async with stranger(good, leaf=leaf_of(key(2)), protocols=("h3",)) as knocking:
            await good.heard.until(lambda: good.heard.refusals["link.alpn"] > 0)
            await knocking.until(lambda: knocking.quic.ending)
        assert not good.heard.events


def _hello(local: LocalNode, peer: Member, binding: bytes, **changes: object) -> bytes:
    return make_hello(
        local,
        mesh_id=changes.get("mesh_id", MESH),  # type: ignore[arg-type]
        peer=peer.id,
        channel_binding=binding,
        wall_ms=wall_ms(),
        versions=changes.get("versions", (2,)),  # type: ignore[arg-type]
    )


def _flip_last(data: bytes) -> bytes:
    return data[:-1] + bytes((data[-1] ^ 1,))


LOCAL = LocalNode(key=key(2), cluster=CLUSTER, boot_epoch=1, software="stranger")
HELLOS: dict[str, tuple[str, Callable[[Member, bytes], bytes]]] = {
    "a flipped signature": ("trust.hello-signature", lambda peer, b: _flip_last(_hello(LOCAL, peer, b))),
    "another connection's binding": ("trust.hello-signature", lambda peer, b: _hello(LOCAL, peer, bytes(32))),
    "a version of the future": ("link.version", lambda peer, b: _hello(LOCAL, peer, b, versions=(99,))),
    "another mesh": ("trust.wrong-mesh", lambda peer, b: _hello(LOCAL, peer, b, mesh_id=OTHER_MESH)),
    "another node's Hello": (
        "link.hello",
        lambda peer, b: _hello(LocalNode(key=key(7), cluster=CLUSTER, boot_epoch=1, software="stranger"), peer, b),
    ),
    "noise": ("link.hello", lambda peer, b: b"\xff" * 40),
}


@pytest.mark.parametrize("case", HELLOS)
async def test_a_wrong_hello_ends_the_connection_before_any_frame(case: str) -> None:
    """Certificates are sound, the Hello is not; what follows it in the same packet is never read."""
    code, build = HELLOS[case]
    async with hall() as made:
        good = made.member(1)
        made.ids.add(key(2).node_id)
        async with stranger(good, leaf=leaf_of(key(2))) as knocking:
            await knocking.until(lambda: knocking.quic.channel_binding is not None)
            assert knocking.quic.channel_binding is not None
            hello = build(good, knocking.quic.channel_binding)
            knocking.quic.send_stream_data(0, frame(hello) + frame(b"a frame that must not arrive"))
            knocking.quic.send_datagram_frame(b"nor this")
            knocking.flush()
            await _knock(good, code, knocking)
            assert knocking.told.startswith(code)


async def test_a_sound_hello_of_a_stranger_with_a_members_key_links() -> None:
    """The counter-proof: the same client with the right Hello is a link, so the cases above fail for their reason."""
    async with hall() as made:
        good = made.member(1)
        made.ids.add(key(2).node_id)
        async with stranger(good, leaf=leaf_of(key(2))) as knocking:
            await knocking.until(lambda: knocking.quic.channel_binding is not None)
            assert knocking.quic.channel_binding is not None
            hello = _hello(LOCAL, good, knocking.quic.channel_binding)
            knocking.quic.send_stream_data(0, frame(hello) + frame(b"first"))
            knocking.flush()
            await good.heard.until(lambda: good.heard.frames == [(key(2).node_id, Lane.CONTROL, b"first")])


async def test_a_handshake_that_stops_half_way_is_ended_and_counted() -> None:
    """Certificates without a Hello hold a place for the handshake's time and no longer."""
    async with hall() as made:
        good = made.member(1, handshake_s=0.1)
        made.ids.add(key(2).node_id)
        async with stranger(good, leaf=leaf_of(key(2))) as knocking:
            await _knock(good, "link.handshake-timeout", knocking)


async def test_above_the_half_open_limit_newcomers_are_refused_and_links_stay() -> None:
    """A full intake drops first datagrams; whoever is linked notices nothing."""
    async with hall() as made:
        intake = Intake(half_open_max=1)
        good, friend, late = made.member(1, intake=intake), made.member(2), made.member(3)
        await made.linked(friend, good)
        made.ids.add(key(4).node_id)
        async with stranger(good, leaf=leaf_of(key(4))):
            await good.heard.until(lambda: intake.half_open == 1)
            late.endpoint.want(good.id, (good.at,))
            await good.heard.until(lambda: good.heard.refusals["link.half-open-limit"] > 0)
            friend.endpoint.send(good.id, Lane.CONTROL, b"still here")
            await good.heard.until(lambda: good.heard.data() == [b"still here"])


async def test_when_many_handshakes_are_open_a_newcomer_proves_its_address_and_gets_in() -> None:
    """Retry (RFC 9000, 8.1.2): one round trip more, no state for whoever cannot receive at its address."""
    async with hall() as made:
        good, late = made.member(1, intake=Intake(retry_above=0)), made.member(2)
        await made.linked(late, good)
        assert good.endpoint.counters["intake.answered"] >= 1


async def test_garbage_and_floods_change_nothing_for_others() -> None:
    """Noise, replayed Initials, short junk: counted and dropped, and a link beside them goes on."""
    async with hall() as made:
        good, friend = made.member(1), made.member(2)
        await made.linked(friend, good)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=good.endpoint.address
        )
        junk = [
            b"\x00",
            b"\x40" * 30,
            b"\xc0" * 1_200,
            b"\xc0\x00\x00\x00\x01\x08" + b"\x07" * 1_300,
            b"\xff\x00\x00\x00\x63\x08" + b"\x07" * 1_300,
            b"\xc0\x00\x00\x00\x01\xff" + b"\x07" * 1_300,
        ]
        for n in range(600):
            transport.sendto(junk[n % len(junk)] + bytes(n % 7))
        for n in range(50):
            friend.endpoint.send(good.id, Lane.PRIORITY, b"%d" % n)
        await good.heard.until(lambda: len(good.heard.frames) == 50)
        assert good.heard.data() == [b"%d" % n for n in range(50)]
        assert good.endpoint.links().keys() == {friend.id}
        assert len(good.endpoint._traffic.entries) == 1
        transport.close()
