"""Partition: how much of the mesh do we reach, and may this side write?

Reachable is who is alive in the membership (a suspect still is), is not ignored, and has a path to us over links that
both their ends report up. The links tell of a cut within the time of link liveness and one flood of records; the
membership tells of nodes that are gone although their records linger.

    losing:    the moment a quorum is out of reach, this side is read-only; with no link left at all, at once
    regaining: a quorum has to stay in reach for a while first, because the records of a side that was cut off are
               stale until gossip has run; the health class recovers in the same way

The count is of the *agreed* membership, the roster without those who left. It never shrinks because someone is out of
reach, or every fragment would call itself healthy.

Source: the two presets are Raft's majority (crash) and PBFT's n - f (byzantine); the classes are those of the mesh's
specification: degraded below half unreachable, critical from half on.
"""

from __future__ import annotations

from typing import ClassVar, Final

from arqonmesh.config.model import MembershipSettings
from arqonmesh.core.events import (
    Applied,
    LinkDown,
    LinkUp,
    MemberAdmitted,
    MemberChanged,
    PartitionChanged,
    ScoreChanged,
)
from arqonmesh.core.kernel import MILLISECOND, SECOND, Durable, Effect, Emit, Env, Event, Instant
from arqonmesh.core.partition.quorum import CRITICAL, SEVERITY, health, required
from arqonmesh.core.partition.reach import Reach
from arqonmesh.core.partition.steady import Steady
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import WireMessage
from arqonmesh.wire.statement import Kind, Links

SETTLE_US: Final = 50 * MILLISECOND
"""Records of one flood are judged together."""
STABLE_US_MIN: Final = SECOND
"""A quorum has to stay in reach this long, or one probe period if that is longer, before writing resumes."""


class Partition:
    """Emits PartitionChanged whenever anything in it changes; `view` is the newest."""

    NAME: ClassVar[str] = "partition"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = ()
    EVENTS: ClassVar[tuple[type[Event], ...]] = (
        MemberAdmitted,
        MemberChanged,
        Applied,
        LinkUp,
        LinkDown,
        ScoreChanged,
    )

    def __init__(self, env: Env, settings: MembershipSettings) -> None:
        self._me = env.node_id
        self._preset = settings.partition_preset
        stable_us = max(STABLE_US_MIN, settings.probe_interval_ms * MILLISECOND)
        self._health = Steady(SEVERITY.index(CRITICAL), stable_us)
        self._read_only = Steady(1, stable_us)
        self._states: dict[NodeId, str] = {env.node_id: "alive"}
        self._ignored: dict[NodeId, None] = {}
        self._reach = Reach(env.node_id)
        self._current = PartitionChanged(CRITICAL, False, 1, 1, 1, self._preset)
        self._judge_at: Instant | None = None
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
        elif isinstance(event, Applied) and not self._advertised(event):
            return []
        if self._judge_at is None:
            self._judge_at = now + SETTLE_US
        return []

    def on_timer(self, now: Instant) -> list[Effect]:
        due = self.next_deadline()
        return [] if due is None or now < due else self._judge(now)

    def next_deadline(self) -> Instant | None:
        dues = (self._judge_at, self._health.due, self._read_only.due)
        return min((due for due in dues if due is not None), default=None)

    # --- private ------------------------------------------------------------------------------------------

    def _advertised(self, event: Applied) -> bool:
        """Take a LINKS record; whether it changed the graph. Our own is not needed: we know our links."""
        body = event.body
        if event.kind != Kind.LINKS or not isinstance(body, Links) or event.author == self._me:
            return False
        return self._reach.advertised(event.author, {NodeId(a.peer): None for a in body.adjacencies if a.state == "up"})

    def _usable(self, node: NodeId) -> bool:
        """May a path lead through it? A node that is dead or left in the membership carries nothing."""
        return self._states.get(node, "dead") not in ("dead", "left")

    def _counts(self, node: NodeId) -> bool:
        return self._states.get(node, "left") != "left" and node not in self._ignored

    def _judge(self, now: Instant) -> list[Effect]:
        """What is the state now? Told when anything in it changed."""
        self._judge_at = None
        self._component = self._reach.component(self._usable)
        members = sum(1 for state in self._states.values() if state != "left")
        reachable = sum(1 for node in self._component if self._counts(node))
        quorum = required(members, self._preset)
        severity, lost = SEVERITY.index(health(members, reachable)), int(reachable < quorum)
        if members == 1:  # alone in the mesh: there is nobody to wait for
            self._health.settle(severity)
            self._read_only.settle(lost)
        else:
            self._health.observe(now, severity)
            self._read_only.observe(now, lost)
        said, state, writable = self._current, SEVERITY[self._health.level], not self._read_only.level
        self._current = PartitionChanged(state, writable, reachable, quorum, members, self._preset)
        return [] if self._current == said else [Emit(self._current)]
