"""Many joiners at one member: a few are judged together, the others wait for a place, and the queue is bounded."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from arqonmesh.net import endpoint
from arqonmesh.runtime import authority
from arqonmesh.runtime.control import Control
from arqonmesh.runtime.governed import wait_until_writable
from arqonmesh.runtime.host import Host
from arqonmesh.trust.keys import NodeKey
from arqonmesh.wire.messages import JoinAccept, JoinReject, JoinRequest
from tests.runtime.test_service import service
from tests.waiting import until


def test_the_endpoint_lets_in_all_who_may_wait_and_some_who_are_told() -> None:
    """Or nobody would ever hear join.busy, which says when to come again."""
    assert endpoint.JOINS_MAX > authority.ADMISSIONS_AT_ONCE + authority.ADMISSIONS_WAITING_MAX


async def test_joiners_wait_for_a_place_and_those_beyond_the_queue_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One place and a queue of two: the fourth hears join.busy at once, the others are judged one after another."""
    monkeypatch.setattr(authority, "ADMISSIONS_AT_ONCE", 1)
    monkeypatch.setattr(authority, "ADMISSIONS_WAITING_MAX", 2)
    node = service(tmp_path, "hq", "hub")
    await node.open()
    try:
        await Control(node).seed("acme", "open", "")
        held = asyncio.Event()
        under_way: list[int] = []

        async def not_yet(host: Host, patience_s: float) -> str | None:
            under_way.append(len(under_way))
            await held.wait()
            return await wait_until_writable(host, patience_s)

        monkeypatch.setattr(authority, "wait_until_writable", not_yet)
        door = authority.RosterAuthority(node.host)
        offer = door.join_offer()
        assert offer is not None

        def ask() -> asyncio.Task[JoinAccept | JoinReject]:
            key = NodeKey.generate()
            request = JoinRequest(offer.mesh_id, key.public, "store", "spoke", "", "", b"")
            return asyncio.create_task(door.admit(request, key.node_id, b""))

        asked = [ask() for _ in range(3)]
        await until(lambda: len(under_way) == 1)
        beyond = await ask()
        assert isinstance(beyond, JoinReject)
        assert beyond.code == "join.busy"
        assert len(under_way) == 1
        held.set()
        answers = await asyncio.gather(*asked)
        assert [type(answer) for answer in answers] == [JoinAccept] * 3, answers
        assert door.counters == {"waited": 2, "busy": 1}
    finally:
        await node.close()
