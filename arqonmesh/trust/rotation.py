"""When a node gets a new leaf certificate, and how long the old one stays good.

    lifetime         |---------------- leaf 1 ----------------|
    renewal                       |---------------- leaf 2 ----------------|
                                  ^ renew_after, less a jitter              leaf 1 and leaf 2 both verify meanwhile

A new leaf is used for new connections only; connections that stand keep theirs, so a renewal costs no link.
"""

from __future__ import annotations

import random
from typing import Final

from arqonmesh.ids import ClusterId, MeshId
from arqonmesh.trust.certificates import Leaf, mint_leaf
from arqonmesh.trust.keys import NodeKey

JITTER_DIVISOR: Final = 5
"""A leaf is renewed within the last fifth of `renew_after`, so that a mesh started at once does not renew at once."""


class LeafRing:
    """The current leaf and the one before it. Times are wall-clock milliseconds, given by the caller."""

    def __init__(
        self,
        key: NodeKey,
        *,
        mesh_id: MeshId,
        cluster: ClusterId,
        lifetime_ms: int,
        renew_after_ms: int,
        rng: random.Random,
        now_ms: int,
    ) -> None:
        assert 0 < renew_after_ms <= lifetime_ms, f"renewal at {renew_after_ms} ms of a life of {lifetime_ms} ms"
        self._key = key
        self._mesh_id = mesh_id
        self._cluster = cluster
        self._lifetime_ms = lifetime_ms
        self._renew_after_ms = renew_after_ms
        self._rng = rng
        self.previous: Leaf | None = None
        """The leaf before the current one; kept until it expires or the next renewal."""
        self.current = self._mint(now_ms)
        self.renew_at_ms = self._draw_renewal(now_ms)
        """When `due` becomes true."""

    def due(self, now_ms: int) -> bool:
        """Whether it is time for `rotate`; also when the clock was set back to before the current leaf."""
        return now_ms >= self.renew_at_ms or now_ms < self.current.not_before_ms

    def rotate(self, now_ms: int, *, mesh_id: MeshId | None = None) -> Leaf:
        """Mint a leaf and make it current, whether due or not. `mesh_id`: from now on in this mesh."""
        if mesh_id is not None:
            self._mesh_id = mesh_id
        self.previous, self.current = self.current, self._mint(now_ms)
        self.renew_at_ms = self._draw_renewal(now_ms)
        return self.current

    def valid(self, now_ms: int) -> list[Leaf]:
        """The leaves that verify at this moment, newest first."""
        leaves = [self.current] if self.previous is None else [self.current, self.previous]
        return [leaf for leaf in leaves if leaf.not_before_ms <= now_ms <= leaf.not_after_ms]

    def _mint(self, now_ms: int) -> Leaf:
        return mint_leaf(
            self._key,
            mesh_id=self._mesh_id,
            cluster=self._cluster,
            not_before_ms=now_ms,
            not_after_ms=now_ms + self._lifetime_ms,
        )

    def _draw_renewal(self, now_ms: int) -> int:
        return now_ms + self._renew_after_ms - self._rng.randrange(self._renew_after_ms // JITTER_DIVISOR + 1)
