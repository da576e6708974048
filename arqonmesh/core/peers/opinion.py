"""What we think of each peer: faults charged, verdicts, who is ignored, and the bound on our own mistakes.

A score moves on faults that the party itself committed towards us, on proofs, on the operator's word, and, once per
invitee and by a fixed amount, when somebody it let in is convicted by proof. Below `ignore_below` a peer is ignored.

On observations alone at most f = ceil(n/3) - 1 of n members are ignored at a time. If more seem to deserve it, the
fault is probably on our side, and the rest is excused (counted). Proofs and bans are not under that bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Final

from arqonmesh.core.events import Dropped, ScoreChanged
from arqonmesh.core.kernel import SECOND, Effect, Emit, Env, Instant
from arqonmesh.core.peers.causes import PARDONED, PROOFS, cause_of
from arqonmesh.core.peers.file import File
from arqonmesh.core.peers.peer import Peer
from arqonmesh.core.peers.score import FULL_PPM, Score
from arqonmesh.core.peers.store import SAVE_LATER_US, SAVE_SOON_US, Store
from arqonmesh.ids import NodeId

EVIDENCE_BYTES_MAX: Final = 65_536
REVIEW_US: Final = 10 * SECOND
"""How often lowered scores are looked at for having come back over the threshold."""


class Opinion:
    """The judge. Peers and members are the registry's; this only moves scores and says who is ignored."""

    def __init__(
        self,
        env: Env,
        threshold_ppm: int,
        half_life_us: int,
        changes_max: int,
        peers: Mapping[NodeId, Peer],
        members: Sized,
        store: Store,
    ) -> None:
        """`changes_max`: of each peer so many changes of its score are kept."""
        self._env = env
        self._half_life_us = half_life_us
        self._changes_max = changes_max
        self._threshold_ppm = threshold_ppm
        self._peers = peers
        self._members = members
        self._store = store
        self._lowered: dict[NodeId, None] = {}
        self._observed: dict[NodeId, None] = {}
        """Ignored on observations alone; never more than f."""
        self.due_at: Instant | None = None

    def restored(self, now: Instant, peer: Peer) -> None:
        """A peer from disk: ignored again at the next review, by when the roster is back, without which nobody may."""
        if not peer.convicted and peer.score_ppm(now) < FULL_PPM:
            self._lowered[peer.node] = None
            self.due_at = now + SECOND

    def fault(self, now: Instant, party: NodeId, name: str, proof: bytes) -> list[Effect]:
        """Charge a fault. What convicts needs its proof; a convicted peer cannot fall further."""
        peer, cause = self._peers.get(party), cause_of(name)
        if peer is None or peer.convicted or (cause.convicts and not proof):
            return []
        evidence = proof if len(proof) <= EVIDENCE_BYTES_MAX else b""
        if name in PROOFS and any(told.cause == name and told.evidence == evidence for told in peer.changes):
            return []  # this very proof was pardoned by the operator
        delta_ppm = self._file(now, peer).score.apply(now, cause)
        if delta_ppm == 0 and not cause.convicts:
            return []
        effects = self._recorded(now, peer, delta_ppm, name, evidence, at_once=cause.convicts)
        if name in PROOFS and peer.inviter is not None:
            effects += self.fault(now, peer.inviter, "invitee-convicted", party.encode())
        return effects

    def pardon(self, now: Instant, party: NodeId, reason: str) -> list[Effect]:
        """The operator's word: the score is 1 again."""
        peer = self._peers.get(party)
        if peer is None:
            return []
        return self._recorded(
            now, peer, self._file(now, peer).score.pardon(now), PARDONED, reason.encode(), at_once=True
        )

    def review(self, now: Instant) -> list[Effect]:
        """Scores that came back; and with fewer ignored, one that was excused may take the place."""
        effects: list[Effect] = []
        while len(self._observed) > self._ignored_max:  # members left, and with them the right to ignore so many
            self._observed.popitem()
        for node in list(self._lowered):
            peer = self._peers[node]
            effects += self._judge(now, peer, "forgiven", tell=False)
            if peer.convicted or peer.score_ppm(now) == FULL_PPM:
                del self._lowered[node]
                self._store.touch(node, now + SAVE_LATER_US)
        self.due_at = now + REVIEW_US if self._lowered else None
        return effects

    @property
    def _ignored_max(self) -> int:
        """f = ceil(n/3) - 1: so many of n members may be faulty."""
        return max(0, -(-len(self._members) // 3) - 1)

    def _file(self, now: Instant, peer: Peer) -> File:
        """What is held against it, from now on."""
        if peer.file is None:
            peer.file = File.opened(Score(now, self._half_life_us), self._changes_max)
        return peer.file

    def _recorded(
        self, now: Instant, peer: Peer, delta_ppm: int, name: str, evidence: bytes, *, at_once: bool
    ) -> list[Effect]:
        wall_ms = self._env.wall_ms()
        file = self._file(now, peer)
        oldest = file.making_room
        change, is_new = file.record(wall_ms, delta_ppm, name, evidence)
        self._store.note(peer.node, change, oldest if is_new else None)
        self._store.touch(peer.node, now + SAVE_SOON_US)
        self._lowered[peer.node] = None
        if self.due_at is None:
            self.due_at = now + REVIEW_US
        effects = self._judge(now, peer, name, tell=is_new)
        return [*effects, self._store.at_once(now, wall_ms, peer, change)] if at_once else effects

    def _judge(self, now: Instant, peer: Peer, cause: str, *, tell: bool) -> list[Effect]:
        """Is it ignored from now on? Tells when that changes, and otherwise when `tell` is set."""
        file, score_ppm = self._file(now, peer), peer.score_ppm(now)
        effects: list[Effect] = []
        was_ignored = peer.ignored
        if file.score.convicted:
            self._observed.pop(peer.node, None)
            peer.ignored = True
        elif score_ppm >= self._threshold_ppm:
            self._observed.pop(peer.node, None)
            peer.ignored = file.excused = False
        elif peer.node not in self._observed:
            peer.ignored = len(self._observed) < self._ignored_max
            if peer.ignored:
                self._observed[peer.node] = None
            elif not file.excused:
                effects.append(Emit(Dropped("peers", "too-many-to-ignore", 1, peer.node)))
            file.excused = not peer.ignored
        if tell or peer.ignored is not was_ignored:
            effects.append(Emit(ScoreChanged(peer.node, score_ppm, cause, peer.ignored)))
        return effects
