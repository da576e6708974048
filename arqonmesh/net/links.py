"""One link to one peer, and what happens when there is a second connection to the same peer.

| existing and new connection                      | outcome                                                       |
|--------------------------------------------------|---------------------------------------------------------------|
| the peer has restarted (higher boot epoch)       | REPLACE: the old one is dead, however it looks                |
| both dialled by the same side                    | REPLACE: the dialler would not dial if it still had the old   |
| the other dialled, ours has stood for 2 s        | REPLACE: likewise; this is no simultaneous dial               |
| dialled by each side at about the same time      | the one dialled by the smaller node id stays: COLLAPSE or LOSE |

REPLACE is told as link down and link up, since frames in flight may be lost. COLLAPSE and LOSE are seamless: the
losing connection is retired, both sides end its streams and read on until the other's end, and what is queued waits
until all that was handed to it has been acknowledged, so nothing is lost and nothing overtakes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from arqonmesh.ids import NodeId
from arqonmesh.net.addresses import show_address
from arqonmesh.net.api import LinkInfo
from arqonmesh.net.connection import Connection
from arqonmesh.net.lanes import Lanes
from arqonmesh.net.session import MeshSession

SIMULTANEOUS_S: Final = 2.0
RETIRE_S: Final = 2.0
"""Longest time that a retired connection is kept for its last bytes."""


class Outcome(Enum):
    REPLACE = "replace"
    COLLAPSE = "collapse"
    LOSE = "lose"


@dataclass(slots=True, eq=False)
class Link:
    """The link to one peer."""

    peer: NodeId
    connection: Connection
    session: MeshSession
    lanes: Lanes
    info: LinkInfo
    boot_epoch: int
    up_at: float
    frames_received: int = 0
    waits_for: Connection | None = None
    """The connection whose bytes must be acknowledged before this link's next frame leaves."""
    waits_until: float = 0.0

    def may_send(self, now: float) -> bool:
        before = self.waits_for
        if before is None:
            return True
        if before.quic.ending or now >= self.waits_until or before.quic.unacked_bytes() == 0:
            self.waits_for = None
            return True
        return False

    def refresh(self) -> LinkInfo:
        """Bring `info` up to date."""
        info, connection = self.info, self.connection
        at = connection.quic.get_peer_address()
        if at is not None:  # it moves when the peer's address is translated anew
            info.address = show_address(at[0])
        info.srtt_us = round(connection.quic.srtt_s * 1_000_000)
        info.bytes_sent, info.bytes_received = connection.bytes_sent, connection.bytes_received
        info.frames_sent, info.frames_received = self.lanes.frames_sent, self.frames_received
        info.unsent_bytes = self.lanes.backlog + connection.quic.unsent_bytes()
        info.packets_lost, info.packets_sent = connection.quic.packets_lost, connection.packets_sent
        return info


def judge_second(old: Link, *, local: NodeId, new_outbound: bool, new_boot_epoch: int, now: float) -> Outcome:
    """What a newly authenticated connection to the same peer means for the existing link."""
    if new_boot_epoch != old.boot_epoch:
        return Outcome.REPLACE if new_boot_epoch > old.boot_epoch else Outcome.LOSE
    if new_outbound == old.connection.outbound:
        return Outcome.REPLACE
    if not new_outbound and now - old.up_at > SIMULTANEOUS_S:
        return Outcome.REPLACE
    dialled_by_smaller = new_outbound == (local < old.peer)
    return Outcome.COLLAPSE if dialled_by_smaller else Outcome.LOSE


@dataclass(slots=True)
class Retirement:
    """A connection that lost: end its streams, read until the peer's end, then close."""

    connection: Connection
    streams: frozenset[int]
    """The streams that the dialling side opened."""
    until: float
    ended_by_us: set[int] = field(default_factory=set)
    ended_by_peer: set[int] = field(default_factory=set)

    def step(self, now: float) -> bool:
        """Go on; True when it can be closed."""
        quic = self.connection.quic
        for stream_id in sorted(self.streams):
            if stream_id not in self.ended_by_us and quic.has_stream(stream_id):
                self.connection.write(stream_id, b"", end=True)
                self.ended_by_us.add(stream_id)
        if now >= self.until:
            return True
        if not (self.ended_by_us == self.streams <= self.ended_by_peer):
            return False
        return all(quic.send_finished(stream_id) for stream_id in self.streams)
