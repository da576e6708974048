"""The roster: who belongs to the mesh, and why. A chain of admissions that begins at the founder.

An admission counts when its author is a member and the admitted key hashes to the admitted id. Statements come in any
order, so an admission by someone not yet known waits until that someone is. Where several members admitted one node,
the one nearest to the founder says cluster and role, and among equally near ones the earliest by its own date, then by
the admitter's id: a choice that does not depend on the order of arrival. Distance goes before the date because a date
is whatever its author writes: no member can give itself, or whoever admitted it, another cluster or role, neither
directly nor through a node that it admits for the purpose.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from arqonmesh.errors import DecodeError, TrustError
from arqonmesh.ids import MeshId, NodeId, node_id_of
from arqonmesh.wire.statement import Admission, Genesis, Kind, Statement, decode_body, decode_statement

Verify: TypeAlias = Callable[[bytes, bytes, bytes], bool]
"""(public key, message, signature) -> does it hold."""
ROSTER_KINDS: Final = (Kind.GENESIS, Kind.ADMISSION, Kind.JOIN_POLICY)
"""What a joiner is given: who belongs, and how one gets in."""


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of the roster."""

    node: NodeId
    public_key: bytes
    cluster: str
    role: str
    admitted_by: NodeId
    admitted_ms: int
    distance: int
    """How many admissions lie between it and the founder; 0 is the founder."""


class Roster:
    """Grows only. Bounded by the store that feeds it: one entry per admission that it holds."""

    def __init__(self, founder: NodeId) -> None:
        self.founder = founder
        self.genesis: Genesis | None = None
        self.members: dict[NodeId, Member] = {}
        self._admissions: dict[NodeId, dict[NodeId, Admission]] = {}
        """By author, then by admitted node."""
        self._admitters: dict[NodeId, dict[NodeId, None]] = {}
        """The same the other way round."""

    def found(self, author: NodeId, genesis: Genesis) -> list[Member]:
        """Take the founder's genesis. Returns who is a member from now on; nobody when it is not the founder's."""
        if author != self.founder or node_id_of(genesis.founder_key) != author:
            return []
        known = self.genesis is not None
        self.genesis = genesis
        founder = Member(author, genesis.founder_key, genesis.cluster, genesis.role, author, genesis.created_ms, 0)
        self.members[author] = founder
        return [] if known else [founder, *self._settle(self._admissions.get(author, ()))]

    def admit(self, author: NodeId, key: str, admission: Admission) -> list[Member]:
        """Take an admission. Returns who is a member from now on: none, this node, or a whole chain behind it."""
        node = node_id_of(admission.node_key)
        if node != key or node in (author, self.founder):
            return []
        self._admissions.setdefault(author, {})[node] = admission
        self._admitters.setdefault(node, {})[author] = None
        return self._settle((node,))

    def _settle(self, nodes: Iterable[NodeId]) -> list[Member]:
        """Look at these anew, and at whom they let in when they have entered or come nearer to the founder."""
        entered: list[NodeId] = []
        open_ = deque(sorted(nodes))
        while open_:
            node = open_.popleft()
            held, best = self.members.get(node), self._best(node)
            if best is None or best == held:
                continue
            self.members[node] = best
            if held is None:
                entered.append(node)
            if held is None or best.distance < held.distance:
                open_.extend(sorted(self._admissions.get(node, ())))
        return [self.members[node] for node in entered]

    def _best(self, node: NodeId) -> Member | None:
        """The node by the admission that counts; None when no member admits it."""
        ranks: list[tuple[int, int, NodeId]] = []
        for author in self._admitters.get(node, ()):
            admitter = self.members.get(author)
            if admitter is not None:
                ranks.append((admitter.distance + 1, self._admissions[author][node].admitted_ms, author))
        if not ranks:
            return None
        distance, admitted_ms, author = min(ranks)
        admission = self._admissions[author][node]
        return Member(node, admission.node_key, admission.cluster, admission.role, author, admitted_ms, distance)


def roster_from(statements: Sequence[bytes], founder: NodeId, mesh_id: MeshId, verify: Verify) -> Roster:
    """The roster that these statements prove, beginning from nothing but the founder's id.

    Statements of other kinds are checked and otherwise ignored; so are those of authors that the statements do not
    prove to be members. Raises TrustError: `admission.malformed-statement`, `admission.wrong-mesh`,
    `admission.no-genesis` or `admission.bad-signature`.
    """
    roster = Roster(founder)
    open_: dict[NodeId, list[Statement]] = {}
    for encoded in statements:
        statement = _decoded(encoded)
        if statement.mesh_id != mesh_id:
            raise TrustError(
                "admission.wrong-mesh",
                f"a statement of mesh {statement.mesh_id} among those of mesh {mesh_id}",
            )
        open_.setdefault(NodeId(statement.author), []).append(statement)
    genesis = next((s for s in open_.get(founder, ()) if s.kind == Kind.GENESIS), None)
    if genesis is None:
        raise TrustError("admission.no-genesis", f"no genesis by the founder {founder} is among the statements")
    keys = _genesis_key(genesis, founder)
    while True:
        author = next((author for author in open_ if author in keys), None)
        if author is None:
            return roster
        for statement in open_.pop(author):
            if not verify(keys[author], statement.signed_bytes(), statement.signature):
                raise TrustError("admission.bad-signature", f"a statement by {author} is not signed with its key")
            for member in _take(roster, author, statement):
                keys.setdefault(member.node, member.public_key)


def proof(statements: Sequence[bytes], roster: Roster) -> tuple[bytes, ...]:
    """Of the statements that `roster_from` took: those that made the roster, each of them verified.

    What it had to ignore (authors whom nothing proves, other kinds) must not be kept, or it would be believed later.
    """
    kept: list[bytes] = []
    for encoded in statements:
        statement = decode_statement(encoded)
        if statement.kind in ROSTER_KINDS and statement.author in roster.members:
            kept.append(encoded)
    return tuple(kept)


def _genesis_key(genesis: Statement, founder: NodeId) -> dict[NodeId, bytes]:
    body = _body(genesis)
    if not isinstance(body, Genesis) or node_id_of(body.founder_key) != founder:
        raise TrustError("admission.no-genesis", f"the genesis does not carry the key of the founder {founder}")
    return {founder: body.founder_key}


def _take(roster: Roster, author: NodeId, statement: Statement) -> list[Member]:
    match _body(statement):
        case Genesis() as genesis:
            return roster.found(author, genesis)
        case Admission() as admission:
            return roster.admit(author, statement.key, admission)
    return []


def _decoded(encoded: bytes) -> Statement:
    try:
        return decode_statement(encoded)
    except DecodeError as error:
        raise TrustError("admission.malformed-statement", f"not a statement: {error}") from None


def _body(statement: Statement) -> object:
    try:
        return decode_body(statement.kind, statement.body)
    except DecodeError as error:
        raise TrustError("admission.malformed-statement", f"not a body of kind {statement.kind}: {error}") from None
