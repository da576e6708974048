"""Partition: how much of the mesh do we reach, and may this side write?

Reachable is who is alive in the membership (a suspect still is), is not ignored, and has a path to us over links that
both their ends report up. The links tell of a cut within the time of link liveness and one flood of records; the
membership tells of nodes that are gone although their records linger.

    losing:    the moment a quorum is out of reach, this side is read-only; with no link left at all, at once
    regaining: a quorum has to stay in reach for a while first, because the records of a side that was cut off are
               stale until gossip has run; the health class recovers in the same way

The count is of the *agreed* membership, the voters as the founder has numbered them (electorate.py). It never shrinks
because someone is out of reach, or every fragment would call itself healthy. The health class is that of the roster
without those who left, and `phase` tells how long it has been so.

Whom this node ignores does not count, and is named as missing. But nothing is cut where it could be reached: that is no
phase of a partition, and `ignored` says who it is.

Source: the two presets are Raft's majority (crash) and PBFT's n - f (byzantine); the classes are those of the mesh's
specification: degraded below half unreachable, critical from half on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from arqonmesh.config.model import MembershipSettings
from arqonmesh.core.events import (
    Applied,
    Forked,
    LinkDown,
    LinkUp,
    MemberAdmitted,
    MemberChanged,
    PartitionChanged,
    Publish,
    ScoreChanged,
    Withdrawn,
)
from arqonmesh.core.kernel import MILLISECOND, SECOND, Durable, Effect, Emit, Env, Event, Instant
from arqonmesh.core.partition.electorate import Electorate
from arqonmesh.core.partition.phase import Phase
from arqonmesh.core.partition.quorum import CRITICAL, SEVERITY, health
from arqonmesh.core.partition.reach import Reach
from arqonmesh.core.partition.registrar import Registrar
from arqonmesh.core.partition.steady import Steady
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import WireMessage
from arqonmesh.wire.statement import Held, Kind, Links, Vote, peers_up

SETTLE_US: Final = 50 * MILLISECOND
"""Records of one flood are judged together."""
STABLE_US_MIN: Final = SECOND
"""A quorum has to stay in reach this long, or one probe period if that is longer, before writing resumes."""
MISSING_MAX: Final = 16
"""Members named as missing; how many more there are is counted."""
HELD_BY_ALL_MAX: Final = 8
"""Up to so many voters, each says that it holds a change. More of them leave it to a quorum (`answers_first`), and the
others speak only when it is not settled by then."""
HELD_AT_ONCE_MAX: Final = 32
"""Up to so many voters say it at once, so that it travels together; more spread it, over `HELD_SPREAD_US` for each."""
HELD_SPREAD_US: Final = 100 * MILLISECOND
HELD_SPREAD_US_MAX: Final = 10 * SECOND
"""Each such statement is a millisecond of work for every member. Where sixty members share a machine, those of one
change within a second are all that it can do in three, in which links seem to be silent; and until a change is settled
who voted before is as good a quorum."""
HELD_PATIENCE_US: Final = 3 * SECOND
"""How long the others wait once all of those should have spoken: on a busy machine a quorum takes its time, and
impatience would keep it busy."""


class Partition:
    """Emits PartitionChanged whenever anything in it changes; `view` is the newest. At the founder, it also numbers the
    voters; at every voter, it says how far it holds them (Publish)."""

    NAME: ClassVar[str] = "partition"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = ()
    EVENTS: ClassVar[tuple[type[Event], ...]] = (
        MemberAdmitted,
        MemberChanged,
        Applied,
        Forked,
        Withdrawn,
        LinkUp,
        LinkDown,
        ScoreChanged,
    )
    KINDS: ClassVar[tuple[Kind, ...]] = (Kind.LINKS, Kind.VOTE, Kind.HELD)

    def __init__(self, env: Env, settings: MembershipSettings, founder: NodeId) -> None:
        self._env = env
        self._me = env.node_id
        self._founder = founder
        self._preset = settings.partition_preset
        stable_us = max(STABLE_US_MIN, settings.probe_interval_ms * MILLISECOND)
        self._health = Steady(SEVERITY.index(CRITICAL), stable_us)
        self._read_only = Steady(1, stable_us)
        self._states: dict[NodeId, str] = {env.node_id: "alive"}
        self._ignored: dict[NodeId, None] = {}
        self._reach = Reach(env.node_id)
        self._phase = Phase(stable_us)
        self.electorate = Electorate(founder, self._preset)
        self._registrar = Registrar(self.electorate) if env.node_id == founder else None
        self._say_held_at: Instant | None = None
        self._said_held = 0
        self._held_later = False
        """When we say so was drawn; before that, changes that come together are waited for."""
        self._held_patient = False
        """Others were to say it first."""
        self._missing: dict[NodeId, int] = {}
        """Members out of reach, and since when by the wall clock."""
        self._current = PartitionChanged(CRITICAL, False, 1, 1, 1, self._preset, self._phase.name, 0, 1)
        self._judge_at: Instant | None = None
        self._count_at: Instant | None = None
        """When to see whether enough voters hold the newest change: all that they say by then is counted once."""
        self._component: dict[NodeId, None] = {env.node_id: None}

    @property
    def writable(self) -> bool:
        return self._current.writable

    def view(self) -> PartitionChanged:
        return self._current

    def reaches(self, node: NodeId) -> bool:
        """Whether this member counts as reachable now."""
        return node in self._component and self._counts(node)

    # --- Core ---------------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        self._judge_at = now + SETTLE_US
        return []

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        raise AssertionError(f"partition speaks no messages, got {type(message).__name__}")

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        if isinstance(event, LinkDown):
            self._reach.link_down(event.peer)
            if self._reach.isolated:
                return self._judge(now)
        elif isinstance(event, LinkUp):
            self._reach.link_up(event.peer)
        elif isinstance(event, MemberAdmitted):
            self._states.setdefault(event.node, "")
        elif isinstance(event, MemberChanged):
            if event.node != self._me:
                self._states[event.node] = event.new
        elif isinstance(event, ScoreChanged):
            if event.ignored is (event.node in self._ignored):
                return []
            if event.ignored:
                self._ignored[event.node] = None
            else:
                self._ignored.pop(event.node, None)
        elif isinstance(event, Forked):
            if event.author != self._founder:
                return []
            self.electorate.void()  # whatever it forked over: it may as well say two things about who votes
            return self._judge(now)
        elif isinstance(event, Withdrawn):
            if event.kind != Kind.LINKS or event.author == self._me:
                return []
            self._reach.advertised(event.author, ())  # who forked has no links that count
        elif isinstance(event, Applied) and not self._took(now, event):
            return []
        if self._judge_at is None:
            self._judge_at = now + SETTLE_US
        return []

    def on_events(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            if isinstance(event, Applied):
                took = self._took(now, event)
            elif isinstance(event, MemberAdmitted):
                self._states.setdefault(event.node, "")
                took = True
            elif isinstance(event, MemberChanged):
                if event.node != self._me:
                    self._states[event.node] = event.new
                took = True
            else:
                effects += self.on_event(now, event)
                continue
            if took and self._judge_at is None:
                self._judge_at = now + SETTLE_US
        return effects

    def on_timer(self, now: Instant) -> list[Effect]:
        due = self.next_deadline()
        if due is None or now < due:
            return []
        dues = self._judgements_due()
        settled = self._count_at is not None and now >= self._count_at and self._settle()
        effects = self._judge(now) if settled or any(at is not None and now >= at for at in dues) else []
        if self._say_held_at is not None and now >= self._say_held_at:
            effects += self._say_held(now)
        return effects

    def next_deadline(self) -> Instant | None:
        dues = (*self._judgements_due(), self._say_held_at, self._count_at)
        return min((due for due in dues if due is not None), default=None)

    # --- private ------------------------------------------------------------------------------------------

    def _took(self, now: Instant, event: Applied) -> bool:
        """Take a statement; whether it is time for another judgement."""
        body = event.body
        if isinstance(body, Vote):
            if event.author != self._founder or not self.electorate.change(NodeId(event.key), body):
                return False
            if self._say_held_at is None or self._held_patient:  # who says so first is drawn anew for each change
                self._say_held_at = now + SETTLE_US
                self._held_later = self._held_patient = False
            return True  # others put off nothing; and the founder says nothing new before a change is settled
        if isinstance(body, Held):
            self.electorate.held(event.author, body.ordinal)
            if self._count_at is None and self.electorate.open:
                self._count_at = now + SETTLE_US
            return False  # who is in reach has not changed, nor, until the change is settled, what a quorum is
        return self._advertised(event)

    def _held_within_us(self) -> int:
        """Over so long voters spread what they say of one change."""
        voters = len(self.electorate.voters())
        return min(HELD_SPREAD_US * voters, HELD_SPREAD_US_MAX) if voters > HELD_AT_ONCE_MAX else 0

    def _held_later_us(self) -> int:
        """This one's share of that."""
        within_us = self._held_within_us()
        return self._env.rng.randrange(0, within_us) if within_us else 0

    def _say_held(self, now: Instant) -> list[Effect]:
        """Tell how far we hold the order of voters. Gossip has put it on the disk before what we say now."""
        self._say_held_at = None
        electorate = self.electorate
        ordinal = electorate.latest
        if not electorate.open or not electorate.whole or not electorate.votes(self._me):
            return []
        if max(electorate.holds(self._me), self._said_held) >= ordinal:
            return []
        if not self._held_later:
            self._held_later = True
            if later_us := self._held_later_us():
                self._say_held_at = now + later_us
                return []
        many = not self._held_patient and len(electorate.voters()) > HELD_BY_ALL_MAX
        if many and not electorate.answers_first(self._me, self._in_reach):
            self._held_patient = True
            self._say_held_at = now + self._held_within_us() + HELD_PATIENCE_US
            return []
        self._said_held = ordinal
        return [Emit(Publish(Kind.HELD, "", Held(ordinal=ordinal)))]

    def _advertised(self, event: Applied) -> bool:
        """Take a LINKS record; whether it changed the graph. Our own is not needed: we know our links."""
        body = event.body
        if event.kind != Kind.LINKS or not isinstance(body, Links) or event.author == self._me:
            return False
        return self._reach.advertised(event.author, peers_up(body))

    def _usable(self, node: NodeId) -> bool:
        """May a path lead through it? A node that is dead or left in the membership carries nothing."""
        return self._states.get(node, "dead") not in ("dead", "left")

    def _counts(self, node: NodeId) -> bool:
        return self._states.get(node, "left") != "left" and node not in self._ignored

    def _in_reach(self, node: NodeId) -> bool:
        return node in self._component and self._counts(node)

    def _judgements_due(self) -> tuple[Instant | None, ...]:
        vote_due = None if self._registrar is None else self._registrar.due
        return (self._judge_at, self._health.due, self._read_only.due, self._phase.due, vote_due)

    def _settle(self) -> bool:
        """Count who holds the newest changes; whether that settled one."""
        self._count_at = None
        if not self.electorate.settle():
            return False
        if not self.electorate.open:
            self._say_held_at = None
        return True

    def _judge(self, now: Instant) -> list[Effect]:
        """What is the state now? Told when anything in it changed."""
        self._judge_at = None
        self._settle()
        self._component = self._reach.component(self._usable)
        members = sum(1 for state in self._states.values() if state != "left")
        reachable = sum(1 for node in self._component if self._counts(node))
        count = self.electorate.count(self._in_reach)
        votes_ignored = self._votes_ignored(count.votes)
        severity, lost = SEVERITY.index(health(members, reachable)), int(not count.carried)
        self._note_missing()
        if members == 1 and count.voters == 1:  # alone in the mesh: there is nobody to wait for
            self._health.settle(severity)
            self._read_only.settle(lost)
            self._phase.settle()
        else:
            self._health.observe(now, severity)
            self._read_only.observe(now, lost)
            cut_off = any(not self._set_aside(node) for node in self._missing)
            self._phase.observe(now, missing=cut_off, lost=bool(lost) and count.votes + votes_ignored < count.required)
        said, state, writable = self._current, SEVERITY[self._health.level], not self._read_only.level
        longest = sorted((since, node) for node, since in self._missing.items())
        self._current = PartitionChanged(
            state,
            writable,
            reachable,
            count.required,
            members,
            self._preset,
            self._phase.name,
            count.votes,
            count.voters,
            tuple((node, since) for since, node in longest[:MISSING_MAX]),
            max(0, len(longest) - MISSING_MAX),
            tuple(node for _, node in longest[:MISSING_MAX] if self._set_aside(node)),
            votes_ignored,
        )
        effects: list[Effect] = [] if self._current == said else [Emit(self._current)]
        if self._registrar is not None:
            effects += [Emit(vote) for vote in self._registrar.next(now, self._states, self._in_reach)]
        return effects

    def _set_aside(self, node: NodeId) -> bool:
        """It could be reached, and is ignored."""
        return node in self._ignored and node in self._component

    def _votes_ignored(self, votes: int) -> int:
        """How many more votes there would be if nobody were ignored."""
        if not any(node in self._component for node in self._ignored):
            return 0
        return max(self.electorate.count(self._connected).votes - votes, 0)

    def _connected(self, node: NodeId) -> bool:
        return node in self._component and self._states.get(node, "left") != "left"

    def _note_missing(self) -> None:
        """Who of the roster is out of reach; the wall clock is looked at when someone is for the first time."""
        missing = [node for node, state in self._states.items() if state != "left" and not self._in_reach(node)]
        if missing or self._missing:
            before, wall_ms = self._missing, self._env.wall_ms() if missing else 0
            self._missing = {node: before.get(node, wall_ms) for node in missing}
