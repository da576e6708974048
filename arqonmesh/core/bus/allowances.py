"""Whose limits a connection draws on: one `Allowance` per subject, shared by all its connections at this node.

    token, key        (tenant, subject)           ten connections have what one has
    nobody, the one   the connection, or its      `bus.anonymous_counted_by`
    shared token      address

What a subject used up stays used up when it comes back: an allowance without connections is remembered until its
buckets are full again, when it is worth no more than a new one. Both kinds are bounded: those in use by `clients_max`,
the others by `RESTING_MAX`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from arqonmesh.config.model import BusSettings
from arqonmesh.core.bus.identity import Identity
from arqonmesh.core.bus.ratelimit import TokenBucket
from arqonmesh.core.kernel import Instant
from arqonmesh.ids import ClientId

RESTING_MAX: Final = 1_024
"""Allowances without connections that are remembered; beyond it the one that rests longest is forgotten, counted."""
NOBODY_IN_PARTICULAR: Final = ("anonymous", "token")
"""`Identity.via` that says nothing of who it is: what many show is no subject."""

Key = tuple[str, str, str]
"""(subject, address or connection; tenant; name)."""


class Allowance:
    """What one subject, address or connection may use: `None` where there is no limit."""

    __slots__ = ("bytes", "connections", "frames", "key")

    def __init__(self, now: Instant, key: Key, settings: BusSettings) -> None:
        self.key = key
        self.frames = TokenBucket(now, settings.rate_per_s) if settings.rate_per_s else None
        self.bytes = TokenBucket(now, settings.rate_bytes_per_s) if settings.rate_bytes_per_s else None
        self.connections: dict[ClientId, None] = {}

    @property
    def counted_by(self) -> str:
        """subject, address or connection."""
        return self.key[0]

    @property
    def name(self) -> str:
        """For people and metrics: the subject with its tenant, the address, the client's id."""
        _, tenant, name = self.key
        return f"{tenant}/{name}" if tenant else name

    def rested(self, now: Instant) -> bool:
        """Whether a new one would be worth the same."""
        return all(bucket is None or bucket.is_full(now) for bucket in (self.frames, self.bytes))


class Allowances:
    """All of one node. Nothing is kept where no limit is set."""

    def __init__(self) -> None:
        self._in_use: dict[Key, Allowance] = {}
        self._resting: OrderedDict[Key, Allowance] = OrderedDict()
        self.forgotten = 0
        """Taken out of the remembered ones before their time, for want of room."""

    def __len__(self) -> int:
        return len(self._in_use)

    @property
    def resting(self) -> int:
        return len(self._resting)

    def of(
        self, now: Instant, client: ClientId, identity: Identity, address: str, settings: BusSettings
    ) -> Allowance | None:
        """What this client would draw on, without taking a place; None when there is no limit at all."""
        if not is_limited(settings):
            return None
        key = key_of(client, identity, address, settings)
        found = self._in_use.get(key) or self._resting.get(key)
        return Allowance(now, key, settings) if found is None else found

    def enter(self, client: ClientId, allowance: Allowance) -> None:
        self._resting.pop(allowance.key, None)
        self._in_use[allowance.key] = allowance
        allowance.connections[client] = None

    def leave(self, now: Instant, client: ClientId, allowance: Allowance) -> None:
        """The connection is gone, or somebody else's. Repeats are harmless."""
        if allowance.connections.pop(client, allowance) is allowance or allowance.connections:
            return
        if self._in_use.get(allowance.key) is not allowance:
            return  # of before the settings changed
        del self._in_use[allowance.key]
        while self._resting and next(iter(self._resting.values())).rested(now):
            self._resting.popitem(last=False)
        if allowance.counted_by == "connection" or allowance.rested(now):
            return
        self._resting[allowance.key] = allowance
        if len(self._resting) > RESTING_MAX:
            self._resting.popitem(last=False)
            self.forgotten += 1

    def clear(self) -> None:
        """Other settings: everybody begins anew."""
        self._in_use.clear()
        self._resting.clear()


def is_limited(settings: BusSettings) -> bool:
    """Whether anything is counted per subject."""
    return bool(
        settings.rate_per_s
        or settings.rate_bytes_per_s
        or settings.connections_per_subject_max
        or settings.subscriptions_per_subject_max
    )


def key_of(client: ClientId, identity: Identity, address: str, settings: BusSettings) -> Key:
    """Whom this client is counted with."""
    if identity.subject and identity.via not in NOBODY_IN_PARTICULAR:
        return ("subject", identity.tenant, identity.subject)
    if settings.anonymous_counted_by == "address" and (host := address.rpartition(":")[0]):
        return ("address", "", host)
    return ("connection", "", client)
