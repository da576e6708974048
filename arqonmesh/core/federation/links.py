"""The outboxes of all links: what goes into them, what is sent, what comes back when a link parts and comes up again.

An outbox outlives its link. While the link is up its entries are in memory; when it goes down they are written to disk
(`when_down: hold`) or given up (`drop`). What flies when a link falls goes on flying while its connection stands, for
its streams lose nothing: a link that is reopened on it goes on where it was. Only with another connection everything
unsettled goes again, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, cast

from arqonmesh.config.model import FederationSettings
from arqonmesh.core.events import Backlog, Dropped
from arqonmesh.core.federation.batch import Parcel
from arqonmesh.core.federation.books import CORE, Books
from arqonmesh.core.federation.commits import Commits
from arqonmesh.core.federation.custody import Custodies, Custody
from arqonmesh.core.federation.outbox import Entry, Outbox
from arqonmesh.core.federation.residency import Residency
from arqonmesh.core.federation.rows import parcel_from_row, permitted
from arqonmesh.core.federation.tick import Tick
from arqonmesh.core.kernel import Delete, Effect, Emit, Env, Instant, Lane, Put, Row, Send
from arqonmesh.errors import DecodeError
from arqonmesh.ids import NodeId

LINKS_MAX: Final = 1_024
LINK_ROW: Final = "link/"
"""Before the peer, in the rows that remember outboxes over a restart."""

ClusterOf = Callable[[NodeId], "str | None"]


class Links:
    """Every outbox of the node. Whatever leaves an outbox, for good or ill, sets upstream and its row free."""

    def __init__(
        self,
        env: Env,
        settings: FederationSettings,
        *,
        cluster_of: ClusterOf,
        residency: Residency,
        custodies: Custodies,
        commits: Commits,
        books: Books,
        tick: Tick,
    ) -> None:
        self._env = env
        self._settings = settings.outbox
        self._hold = settings.outbox.when_down == "hold"
        self.cluster_of = cluster_of
        self._residency = residency
        self._custodies = custodies
        self._commits = commits
        self._books = books
        self._tick = tick
        self.outboxes: dict[NodeId, Outbox] = {}

    def restore(self, peers: Iterable[NodeId], rows: Iterable[Row], out: list[Effect]) -> None:
        """The outboxes of an earlier life, and their rows of the table `outbox`."""
        for peer in peers:
            self._outbox(peer)
        in_order = sorted(cast("Iterable[tuple[str, int, bytes]]", rows), key=lambda row: (row[0], row[1]))
        for name, order, encoded in in_order:
            try:
                self._outbox(NodeId(name)).restore(order, parcel_from_row(encoded, self._residency))
            except DecodeError as error:
                self._commits.add(Delete("outbox", (name, order)))
                out.append(Emit(Dropped(CORE, "outbox-unreadable", 1, error.code)))
        for box in self.outboxes.values():
            self._trim(box, out)

    def open_to(self, visited: Iterable[str]) -> list[tuple[Outbox, str]]:
        """The outboxes that take batches which have visited these nodes, with their peers' clusters."""
        links: list[tuple[Outbox, str]] = []
        for peer, box in self.outboxes.items():
            if peer not in visited and (cluster := self.cluster_of(peer)) is not None:
                links.append((box, cluster))
        return links

    def takes(self, box: Outbox) -> bool:
        """Whether anything may be put into it now, or would be given up at once."""
        return box.up or self._hold

    def enqueue(
        self,
        now: Instant,
        box: Outbox,
        parcel: Parcel,
        custody: Custody | None,
        out: list[Effect],
        *,
        place: int | None = None,
    ) -> None:
        """Into this outbox, and on its way when the link is up. `custody`: upstream waits for this hop, too. `place`:
        it was reserved, and everything in the outbox waits."""
        if not self.takes(box):
            self._books.drop(out, "link-down", parcel.messages, box.peer)
            return
        if custody is not None and box.peer in custody.holders:
            custody = None
        entry = box.add(parcel, custody, now, place)
        if custody is not None:
            self._custodies.owe(custody, entry)
        self._trim(box, out)
        if box.up:
            if place is None:
                self._pump(box, out)
        elif not entry.gone:
            self._books.counters.held += parcel.messages
            self._commits.store(now, entry)

    def acked(self, now: Instant, peer: NodeId, link_seq: int) -> list[Effect]:
        """The other side has everything up to this number; there is room for more."""
        box = self.outboxes.get(peer)
        if box is None:
            return []
        for entry in box.acked(link_seq):
            self._left(entry)
        self._tick.note(now)
        out: list[Effect] = []
        self._pump(box, out)
        return out

    def take_custody(self, now: Instant) -> None:
        """Upstream has waited long enough for some next hops; rows on disk set it free."""
        for entry in self._custodies.overdue(now):
            self._commits.store(now, entry)

    # --- links that come and go ---------------------------------------------------------------------------

    def open(self, now: Instant, peer: NodeId) -> list[Effect]:
        """The link is up: what waits goes, in order."""
        if peer not in self.outboxes:
            if len(self.outboxes) >= LINKS_MAX:
                return self._books.drop([], "too-many-links", 0, peer)
            self._commits.add(Put("scalars", (CORE, f"{LINK_ROW}{peer}", b"")))
        box = self._outbox(peer)
        box.up = True
        return self._replay(now, box)

    def renewed(self, now: Instant, peer: NodeId) -> list[Effect]:
        """A new connection: what flew on the old one may be lost."""
        box = self.outboxes.get(peer)
        if box is None:
            return []
        if box.up:
            box.rewind()
            return self._replay(now, box)
        return self._landed(now, box)

    def down(self, now: Instant, peer: NodeId, *, landed: bool) -> list[Effect]:
        """What is not settled is kept on disk, or given up. `landed`: its connection is gone, too, and what flew on it
        waits again; else that may arrive yet and is left to it."""
        box = self.outboxes.get(peer)
        if box is None:
            return []
        out: list[Effect] = []
        if box.up:
            box.up = False
            self._tick.note(now)
            if box.crossed() is False:
                out.append(Emit(Backlog(box.peer, False)))
            if self._hold:
                for entry in box.entries():
                    if not entry.stored:
                        self._books.counters.held += entry.parcel.messages
                        self._commits.store(now, entry)
            else:
                self._dropped(box, box.clear_waiting(), "link-down", out)
        if landed:
            out += self._landed(now, box)
        return out

    def close(self, now: Instant, peer: NodeId, reason: str) -> list[Effect]:
        """Nothing is kept for this peer any more: its outbox and the memory of it go."""
        box = self.outboxes.get(peer)
        if box is None:
            return []
        out: list[Effect] = []
        if box.above:
            out.append(Emit(Backlog(box.peer, False)))
        self._discard(box, reason, out)
        del self.outboxes[peer]
        self._commits.add(Delete("scalars", (CORE, f"{LINK_ROW}{peer}")))
        self._tick.note(now)
        return out

    def enforce(self, now: Instant, peer: NodeId, out: list[Effect], *, everything: bool = False) -> None:
        """Take out of an outbox what pins do not let go to its peer (any more). What flies may have arrived; it is not
        sent again. `everything`: also what was not pinned when it was put there."""
        box = self.outboxes.get(peer)
        if box is None:
            return
        for entry in box.entries():
            parcel = entry.parcel
            if not parcel.pinned and not everything:
                continue
            left = permitted(parcel, self._residency, peer)
            if left is parcel:
                continue
            if left.messages:
                box.replace(entry, left)
                if entry.stored:
                    self._commits.store(now, entry)
            else:
                box.withdraw(entry)
                self._left(entry)
            self._tick.note(now)
            self._books.drop(out, "pinned", parcel.messages - left.messages, peer)

    # --- one outbox ---------------------------------------------------------------------------------------

    def _outbox(self, peer: NodeId) -> Outbox:
        """Numbers on a link begin anew with each life of ours, far above those of the last one."""
        box = self.outboxes.get(peer)
        if box is None:
            first = ((self._env.boot_epoch & 0x3F_FFFF) << 40) + 1
            box = self.outboxes[peer] = Outbox(peer, self._settings, next_link_seq=first)
        return box

    def _landed(self, now: Instant, box: Outbox) -> list[Effect]:
        """The link is down, and the connection that it had is no more."""
        out: list[Effect] = []
        self._tick.note(now)
        if self._hold:
            box.rewind()
        else:
            self._dropped(box, box.clear_flying(), "link-down", out)
        return out

    def _replay(self, now: Instant, box: Outbox) -> list[Effect]:
        self._tick.note(now)
        out: list[Effect] = []
        self.enforce(now, box.peer, out)
        self._books.counters.replayed += box.waiting_messages()
        self._pump(box, out)
        return out

    def _pump(self, box: Outbox, out: list[Effect]) -> None:
        out += [Send(box.peer, Lane.BULK, entry.parcel.numbered(entry.link_seq)) for entry in box.pump()]
        above = box.crossed()
        if above is not None:
            out.append(Emit(Backlog(box.peer, above)))

    def _trim(self, box: Outbox, out: list[Effect]) -> None:
        for entry in box.trim():
            self._left(entry)
            self._books.drop(out, "outbox-full", entry.parcel.messages, box.peer)

    def _discard(self, box: Outbox, reason: str, out: list[Effect]) -> None:
        self._dropped(box, box.clear_flying() + box.clear_waiting(), reason, out)

    def _dropped(self, box: Outbox, entries: list[Entry], reason: str, out: list[Effect]) -> None:
        """They have been taken out of their outbox, and their messages are lost here."""
        for entry in entries:
            self._left(entry)
        messages = sum(entry.parcel.messages for entry in entries)
        if messages:
            self._books.drop(out, reason, messages, box.peer)

    def _left(self, entry: Entry) -> None:
        """An entry is out of its outbox, for good or ill."""
        self._commits.drop_row(entry)
        self._custodies.release(entry)
