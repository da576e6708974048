"""Answers the endpoint's questions from the roster: who may link, how one joins, who gets in.

An admission is a promise, so `admit` returns only when the statement that makes it is on disk and applied.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from arqonmesh.core.admission.judge import Admit
from arqonmesh.core.events import Applied
from arqonmesh.core.kernel import SECOND, Event, Instant
from arqonmesh.core.partition.refusal import READ_ONLY
from arqonmesh.core.plane import Plane
from arqonmesh.ids import MeshId, NodeId
from arqonmesh.net.addresses import literal_host
from arqonmesh.runtime.governed import patience_s, wait_until_writable, waited
from arqonmesh.runtime.host import Host
from arqonmesh.wire.messages import JoinAccept, JoinOffer, JoinReject, JoinRequest
from arqonmesh.wire.statement import Kind, NodeRecord

ADMISSIONS_AT_ONCE: Final = 8
"""Judged and written together: enough to share one commit, few enough that the first ones get their answer while the
last ones wait, and not all of them too late."""
ADMISSIONS_WAITING_MAX: Final = 128
"""Fewer than the endpoint lets in (`net.endpoint.JOINS_MAX`), so that those beyond are told to come again at once."""
HOSTS_EVERY_US: Final = SECOND
"""How often members' addresses are read anew while records change."""
PERSIST_TIMEOUT_S: Final = 10.0
MEMBERS_TOLD_MAX: Final = 256


class RosterAuthority:
    """Implements net.Authority."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._waiting: dict[NodeId, list[asyncio.Future[None]]] = {}
        self._places = asyncio.Semaphore(ADMISSIONS_AT_ONCE)
        self._present = 0
        """Joiners that wait for a place, or have one."""
        self.counters: Counter[str] = Counter()
        """`waited`: joins that found all places taken and queued; `busy`: those beyond the queue."""
        self._hosts: frozenset[str] = frozenset()
        self._hosts_of: tuple[Plane | None, Instant] = (None, 0)
        self._described = False
        """Some member's record is newer than `_hosts`."""
        host.watch(Applied, self._applied)

    @property
    def mesh_id(self) -> MeshId | None:
        plane = self._host.node.plane
        return None if plane is None else plane.mesh.mesh_id

    def refuse_member(self, node: NodeId, public_key: bytes) -> str | None:
        plane = self._host.node.plane
        if plane is None:
            return "no-mesh"
        return plane.admission.refuse(node, public_key)

    def known_host(self, host: str) -> bool:
        plane, (of, at) = self._host.node.plane, self._hosts_of
        if plane is None:
            return False
        now = self._host.now()
        if plane is not of or (self._described and now - at >= HOSTS_EVERY_US):
            told = (body.addresses for _, _, body in plane.gossip.statements(Kind.NODE) if isinstance(body, NodeRecord))
            hosts = (literal_host(address) for addresses in told for address in addresses)
            self._hosts = frozenset(literal for literal in hosts if literal is not None)
            self._hosts_of, self._described = (plane, now), False
        return host in self._hosts

    def join_offer(self) -> JoinOffer | None:
        plane = self._host.node.plane
        if plane is None:
            return None
        return plane.admission.offer()

    async def admit(self, request: JoinRequest, node: NodeId, channel_binding: bytes) -> JoinAccept | JoinReject:
        if self._present >= ADMISSIONS_AT_ONCE + ADMISSIONS_WAITING_MAX:
            self.counters["busy"] += 1
            return JoinReject("join.busy", "too many are joining through this node right now; try again in a second")
        self.counters["waited"] += self._places.locked()
        self._present += 1
        try:
            async with self._places:
                return await self._admit(request, node, channel_binding)
        finally:
            self._present -= 1

    async def _admit(self, request: JoinRequest, node: NodeId, channel_binding: bytes) -> JoinAccept | JoinReject:
        plane = self._host.node.plane
        if plane is None:
            return JoinReject("join.no-mesh", "this node belongs to no mesh itself")
        waits_s = patience_s(self._host)
        if plane.admission.key_of(node) is None:
            await wait_until_writable(self._host, waits_s)
            if self._host.node.plane is not plane:
                return JoinReject("join.no-mesh", "this node has just left its mesh; join through another member")
        verdict = plane.admission.judge(self._host.node.world.wall_ms(), request, node, channel_binding)
        if not isinstance(verdict, Admit):
            said = waited(verdict.sentence, waits_s) if verdict.code == READ_ONLY else verdict.sentence
            return JoinReject(verdict.code, said)
        if verdict.publish:
            written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(node, []).append(written)
            try:
                self._host.perform(self._host.node.publish(self._host.now(), verdict.publish))
                async with asyncio.timeout(PERSIST_TIMEOUT_S):
                    await written
            except TimeoutError:
                return JoinReject("join.not-stored", "the admission could not be stored in time; try again")
            finally:
                self._forget(node, written)
        if self._host.node.plane is not plane:
            return JoinReject("join.no-mesh", "this node has just left its mesh; join through another member")
        records = plane.gossip.statements(Kind.NODE)
        members = tuple(
            (author, body.addresses) for author, _, body in records if isinstance(body, NodeRecord) and body.addresses
        )
        return JoinAccept(
            role=verdict.role,
            statements=plane.gossip.encoded_for_join(plane.admission.lineage(node)),
            members=members[:MEMBERS_TOLD_MAX],
        )

    def _applied(self, event: Event) -> None:
        assert isinstance(event, Applied)
        self._described = self._described or event.kind == Kind.NODE
        if event.ours and event.kind == Kind.ADMISSION:
            for written in self._waiting.get(NodeId(event.key), ()):
                if not written.done():
                    written.set_result(None)

    def _forget(self, node: NodeId, written: asyncio.Future[None]) -> None:
        rest = [other for other in self._waiting.get(node, ()) if other is not written]
        if rest:
            self._waiting[node] = rest
        else:
            self._waiting.pop(node, None)
