"""What this node says of itself: where it listens, that it lives (at an incarnation), that it leaves.

Only the subject raises its incarnation, by one, and the new one is on disk before it is published. Each raise costs a
synced write here and a flood everywhere, and an accusing ping costs an insider one datagram; so refutations are paced:
four at once, then one a second. What is held back is not lost, it leaves when its turn comes, long before any suspicion
runs out.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.core.events import Publish
from arqonmesh.core.kernel import SECOND, Durable, Effect, Emit, Env, Instant, Persist, Put
from arqonmesh.wire.statement import Kind, NodeRecord

REFUTATIONS_AT_ONCE: Final = 4
REFUTATION_EVERY_US: Final = SECOND


class OwnRecord:
    def __init__(self, env: Env, core: str) -> None:
        self._env = env
        self._core = core
        self._addresses: tuple[str, ...] = ()
        self._software = ""
        self._capabilities: tuple[str, ...] = ()
        self._token = 0
        self._paced_until: Instant | None = None
        self.incarnation = 0
        self.published: int | None = None
        """The incarnation that the mesh was told; None until the first is on disk."""
        self.leaving = False
        self.refute_at: Instant | None = None
        """When a refutation that was held back may leave."""

    def load(self, durable: Durable) -> list[Effect]:
        """A new life: one above what an earlier one had on disk."""
        stored = 0
        for core, name, value in durable.get("scalars", ()):
            if core == self._core and name == "incarnation" and isinstance(value, bytes):
                stored = int.from_bytes(value, "big")
        return self.raise_to(stored + 1)

    def describe(self, addresses: tuple[str, ...], software: str, capabilities: tuple[str, ...]) -> list[Effect]:
        if (addresses, software, capabilities) == (self._addresses, self._software, self._capabilities):
            return []
        self._addresses, self._software, self._capabilities = addresses, software, capabilities
        return [] if self.published is None else [self.record()]

    def leave(self) -> list[Effect]:
        self.leaving = True
        self.refute_at = None
        return [self.record()]

    def raise_to(self, incarnation: int) -> list[Effect]:
        """Our incarnation from now on: on disk first, published when it is there."""
        self.incarnation = incarnation
        self.refute_at = None
        self._token += 1
        row = (self._core, "incarnation", incarnation.to_bytes(8, "big"))
        return [Persist(self._token, (Put("scalars", row),))]

    def persisted(self, token: int) -> list[Effect]:
        if token != self._token:
            return []
        self.published = self.incarnation
        return [self.record()]

    def accused(self, now: Instant, at: int) -> bool:
        """Someone accuses us; whether that is new and to be refuted. An older incarnation is refuted already, a newer
        one was never ours, and one that is on its way to the disk is an answer to this, too."""
        return not self.leaving and at == self.incarnation == self.published and self.refute_at is None

    def refute(self, now: Instant) -> list[Effect]:
        """At once, or later when there have been many."""
        paced_until = max(now, self._paced_until or now)
        self._paced_until = paced_until + REFUTATION_EVERY_US
        due = paced_until - (REFUTATIONS_AT_ONCE - 1) * REFUTATION_EVERY_US
        if due <= now:
            return self.raise_to(self.incarnation + 1)
        self.refute_at = due
        return []

    def on_timer(self, now: Instant) -> list[Effect]:
        if self.refute_at is None or now < self.refute_at:
            return []
        return self.raise_to(self.incarnation + 1)

    def record(self) -> Effect:
        env = self._env
        record = NodeRecord(
            node_key=b"",
            cluster=env.cluster,
            role=env.role,
            region=env.region,
            addresses=self._addresses,
            incarnation=self.incarnation if self.published is None else self.published,
            leaving=self.leaving,
            software=self._software,
            capabilities=self._capabilities,
        )
        return Emit(Publish(Kind.NODE, "", record))
