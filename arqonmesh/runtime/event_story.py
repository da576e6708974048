"""Turns what the cores emit into the sentences that an operator reads, and counts what was dropped.

One line per change of state, never one per message.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from arqonmesh.core.events import (
    Dropped,
    Forked,
    LastResort,
    LeadersChanged,
    LinkDown,
    LinkUp,
    MemberAdmitted,
    MemberChanged,
    MemberExpelled,
    PartitionChanged,
    Rebalanced,
    ScoreChanged,
    UserEvent,
    Verdict,
)
from arqonmesh.core.kernel import SECOND, Event, Instant
from arqonmesh.core.partition.quorum import health
from arqonmesh.ids import NodeId, short
from arqonmesh.observe.recorder import FlightRecorder
from arqonmesh.runtime.event_log import EventLog
from arqonmesh.runtime.host import Host

REASONS_MAX: Final = 1_000
OTHER_VERSIONS_MAX: Final = 64
"""So many lines within TOLD_AGAIN_US tell of nodes of another version, one for each address: anybody may knock."""
OTHER_VERSION: Final = "link.version"
TOLD_AGAIN_US: Final = 3_600 * SECOND
FALLEN_MAX: Final = 1_024
"""Links that are down and whose reason is kept, those that fell last; of others it is in the log."""
NAMED_MAX: Final = 5
"""Missing members that one line names."""


class EventStory:
    """Watches a host and writes its event log."""

    def __init__(self, host: Host, log: EventLog) -> None:
        self._host = host
        self._log = log
        self.recorder = FlightRecorder()
        """The newest drops, verdicts, link and member changes with their reasons, to be asked afterwards."""
        self.dropped: dict[tuple[str, str], int] = {}
        """Drops since the start by (where, reason). Both come from our own code; the cap guards against a slip."""
        self.fallen: dict[NodeId, str] = {}
        """Why the link with this peer fell, until it stands again; the one that fell last comes last."""
        self._partition_told = ""
        self._preferred: tuple[str, tuple[NodeId, ...]] = ("", ())
        self._other_versions: dict[str, Instant] = {}
        """When it was told of this address that it speaks another version; the oldest first."""
        host.refusal_told = self._refused
        for event_type, tell in (
            (MemberAdmitted, self._admitted),
            (MemberExpelled, self._expelled),
            (MemberChanged, self._member),
            (LeadersChanged, self._leaders),
            (LinkUp, self._link_up),
            (LinkDown, self._link_down),
            (PartitionChanged, self._partition),
            (ScoreChanged, self._score),
            (LastResort, self._last_resort),
            (Rebalanced, self._rebalanced),
            (Forked, self._forked),
            (UserEvent, self._user_event),
            (Verdict, self._verdict),
            (Dropped, self._dropped),
        ):
            host.watch(event_type, tell)

    def leave_mesh(self) -> None:
        """Of another mesh everything is told anew, also what reads the same."""
        self._partition_told = ""
        self._preferred = ("", ())

    @property
    def of_other_versions(self) -> Collection[str]:
        """Addresses, of TOLD_AGAIN_US, from which somebody was refused for its protocol version; gone with a link."""
        now, told = self._host.now(), self._other_versions
        return [address for address, at in told.items() if now - at < TOLD_AGAIN_US]

    def name(self, node: NodeId) -> str:
        """A node as a person knows it: cluster and the beginning of its id."""
        plane = self._host.node.plane
        cluster = None if plane is None else plane.admission.cluster_of(node)
        return short(node) if cluster is None else f"{cluster}/{short(node)}"

    def _admitted(self, event: Event) -> None:
        assert isinstance(event, MemberAdmitted)
        self._log.add("mesh", f"{self.name(event.node)} is a member, as {event.role}", node=event.node)

    def _expelled(self, event: Event) -> None:
        assert isinstance(event, MemberExpelled)
        self.fallen.pop(event.node, None)
        text = f"{short(event.node)} is no member any more: {event.reason}"
        self._log.add("mesh", text, node=event.node, reason=event.reason)

    def _member(self, event: Event) -> None:
        assert isinstance(event, MemberChanged)
        was = f" (was {event.old})" if event.old else ""
        text = f"{self.name(event.node)} is {event.new}{was}: {event.reason}"
        self._log.add("member", text, node=event.node, state=event.new)
        self.recorder.record(self._host.now(), "member", event.new, peer=event.node, detail=event.reason)

    def _leaders(self, event: Event) -> None:
        assert isinstance(event, LeadersChanged)
        region = f"region {event.region}" if event.region else "the region without a name"
        names = ", ".join(self.name(leader) for leader in event.leaders) or "nobody"
        self._log.add("mesh", f"{region} is led by {names}", region=event.region)

    def _link_up(self, event: Event) -> None:
        assert isinstance(event, LinkUp)
        plane = self._host.node.plane
        for address in () if plane is None else plane.topology.addresses_of(event.peer):
            self._other_versions.pop(address, None)  # it has been updated
        self.fallen.pop(event.peer, None)
        text = f"link to {self.name(event.peer)} is up over {event.transport}"
        self._log.add("link", text, peer=event.peer, state="up")
        self.recorder.record(self._host.now(), "link", "up", peer=event.peer)

    def _link_down(self, event: Event) -> None:
        assert isinstance(event, LinkDown)
        self.fallen.pop(event.peer, None)
        self.fallen[event.peer] = event.reason
        if len(self.fallen) > FALLEN_MAX:
            oldest = next(iter(self.fallen))
            del self.fallen[oldest]
            self._dropped(Dropped("event-story", "fallen-full", 1, oldest))
        text = f"link to {self.name(event.peer)} is down: {event.reason}"
        self._log.add("link", text, peer=event.peer, state="down")
        self.recorder.record(self._host.now(), "link", "down", peer=event.peer, detail=event.reason)

    def _partition(self, event: Event) -> None:
        assert isinstance(event, PartitionChanged)
        access = "writable" if event.writable else "read-only"
        if event.by_ignoring:
            access += " because of whom this node ignores"
        counted = "count" if event.ignored else "reachable"
        count = f"{event.reachable} of {event.members} {counted}, {event.required} required"
        notes = [] if event.phase == "healthy" else [event.phase]
        if _settling(event):
            notes.append("settling")
        if event.missing:
            names = ", ".join(
                self.name(node) + (" (ignored)" if node in event.ignored else "")
                for node, _ in event.missing[:NAMED_MAX]
            )
            more = len(event.missing) - NAMED_MAX + event.missing_more
            notes.append(f"missing: {names}{f' and {more} more' if more > 0 else ''}")
        text = f"mesh is {event.state}, {access}: {count}" + (f"; {', '.join(notes)}" if notes else "")
        if text == self._partition_told:
            return  # what changed is not among what a person is told, such as how many of those reached have a vote
        self._partition_told = text
        self._log.add(
            "partition",
            text,
            state=event.state,
            reachable=str(event.reachable),
            required=str(event.required),
            writable=str(event.writable).lower(),
            phase=event.phase,
        )

    def _score(self, event: Event) -> None:
        assert isinstance(event, ScoreChanged)
        ignored = ", ignored from now on" if event.ignored else ""
        text = f"{self.name(event.node)} has reputation {event.score_ppm / 1_000_000:.2f}: {event.cause}{ignored}"
        self._log.add("reputation", text, node=event.node, cause=event.cause)

    def _last_resort(self, event: Event) -> None:
        assert isinstance(event, LastResort)
        text = f"{self.name(event.via)}, which is ignored, carries to {self.name(event.to)}: no other way leads there"
        self._log.add("reputation", text, node=event.via, to=event.to)

    def _rebalanced(self, event: Event) -> None:
        assert isinstance(event, Rebalanced)
        now = (event.strategy, tuple(sorted(event.chosen)))
        if now == self._preferred:
            return
        self._preferred = now
        near = ", ".join(self.name(node) for node in event.chosen)
        clusters = ", ".join(f"{name} ({count})" for name, count, _ in event.clusters)
        text = f"prefers {near} ({event.strategy}, mean round trip {event.gain_ppm / 10_000:.0f} % shorter)"
        self._log.add("mesh", text, clusters=clusters)

    def _forked(self, event: Event) -> None:
        assert isinstance(event, Forked)
        if event.restored:
            return
        text = (
            f"{self.name(event.author)} signed two statements as ({event.epoch}, {event.seq}); both are kept as proof"
        )
        self._log.add("reputation", text, node=event.author)

    def _user_event(self, event: Event) -> None:
        assert isinstance(event, UserEvent)
        payload = event.payload.decode(errors="backslashreplace")
        self._log.add(
            "event",
            f"event {event.name} from {self.name(event.author)}{f': {payload}' if payload else ''}",
            node=event.author,
            name=event.name,
            payload=payload,
            lamport=str(event.lamport),
            sent_ms=str(event.sent_ms),
        )

    def _verdict(self, event: Event) -> None:
        assert isinstance(event, Verdict)
        allowed = "may cross" if event.allowed else "stays"
        border = {"import": "from", "export": "to", "transit": "to"}.get(event.direction, "")
        where = "" if event.cluster == "*" else f" {border} {event.cluster}"
        text = f"{event.direction} {event.channel}{where} {allowed} ({event.rule})"
        self._log.add("federation", text, channel=event.channel, cluster=event.cluster, rule=event.rule)
        self.recorder.record(
            self._host.now(),
            "allow" if event.allowed else "deny",
            event.rule,
            channel=event.channel,
            detail=f"{event.direction} {event.cluster}",
        )

    def _refused(self, reason: str, address: str, sentence: str) -> None:
        """Who knocks is counted; told is only what an operator has to do something about, and who dials goes on."""
        if reason != OTHER_VERSION:
            return
        now, told = self._host.now(), self._other_versions
        while told and now - told[oldest := next(iter(told))] >= TOLD_AGAIN_US:
            del told[oldest]
        if address not in told and len(told) < OTHER_VERSIONS_MAX:
            told[address] = now
            text = f"no link with {address}: {sentence} ({reason})"
            self._log.add("link", text, address=address, state="refused", code=reason)

    def _dropped(self, event: Event) -> None:
        assert isinstance(event, Dropped)
        key = (event.where, event.reason)
        if key not in self.dropped and len(self.dropped) >= REASONS_MAX:
            key = ("other", "other")
        self.dropped[key] = self.dropped.get(key, 0) + event.count
        reason = f"{event.where}.{event.reason}"
        self.recorder.record(self._host.now(), "drop", reason, times=event.count, detail=event.detail)


def _settling(event: PartitionChanged) -> bool:
    """The count is better than the word: the state improves, and writing begins, only after that has held."""
    counted = health(event.members, event.reachable)
    return counted != event.state or (event.votes >= event.required and not event.writable)
