"""Which members this node wants a link to, without being asked.

Roles are routing attributes: hubs and leaders are dialled by everyone, spokes by nobody, and the founder whatever its
role, so that a mesh without a hub hangs together. `links.auto` says which members are wanted: `hubs` (the default),
`full` (everyone: for small meshes), or `none` (only what the operator adds).
The wish is for ever: the dialer keeps trying until the member leaves. At most `auto_max` members are wanted; the
choice is stable and spread by rendezvous hashing (Thaler and Ravishankar 1998), so that a hundred spokes do not all
pick the same hubs.
"""

from __future__ import annotations

import hashlib
from typing import ClassVar

from arqonmesh.config.model import LinkSettings
from arqonmesh.core.events import MemberChanged, MemberDescribed
from arqonmesh.core.kernel import Connect, Disconnect, Durable, Effect, Env, Event, Instant
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import WireMessage

DIALLED_ROLES = ("hub", "leader")


class Topology:
    """Emits Connect for wanted members and Disconnect(forget) for those that left."""

    NAME: ClassVar[str] = "topology"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = ()
    EVENTS: ClassVar[tuple[type[Event], ...]] = (MemberDescribed, MemberChanged)

    def __init__(self, env: Env, settings: LinkSettings, founder: NodeId) -> None:
        self._env = env
        self._founder = founder
        self._settings = settings
        self._candidates: dict[NodeId, tuple[str, ...]] = {}
        self._wanted: dict[NodeId, tuple[str, ...]] = {}

    @property
    def wanted(self) -> tuple[NodeId, ...]:
        return tuple(self._wanted)

    def introduce(self, node: NodeId, role: str, addresses: tuple[str, ...]) -> list[Effect]:
        """A member and where it listens, by its own record or by the word of who admitted us."""
        if node == self._env.node_id:
            return []
        central = role in DIALLED_ROLES or node == self._founder
        if addresses and (self._settings.auto == "full" or (self._settings.auto == "hubs" and central)):
            self._candidates[node] = addresses
        else:
            self._candidates.pop(node, None)
        return self._choose()

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        return []

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        raise AssertionError(f"topology speaks no messages, got {type(message).__name__}")

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        if isinstance(event, MemberDescribed):
            return self.introduce(event.node, event.role, event.addresses)
        if isinstance(event, MemberChanged) and event.new == "left":
            self._candidates.pop(event.node, None)
            left = self._wanted.pop(event.node, None)
            farewell: list[Effect] = [] if left is None else [Disconnect(event.node, "member-left", forget=True)]
            return farewell + self._choose()
        return []

    def on_timer(self, now: Instant) -> list[Effect]:
        return []

    def next_deadline(self) -> Instant | None:
        return None

    def _choose(self) -> list[Effect]:
        """Want the best `auto_max` candidates; a member once wanted stays wanted while it is a candidate."""
        kept = [node for node in self._wanted if node in self._candidates]
        others = sorted((node for node in self._candidates if node not in self._wanted), key=self._rank)
        chosen = (kept + others)[: self._settings.auto_max]
        effects: list[Effect] = [
            Connect(node, self._candidates[node]) for node in chosen if self._wanted.get(node) != self._candidates[node]
        ]
        self._wanted = {node: self._candidates[node] for node in chosen}
        return effects

    def _rank(self, node: NodeId) -> bytes:
        return hashlib.sha256(f"{self._env.node_id} {node}".encode()).digest()
