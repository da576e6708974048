"""What this node tells the others of its own clients: rows, from the first link to a mate on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from arqonmesh.core.bus.cluster.reach import LINKS, links_row
from arqonmesh.core.bus.cluster.table import Facts, Table
from arqonmesh.core.bus.names import is_pattern
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import PresenceRow

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.clients import Client


class OwnRows:
    """Told by the bus whatever becomes of its clients; `changed` is called when mates are to hear of it."""

    def __init__(self, bus: Bus, changed: Callable[[], None]) -> None:
        self.table: Table | None = None
        """It outlives the mesh, because its versions must never repeat."""
        self._bus = bus
        self._changed = changed
        self._sent = 0

    def begin(self) -> bool:
        """The first mate: from now on our clients are told of. False: they were already."""
        if self.table is not None:
            return False
        self.table = Table(self._bus.env.boot_epoch)
        for client in self._bus.clients.values():
            self.client_came(client)
            for channel in client.subscriptions:
                self.joined(client, channel)
        for kept in self._bus.channels.kept():
            self.kept(kept.name, kept.created_ms)
        self._sent = self.table.version  # mates learn of these by the digests
        return True

    def take_news(self) -> tuple[Table, int, list[PresenceRow]] | None:
        """The table, and what is new in it since the last call: (table, version before, rows)."""
        table = self.table
        if table is None or table.version <= self._sent:
            return None
        base, rows = table.after(table.epoch, self._sent) if self._sent else (0, list(table.living()))
        self._sent = table.version
        return table, base, rows

    # --- from the bus ----------------------------------------------------------------------------------------

    def client_came(self, client: Client) -> None:
        """A client, or what it says of itself, is new."""
        if self.table is not None:
            self._write(client.id, "", client.connected_ms, facts=_facts(client))

    def client_went(self, client: Client) -> None:
        if self.table is not None:
            self._write(client.id, "", 0, alive=False)

    def joined(self, client: Client, channel: str) -> None:
        if self.table is not None and _is_told(channel):
            self._write(client.id, channel, client.subscriptions[channel])

    def left(self, client: Client, channel: str) -> None:
        if self.table is not None and _is_told(channel):
            self._write(client.id, channel, 0, alive=False)

    def kept(self, channel: str, created_ms: int) -> None:
        """A channel was created here to stay."""
        if self.table is not None:
            self._write("", channel, created_ms)

    def unkept(self, channel: str) -> None:
        """It was deleted."""
        if self.table is not None:
            self._write("", channel, 0, alive=False)

    # --- from the exchange -----------------------------------------------------------------------------------

    def linked_to(self, mates: list[NodeId]) -> None:
        """Our links to mates are others than before."""
        if self.table is not None:
            self._write("", LINKS, 0, facts=links_row(mates))

    def look_after_kept(self) -> None:
        """Created channels that made room for others, or were deleted, are not told of any more."""
        if self.table is None:
            return
        for row in [row for row in self.table.living() if not row[1] and row[2] != LINKS]:
            channel = self._bus.channels.find(row[2])
            if channel is None or not (channel.kept or channel.fixed):
                self._write("", row[2], 0, alive=False)

    def _write(
        self, client: str, channel: str, since_ms: int, *, alive: bool = True, facts: tuple[str, ...] = ()
    ) -> None:
        assert self.table is not None
        if self.table.write(client, channel, since_ms, alive=alive, facts=facts):
            self._changed()


def _facts(client: Client) -> Facts:
    profile, identity = client.profile, client.identity
    return Facts(
        profile.type, profile.screen_name, profile.personality, profile.avatar, identity.tenant, identity.subject[:512]
    )


def _is_told(channel: str) -> bool:
    """Patterns and the mesh's own room are a matter between a client and its node."""
    return not is_pattern(channel) and not channel.startswith("$")
