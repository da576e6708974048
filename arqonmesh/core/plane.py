"""The cores that make a node a member of a mesh, and the order in which they hear and start.

Order is part of the design: admission tells who belongs before membership asks whether they live, and what gossip reads
from disk rebuilds all the others before they say anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from arqonmesh.config.model import Config
from arqonmesh.core.admission.core import Admission
from arqonmesh.core.broadcast import Plumtree
from arqonmesh.core.coordinates.core import Coordinates
from arqonmesh.core.events import Applied
from arqonmesh.core.federation.core import Federation
from arqonmesh.core.gossip.core import TOPIC as STATEMENTS
from arqonmesh.core.gossip.core import Gossip
from arqonmesh.core.kernel import MILLISECOND, Core, Durable, Effect, Env, Instant
from arqonmesh.core.link.core import Links
from arqonmesh.core.membership.core import Membership
from arqonmesh.core.overlay.core import Overlay
from arqonmesh.core.partition.core import Partition
from arqonmesh.core.peers.core import Peers
from arqonmesh.core.regions.core import Regions
from arqonmesh.core.router import Router
from arqonmesh.core.routing.core import Routing
from arqonmesh.core.topology import Topology
from arqonmesh.core.user_events import UserEvents
from arqonmesh.errors import DecodeError
from arqonmesh.ids import MeshId, NodeId
from arqonmesh.wire.statement import decode_body, decode_statement, peers_up

AT_START_MAX: Final = 65_536
"""So many members' links are told to several cores at a start without being worked out anew for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshIdentity:
    """Which mesh, by whom it was founded, and the statements that prove our own admission to it."""

    mesh_id: MeshId
    founder: NodeId
    bootstrap: tuple[bytes, ...] = ()
    """Verified statements of a JoinAccept; they carry the roster until gossip has brought the rest."""


class Plane:
    """Composes the mesh's cores; holds no logic of its own."""

    def __init__(self, config: Config, env_of: Callable[[MeshId, str], Env], mesh: MeshIdentity) -> None:
        def env(core: type[Core]) -> Env:
            return env_of(mesh.mesh_id, core.NAME)

        self.mesh = mesh
        self.admission = Admission(env(Admission), founder=mesh.founder)
        self.coordinates = Coordinates(env(Coordinates), config.coordinates)
        self.peers = Peers(
            env(Peers),
            config.peers,
            self.coordinates.guess_us,
            round_us=config.gossip.repair_interval_ms * MILLISECOND,
        )
        self.links = Links(env(Links), config.links, overlay_heartbeat_ms=config.overlay.heartbeat_ms)
        self.membership = Membership(env(Membership), config.membership)
        self.routing = Routing(env(Routing), config.routing, is_member=self.admission.belongs)
        self.partition = Partition(env(Partition), config.membership, mesh.founder)
        self.topology = Topology(env(Topology), config.links, mesh.founder)
        self.overlay = Overlay(
            env(Overlay), config.overlay, mesh.founder, self.topology.addresses_of, members=self.admission.size
        )
        self.federation = Federation(
            env(Federation),
            config.federation,
            keys=self.admission.key_of,
            cluster_of=self.admission.cluster_of,
            doubt_of=self.admission.doubt_of,
            convicted=self.peers.convicted,
            barred=self.routing.transit.barred,
        )
        self.broadcast = Plumtree(
            env(Plumtree), config.broadcast, members=self.admission.size, mended=frozenset((STATEMENTS,))
        )
        self.gossip = Gossip(env(Gossip), config.gossip, keys=self.admission.key_of, broadcasts=True)
        self.gossip.prefer(self.peers.partner)
        self.regions = Regions(env(Regions), config.regions, heads=self.gossip.heads)
        self.user_events = UserEvents(env(UserEvents), config.user_events, keys=self.admission.key_of)
        self.cores: tuple[Core, ...] = (
            self.admission,
            self.coordinates,
            self.peers,
            self.links,
            self.membership,
            self.routing,
            self.partition,
            self.topology,
            self.overlay,
            self.regions,
            self.federation,
            self.broadcast,
            self.user_events,
            self.gossip,
        )

    def start(self, now: Instant, durable: Durable, router: Router) -> list[Effect]:
        """Load every core before any of them is heard; then the roster, then what gossip knows, then the rest."""
        with peers_up.enlarged(AT_START_MAX):  # several cores keep that of every member: the same object, then
            return self._started(now, durable, router)

    def _started(self, now: Instant, durable: Durable, router: Router) -> list[Effect]:
        said = {core.NAME: core.start(now, durable) for core in self.cores}
        effects: list[Effect] = []
        for encoded in self.mesh.bootstrap:
            if self.gossip.excludes(encoded):  # its author was found to have forked at or before it since
                continue
            effects += router.event(now, _applied(encoded))
        for core in (self.gossip, *(core for core in self.cores if core is not self.gossip)):
            effects += router.run(now, core, said[core.NAME])
        return effects


def _applied(encoded: bytes) -> Applied:
    """A bootstrap statement as if gossip had accepted it; it was verified when the mesh was joined."""
    statement = decode_statement(encoded)
    body = decode_body(statement.kind, statement.body)
    if body is None:
        raise DecodeError("trust.bootstrap", f"the stored admission holds a statement of unknown kind {statement.kind}")
    return Applied(NodeId(statement.author), statement.kind, statement.key, body, encoded, ours=False)
