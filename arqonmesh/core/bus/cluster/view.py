"""The clients of the cluster's other nodes, as one index. Fed by exchange.py; read by presence, commands, private."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from arqonmesh.core.bus.cluster.table import Facts
from arqonmesh.core.bus.profile import Profile
from arqonmesh.core.bus.tenants import tenant_of
from arqonmesh.ids import ClientId, NodeId
from arqonmesh.wire.messages import PresenceRow

_NOBODY: Final[dict[ClientId, Remote]] = {}


class Remote:
    """A client of another node."""

    __slots__ = ("channels", "connected_ms", "id", "node", "profile", "subject", "tenant")

    def __init__(self, client: ClientId, node: NodeId) -> None:
        self.id = client
        self.node = node
        self.connected_ms = 0
        self.profile = Profile()
        self.tenant = ""
        self.subject = ""
        self.channels: dict[str, int] = {}
        """Since when, wall clock milliseconds of its node."""


class View:
    """Who is where."""

    def __init__(self) -> None:
        self.clients: dict[ClientId, Remote] = {}
        self._channels: dict[str, dict[ClientId, Remote]] = {}
        self._kept: dict[str, dict[NodeId, int]] = {}
        """Channels that were created at other nodes: where, and when."""
        self._names: dict[str, dict[str, None]] = {}
        """Channels by tenant."""
        self._rooms: dict[str, dict[str, None]] = {}
        self._nodes: dict[NodeId, dict[ClientId, Remote]] = {}

    # --- what is known ---------------------------------------------------------------------------------------

    def members(self, channel: str) -> dict[ClientId, Remote]:
        """Who is in this channel at other nodes. Not to be changed."""
        return self._channels.get(channel, _NOBODY)

    def has(self, channel: str) -> bool:
        return channel in self._channels or channel in self._kept

    def created_ms(self, channel: str) -> int:
        """When it began, as far as other nodes tell: the earliest creation or membership."""
        times = [*self._kept.get(channel, {}).values()]
        times += [member.channels[channel] for member in self.members(channel).values()]
        return min(times, default=0)

    def names(self, tenant: str, room: str) -> Iterator[str]:
        """Channels of a tenant, of one room (its name inside) or of all."""
        return iter(self._rooms.get(room, {}) if room else self._names.get(tenant, {}))

    def at(self, node: NodeId) -> dict[ClientId, Remote]:
        return self._nodes.get(node, _NOBODY)

    def __len__(self) -> int:
        return len(self.clients)

    # --- what is told ----------------------------------------------------------------------------------------

    def apply(self, node: NodeId, row: PresenceRow) -> tuple[str, list[tuple[Remote, str]]]:
        """Take a row of this node; ("joined" or "left" or "", who and the channels where that is news)."""
        _, client, channel, since_ms, alive, facts = row
        if not client and channel.startswith("$"):  # a row about the node itself (reach.py)
            return "", []
        if not client:
            self._keep(node, channel, since_ms, alive)
            return "", []
        id_ = ClientId(client)
        remote = self.clients.get(id_)
        if remote is not None and remote.node != node:
            return "", []  # ids are never given twice; the first one counts
        if not alive:
            return "left", [] if remote is None else self._gone(remote, channel)
        if remote is None:
            remote = self.clients[id_] = Remote(id_, node)
            self._nodes.setdefault(node, {})[id_] = remote
        if not channel:
            told = Facts(*facts[: len(Facts._fields)])
            remote.profile = Profile(told.type, told.screen_name, told.personality, told.avatar)
            remote.tenant, remote.subject, remote.connected_ms = told.tenant, told.subject, since_ms
            return "", []
        fresh = channel not in remote.channels
        remote.channels[channel] = since_ms
        self._channels.setdefault(channel, {})[id_] = remote
        self._name(channel)
        return "joined", [(remote, channel)] if fresh else []

    def forget(self, node: NodeId) -> list[tuple[Remote, str]]:
        """All rows of this node; who was in which channel."""
        left: list[tuple[Remote, str]] = []
        for remote in list(self.at(node).values()):
            left += self._gone(remote, "")
        for channel in [name for name, where in self._kept.items() if node in where]:
            self._keep(node, channel, 0, False)
        return left

    # --- private ---------------------------------------------------------------------------------------------

    def _gone(self, remote: Remote, channel: str) -> list[tuple[Remote, str]]:
        """Out of one channel, or of the bus."""
        left = [channel] if channel else list(remote.channels)
        told = []
        for name in left:
            if remote.channels.pop(name, None) is None:
                continue
            members = self._channels[name]
            del members[remote.id]
            if not members:
                del self._channels[name]
                self._unname(name)
            told.append((remote, name))
        if not channel:
            del self.clients[remote.id]
            at = self._nodes[remote.node]
            del at[remote.id]
            if not at:
                del self._nodes[remote.node]
        return told

    def _keep(self, node: NodeId, channel: str, since_ms: int, alive: bool) -> None:
        if alive:
            self._kept.setdefault(channel, {})[node] = since_ms
            self._name(channel)
        elif (where := self._kept.get(channel)) is not None and where.pop(node, None) is not None and not where:
            del self._kept[channel]
            self._unname(channel)

    def _name(self, channel: str) -> None:
        self._names.setdefault(tenant_of(channel), {})[channel] = None
        self._rooms.setdefault(channel.partition(":")[0], {})[channel] = None

    def _unname(self, channel: str) -> None:
        if self.has(channel):
            return
        for index, key in ((self._names, tenant_of(channel)), (self._rooms, channel.partition(":")[0])):
            names = index.get(key, {})
            names.pop(channel, None)
            if not names:
                index.pop(key, None)
