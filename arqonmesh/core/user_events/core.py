"""User events: a name and up to 1 KiB from one node to all, as `serf event` does it.

    fire(name, payload) ──▶ Persist(lamport) ──Persisted──▶ sign, UserEvent, Broadcast("event", ...)
    BroadcastArrived ──known author, new, signature, within the rate──▶ "accept", UserEvent ──timer──▶ Persist(lamport)

An event carries its author's Lamport time (Lamport 1978): larger than that of every event its author had heard, so that
a cause never sorts after its effect. The clock is on disk before an event leaves, or a restarted node would repeat
numbers that the others take for heard.

(author, lamport) is heard once in a life of this node, by memory (seen.py). What an earlier life heard is not taken for
new either: the highest time heard is written down within `NOTE_EVERY_US`, and after a restart nothing at or below it
counts, whoever its author is (Serf's eventMinTime). A node without such a time, which has only just joined, goes by the
date: what is older than `AGE_MAX_MS` is somebody's recording. No promise beyond that: an event heard within the last
second before a loss of power may be told again once, who is cut off for longer than the broadcast keeps payloads misses
it, an author that was cut off from us and so lags behind is not heard by a node that restarted meanwhile, and order
between authors is not kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from arqonmesh.config.model import UserEventSettings
from arqonmesh.core.events import Broadcast, BroadcastArrived, BroadcastJudged, Dropped, Fault, Persisted, UserEvent
from arqonmesh.core.kernel import SECOND, Durable, Effect, Emit, Env, Event, Instant, Persist, Put
from arqonmesh.core.peers.buckets import Buckets
from arqonmesh.core.user_events.seen import Seen
from arqonmesh.core.user_events.signed import NAME_BYTES_MAX, PAYLOAD_BYTES_MAX, read, sign
from arqonmesh.errors import ConfigError, DecodeError, Denied
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import WireMessage

TOPIC: Final = "event"
LAMPORT_LEAP_MAX: Final = 1 << 40
"""A clock so far ahead of ours is no clock; taking it over would use up the numbers of the whole mesh."""
NOTE_EVERY_US: Final = SECOND
"""How often the time of what we hear is written down, at most."""
AGE_MAX_MS: Final = 10 * 60_000
"""Ten times what the broadcast keeps a payload for, the rest is for clocks that differ."""
HEALING: Final = 8
"""Receivers allow an author so many times its rate and burst: what a partition held back comes at once."""


class UserEvents:
    """The owner of the broadcast topic "event"."""

    NAME: ClassVar[str] = "user_events"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = ()
    EVENTS: ClassVar[tuple[type[Event], ...]] = (BroadcastArrived,)

    def __init__(self, env: Env, settings: UserEventSettings, keys: Callable[[NodeId], bytes | None]) -> None:
        """`keys` tells a member's public key, None for anyone else."""
        self._env = env
        self._keys = keys
        self.adopt(settings)
        self._seen = Seen()
        self._lamport = 0
        self._floor: int | None = None
        """What earlier lives heard goes up to here; None for a node that has never heard anything."""
        self._note_at: Instant | None = None
        """When to write down what we heard; None when all of it is."""
        self._waiting: dict[int, tuple[str, bytes]] = {}
        """What to sign once its lamport is on disk; bounded by our own rate."""
        self.counters: dict[str, int] = {}

    @property
    def lamport(self) -> int:
        """The largest Lamport time of this node's events and those it heard."""
        return self._lamport

    def fire(self, now: Instant, name: str, payload: bytes) -> tuple[int, list[Effect]]:
        """Send an event of ours; its Lamport time and what to do.

        Raises ConfigError when name or payload do not fit, Denied above our own rate.
        """
        if not name or len(name.encode()) > NAME_BYTES_MAX:
            raise ConfigError(
                "user-events.name",
                f"an event name of {len(name.encode())} bytes; it needs 1 to {NAME_BYTES_MAX}",
                hint="arqon mesh event deploy v1.2.3",
            )
        if not name.isprintable():
            raise ConfigError(
                "user-events.name",
                f"an event name {name!r}; it needs to be text without control characters",
                hint="arqon mesh event deploy v1.2.3",
            )
        if len(payload) > PAYLOAD_BYTES_MAX:
            raise ConfigError(
                "user-events.size",
                f"a payload of {len(payload)} bytes; an event carries at most {PAYLOAD_BYTES_MAX}",
                hint="arqon mesh event NAME URL",
            )
        if not self._own.take(now, self._env.node_id):
            raise Denied(
                "user-events.rate",
                "this node sends more events than user_events.rate_per_s and burst allow; they go to every node",
                hint="arqon explain user-events.rate",
            )
        self._lamport += 1
        self._waiting[self._lamport] = (name, payload)
        return self._lamport, [Persist(self._lamport, (self._clock_row(),))]

    def adopt(self, settings: UserEventSettings) -> None:
        """Other rates from now on, each with a full burst."""
        self._own = Buckets(rate_per_s=settings.rate_per_s, burst=settings.burst)
        self._heard = Buckets(rate_per_s=HEALING * settings.rate_per_s, burst=HEALING * settings.burst)

    # --- Core ---------------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        for core, name, value in durable.get("scalars", ()):
            if core == self.NAME and name == "lamport" and isinstance(value, bytes):
                self._lamport = self._floor = int.from_bytes(value, "big")
        return []

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        raise AssertionError(f"user events travel by broadcast, got {type(message).__name__}")

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        if isinstance(event, Persisted):
            return self._signed(event.token)
        assert isinstance(event, BroadcastArrived)
        return self._arrived(now, event) if event.topic == TOPIC else []

    def on_timer(self, now: Instant) -> list[Effect]:
        if self._note_at is None or now < self._note_at:
            return []
        self._note_at = None
        return [Persist(-1, (self._clock_row(),), sync=False)]

    def next_deadline(self) -> Instant | None:
        return self._note_at

    # --- private ------------------------------------------------------------------------------------------

    def _clock_row(self) -> Put:
        return Put("scalars", (self.NAME, "lamport", self._lamport.to_bytes(8, "big")))

    def _signed(self, lamport: int) -> list[Effect]:
        name, payload = self._waiting.pop(lamport)
        env, sent_ms = self._env, self._env.wall_ms()
        self._seen.add(env.node_id, lamport)
        self._count("sent")
        return [
            Emit(UserEvent(env.node_id, lamport, name, payload, sent_ms)),
            Emit(Broadcast(TOPIC, sign(env.crypto, env.mesh_id, env.node_id, lamport, name, payload, sent_ms))),
        ]

    def _arrived(self, now: Instant, event: BroadcastArrived) -> list[Effect]:
        """Who passes on what it could have checked vouches for it; who wrote it is known only after the signature."""
        try:
            signed = read(event.data)
        except DecodeError:
            return self._rejected(event, "malformed")
        author = NodeId(signed.author)
        key = self._keys(author)
        if key is None:
            return self._ignored(event, "unknown-author")
        if not self._seen.is_new(author, signed.lamport):
            return self._ignored(event, "heard-before")
        if self._floor is None:
            if signed.sent_ms < self._env.wall_ms() - AGE_MAX_MS:
                return self._ignored(event, "too-old")
        elif signed.lamport <= self._floor:
            return self._ignored(event, "before-start")
        if not self._env.crypto.verify(key, signed.signed_bytes(self._env.mesh_id), signed.signature):
            return self._rejected(event, "bad-signature")
        if signed.lamport > self._lamport + LAMPORT_LEAP_MAX:
            return [*self._ignored(event, "clock-leap"), Emit(Fault(author, "clock-ahead"))]
        if not self._heard.take(now, author):
            return self._ignored(event, "rate")
        self._seen.add(author, signed.lamport)
        if signed.lamport > self._lamport:
            self._lamport = signed.lamport
            if self._note_at is None:
                self._note_at = now + NOTE_EVERY_US
        self._count("heard")
        return [
            Emit(BroadcastJudged(event.id, "accept")),
            Emit(UserEvent(author, signed.lamport, signed.name, signed.payload, signed.sent_ms)),
        ]

    def _ignored(self, event: BroadcastArrived, reason: str) -> list[Effect]:
        self._count(reason)
        return [Emit(BroadcastJudged(event.id, "ignore")), Emit(Dropped(self.NAME, reason))]

    def _rejected(self, event: BroadcastArrived, cause: str) -> list[Effect]:
        self._count(cause)
        return [
            Emit(BroadcastJudged(event.id, "reject")),
            Emit(Dropped(self.NAME, cause)),
            Emit(Fault(event.link_peer, cause)),
        ]

    def _count(self, name: str) -> None:
        self.counters[name] = self.counters.get(name, 0) + 1
