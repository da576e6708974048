"""Channels and who listens to them, tracked both ways; patterns; audiences worked out once per change.

A channel exists while it has members, history, or someone made it. When the table is full, the channel that has
been without members longest makes room; when every channel has members, a new one is refused.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from arqonmesh.core.bus.envelope import text
from arqonmesh.core.bus.history import History, Ring
from arqonmesh.core.bus.names import EVERYTHING, is_pattern
from arqonmesh.core.bus.permissions import Permissions
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.bus.shelf import Shelf
from arqonmesh.core.bus.streams import Streams
from arqonmesh.core.bus.tenants import inside, outside, tenant_of
from arqonmesh.ids import ClientId

if TYPE_CHECKING:
    from arqonmesh.core.bus.clients import Client
    from arqonmesh.core.bus.identity import Identity
    from arqonmesh.core.bus.late import Passed
    from arqonmesh.core.bus.resume import Tail

SUBSCRIPTIONS_MAX: Final = 256
"""Channels and patterns per client."""
_WITHOUT_MAX: Final = 64
"""Publishers per channel for whom the audience without themselves is remembered."""


class Audience:
    """Who gets a frame of one channel, by dialect, in the order of joining. Never changes; a new one is made."""

    __slots__ = ("_without", "canonical", "generation", "legacy")

    def __init__(self, members: dict[ClientId, Client], generation: int) -> None:
        self.canonical = tuple(client.id for client in members.values() if client.canonical)
        self.legacy = tuple(client.id for client in members.values() if not client.canonical)
        self.generation = generation
        self._without: dict[ClientId, tuple[tuple[ClientId, ...], tuple[ClientId, ...]]] = {}

    def without(self, sender: ClientId) -> tuple[tuple[ClientId, ...], tuple[ClientId, ...]]:
        """(canonical, legacy) except this client; the same tuples again for the same client."""
        found = self._without.get(sender)
        if found is None:
            found = (_except(self.canonical, sender), _except(self.legacy, sender))
            if len(self._without) < _WITHOUT_MAX:
                self._without[sender] = found
        return found


class Channel:
    """One `room:channel`."""

    __slots__ = (
        "ahead",
        "alive",
        "audience",
        "created_ms",
        "fixed",
        "home",
        "kept",
        "leaf",
        "listed",
        "members",
        "name",
        "owed",
        "passed",
        "published",
        "ring",
        "room",
        "shown",
        "stamp",
        "streams",
        "tails",
        "tenant",
        "told",
    )

    def __init__(self, name: str, created_ms: int, streams: Streams) -> None:
        self.name = name
        """Inside (tenants.py); what clients see is `shown`, `room` and `leaf`."""
        self.tenant = tenant_of(name)
        self.shown = outside(name)
        self.home = name.partition(":")[0]
        """The room's name inside."""
        self.room, _, self.leaf = self.shown.partition(":")
        self.listed = self.leaf != EVERYTHING and not name.startswith("$")
        """Whether listings show it: what is said to a whole room is no channel of it, and `$mesh` is nobody's."""
        self.created_ms = created_ms
        self.members: dict[ClientId, Client] = {}
        self.ring = Ring()
        self.streams = streams
        self.stamp = b',"epoch":%b,"offset":' % text(streams.epoch)
        """What stands in every event that is published here, before its offset."""
        self.tails: tuple[Tail, ...] = ()
        """Clients that are catching up: what comes meanwhile goes there."""
        self.ahead: dict[ClientId, dict[str, int]] = {}
        """Members that have seen more of some streams than this node has."""
        self.owed: dict[ClientId, dict[str, int]] = {}
        """Members that came back, and what they had seen: what is found of what they missed goes to them."""
        self.told: dict[ClientId, dict[str, tuple[int, int]]] = {}
        """Listeners that were handed, of `streams.untold`, from the first to the last of these (late.py prunes it)."""
        self.passed: list[Passed] = []
        """Holes that live events went past, and who was there."""
        self.published = 0
        self.kept = False
        """Made with create_channel: stays without members, until the table is full."""
        self.fixed = False
        """Named in `bus.rooms`: never makes room, cannot be deleted."""
        self.alive = True
        self.audience: Audience | None = None


class Watcher(Protocol):
    """Is told of every membership."""

    def joined(self, client: Client, channel: str) -> None: ...
    def left(self, client: Client, channel: str) -> None: ...


class Channels:
    """All channels of a node."""

    def __init__(
        self,
        channels_max: int,
        history: History,
        shelf: Shelf,
        *,
        permissions: Permissions | None = None,
        subscriptions_max: int = SUBSCRIPTIONS_MAX,
    ) -> None:
        self._permissions = permissions or Permissions()
        self._subscriptions_max = subscriptions_max
        self._channels_max = channels_max
        self._history = history
        self._shelf = shelf
        self._by_name: dict[str, Channel] = {}
        self._rooms: dict[str, dict[str, Channel]] = {}
        self._tenants: dict[str, dict[str, Channel]] = {}
        """The channels of each tenant; under "" those of nobody's."""
        self._idle: OrderedDict[str, Channel] = OrderedDict()
        """Without members, quiet longest first."""
        self._patterns: dict[str, dict[ClientId, Client]] = {}
        self._generation = 0
        """Raised when a pattern subscription changes, because that may change any audience."""
        self._changes = 0
        """Raised when a subscription or channel comes or goes, because that may change the audience of a whole room."""
        self.evicted = 0
        self.watcher: Watcher | None = None

    def adopt(self, channels_max: int, subscriptions_max: int) -> None:
        """Other limits from now on, and maybe other rules; who is above the limits, or a member, stays."""
        self._generation += 1
        self._channels_max, self._subscriptions_max = channels_max, subscriptions_max

    def __len__(self) -> int:
        return len(self._by_name)

    def find(self, name: str) -> Channel | None:
        return self._by_name.get(name)

    def obtain(self, name: str, wall_ms: int) -> Channel:
        """The channel, made if need be. Raises Refusal when there is no room for another."""
        channel = self._by_name.get(name)
        if channel is not None:
            return channel
        if len(self._by_name) >= self._channels_max:
            if not self._idle:
                raise Refusal(
                    "bus.channels-full",
                    f"{len(self._by_name)} channels have members, which is all that bus.channels_max allows",
                    field="channel",
                    hint="raise bus.channels_max in arqon.yaml",
                )
            self._remove(next(iter(self._idle.values())))
            self.evicted += 1
        channel = Channel(name, wall_ms, self._shelf.take(name))
        channel.ring.whole = not channel.streams.heads and not channel.streams.offset
        self._by_name[name] = channel
        if channel.listed:
            self._changes += 1
            self._rooms.setdefault(channel.home, {})[name] = channel
            self._tenants.setdefault(channel.tenant, {})[name] = channel
        self._idle[name] = channel
        return channel

    def let_go(self, channel: Channel) -> None:
        """End a channel that was obtained for somebody who then did not come in, unless there is something of it."""
        wanted = channel.members or channel.ring.frames or channel.kept or channel.fixed or channel.tails
        if channel.alive and not wanted:
            self._remove(channel)

    def fix(self, name: str, wall_ms: int) -> None:
        """Have this channel from now on, whatever happens."""
        channel = self.obtain(name, wall_ms)
        channel.fixed = True
        self._idle.pop(name, None)

    def delete(self, channel: Channel) -> list[Client]:
        """The end of a channel, with its history; who was in it."""
        members = list(channel.members.values())
        for member in members:
            del member.subscriptions[channel.name]
            member.routes.clear()
            if self.watcher is not None:
                self.watcher.left(member, channel.name)
        channel.members.clear()
        self._changes += 1
        self._remove(channel)
        return members

    def all(self) -> Iterator[Channel]:
        return iter(self._by_name.values())

    def kept(self) -> list[Channel]:
        """The channels that were created to stay."""
        return [channel for channel in self._by_name.values() if channel.kept or channel.fixed]

    def in_room(self, room: str) -> list[Channel]:
        """The channels of a room, both named inside."""
        return list(self._rooms.get(room, {}).values())

    def keep_frames(self, channel: Channel, frames: Sequence[bytes], epoch: str = "", first: int = 0) -> None:
        """Count and remember what was published; a channel without members becomes the freshest of those."""
        channel.published += len(frames)
        self._history.extend(channel.name, channel.ring, frames, epoch, first)
        if not channel.members and not channel.fixed:
            if channel.ring.frames or channel.kept:
                self._idle.move_to_end(channel.name)
            else:
                self._remove(channel)

    def listing(self, identity: Identity, room: str, limit: int) -> tuple[list[Channel], int]:
        """The oldest `limit` channels that this client may see, of one room or of all, and how many there are."""
        tenant = identity.tenant
        home = inside(tenant, room)  # `room` may hold anything, another tenant's name inside too
        chosen = (self._rooms.get(home) if room else self._tenants.get(tenant)) or {}
        if tenant_of(home) != tenant:
            return [], 0
        if self._permissions.unrestricted(identity):
            return list(islice(chosen.values(), limit)), len(chosen)
        seen = [channel for channel in chosen.values() if self._permissions.may_see(identity, channel.name)]
        return seen[:limit], len(seen)

    def rooms(self) -> Iterator[str]:
        return iter(self._rooms)

    # --- subscriptions ---------------------------------------------------------------------------------------

    def check_subscriptions(self, client: Client, name: str) -> None:
        """Raises Refusal when the client has no room for this one."""
        if name not in client.subscriptions and len(client.subscriptions) >= self._subscriptions_max:
            raise Refusal(
                "bus.subscriptions-full",
                f"this client has {len(client.subscriptions)} subscriptions, which is all that bus.subscriptions_max "
                "allows; `room:*` takes a whole room",
                field="channel",
                hint='{"type": "leave", "channel": "ROOM:CHANNEL"}',
            )

    def subscribe(self, client: Client, name: str, wall_ms: int) -> Channel | None:
        """Add a subscription; its channel, or None for a pattern. Repeats are harmless. Raises Refusal."""
        self.check_subscriptions(client, name)
        if is_pattern(name):
            self._patterns.setdefault(name, {})[client.id] = client
            self._generation += 1
            client.subscriptions.setdefault(name, wall_ms)
            return None
        channel = self.obtain(name, wall_ms)
        channel.members[client.id] = client
        channel.audience = None
        self._changes += 1
        self._idle.pop(name, None)
        if name not in client.subscriptions:
            client.subscriptions[name] = wall_ms
            if self.watcher is not None:
                self.watcher.joined(client, name)
        return channel

    def unsubscribe(self, client: Client, name: str) -> bool:
        """Take a subscription away; False when there was none."""
        if name not in client.subscriptions:
            return False
        del client.subscriptions[name]
        if is_pattern(name):
            listeners = self._patterns[name]
            del listeners[client.id]
            if not listeners:
                del self._patterns[name]
            self._generation += 1
            return True
        channel = self._by_name[name]
        if self.watcher is not None:
            self.watcher.left(client, name)
        del channel.members[client.id]
        channel.ahead.pop(client.id, None)
        channel.owed.pop(client.id, None)
        channel.audience = None
        self._changes += 1
        if not channel.members and not channel.fixed:
            self._idle[name] = channel
            if not channel.ring.frames and not channel.kept:
                self._remove(channel)
        return True

    def client_changed(self, client: Client) -> None:
        """The client moves from one half of its audiences to the other, or may read other channels than before."""
        self._changes += 1
        for name in client.subscriptions:
            if is_pattern(name):
                self._generation += 1
            else:
                self._by_name[name].audience = None

    def audience(self, channel: Channel) -> Audience:
        """Members and those who listen by pattern, each once."""
        audience = channel.audience
        if audience is None or audience.generation != self._generation:
            if channel.leaf == EVERYTHING:
                return self._whole_room(channel)
            listeners = channel.members
            if self._patterns:
                listeners = {**channel.members, **self._listening(channel)}
            audience = channel.audience = Audience(listeners, self._generation)
        return audience

    def _whole_room(self, channel: Channel) -> Audience:
        """Whoever is in a channel of the room or listens to one by pattern, each once."""
        generation = -1 - self._generation - self._changes  # below 0: never what `audience` takes for fresh
        if channel.audience is not None and channel.audience.generation == generation:
            return channel.audience
        listeners: dict[ClientId, Client] = {}
        for one in (*self._rooms.get(channel.home, {}).values(), channel):
            listeners.update(one.members)
            if self._patterns:
                listeners.update(self._listening(one))
        channel.audience = Audience(listeners, generation)
        return channel.audience

    def _listening(self, channel: Channel) -> dict[ClientId, Client]:
        """Who takes this channel by a pattern, and may."""
        patterns = (
            f"{channel.home}:{EVERYTHING}",
            inside(channel.tenant, f"{EVERYTHING}:{channel.leaf}"),
            inside(channel.tenant, EVERYTHING),
        )
        listening: dict[ClientId, Client] = {}
        for pattern in patterns:
            listening.update(self._patterns.get(pattern, {}))
        may = self._permissions.may
        return {id_: client for id_, client in listening.items() if may(client.identity, "join", channel.name)}

    def _remove(self, channel: Channel) -> None:
        channel.alive = False
        self._idle.pop(channel.name, None)
        self._history.forget(channel.name, channel.ring)
        self._shelf.put(channel.name, channel.streams)
        del self._by_name[channel.name]
        if not channel.listed:
            return
        self._changes += 1
        for index, key in ((self._rooms, channel.home), (self._tenants, channel.tenant)):
            del index[key][channel.name]
            if not index[key]:
                del index[key]


def _except(clients: tuple[ClientId, ...], one: ClientId) -> tuple[ClientId, ...]:
    return tuple(client for client in clients if client != one) if one in clients else clients
