"""Identities end: a token expires, a key is revoked, anonymous access ends with the first key. The client is closed
(4401); of what ends by the clock it is told before.

It stays when it shows a newer token in time: {"type": "authenticate", "args": {"token": "..."}}. Rights may change
with that; subscriptions that the new identity may not have are ended and named in the answer.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, Final

from arqonmesh.core.bus import mesh_room
from arqonmesh.core.bus.answers import say
from arqonmesh.core.bus.identity import Identity
from arqonmesh.core.bus.names import is_pattern
from arqonmesh.core.bus.presence import notice
from arqonmesh.core.bus.stamps import iso
from arqonmesh.core.bus.tenants import outside
from arqonmesh.core.events import CredentialRevoked, Dropped
from arqonmesh.core.kernel import MILLISECOND, CloseClient, Effect, Emit, Instant
from arqonmesh.ids import ClientId

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.clients import Client

NOT_AUTHENTICATED: Final = 4401
"""Close code (RFC 6455, 7.4.2: 4000-4999 are ours): the credential ended. A client may come back with another."""


_NOT_ANONYMOUS: Final = "bus.auth: the bus asks for a token or an API key from now on, and none was shown"


class Credentials:
    """When whose identity ends, soonest first. Entries of clients that left or renewed are passed over."""

    def __init__(self) -> None:
        self._heap: list[tuple[Instant, ClientId]] = []
        self._at: dict[ClientId, Instant] = {}
        """The entry that counts, per client."""

    def __len__(self) -> int:
        return len(self._at)

    @property
    def next(self) -> Instant | None:
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def set(self, client: ClientId, at: Instant) -> None:
        """Look at this client then."""
        self._at[client] = at
        heappush(self._heap, (at, client))
        if len(self._heap) > 2 * len(self._at) + 64:
            self._heap = [(at, client) for client, at in self._at.items()]
            heapify(self._heap)

    def forget(self, client: ClientId) -> None:
        self._at.pop(client, None)

    def due(self, now: Instant) -> list[ClientId]:
        """Whoever is to be looked at by now; each is forgotten."""
        found = []
        while (at := self.next) is not None and at <= now:
            client = self._heap[0][1]
            del self._at[client]
            found.append(client)
        return found


def watch(bus: Bus, now: Instant, client: Client) -> None:
    """See to it that the end of this client's identity is noticed."""
    expires_ms = client.identity.expires_ms
    if not expires_ms:
        bus.credentials.forget(client.id)
        return
    notice_ms = bus.settings.auth.expiry_notice_s * 1_000
    left_ms = expires_ms - bus.wall_ms
    wait_ms = left_ms if client.told_of_expiry else left_ms - notice_ms
    bus.credentials.set(client.id, now + max(0, wait_ms) * MILLISECOND)


def tell_and_close(bus: Bus, now: Instant) -> list[Effect]:
    """Tell those whose identity ends soon, close those whose ended. The wall clock decides, whatever the timer says."""
    effects: list[Effect] = []
    for id_ in bus.credentials.due(now):
        client = bus.clients.get(id_)
        if client is None or client.closing:
            continue
        left_ms = client.identity.expires_ms - bus.wall_ms
        if left_ms <= 0:
            effects += _close(bus, client, "bus.auth-expired: the token or key expired and no newer one was shown")
            continue
        if not client.told_of_expiry and left_ms <= bus.settings.auth.expiry_notice_s * 1_000:
            client.told_of_expiry = True
            payload = {
                "event": "expiring",
                "expires": iso(client.identity.expires_ms),
                "expires_in_ms": left_ms,
                "hint": '{"type": "authenticate", "args": {"token": "..."}}',
            }
            effects.append(say(bus, client, "system", payload))
        watch(bus, now, client)
    return effects


def take_revoked(bus: Bus, event: CredentialRevoked) -> list[Effect]:
    """Close whoever came in with this credential."""
    effects: list[Effect] = []
    reason = _NOT_ANONYMOUS if event.via == "anonymous" else "bus.auth-revoked: the API key was revoked"
    for client in bus.clients.values():
        if client.identity.via == event.via and not client.closing:
            effects += _close(bus, client, reason)
    return effects


def replace_identity(bus: Bus, now: Instant, client: Client, identity: Identity) -> tuple[list[str], list[Effect]]:
    """The client is someone else from now on; (subscriptions that it lost, what follows from that)."""
    client.identity = identity
    client.told_of_expiry = False
    client.routes.clear()
    watch(bus, now, client)
    bus.exchange.own.client_came(client)  # the other nodes know its subject
    lost, effects = [], []
    for name in list(client.subscriptions):
        if is_pattern(name) or bus.permissions.may(identity, "join", name):
            continue
        bus.channels.unsubscribe(client, name)
        lost.append(outside(name))
        if name != mesh_room.NAME:
            effects += notice(bus, name, client, "left")
    bus.channels.client_changed(client)
    return lost, list(effects)


def told(identity: Identity) -> dict[str, Any]:
    """An identity as its own client sees it."""
    expires = iso(identity.expires_ms) if identity.expires_ms else None
    return {"subject": identity.subject, "role": identity.role, "tenant": identity.tenant, "expires": expires}


def _close(bus: Bus, client: Client, reason: str) -> list[Effect]:
    client.closing = True
    bus.counters["credentials_ended"] += 1
    code = reason.partition(":")[0].removeprefix("bus.")
    return [CloseClient(client.id, NOT_AUTHENTICATED, reason), Emit(Dropped("bus", code, 1, client.id))]
