"""All links of a node: which connection carries each, and what a second connection to the same peer changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from arqonmesh.ids import NodeId
from arqonmesh.net.api import LinkInfo, Listener
from arqonmesh.net.dialling import Dialling
from arqonmesh.net.entry import Entry
from arqonmesh.net.lanes import Lanes
from arqonmesh.net.links import RETIRE_S, Link, Outcome, Retirement, judge_second
from arqonmesh.net.session import MeshSession
from arqonmesh.net.timers import Timers

SUPERSEDED = "link.superseded: another connection between these nodes stands"


class LinkTable:
    """`by_peer` is the table and `entry_of` the connection of each; the listener and the dials hear of changes."""

    def __init__(
        self,
        by_peer: dict[NodeId, Link],
        *,
        listener: Listener,
        dialling: Dialling,
        timers: Timers,
        counters: Counter[str],
        mark: Callable[[Entry], None],
    ) -> None:
        self.by_peer = by_peer
        self.entry_of: dict[NodeId, Entry] = {}
        self._listener = listener
        self._dialling = dialling
        self._timers = timers
        self._counters = counters
        self._mark = mark

    def up(self, entry: Entry, session: MeshSession, local: NodeId, now: float) -> None:
        """A session with a peer stands: a new link, or a second connection for one that is there."""
        assert session.hello is not None
        peer = session.peer
        old = self.by_peer.get(peer)
        if old is None:
            self._new(entry, session, now)
            return
        outcome = judge_second(
            old,
            local=local,
            new_outbound=entry.connection.outbound,
            new_boot_epoch=session.hello.boot_epoch,
            now=now,
        )
        self._counters[f"link.second-{outcome.value}"] += 1
        if outcome is Outcome.REPLACE:
            old_entry = self.entry_of[peer]
            old_entry.connection.close("link.replaced: a newer connection of this peer took over")
            self._mark(old_entry)
            self.down(old_entry, "replaced by a newer connection of the peer", now)
            self._new(entry, session, now)
        elif outcome is Outcome.COLLAPSE:
            self._move(old, entry, session, now)
            self._dialling.link_up(peer, now, entry.wish)
        else:
            self._dialling.link_up(peer, now, entry.wish)
            self._retire(entry, session, now)

    def down(self, entry: Entry, reason: str, now: float) -> None:
        """The connection that carried a link has ended; nothing happens when it carried none."""
        link, entry.link = entry.link, None
        if link is None:
            return
        del self.by_peer[link.peer]
        del self.entry_of[link.peer]
        link.refresh()
        self._dialling.link_down(link.peer, reason, now)
        self._listener.link_down(link.peer, reason)

    def _new(self, entry: Entry, session: MeshSession, now: float) -> None:
        assert session.hello is not None
        info = LinkInfo(
            peer=session.peer,
            address=entry.address,
            transport="quic",
            outbound=entry.connection.outbound,
            software=session.hello.software,
        )
        link = Link(
            peer=session.peer,
            connection=entry.connection,
            session=session,
            lanes=Lanes(collapsed=session.one_lane, counters=self._counters),
            info=info,
            boot_epoch=session.hello.boot_epoch,
            up_at=now,
        )
        entry.link = link
        self.by_peer[link.peer] = link
        self.entry_of[link.peer] = entry
        self._dialling.link_up(link.peer, now, entry.wish)
        self._listener.link_up(link.peer, link.refresh())

    def _move(self, link: Link, entry: Entry, session: MeshSession, now: float) -> None:
        """Two dials collapse: the link goes over to `entry`, nothing of it is lost."""
        loser = self.entry_of[link.peer]
        for stream_id, rest in link.lanes.finish_begun():
            loser.connection.write(stream_id, rest)
        link.lanes.reframe(collapsed=session.one_lane)
        link.waits_for, link.waits_until = loser.connection, now + RETIRE_S
        link.connection, link.session = entry.connection, session
        link.info.address, link.info.outbound = entry.address, entry.connection.outbound
        entry.link, loser.link = link, None
        self.entry_of[link.peer] = entry
        assert isinstance(loser.session, MeshSession)
        self._retire(loser, loser.session, now)

    def _retire(self, entry: Entry, session: MeshSession, now: float) -> None:
        self._counters["link.superseded"] += 1
        entry.retirement = Retirement(entry.connection, session.streams, now + RETIRE_S)
        self._timers.limit(entry, RETIRE_S, SUPERSEDED)
        self._mark(entry)
