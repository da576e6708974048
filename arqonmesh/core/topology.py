"""Whose links this node wants, in one place: by role, by the overlay, or by any other core that asks.

`links.auto` says which members are wanted without being asked: `hubs` (the default: hubs and leaders are dialled by
everyone, spokes by nobody, and the founder whatever its role, so that a mesh without a hub hangs together), `full`
(everyone: for small meshes), `overlay` (those in the views of `core/overlay`), or `none`: only what the operator adds.
Then no wish of any core counts, those of a region's leaders neither; links that others dial stand all the same.
`full` with more than `full_max` members becomes `overlay` by itself, and `full` again below three quarters of that.

A wish has an owner, its name: "role" is ours, every other core has one of its own (`LinkWanted`). A member is dialled
while anybody wants it, and its link is closed when the last wish is taken back, never before: so no core closes what
another needs. Links that an operator added are the dialler's business and not among these.

Wishes by role are for ever: the dialler keeps trying until the member leaves. At most `auto_max` members are wanted so;
the choice is stable and spread by rendezvous hashing (Thaler and Ravishankar 1998), so that a hundred spokes do not all
pick the same hubs. For that it is made once for all that one moment tells (a start, a merge, a welcome), by the timer:
the first to be told, in whatever order, would be the same for everyone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import ClassVar, Final

from arqonmesh.config.model import LinkSettings
from arqonmesh.core.events import (
    LinkWanted,
    MemberAdmitted,
    MemberChanged,
    MemberDescribed,
    MemberExpelled,
    MemberIntroduced,
    OverlayRuns,
)
from arqonmesh.core.kernel import Connect, Disconnect, Durable, Effect, Emit, Env, Event, Instant
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import WireMessage

NOT_WANTED: Final = "not-wanted"
"""Why a link is closed that nobody wishes for any more."""
DIALLED_ROLES: Final = ("hub", "leader")
ROLE: Final = "role"
"""The name of our own wishes."""


class Topology:
    """Emits Connect for wanted members and Disconnect(forget) for those that nobody wants or that left."""

    NAME: ClassVar[str] = "topology"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = ()
    EVENTS: ClassVar[tuple[type[Event], ...]] = (
        MemberAdmitted,
        MemberExpelled,
        MemberDescribed,
        MemberChanged,
        LinkWanted,
    )

    def __init__(self, env: Env, settings: LinkSettings, founder: NodeId) -> None:
        self._env = env
        self._founder = founder
        self._settings = settings
        self._members: dict[NodeId, None] = {env.node_id: None}
        self._book: dict[NodeId, tuple[str, ...]] = {}
        """Where members listen; one entry per member that said so, and members are admitted one by one."""
        self._central: dict[NodeId, None] = {}
        self._wishes: dict[NodeId, dict[str, None]] = {}
        """By whom a member is wanted."""
        self._dialled: dict[NodeId, tuple[str, ...]] = {}
        """What the dialler was told."""
        self._overlay = settings.auto == "overlay"
        self._choose_at: Instant | None = None
        """Candidates have changed at this moment; None when they have not."""

    @property
    def wanted(self) -> tuple[NodeId, ...]:
        return tuple(self._wishes)

    @property
    def by_overlay(self) -> bool:
        """The overlay chooses the links now."""
        return self._overlay

    def addresses_of(self, node: NodeId) -> tuple[str, ...]:
        """Where a member listens; empty when that is not known."""
        return self._book.get(node, ())

    def introduce(self, now: Instant, node: NodeId, role: str, addresses: tuple[str, ...]) -> list[Effect]:
        """A member and where it listens, by its own record or by the word of who admitted us: in the book from now on,
        or not any more; told anew to the dialler when it is wanted."""
        if node == self._env.node_id:
            return []
        self._choose_soon(now)
        if not addresses:
            self._book.pop(node, None)
            return []
        self._book[node] = addresses
        if role in DIALLED_ROLES or node == self._founder:
            self._central[node] = None
        else:
            self._central.pop(node, None)
        return self._dial(node) if node in self._wishes else []

    def told(self, now: Instant, node: NodeId, role: str, addresses: tuple[str, ...]) -> list[Effect]:
        """Who admitted us names this member: one to turn to when nobody else is known."""
        effects = self.introduce(now, node, role, addresses)
        return [*effects, Emit(MemberIntroduced(node))] if addresses and node != self._env.node_id else effects

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        return [Emit(OverlayRuns(True, ()))] if self._overlay else []

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        raise AssertionError(f"topology speaks no messages, got {type(message).__name__}")

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        if isinstance(event, LinkWanted):
            if self._settings.auto == "none":
                return []  # all links are the operator's: nobody here opens one, or closes one of the operator's
            return self._want(event) if event.addresses else self._unwant(event.peer, event.by)
        if isinstance(event, MemberDescribed):
            return self.introduce(now, event.node, event.role, event.addresses)
        if isinstance(event, MemberAdmitted):
            self._members[event.node] = None
            return self._review()
        if isinstance(event, MemberExpelled):
            gone = self._gone(now, event.node, "member-expelled")
            farewell = Disconnect(event.node, "member-expelled", forget=True)
            if farewell not in gone:  # a link that it made itself may not stay either
                gone.insert(0, farewell)
            return gone
        if isinstance(event, MemberChanged):
            if event.new == "left":
                return self._gone(now, event.node, "member-left")
            if event.old == "left":
                self._members[event.node] = None
                return self._review()
        return []

    def on_events(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        """How many members there are is weighed once."""
        effects: list[Effect] = []
        for event in events:
            if isinstance(event, MemberAdmitted):
                self._members[event.node] = None
            elif isinstance(event, MemberDescribed):
                effects += self.introduce(now, event.node, event.role, event.addresses)
            elif isinstance(event, MemberChanged) and "left" not in (event.old, event.new):
                continue
            else:
                effects += self.on_event(now, event)
        return effects + self._review()

    def on_timer(self, now: Instant) -> list[Effect]:
        if self._choose_at is None or self._choose_at > now:
            return []
        return self._choose()

    def next_deadline(self) -> Instant | None:
        return self._choose_at

    # --- wishes -------------------------------------------------------------------------------------------

    def _want(self, event: LinkWanted) -> list[Effect]:
        if event.peer == self._env.node_id:
            return []
        self._wishes.setdefault(event.peer, {})[event.by] = None
        if event.peer not in self._book:
            self._dialled[event.peer] = event.addresses
            return [Connect(event.peer, event.addresses)]
        return self._dial(event.peer)

    def _unwant(self, peer: NodeId, by: str) -> list[Effect]:
        """Take one wish back; with the last of them the link goes."""
        wishes = self._wishes.get(peer)
        if wishes is not None:
            wishes.pop(by, None)
            if wishes:
                return []
            del self._wishes[peer]
        was_dialled = self._dialled.pop(peer, None) is not None
        return [Disconnect(peer, NOT_WANTED, forget=was_dialled)]

    def _dial(self, node: NodeId) -> list[Effect]:
        """Tell the dialler of a wanted member, when there is something new to tell."""
        addresses = self._book[node]
        if self._dialled.get(node) == addresses:
            return []
        self._dialled[node] = addresses
        return [Connect(node, addresses)]

    def _gone(self, now: Instant, node: NodeId, reason: str) -> list[Effect]:
        """It is no member any more: no wish for it counts."""
        self._members.pop(node, None)
        self._book.pop(node, None)
        self._central.pop(node, None)
        self._dialled.pop(node, None)
        wanted = self._wishes.pop(node, None)
        farewell: list[Effect] = [] if wanted is None else [Disconnect(node, reason, forget=True)]
        self._choose_soon(now)
        return farewell + self._review()

    # --- by role, or by the overlay -----------------------------------------------------------------------

    def _review(self) -> list[Effect]:
        """`full` is for meshes up to `full_max`; the quarter between up and down keeps it from flapping."""
        if self._settings.auto != "full":
            return []
        count, most = len(self._members), self._settings.full_max
        if not self._overlay and count > most:
            self._overlay, self._choose_at = True, None
            inherited = tuple(node for node, by in self._wishes.items() if ROLE in by)
            for node in inherited:
                del self._wishes[node][ROLE]
                self._wishes[node]["overlay"] = None
            return [Emit(OverlayRuns(True, inherited))]
        if self._overlay and count * 4 < most * 3:
            self._overlay = False
            return [*self._choose(), Emit(OverlayRuns(False, ()))]
        return []

    def _choose_soon(self, now: Instant) -> None:
        if not self._overlay and self._choose_at is None:
            self._choose_at = now

    def _choose(self) -> list[Effect]:
        """Want the best `auto_max` candidates; a member once wanted stays wanted while it is a candidate."""
        self._choose_at = None
        auto = self._settings.auto
        candidates = self._book if auto == "full" else self._central if auto == "hubs" else {}
        before = [node for node, by in self._wishes.items() if ROLE in by]
        kept = [node for node in before if node in candidates and node in self._book]
        standing = dict.fromkeys(kept)
        others = sorted((node for node in candidates if node in self._book and node not in standing), key=self._rank)
        chosen = (kept + others)[: self._settings.auto_max]
        effects: list[Effect] = []
        for node in chosen:
            self._wishes.setdefault(node, {})[ROLE] = None
            effects += self._dial(node)
        for node in before:
            if node not in standing:
                wishes = self._wishes[node]
                del wishes[ROLE]
                if not wishes:  # no candidate any more: its link stays until one side closes it
                    del self._wishes[node]
                    self._dialled.pop(node, None)
        return effects

    def _rank(self, node: NodeId) -> bytes:
        return hashlib.sha256(f"{self._env.node_id} {node}".encode()).digest()
