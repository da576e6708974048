"""What others say, taken in: verified, merged, stored, told, passed on; and whoever is at fault, named.

A push that overtook its predecessor is passed on and waits for it (`early.py`). What is beyond a gap otherwise is asked
for by digest.
"""

from __future__ import annotations

from collections.abc import Sequence

from arqonmesh.core.events import BroadcastArrived, BroadcastJudged, Fault, Forked
from arqonmesh.core.gossip import disk
from arqonmesh.core.gossip.early import EarlyRuns
from arqonmesh.core.gossip.forks import Verify, verify_statement
from arqonmesh.core.gossip.merge import Outcome, holds, merge
from arqonmesh.core.gossip.own import OwnStatements
from arqonmesh.core.gossip.packing import Segment, segment_of
from arqonmesh.core.gossip.push import Push
from arqonmesh.core.gossip.reading import WrongMesh, runs_of
from arqonmesh.core.gossip.repair import Repair
from arqonmesh.core.gossip.replica import Replica
from arqonmesh.core.gossip.stages import Stages
from arqonmesh.core.gossip.telling import Telling
from arqonmesh.core.gossip.waiting import KeyOf, Run, WaitingRoom
from arqonmesh.core.kernel import Effect, Emit, Env, Instant, Persist, Write
from arqonmesh.errors import DecodeError
from arqonmesh.ids import NodeId
from arqonmesh.wire.codec import decode_message
from arqonmesh.wire.messages import MAX_FRAME_BYTES, GossipDelta
from arqonmesh.wire.statement import Kind


class Intake:
    """Merges what comes into the replica."""

    def __init__(
        self,
        env: Env,
        keys: KeyOf,
        replica: Replica,
        telling: Telling,
        waiting: WaitingRoom,
        own: OwnStatements,
        repair: Repair,
        push: Push,
    ) -> None:
        self._env = env
        self._keys = keys
        self._replica = replica
        self._telling = telling
        self._waiting = waiting
        self._own = own
        self._repair = repair
        self._push = push
        self.early = EarlyRuns()
        self.verify: Verify = env.crypto.verify
        self.stages: Stages | None = None
        self._accused: dict[tuple[NodeId, str], None] = {}

    def broadcast(self, now: Instant, event: BroadcastArrived) -> list[Effect]:
        """Accept what is whole and brings something new; reject what is nobody's word; ignore what we cannot judge."""
        try:
            message = decode_message(event.data, max_bytes=MAX_FRAME_BYTES)
        except DecodeError:
            message = None
        if not isinstance(message, GossipDelta):
            return [
                Emit(BroadcastJudged(event.id, "reject")),
                *self._telling.dropped("malformed", event.topic),
                Emit(Fault(event.link_peer, "malformed")),
            ]
        effects, verdict = self.delta(now, event.link_peer, message, pushed=True)
        return [Emit(BroadcastJudged(event.id, verdict)), *effects]

    def delta(
        self, now: Instant, link_peer: NodeId, delta: GossipDelta, *, pushed: bool = False
    ) -> tuple[list[Effect], str]:
        """The effects, and the verdict on it as a broadcast."""
        try:
            runs = runs_of(delta, link_peer, self._env.mesh_id)
        except WrongMesh:
            return [*self._telling.dropped("wrong-mesh", link_peer), Emit(Fault(link_peer, "wrong-mesh"))], "reject"
        except DecodeError as error:
            return [*self._telling.dropped("malformed", error.code), Emit(Fault(link_peer, "malformed"))], "reject"
        return self.merge(now, runs, pushed=pushed)

    def merge(self, now: Instant, runs: Sequence[Run], *, pushed: bool = False) -> tuple[list[Effect], str]:
        """Merge runs, then persist, tell and pass on what was new, once for all of them. Returns also the verdict on
        them as one payload; `pushed`: an accepted one is passed on as it came, by the broadcast core."""
        writes: list[Write] = []
        told: list[Effect] = []
        segments: list[Segment] = []
        proofs: list[Segment] = []
        gaps: list[NodeId] = []
        overtaking: list[Run] = []
        source: NodeId | None = None
        whole, forged = True, False
        for run in runs:
            source = run.link_peer
            key = self._key_of(run.author)
            if key is None:
                self._telling.count("unknown_author", len(run.statements))
                self._waiting.put(run)
                whole = False
                continue
            if holds(self._replica, run):  # most of what is pushed is known already, from another side
                self._telling.count("duplicates", len(run.statements))
                continue
            outcome = self._merged(run, key)
            if pushed and outcome.gap and _only_ahead(outcome):
                overtaking.append(run)
                continue
            whole &= outcome.whole or _is_proof(run, outcome)
            forged |= any(blame.party == source and not blame.proof for blame in outcome.blame)
            if outcome.gap:
                gaps.append(run.author)
            told += self._verdicts(run, outcome, writes)
            if outcome.fork is not None:
                proofs.append(outcome.fork.segment(run.author))
            segments += self._taken_in(run, outcome, writes, told)
        if source is None:
            return [], "ignore"
        news = bool(segments or proofs or overtaking)
        verdict = "reject" if forged else "accept" if whole and news else "ignore"
        if pushed and verdict == "accept" and not self._stands_behind(runs):
            verdict, overtaking = "reject", []
            told += [*self._telling.dropped("bad-signature", source), Emit(Fault(source, "bad-signature"))]
        persist: list[Effect] = [Persist(-1, tuple(writes), sync=False)] if writes else []
        accepted = pushed and verdict == "accept"
        onward = [] if accepted else self._push.now(proofs, None) + self._push.soon(now, segments, source)
        for run in overtaking:
            if accepted and self.early.put(now, run):
                self._telling.count("overtaking", 1)
            else:
                self._telling.count("gaps", 1)
                gaps.append(run.author)
        asked = self._repair.ask_about(now, source, gaps) if gaps else []
        return persist + told + onward + asked + self._caught_up(now, runs), verdict

    def on_timer(self, now: Instant) -> list[Effect]:
        """Ask for what lies before those whose predecessor has not come."""
        effects: list[Effect] = []
        for run in self.early.overdue(now):
            if not holds(self._replica, run):
                self._telling.count("gaps", 1)
                effects += self._repair.ask_about(now, run.link_peer, (run.author,))
        return effects

    def _caught_up(self, now: Instant, runs: Sequence[Run]) -> list[Effect]:
        """Merge what waited for these. It was passed on when it came."""
        effects: list[Effect] = []
        if not len(self.early):
            return effects
        for run in runs:
            key = self._key_of(run.author)
            while key is not None and (next_one := self.early.ready(run.author, self._replica.head(run.author))):
                if holds(self._replica, next_one):
                    continue
                outcome = self._merged(next_one, key)
                writes: list[Write] = []
                told = self._verdicts(next_one, outcome, writes)
                proofs = [] if outcome.fork is None else [outcome.fork.segment(run.author)]
                self._taken_in(next_one, outcome, writes, told)
                effects += [Persist(-1, tuple(writes), sync=False)] if writes else []
                effects += told + self._push.now(proofs, None)
        return effects

    def _merged(self, run: Run, key: bytes) -> Outcome:
        if self.stages is None:
            return merge(self._replica, run, key, self.verify)
        began = self.stages.begin_merge()
        outcome = merge(self._replica, run, key, self.verify)
        self.stages.end_merge(began)
        return outcome

    def _stands_behind(self, runs: Sequence[Run]) -> bool:
        """What is passed on as it came is vouched for to the last statement. One that is superseded here was not looked
        at; elsewhere it may be news, and whoever passes on a forged one is blamed for it."""
        for run in runs:
            key = self._key_of(run.author)
            log = self._replica.authors.get(run.author)
            for statement, encoded in run.statements:
                held = None if log is None else log.at((statement.epoch, statement.seq))
                if held is not None and held.encoded == encoded:
                    continue
                if key is None or not verify_statement(statement, encoded, key, self.verify):
                    return False
        return True

    def _taken_in(self, run: Run, outcome: Outcome, writes: list[Write], told: list[Effect]) -> list[Segment]:
        """Store and tell what is new of one author; returns what is to be passed on."""
        log = self._replica.authors.get(run.author)
        newest = [r for r in outcome.new if log is not None and log.at(r.position) is r]
        writes += disk.rows(newest)
        if log is not None and log.head != outcome.before and (not log.holds_head or run.author == self._env.node_id):
            writes.append(disk.head_row(run.author, log.head, log.head_hash))
        if not outcome.new:
            return []
        if run.author == self._env.node_id:
            self._own.speak_beyond(max(record.position for record in outcome.new))
        told += self._telling.applied(newest)
        if log is not None and any(record.kind == Kind.FLOOR for record in newest):
            told += self._telling.voided(log, run.author)
        self._repair.note_progress(run.link_peer)
        if self._replica.cut(run.author) is not None:
            return [segment_of(run.author, None, newest)] if newest else []
        beyond = [record for record in newest if record.position > outcome.before]
        return [segment_of(run.author, outcome.before, beyond)] if beyond else []

    def _verdicts(self, run: Run, outcome: Outcome, writes: list[Write]) -> list[Effect]:
        """Count the outcome; blame whom it convicts; take back what does not count."""
        self._telling.count("merged", len(outcome.new))
        if outcome.plain:
            return []
        for name, count in (
            ("duplicates", outcome.duplicates),
            ("excluded", outcome.excluded),
            ("holes", outcome.holes),
            ("refused", outcome.refused),
            ("gaps", int(outcome.gap)),
            ("proofs", int(outcome.fork is not None)),
        ):
            self._telling.count(name, count)
        effects: list[Effect] = []
        for blame in outcome.blame:
            effects += self._telling.dropped(blame.cause, run.author)
            if blame.party == run.link_peer and not blame.proof:
                effects.append(Emit(Fault(blame.party, blame.cause)))
            else:
                effects += self._accuse(blame.party, blame.cause, blame.proof)
        if outcome.fork is not None:
            fork, (epoch, seq) = outcome.fork, outcome.fork.cut
            writes.append(disk.fork_row(run.author, fork))
            effects.append(Emit(Forked(run.author, epoch, seq, fork.first, fork.second)))
            effects += self._accuse(run.author, "equivocation", disk.proof_bytes(fork))
            effects += self._telling.uninvited(run.author, fork.cut)
            self._repair.note_progress(run.link_peer)
        deletes, withdrawn = self._telling.taken_back(outcome.withdrawn)
        writes += deletes
        return effects + withdrawn

    def _accuse(self, party: NodeId, cause: str, proof: bytes) -> list[Effect]:
        if (party, cause) in self._accused:
            return []
        self._accused[party, cause] = None
        return [Emit(Fault(party, cause, proof))]

    def _key_of(self, author: NodeId) -> bytes | None:
        return self._env.public_key if author == self._env.node_id else self._keys(author)


def _only_ahead(outcome: Outcome) -> bool:
    """Nothing else is to be said of this run than that it begins beyond our head."""
    return not (
        outcome.new or outcome.withdrawn or outcome.refused or outcome.excluded or outcome.blame or outcome.fork
    )


def _is_proof(run: Run, outcome: Outcome) -> bool:
    """Is the run just the proof that has moved the verdict? Then it may be passed on as it came."""
    fork = outcome.fork
    return fork is not None and [encoded for _, encoded in run.statements] == [fork.first, fork.second]
