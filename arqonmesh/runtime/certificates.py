"""Keeps the node's leaf certificate fresh: renews it in time, on demand, and when the node enters or leaves a mesh.

The endpoint shows the new leaf on new connections; connections that stand keep what they were made with.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime

from cryptography import x509

from arqonmesh.api.node_views import CertificateView
from arqonmesh.config.model import CertificateSettings
from arqonmesh.ids import ClusterId, MeshId
from arqonmesh.trust.certificates import NO_MESH, Leaf
from arqonmesh.trust.keys import NodeKey
from arqonmesh.trust.rotation import LeafRing


class Certificates:
    """The leaf ring of this node and whoever has to hear of a new leaf."""

    def __init__(
        self,
        key: NodeKey,
        cluster: ClusterId,
        mesh_id: MeshId | None,
        settings: CertificateSettings,
        wall_ms: Callable[[], int],
    ) -> None:
        self._key = key
        self._wall_ms = wall_ms
        self._ring = LeafRing(
            key,
            mesh_id=mesh_id or NO_MESH,
            cluster=cluster,
            lifetime_ms=int(settings.lifetime_s * 1_000),
            renew_after_ms=int(settings.renew_after_s * 1_000),
            rng=random.SystemRandom(),
            now_ms=wall_ms(),
        )
        self.rotations = 0
        self.on_rotated: Callable[[Leaf], None] | None = None

    @property
    def leaf(self) -> Leaf:
        return self._ring.current

    @property
    def renew_in_s(self) -> float:
        """Seconds until `renew_if_due` would renew; 0 when it is time."""
        return max(0.0, (self._ring.renew_at_ms - self._wall_ms()) / 1_000)

    def renew_if_due(self) -> bool:
        if not self._ring.due(self._wall_ms()):
            return False
        self.rotate()
        return True

    def rotate(self, *, mesh_id: MeshId | None = None) -> None:
        """A new leaf now; `mesh_id` when the node has changed mesh (NO_MESH: it belongs to none)."""
        self._ring.rotate(self._wall_ms(), mesh_id=mesh_id)
        self.rotations += 1
        if self.on_rotated is not None:
            self.on_rotated(self._ring.current)

    def view(self) -> CertificateView:
        leaf, previous = self._ring.current, self._ring.previous
        certificate = leaf.certificate
        still_valid = previous is not None and previous.not_after_ms > self._wall_ms()
        return CertificateView(
            node_id=self._key.node_id,
            subject=_subject(leaf),
            serial=f"{certificate.serial_number:032x}",
            not_before_ms=_milliseconds(certificate.not_valid_before_utc),
            not_after_ms=_milliseconds(certificate.not_valid_after_utc),
            renew_at_ms=self._ring.renew_at_ms,
            previous_valid_until_ms=previous.not_after_ms if previous is not None and still_valid else None,
        )


def _subject(leaf: Leaf) -> str:
    """The name in the leaf, arqon://mesh/cluster/node."""
    names = leaf.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return next(iter(names.get_values_for_type(x509.UniformResourceIdentifier)), "")


def _milliseconds(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp() * 1_000)
