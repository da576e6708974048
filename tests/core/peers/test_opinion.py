"""Verdicts: an inviter's share, the operator's word, the timeline, and the bound on what we may get wrong."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from arqonmesh.config.model import PeerSettings
from arqonmesh.core.events import Fault, Forked, MemberAdmitted, MemberChanged, PeerRuled
from arqonmesh.core.kernel import SECOND, Persist
from arqonmesh.core.peers.core import Peers
from arqonmesh.core.peers.evidence import heard_in, still_heard, summary
from arqonmesh.ids import NodeId
from arqonmesh.wire.cbor import encode
from arqonmesh.wire.messages import BroadcastHave, GossipDelta, GossipRoot, Ping
from arqonmesh.wire.statement import GENESIS_HASH, Held, Kind, Statement
from tests.core.peers.test_peers import Clock, Disk, mesh, scores, world
from tests.core.toy import MESH, key_of, node_of


def invited(core: Peers, name: str, inviter: NodeId) -> NodeId:
    core.on_event(0, MemberAdmitted(node_of(name), key_of(name), "cluster", "hub", inviter))
    core.on_event(0, MemberChanged(node_of(name), "", "alive", 1, "joined"))
    return node_of(name)


def statement(author: str, seq: int, prev: bytes = GENESIS_HASH, *, body: int = 1) -> bytes:
    return Statement(MESH, node_of(author), 1, seq, prev, Kind.HELD, "", Held(body).encode(), bytes(64)).encode()


# --- an inviter's share -------------------------------------------------------------------------------------


def test_who_let_in_a_convict_loses_a_fixed_share_once_per_invitee() -> None:
    """-0.15, however often the proof is told again; not for what is only observed; the founder invited nobody."""
    core, (inviter, *_) = mesh(7)
    one, two = invited(core, "one", inviter), invited(core, "two", inviter)
    core.on_event(0, Fault(one, "malformed"))
    assert core.view(0, inviter).score_ppm == 1_000_000
    for _ in range(3):
        core.on_event(0, Forked(one, 1, 7, b"a", b"b"))
    assert core.view(0, inviter).score_ppm == 850_000
    core.on_event(0, Forked(two, 1, 7, b"a", b"b"))
    report = core.view(0, inviter)
    assert report.score_ppm == 700_000
    assert [cause.evidence.decode() for cause in report.causes] == [one, two]


def test_shares_alone_stop_at_their_floor_and_convict_nobody() -> None:
    """Twenty convicted invitees: 0.5, which is not ignored yet, and forgiven with time as anything that is no proof."""
    core, (inviter, *_) = mesh(70)
    for index in range(20):
        core.on_event(0, Forked(invited(core, f"bad {index}", inviter), 1, 7, b"a", b"b"))
    assert core.view(0, inviter).score_ppm == 500_000
    assert not core.ignored(inviter)
    assert core.view(7_200 * SECOND, inviter).score_ppm > 900_000


# --- the operator's word ------------------------------------------------------------------------------------


def test_a_ban_holds_over_a_restart_until_it_is_forgiven_and_costs_the_inviter_nothing() -> None:
    """Both are on disk in the same step, with their reasons; a ban is one node's own and not under the bound."""
    disk, clock = Disk(), Clock()
    core, (peer, inviter, *_) = mesh(4, env=world(clock))
    core.on_event(0, MemberAdmitted(peer, key_of("p0"), "cluster", "hub", inviter))
    effects = core.on_event(0, PeerRuled(peer, True, "floods us"))
    assert [effect.sync for effect in effects if isinstance(effect, Persist)] == [True]
    assert [(change.cause, change.ignored) for change in scores(effects)] == [("banned", True)]
    disk.perform(effects)
    assert peer not in core.random(9) and core.ignored(peer)
    assert core.view(0, inviter).score_ppm == 1_000_000
    again = Peers(world(clock), PeerSettings())
    again.start(0, disk.durable())
    assert again.ignored(peer)
    again.on_event(0, MemberChanged(peer, "", "alive", 1, "x"))
    effects = again.on_event(1, PeerRuled(peer, False, "repaired"))
    disk.perform(effects)
    assert [effect.sync for effect in effects if isinstance(effect, Persist)] == [True]
    assert not again.ignored(peer) and again.random(9) == [peer]
    third = Peers(world(clock), PeerSettings())
    third.start(0, disk.durable())
    assert third.view(0, peer).score_ppm == 1_000_000
    told = [(cause.cause, summary(cause.evidence), cause.score_ppm) for cause in third.view(0, peer).causes]
    assert told == [("banned", "floods us", 0), ("pardoned", "repaired", 1_000_000)]


def test_a_pardoned_proof_does_not_convict_again_and_a_new_one_does() -> None:
    """Gossip tells the stored proof at every start; the operator has decided about that one."""
    core, (peer, *_) = mesh(4)
    assert core.on_event(0, Forked(peer, 1, 7, b"a", b"b", restored=True)) == [], "charged in an earlier life"
    core.on_event(0, Forked(peer, 1, 7, b"a", b"b"))
    core.on_event(0, PeerRuled(peer, False, "restored from a backup by mistake"))
    assert core.on_event(1, Forked(peer, 1, 7, b"a", b"b")) == []
    assert not core.ignored(peer)
    core.on_event(2, Forked(peer, 1, 6, b"c", b"d"))
    assert core.ignored(peer)
    core.on_event(3, PeerRuled(peer, True, "spam"))
    core.on_event(4, PeerRuled(peer, False, ""))
    core.on_event(5, PeerRuled(peer, True, "spam"))
    assert core.ignored(peer)


def test_the_timeline_tells_the_score_after_each_change_with_what_was_forgiven_between() -> None:
    """1.0 - 0.1 = 0.9; one half-life later 0.95 - 0.1 = 0.85."""
    clock = Clock()
    core, (peer, *_) = mesh(4, env=world(clock))
    core.on_event(0, Fault(peer, "malformed", b"wire.schema"))
    clock.ms += 1_800_000
    core.on_event(1_800 * SECOND, Fault(peer, "malformed", b"wire.schema"))
    report = core.view(1_800 * SECOND, peer)
    assert [cause.score_ppm for cause in report.causes] == [900_000, 850_000]
    assert [summary(cause.evidence) for cause in report.causes] == ["wire.schema"] * 2
    assert report.score_ppm == 850_000


# --- what is heard of an ignored peer -----------------------------------------------------------------------


def test_of_others_only_what_contradicts_itself_is_looked_at() -> None:
    """One place with two contents, or a successor of another predecessor; everything else is left out."""
    a, b = statement("x", 3), statement("x", 3, body=2)
    plain, peer = statement("y", 1), node_of("peer")
    assert heard_in(GossipDelta((plain, a, b), ()), peer) == GossipDelta((a, b), ())
    disowning = statement("x", 4, bytes([7] * 32))
    assert heard_in(GossipDelta((a, disowning), ((node_of("x"), 1, 1),)), peer) == GossipDelta((a, disowning), ())
    assert heard_in(GossipDelta((a, plain), ()), peer) is None
    assert heard_in(GossipDelta((a, a), ()), peer) is None
    assert heard_in(GossipDelta((b"rubbish", a, b), ()), peer) is None


def test_what_it_signed_of_itself_is_looked_at_with_what_it_vouches_for_there() -> None:
    """In one piece and in order, and with the point from which on nothing of it is missing."""
    x, y = (node_of(name) for name in "xy")
    own, others = (statement("x", 3), statement("x", 5)), statement("y", 1)
    delta = GossipDelta((others, *own), ((x, 1, 2), (y, 1, 0)))
    assert heard_in(delta, x) == GossipDelta(own, ((x, 1, 2),))
    a, b = statement("y", 3), statement("y", 3, body=2)
    assert heard_in(GossipDelta((a, b, *own), ((x, 1, 2),)), x) == GossipDelta((a, b, *own), ((x, 1, 2),))
    assert heard_in(GossipDelta((*own, statement("x", 5, body=2)), ()), x) is not None, "its own proof is one, too"


def test_an_ignored_peer_is_alive_all_the_same() -> None:
    """Probes and comparisons go on; what it spreads does not."""
    peer = node_of("peer")
    assert still_heard(Ping(1, -1), peer) == Ping(1, -1)
    assert still_heard(GossipRoot(bytes(32)), peer) == GossipRoot(bytes(32))
    assert still_heard(BroadcastHave(((bytes(16), 1, 1),)), peer) is None


def test_a_summary_names_the_statements_or_the_word_and_never_fails() -> None:
    """Proof, text, rubbish, nothing."""
    proof = encode([statement("x", 3), statement("x", 3, body=2)])
    assert summary(proof).startswith("signed (1, 3) kind 12 and (1, 3) kind 12; ")
    assert summary(b"wire.schema") == "wire.schema"
    assert summary(b"\x00\xff\x1b[31m") == "7 bytes" or "\x1b" not in summary(b"\x00\xff\x1b[31m")
    assert summary(b"") == ""


# --- the bound on our own mistakes --------------------------------------------------------------------------

MEMBERS = [f"m{index}" for index in range(9)]
CAUSE_NAMES = st.sampled_from(["malformed", "bad-signature", "rate", "timeout", "malformed-body", "something-new"])


class OpinionMachine(RuleBasedStateMachine):
    """Whatever happens, at most f peers are ignored on observations alone; proofs and bans always; nobody above 0.5."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.disk, self.now = Clock(), Disk(), 0
        self.core, self.nodes = mesh(len(MEMBERS) + 1, env=world(self.clock))
        self.convicted: dict[NodeId, None] = {}
        self.left: dict[NodeId, None] = {}
        self.proofs = 0

    def node(self, index: int) -> NodeId:
        return self.nodes[index]

    @rule(index=st.integers(0, 8), cause=CAUSE_NAMES, times=st.integers(1, 12))
    def observe(self, index: int, cause: str, times: int) -> None:
        for _ in range(times):
            self.disk.perform(self.core.on_event(self.now, Fault(self.node(index), cause)))

    @rule(index=st.integers(0, 8))
    def prove(self, index: int) -> None:
        self.proofs += 1
        self.disk.perform(self.core.on_event(self.now, Forked(self.node(index), 1, 1, b"x", b"%d" % self.proofs)))
        self.convicted[self.node(index)] = None

    @rule(index=st.integers(0, 8), banned=st.booleans())
    def decide(self, index: int, banned: bool) -> None:
        self.disk.perform(self.core.on_event(self.now, PeerRuled(self.node(index), banned, "because")))
        if banned:
            self.convicted[self.node(index)] = None
        else:
            self.convicted.pop(self.node(index), None)

    @rule(index=st.integers(0, 8))
    def leave_or_return(self, index: int) -> None:
        node = self.node(index)
        if node in self.left:
            del self.left[node]
            self.core.on_event(self.now, MemberChanged(node, "left", "alive", 2, "x"))
        else:
            self.left[node] = None
            self.core.on_event(self.now, MemberChanged(node, "alive", "left", 1, "x"))
        self.settle(10)

    @rule(seconds=st.integers(1, 3_600))
    def settle(self, seconds: int) -> None:
        until = self.now + seconds * SECOND
        while (due := self.core.next_deadline()) is not None and due <= until:
            self.clock.ms += max(0, due - self.now) // 1_000
            self.now = max(self.now, due)
            self.disk.perform(self.core.on_timer(self.now))
        self.clock.ms += (until - self.now) // 1_000
        self.now = until

    @rule()
    def restart(self) -> None:
        self.settle(61)
        self.core = Peers(world(self.clock), PeerSettings())
        self.core.start(self.now, self.disk.durable())
        for name in ("me", *[f"p{index}" for index in range(len(MEMBERS))]):
            self.core.on_event(self.now, MemberAdmitted(node_of(name), key_of(name), "cluster", "hub"))
        for node in self.nodes:
            state = "left" if node in self.left else "alive"
            self.core.on_event(self.now, MemberChanged(node, "", state, 1, "x"))
        self.settle(11)

    @invariant()
    def at_most_f_on_observations(self) -> None:
        members = 1 + len(self.nodes) - len(self.left)
        ignored = [node for node in self.nodes if self.core.ignored(node)]
        assert len([node for node in ignored if node not in self.convicted]) <= max(0, -(-members // 3) - 1)

    @invariant()
    def verdicts_stick_and_the_pool_is_without_the_ignored(self) -> None:
        assert all(self.core.ignored(node) for node in self.convicted)
        there = self.core.random(20)
        assert not [node for node in there if self.core.ignored(node) or node in self.left]
        for node in self.nodes:
            if node not in self.convicted and self.core.view(self.now, node).score_ppm == 1_000_000:
                assert not self.core.ignored(node)


TestOpinion = OpinionMachine.TestCase
TestOpinion.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
