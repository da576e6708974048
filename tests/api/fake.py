"""A node's control side with fixed answers, served by the real gRPC server: the runtime lives in another room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec

from arqonmesh.api.mesh_views import (
    CauseView,
    HopView,
    IgnoredView,
    InviteView,
    LinkView,
    MatrixCellView,
    MatrixNodeView,
    MatrixView,
    MeshEvent,
    MeshStatus,
    MeshView,
    MissingView,
    NodeView,
    PartitionView,
    PeerView,
    RegionSummaryView,
    RegionView,
    RouteView,
    UserEventSent,
)
from arqonmesh.api.node_views import (
    BusClientView,
    CertificateView,
    ConfigChangesView,
    ConfigChangeView,
    NodeStatus,
    OwnLinkView,
    PolicyRuleView,
    PolicyVerdictView,
    PolicyView,
)
from arqonmesh.errors import ArqonError, NotFound

HQ = "hqaaaaaabbbbbbbbccccccccdddddddd"
FACTORY = "facaaaaabbbbbbbbccccccccdddddddd"
STORE = "stoaaaaabbbbbbbbccccccccdddddddd"
MESH = MeshView(name="acme", id="01JB0000000000000000000000", health="healthy", root="ab" * 16)


def mesh_status(*, state: str = "healthy", cut: bool = False) -> MeshStatus:
    """Three clusters in a star; `cut` takes the link to the store away."""
    return MeshStatus(
        mesh=MeshView(name=MESH.name, id=MESH.id, health=state, root=MESH.root),
        self_=HQ,
        nodes=(
            NodeView(
                id=HQ,
                cluster="hq",
                role="hub",
                region="eu",
                state="alive",
                incarnation=1,
                addresses=("10.0.0.1:9130",),
                software="arqonmesh/0.1.0",
                self_=True,
            ),
            NodeView(id=FACTORY, cluster="factory", role="spoke", region="eu", state="alive", incarnation=2),
            NodeView(id=STORE, cluster="store", role="spoke", region="us", state="suspect" if cut else "alive"),
        ),
        links=(
            LinkView(
                a=FACTORY,
                b=HQ,
                state="up",
                transport="quic",
                rtt_ms=1.25,
                loss=0.0,
                bytes_per_s=2_048.0,
                backlog=0,
                mine=True,
            ),
            LinkView(
                a=HQ,
                b=STORE,
                state="down" if cut else "up",
                transport="quic",
                rtt_ms=None if cut else 41.5,
                loss=None if cut else 0.02,
                bytes_per_s=None if cut else 512.0,
                backlog=17 if cut else 0,
                mine=True,
            ),
        ),
        partition=PartitionView(
            state=state, writable=True, reachable=2 if cut else 3, required=2, members=3, preset="crash"
        ),
        regions=(
            RegionView(
                name="eu",
                leaders=(HQ, FACTORY),
                alive=2,
                suspect=0,
                dead=0,
                clusters=("factory", "hq"),
                software={"arqonmesh/0.1.0": 2},
                self_=True,
                summary=RegionSummaryView(
                    by=HQ,
                    term=1,
                    leaders=(HQ, FACTORY),
                    alive=1,
                    suspect=1,
                    dead=0,
                    clusters=("factory", "hq"),
                    software={"arqonmesh/0.1.0": 2},
                    root=MESH.root,
                ),
            ),
            RegionView(name="us", leaders=(), alive=0, suspect=0, dead=1, clusters=("store",), software={}),
        ),
    )


def banned() -> MeshStatus:
    """The hub has banned both spokes; the spokes have a link of their own."""
    status = mesh_status(state="critical")
    ignored = IgnoredView(cause="banned", at_ms=1_767_225_600_000, reason="floods us")
    nodes = tuple(node if node.self_ else msgspec.structs.replace(node, ignored=ignored) for node in status.nodes)
    quorum = PartitionView(
        state="critical", writable=False, reachable=1, required=2, members=3, preset="crash", votes=1, voters=3,
        missing=tuple(MissingView(node=node.id, since_ms=0) for node in nodes if not node.self_), votes_ignored=2,
    )  # fmt: skip
    links = (status.links[0], msgspec.structs.replace(status.links[1], a=nodes[1].id, mine=False, bytes_per_s=None))
    return msgspec.structs.replace(status, nodes=nodes, partition=quorum, links=links)


class FakeNode:
    """Answers as a node of a small healthy mesh would; `failure` is raised by every call once set."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.join_stuck = False
        """A join is never answered."""
        self.status = mesh_status()
        self.calls: list[tuple[str, tuple[object, ...]]] = []
        self.events: list[MeshEvent] = [
            MeshEvent(at_ms=1_760_000_000_000, kind="mesh", text="mesh acme seeded", fields={"mesh": "acme"}),
            MeshEvent(at_ms=1_760_000_001_000, kind="link", text="link to factory up", fields={"peer": FACTORY}),
        ]
        self.wished_by_mesh = ""
        """The address of a link that the mesh wants."""
        self.watchers = 0
        self.watch_ended = asyncio.Event()
        self.stopped = asyncio.Event()

    def _called(self, name: str, *arguments: object) -> None:
        self.calls.append((name, arguments))
        if self.failure is not None:
            raise self.failure

    async def node_status(self) -> NodeStatus:
        self._called("node_status")
        return NodeStatus(
            node_id=HQ,
            cluster="hq",
            role="hub",
            region="eu",
            version="0.1.0",
            pid=4242,
            uptime_s=61.5,
            mesh="acme",
            quic="0.0.0.0:9130",
            bus="ws://127.0.0.1:9100",
            http="http://127.0.0.1:9180",
            data_dir="/var/lib/arqon",
            clients=2,
            channels=3,
            published_per_s=12.5,
            delivered_per_s=1_250.0,
            delivery_p50_us=180,
            delivery_p99_us=2_400,
            counters={"published": 1_000_000_000_000, "delivered": 7, "held": 0},
            telemetry_failure="telemetry cannot listen on 127.0.0.1:9101: address already in use",
        )

    async def mesh_status(self) -> MeshStatus:
        self._called("mesh_status")
        return self.status

    async def watch(self) -> AsyncIterator[MeshEvent]:
        self._called("watch")
        self.watchers += 1
        try:
            for event in list(self.events):
                yield event
            await asyncio.Event().wait()
        finally:
            self.watch_ended.set()

    async def seed(self, name: str, policy: str, key: str) -> MeshView:
        self._called("seed", name, policy, key)
        return MESH

    async def join_ticket(self, ticket: str) -> MeshView:
        self._called("join_ticket", ticket)
        if self.join_stuck:
            await asyncio.Event().wait()
        return MESH

    async def join_address(self, address: str, key: str) -> MeshView:
        self._called("join_address", address, key)
        if self.join_stuck:
            await asyncio.Event().wait()
        return MESH

    async def send_event(self, name: str, payload: bytes) -> UserEventSent:
        self._called("send_event", name, payload)
        return UserEventSent(author="k3v7" + "a" * 28, lamport=7)

    async def leave(self) -> None:
        self._called("leave")

    async def link_add(self, address: str) -> OwnLinkView:
        self._called("link_add", address)
        return (await self.links())[1]

    async def link_remove(self, address: str) -> None:
        self._called("link_remove", address)

    async def links(self) -> tuple[OwnLinkView, ...]:
        self._called("links")
        return (
            OwnLinkView(
                peer=FACTORY,
                address=self.wished_by_mesh or "127.0.0.1:40001",
                state="up",
                transport="quic",
                why="udp answers",
                rtt_ms=1.25,
                loss=0.0,
                attempt=0,
                last_error="",
                next_try_in_s=None,
                backlog=0,
                asked_by="mesh" if self.wished_by_mesh else "peer",
            ),
            OwnLinkView(
                peer="",
                address="10.9.9.9:9130",
                state="waiting",
                transport="quic",
                why="no answer in 3 s",
                rtt_ms=None,
                loss=None,
                attempt=4,
                last_error="no answer in 3 s",
                next_try_in_s=1.6,
                backlog=12,
                asked_by="operator",
            ),
        )

    async def peers(self) -> tuple[PeerView, ...]:
        self._called("peers")
        return (
            PeerView(
                id=FACTORY,
                cluster="factory",
                role="spoke",
                region="eu",
                state="alive",
                score=0.9,
                ignored=False,
                standing="member",
                latency_ms=1.25,
                first_seen_ms=1_760_000_000_000,
                last_seen_ms=1_760_000_060_000,
                addresses=("127.0.0.1:40001",),
                deliveries=12,
                causes=(
                    CauseView(
                        at_ms=1_760_000_030_000,
                        delta=-0.1,
                        cause="bad-signature",
                        evidence="gossip",
                        score=0.9,
                        summary="a word",
                    ),
                ),
            ),
            PeerView(
                id=STORE,
                cluster="store",
                role="spoke",
                region="us",
                state="alive",
                score=1.0,
                ignored=False,
                standing="new",
                latency_ms=None,
                first_seen_ms=1_760_000_000_000,
                last_seen_ms=1_760_000_060_000,
                addresses=(),
            ),
        )

    async def peer(self, prefix: str) -> PeerView:
        self._called("peer", prefix)
        for peer in await self.peers():
            if peer.id.startswith(prefix):
                return peer
        raise NotFound("peers.unknown", f"no peer begins with {prefix!r}; it needs a known id", hint="arqon peer ls")

    async def peer_ban(self, prefix: str, reason: str) -> PeerView:
        self._called("peer_ban", prefix, reason)
        return await self.peer(prefix)

    async def peer_forgive(self, prefix: str, reason: str) -> PeerView:
        self._called("peer_forgive", prefix, reason)
        return await self.peer(prefix)

    async def matrix(self) -> MatrixView:
        self._called("matrix")
        return MatrixView(
            self_=HQ,
            nodes=tuple(
                MatrixNodeView(id=id_, cluster=cluster, region=region, state="alive")
                for id_, cluster, region in ((HQ, "hq", "eu"), (FACTORY, "factory", "eu"), (STORE, "store", "us"))
            ),
            cells=(
                MatrixCellView(a=min(HQ, FACTORY), b=max(HQ, FACTORY), rtt_ms=1.25, loss=0.0, measured=True),
                MatrixCellView(a=min(HQ, STORE), b=max(HQ, STORE), rtt_ms=41.5, loss=0.02, measured=True),
                MatrixCellView(a=min(FACTORY, STORE), b=max(FACTORY, STORE), rtt_ms=140.4, loss=None, measured=False),
            ),
        )

    async def route(self, prefix: str) -> RouteView:
        self._called("route", prefix)
        return RouteView(
            to=STORE,
            cluster="store",
            state="alive",
            policy="prefer-trusted",
            hops=(
                HopView(id=HQ, cluster="hq", rtt_ms=1.25, kept_off=""),
                HopView(id=STORE, cluster="store", rtt_ms=41.5, kept_off=""),
            ),
            otherwise=(
                HopView(id=FACTORY, cluster="factory", rtt_ms=0.5, kept_off="convicted"),
                HopView(id=STORE, cluster="store", rtt_ms=2.0, kept_off=""),
            ),
        )

    async def invite_new(self, cluster: str, role: str, expires_s: float, uses: int) -> tuple[str, InviteView]:
        self._called("invite_new", cluster, role, expires_s, uses)
        return "arqon1-ticket", (await self.invites())[0]

    async def invites(self) -> tuple[InviteView, ...]:
        self._called("invites")
        return (
            InviteView(
                ticket_id="01JB0000000000000000000001",
                cluster="factory",
                role="spoke",
                expires_ms=1_760_003_600_000,
                uses=1,
                used=0,
                revoked=False,
                inviter=HQ,
            ),
        )

    async def invite_revoke(self, ticket_id: str) -> InviteView:
        self._called("invite_revoke", ticket_id)
        return (await self.invites())[0]

    async def certificate(self) -> CertificateView:
        self._called("certificate")
        return CertificateView(
            node_id=HQ,
            subject=f"arqon://{MESH.id}/hq/{HQ}",
            serial="0a1b",
            not_before_ms=1_760_000_000_000,
            not_after_ms=1_760_172_800_000,
            renew_at_ms=1_760_086_400_000,
            previous_valid_until_ms=None,
        )

    async def certificate_rotate(self) -> CertificateView:
        self._called("certificate_rotate")
        return await self.certificate()

    async def bus_clients(self, slow: bool) -> tuple[tuple[BusClientView, ...], int]:
        self._called("bus_clients", slow)
        client = BusClientView(
            id="arq_01JB3Z0K8M9V4Q2W7X5Y6T1R0P",
            address="127.0.0.1:40000",
            name="Ann",
            kind="human",
            subject="ann",
            role="user",
            tenant="acme",
            via="jwt",
            rooms=("chat:lobby", "plant:*", "plant:press"),
            subscriptions=3,
            published=12,
            in_per_s=1.5,
            out_bytes_per_s=2_048.0,
            queue_bytes=3 << 20,
            dropped=7,
            since_ms=1_760_000_000_000,
            slow_ms=4_000,
        )
        return (client,), 2

    async def config_changes(self, apply: bool) -> ConfigChangesView:
        self._called("config_changes", apply)
        return ConfigChangesView(
            file="/x/arqon.yaml",
            applied=apply,
            changes=(
                ConfigChangeView(name="bus.rate_per_s", running="0", file="100", origin="arqon.yaml, line 3", hot=True),
                ConfigChangeView(
                    name="listen.bus",
                    running='"127.0.0.1:9100"',
                    file='"127.0.0.1:9200"',
                    origin="environment ARQON_LISTEN__BUS",
                    hot=False,
                ),
            ),
            warnings=("ARQON_BUSS is read by nobody; did you mean ARQON_BUS__ROOMS",),
        )

    async def policy(self, channel: str = "", target: str = "") -> PolicyView:
        self._called("policy", *((channel, target) if channel else ()))
        verdict = PolicyVerdictView(
            node=FACTORY,
            cluster="factory",
            region="us-east",
            linked=True,
            allowed=False,
            rule="pin[0] acme|* to eu-*",
            reason="the channel is pinned, and its region is us-east",
        )
        return PolicyView(
            export_allow=("telemetry:*",),
            export_deny=("telemetry:secret*",),
            import_allow=("*",),
            import_deny=(),
            rules=(
                PolicyRuleView(name="pin[0]", kind="pin", channels=("acme|*",), regions=("eu-*",)),
                PolicyRuleView(name="aggregate[0]", kind="aggregate", channels=("metrics:*",), every_s=60, to="a:b"),
            ),
            verdicts=(verdict,) if channel else (),
            decisions=(
                {
                    "direction": "export",
                    "channel": "telemetry:host",
                    "cluster": "hq",
                    "allowed": True,
                    "rule": "export.allow[0]",
                    "messages": 40,
                },
            ),
        )

    async def stop(self) -> None:
        self._called("stop")
        self.stopped.set()


class Broken(ArqonError):
    """An error class that the client does not know."""

    exit_code = 1
