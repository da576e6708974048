"""What one member says of its links, as a node keeps it of every other: packed, because there is one for each."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct as Layout
from sys import intern
from typing import Final

from msgspec import Struct

from arqonmesh.ids import NodeId
from arqonmesh.wire.memo import Memo
from arqonmesh.wire.statement import Links, peers_up

_LINK: Final = Layout("<?II")
"""Whether it is up, round trip in microseconds, loss in millionths."""
_MOST: Final = 0xFFFF_FFFF


class Said(Struct, frozen=True, gc=False, cache_hash=True):
    """One LINKS record. A link that it names twice counts as it says last."""

    peers: tuple[NodeId, ...]
    """Shared with whoever else remembers the same ones (`peers_up`), where all are up."""
    transports: str
    """One line for each; one object for all that have as many links of the same kinds."""
    packed: bytes

    @classmethod
    def of(cls, links: Links) -> Said:
        last = {NodeId(link.peer): link for link in links.adjacencies}
        peers, up = tuple(last), peers_up(links)
        return cls(
            up if up == peers else peers,
            intern("\n".join(link.transport for link in last.values())),
            b"".join(_LINK.pack(a.state == "up", min(a.rtt_us, _MOST), a.loss_ppm) for a in last.values()),
        )

    def ups(self) -> Iterator[tuple[NodeId, int]]:
        """(peer, round trip in microseconds) of each link that it lists as up."""
        for peer, (up, rtt_us, _) in zip(self.peers, _LINK.iter_unpack(self.packed), strict=True):
            if up:
                yield peer, rtt_us

    def claim(self, peer: NodeId) -> tuple[bool, int] | None:
        """Whether it lists its link to this peer as up, and its round trip in microseconds; None: not listed."""
        if peer not in self.peers:
            return None
        up, rtt_us, _ = _LINK.unpack_from(self.packed, self.peers.index(peer) * _LINK.size)
        return up, rtt_us

    def links(self) -> Iterator[tuple[NodeId, bool, str, int, int]]:
        """(peer, up, transport, round trip in microseconds, loss in millionths) of each."""
        for peer, transport, said in zip(
            self.peers, self.transports.split("\n"), _LINK.iter_unpack(self.packed), strict=bool(self.peers)
        ):
            yield peer, said[0], transport, said[1], said[2]

    def counts_as(self, other: Said) -> bool:
        """Whether routes are the same by both: they do not depend on the loss."""
        return self.peers == other.peers and [s[:2] for s in _LINK.iter_unpack(self.packed)] == [
            s[:2] for s in _LINK.iter_unpack(other.packed)
        ]


NOTHING: Final = Said((), "", b"")

said_of: Final = Memo(Said.of, 0)
"""`Said.of`, remembered where `capacity` says so: in a simulator, where a thousand nodes hold the same records."""
