"""What everyone is told of this node's links: its link-state advertisement (the LINKS record), and when it is told.

Every flip and every noticeable change of a figure (told.py) goes into it, paced (pacing.py) so that a flapping link
floods nobody, nor one whose figures never stand still hides for long what others do. What was said is not said again:
not after a restart whose links are as they were, nor when a link is back before its loss was told. And who has no link
at all says nothing until it has one, since nobody would hear: a hub that stands still for a moment is lost to all its
spokes at once, and must not be flooded by them when it goes on. Nor does it then say at once that all but the first are
gone: the others have as long to come back as a lost link is tried on its connection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from arqonmesh.core.events import Dropped, Publish
from arqonmesh.core.kernel import MILLISECOND, SECOND, Effect, Emit, Instant, Rng
from arqonmesh.core.link.link import Link
from arqonmesh.core.link.pacing import Pacer
from arqonmesh.core.link.told import Told, drifted
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Adjacency, Kind
from arqonmesh.wire.statement import Links as LinksRecord

ADJACENCIES_MAX: Final = 128
"""As many as a LINKS record carries."""
DOWN_SHOWN_MAX: Final = 32
DOWN_SHOWN_US: Final = 600 * SECOND
"""So long a lost link is still listed, as down, for whoever looks at the mesh."""
FIRST_PUBLISH_US: Final = 500 * MILLISECOND
"""After a start the first record waits for the first links; it replaces what an earlier life advertised."""
STOOD_US: Final = 5 * SECOND
"""A link that was up so long did not flap when it fell, and is none that the overlay opened for a moment."""


class Record:
    """Tell it what happens to links that everyone is told of; `publish` when `due` has come."""

    __slots__ = ("_alone", "_compared", "_lost", "_pacer", "_said", "_spoken")

    def __init__(self, rng: Rng) -> None:
        self._pacer = Pacer(rng)
        self._lost: dict[NodeId, tuple[Instant, Adjacency]] = {}
        self._said: dict[str, Adjacency] = {}
        """The newest record: of the life before, as gossip brings it, until this one has published its own."""
        self._compared = False
        """This life has held its links against that record, or had none to compare with."""
        self._spoken = False
        """This life has published a record."""
        self._alone = False
        """The last link is down, and none has come up since."""

    @property
    def due(self) -> Instant | None:
        return self._pacer.due

    def says_up(self, peer: NodeId) -> bool:
        """The newest record says that this link is up: it is back before anybody heard of its loss, or our restart."""
        said = self._said.get(peer)
        return said is not None and said.state == "up"

    # --- what happens -------------------------------------------------------------------------------------

    def start(self, now: Instant) -> None:
        self._pacer.changed(now, FIRST_PUBLISH_US)

    def lags(self, lag_us: int) -> None:
        """How late this process is as a rule: what it has to tell waits for longer."""
        self._pacer.lag_us = lag_us

    def recovered(self, now: Instant, record: LinksRecord) -> None:
        """Gossip brought our own newest record, which is an earlier life's unless this one has spoken."""
        if self._spoken:
            return
        self._said = {adjacency.peer: adjacency for adjacency in record.adjacencies}
        if self._compared:  # more of an earlier life came than was on our disk
            self._pacer.changed(now)

    def await_stays(self, now: Instant) -> None:
        """The overlay chooses the links: what it keeps of an earlier life's is seen after a while."""
        if not self._compared:
            self._pacer.put_off(now + STOOD_US + FIRST_PUBLISH_US)

    def came_up(self, now: Instant, peer: NodeId, reopening_us: int) -> None:
        """A link is up, told or not. Who was alone waits for others as long as they are tried."""
        self._lost.pop(peer, None)
        if self._alone:
            self._alone = False
            if self._others_were_told(peer):
                self._pacer.gather(now, reopening_us)

    def tell(self, now: Instant, peer: NodeId) -> None:
        """A link is up: everyone may know, unless it was there before our restart."""
        if self._compared or not self.says_up(peer):
            self._pacer.changed(now)
        elif self._pacer.due is None:  # the first that is back, late: the others have their time from here
            self._pacer.changed(now, FIRST_PUBLISH_US)

    def lost(self, now: Instant, peer: NodeId, link: Link, *, alone: bool) -> None:
        """A link is down of which everyone was told. `alone`: it was the last one."""
        self._lost.pop(peer, None)
        self._lost[peer] = (now, link.adjacency(peer, "down"))
        self._alone = alone
        while len(self._lost) > DOWN_SHOWN_MAX:
            del self._lost[next(iter(self._lost))]
        if now - link.since >= STOOD_US:
            self._pacer.lost(now)
        else:
            self._pacer.changed(now)

    def measured(self, now: Instant, link: Link, *, only: bool) -> None:
        """A link's figures were looked at. `only`: there is no other link."""
        rtt_us, figures = link.liveness.rtt.srtt_us, link.figures
        figures.measured(now, rtt_us, link.loss_ppm)
        if not link.moved(now):
            return
        leaf = only and link.liveness.asked_slower and not figures.loss_lasts(now)
        self._pacer.drifted(now, step=figures.stepped(rtt_us), rare=figures.rarely_moves(now), leaf=leaf)

    # --- what is said -------------------------------------------------------------------------------------

    def publish(self, now: Instant, links: Mapping[NodeId, Link]) -> list[Effect]:
        """Say how our links are, unless that is what was said, or nobody would hear, or what was due was drift that did
        not last."""
        if self._pacer.for_drift and not any(link.up and link.figures.lasted(now) for link in links.values()):
            self._pacer.steadied()
            return []
        for peer, (lost_at, _) in list(self._lost.items()):
            if now - lost_at > DOWN_SHOWN_US:
                del self._lost[peer]
        up = [link.adjacency(peer, "up") for peer, link in sorted(links.items()) if link.up and link.told]
        if not up and (self._spoken or self._said):
            self._pacer.steadied(heard=False)
            return []  # the next link that comes up asks again
        effects: list[Effect] = []
        if len(up) > ADJACENCIES_MAX:
            effects.append(Emit(Dropped("link", "adjacencies-full", len(up) - ADJACENCIES_MAX)))
            up = up[:ADJACENCIES_MAX]
        down = [adjacency for _, adjacency in self._lost.values()][: ADJACENCIES_MAX - len(up)]
        adjacencies = tuple(sorted(up + down, key=lambda adjacency: adjacency.peer))
        self._compared = True
        moved = [peer for peer, link in links.items() if link.moved(now)]
        if not moved and self._is_said(adjacencies):
            self._pacer.steadied()
        else:
            self._pacer.published(now)
            self._spoken, self._said = True, {adjacency.peer: adjacency for adjacency in adjacencies}
            effects.append(Emit(Publish(Kind.LINKS, "", LinksRecord(adjacencies))))
        for peer, link in links.items():
            said = self._said.get(peer)
            if said is None:  # the record is full without it
                link.figures = Told()
            else:
                link.figures.said(now, said.rtt_us, said.loss_ppm, news=peer in moved)
        return effects

    def _others_were_told(self, peer: NodeId) -> bool:
        """There is somebody to wait for: everyone was told of this link and of others, or of several others. To whom it
        is the first link instead of the only one, routes lead from then on: that is told at once."""
        others = sum(said.state == "up" for other, said in self._said.items() if other != peer)
        return others > (0 if self.says_up(peer) else 1)

    def _is_said(self, adjacencies: Sequence[Adjacency]) -> bool:
        """Whether the newest record says just this, figures that only tremble apart."""
        if not self._said or len(adjacencies) != len(self._said):
            return False
        for new in adjacencies:
            said = self._said.get(new.peer)
            if said is None or (said.state, said.transport) != (new.state, new.transport):
                return False
            if said.state == "up" and drifted(new.rtt_us, said.rtt_us):
                return False
        return True
