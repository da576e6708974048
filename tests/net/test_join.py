"""The join exchange over real endpoints."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import AsyncExitStack
from functools import partial

import pytest
from aioquic.quic.events import StreamDataReceived

from arqonmesh.errors import Denied, PeerError, TimedOut
from arqonmesh.ids import NodeId
from arqonmesh.net import endpoint
from arqonmesh.net.api import JoinBuilder
from arqonmesh.net.tls import PROTOCOLS
from arqonmesh.trust.certificates import NO_MESH
from arqonmesh.trust.keys import NodeKey
from arqonmesh.wire.codec import encode_message
from arqonmesh.wire.frames import frame
from arqonmesh.wire.messages import JoinAccept, JoinOffer, JoinReject, JoinRequest
from tests.net.kit import CLUSTER, MESH, Hall, Member, Stranger, hall, key, leaf_of, stranger

OFFER = JoinOffer(mesh_id=MESH, mesh_name="test", founder=key(1).node_id, policy="key", key_salt=b"")
TICKET = NodeKey((77).to_bytes(32, "big"))


def _request(joiner: NodeKey, binding: bytes) -> JoinRequest:
    return JoinRequest(
        mesh_id=MESH,
        node_key=joiner.public,
        cluster=CLUSTER,
        role="spoke",
        region="",
        ticket_id="",
        signature=TICKET.sign(hashlib.sha256(binding + joiner.public).digest()),
    )


class OneUse:
    """A judge of a ticket that is good once, over the channel binding it was signed for."""

    def __init__(self, made: Hall) -> None:
        self._made = made
        self._used = False

    def __call__(self, request: JoinRequest, node: NodeId, binding: bytes) -> JoinAccept | JoinReject:
        expected = TICKET.sign(hashlib.sha256(binding + request.node_key).digest())
        if request.signature != expected:
            return JoinReject("join.signature", "the ticket's signature is not for this connection")
        if self._used:
            return JoinReject("join.ticket-used", "the ticket has no uses left")
        self._used = True
        self._made.ids.add(node)
        return JoinAccept(role="spoke", statements=(b"proof",), members=())


def _gate(made: Hall) -> Member:
    member = made.member(1)
    member.roster.offer = OFFER
    member.roster.judge = OneUse(made)
    return member


def _blank(made: Hall, n: int) -> Member:
    """A node in no mesh yet."""
    return made.member(n, admitted=False, mesh=None, leaf=leaf_of(key(n), mesh=NO_MESH))


def _sign(joiner: Member) -> JoinBuilder:
    return lambda offer, channel_binding: _request(joiner.key, channel_binding)


async def test_a_joiner_with_a_good_ticket_is_let_in_and_can_link_then() -> None:
    """Offer, request, accept; afterwards the new leaf of the mesh opens a link."""
    async with hall() as made:
        gate, joiner = _gate(made), _blank(made, 2)
        offer, accept = await joiner.endpoint.join(gate.at, _sign(joiner), timeout_s=5)
        assert offer == OFFER
        assert accept.statements == (b"proof",)
        assert not gate.heard.frames
        assert not gate.heard.events

        joiner.roster.mesh_id = MESH
        joiner.endpoint.rotate(leaf_of(key(2)))
        await made.linked(joiner, gate)


async def test_a_used_up_ticket_is_refused_with_the_authoritys_code() -> None:
    """The sentence of the JoinReject is what the person at the other end reads."""
    async with hall() as made:
        gate, first, second = _gate(made), _blank(made, 2), _blank(made, 3)
        await first.endpoint.join(gate.at, _sign(first), timeout_s=5)
        with pytest.raises(Denied, match="no uses left") as denied:
            await second.endpoint.join(gate.at, _sign(second), timeout_s=5)
        assert denied.value.code == "join.ticket-used"
        await gate.heard.until(lambda: gate.heard.refusals["join.ticket-used"] == 1)


async def test_a_replayed_request_does_not_fit_another_connection() -> None:
    """The signature covers the channel binding, and no two TLS sessions share one."""
    async with hall() as made:
        gate, joiner = _gate(made), _blank(made, 2)
        overheard: list[JoinRequest] = []

        def record(offer: JoinOffer, channel_binding: bytes) -> JoinRequest:
            overheard.append(_request(joiner.key, channel_binding))
            return overheard[0]

        await joiner.endpoint.join(gate.at, record, timeout_s=5)
        with pytest.raises(Denied) as denied:
            await joiner.endpoint.join(gate.at, lambda offer, channel_binding: overheard[0], timeout_s=5)
        assert denied.value.code == "join.signature"
        assert gate.heard.refusals["join.signature"] == 1


async def test_a_request_for_another_key_than_the_certificates_is_refused() -> None:
    """Nobody joins in another's name."""
    async with hall() as made:
        gate, joiner = _gate(made), _blank(made, 2)
        with pytest.raises(PeerError) as refused:
            await joiner.endpoint.join(
                gate.at, lambda offer, channel_binding: _request(key(5), channel_binding), timeout_s=5
            )
        assert refused.value.code == "join.node-key"
        assert gate.heard.refusals["join.node-key"] == 1


async def test_without_an_offer_nobody_joins() -> None:
    """A member that takes no joiners says so at once."""
    async with hall() as made:
        gate, joiner = made.member(1), _blank(made, 2)
        with pytest.raises(PeerError) as refused:
            await joiner.endpoint.join(gate.at, _sign(joiner), timeout_s=5)
        assert refused.value.code == "join.not-offered"


async def test_a_builder_that_declines_ends_the_join_with_its_own_error() -> None:
    """The joiner looks at the offer first; another mesh than the ticket's is its decision."""
    async with hall() as made:
        gate, joiner = _gate(made), _blank(made, 2)

        def decline(offer: JoinOffer, channel_binding: bytes) -> JoinRequest:
            raise Denied("join.other-mesh", "the ticket is for another mesh")

        with pytest.raises(Denied) as declined:
            await joiner.endpoint.join(gate.at, decline, timeout_s=5)
        assert declined.value.code == "join.other-mesh"


async def test_whatever_a_builder_raises_comes_out_of_the_join() -> None:
    """A builder that must think first (a join key is derived off the loop) stops the join with an exception of its own,
    and joins again."""

    class ThinkFirst(Exception):
        pass

    async with hall() as made:
        gate, joiner = _gate(made), _blank(made, 2)

        def think(offer: JoinOffer, channel_binding: bytes) -> JoinRequest:
            raise ThinkFirst

        with pytest.raises(ThinkFirst):
            await joiner.endpoint.join(gate.at, think, timeout_s=5)
        _, accept = await joiner.endpoint.join(gate.at, _sign(joiner), timeout_s=5)
        assert accept.role == "spoke"


async def test_where_nobody_answers_the_join_times_out_with_a_hint() -> None:
    """Silence ends in a sentence."""
    async with hall() as made:
        gone, joiner = made.member(1), _blank(made, 2)
        at = gone.at
        gone.crash()
        with pytest.raises(TimedOut, match="no answer from"):
            await joiner.endpoint.join(at, _sign(joiner), timeout_s=0.1)


async def test_an_acceptance_leaves_only_after_the_authority_returned() -> None:
    """What is accepted is on disk first: the answer waits for `admit`, and the loop does not."""
    async with hall() as made:
        gate, joiner = _gate(made), _blank(made, 2)
        gate.roster.asked, gate.roster.on_disk = asyncio.Event(), asyncio.Event()
        joining = asyncio.create_task(joiner.endpoint.join(gate.at, _sign(joiner), timeout_s=5))
        await gate.roster.asked.wait()
        other = made.member(3)
        await made.linked(other, gate)
        assert not joining.done()
        gate.roster.on_disk.set()
        assert (await joining)[1].role == "spoke"


async def test_a_join_connection_carries_nothing_but_the_join() -> None:
    """A joiner that writes on a lane's stream is cut off; none of it reaches the listener."""
    async with hall() as made:
        gate = _gate(made)
        async with stranger(gate, leaf=leaf_of(key(2), mesh=NO_MESH), protocols=(PROTOCOLS.join,)) as knocking:
            await knocking.until(lambda: knocking.quic.channel_binding is not None)
            knocking.quic.send_stream_data(0, frame(encode_message(OFFER)))
            knocking.flush()
            await knocking.until(lambda: knocking.told.startswith("link.stream"))
        assert not gate.heard.frames
        assert not gate.heard.events


def _offered(knocking: Stranger) -> bool:
    return any(isinstance(event, StreamDataReceived) for event in knocking.events)


async def test_joins_do_not_take_the_places_of_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone can make the certificates of a join: those beyond the bound are refused, a member still links."""
    monkeypatch.setattr(endpoint, "JOINS_MAX", 2)
    async with hall() as made, AsyncExitStack() as strangers:
        gate, friend, late = _gate(made), made.member(2), _blank(made, 3)
        for n in (4, 5):
            leaf = leaf_of(key(n), mesh=NO_MESH)
            one = await strangers.enter_async_context(stranger(gate, leaf=leaf, protocols=(PROTOCOLS.join,)))
            await one.until(partial(_offered, one))
        with pytest.raises(PeerError) as refused:
            await late.endpoint.join(gate.at, _sign(late), timeout_s=5)
        assert refused.value.code == "join.too-many"
        assert gate.heard.refusals["join.too-many"] == 1
        await made.linked(friend, gate)
