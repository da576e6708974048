"""The roster: who belongs to the mesh, and why. A chain of admissions that begins at the founder.

An admission counts when its author is a member and the admitted key hashes to the admitted id. Statements come in any
order, so an admission by someone not yet known waits until that someone is. Where several members admitted one node,
the earliest admission (by its own date, then by the admitter's id) says cluster and role: a choice that does not depend
on the order of arrival.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from arqonmesh.errors import DecodeError, TrustError
from arqonmesh.ids import MeshId, NodeId, node_id_of
from arqonmesh.wire.statement import Admission, Genesis, Kind, Statement, decode_body, decode_statement

Verify: TypeAlias = Callable[[bytes, bytes, bytes], bool]
"""(public key, message, signature) -> does it hold."""


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of the roster."""

    node: NodeId
    public_key: bytes
    cluster: str
    role: str
    admitted_by: NodeId
    admitted_ms: int


class Roster:
    """Grows only. Bounded by the store that feeds it: one entry per admission that it holds."""

    def __init__(self, founder: NodeId) -> None:
        self.founder = founder
        self.genesis: Genesis | None = None
        self.members: dict[NodeId, Member] = {}
        self._admissions: dict[NodeId, dict[NodeId, Admission]] = {}
        """By author, then by admitted node."""

    def found(self, author: NodeId, genesis: Genesis) -> list[Member]:
        """Take the founder's genesis. Returns who is a member from now on; nobody when it is not the founder's."""
        if author != self.founder or node_id_of(genesis.founder_key) != author:
            return []
        known = self.genesis is not None
        self.genesis = genesis
        founder = Member(author, genesis.founder_key, genesis.cluster, genesis.role, author, genesis.created_ms)
        self.members[author] = founder
        return [] if known else [founder, *self._follow(author)]

    def admit(self, author: NodeId, key: str, admission: Admission) -> list[Member]:
        """Take an admission. Returns who is a member from now on: none, this node, or a whole chain behind it."""
        node = node_id_of(admission.node_key)
        if node != key or node == self.founder:
            return []
        self._admissions.setdefault(author, {})[node] = admission
        if author not in self.members:
            return []
        return [] if not self._enter(author, node, admission) else [self.members[node], *self._follow(node)]

    def _follow(self, newcomer: NodeId) -> list[Member]:
        """Whom a new member's admissions let in, and whom theirs do."""
        entered: list[Member] = []
        open_ = deque([newcomer])
        while open_:
            author = open_.popleft()
            for node, admission in sorted(self._admissions.get(author, {}).items()):
                if self._enter(author, node, admission):
                    entered.append(self.members[node])
                    open_.append(node)
        return entered

    def _enter(self, author: NodeId, node: NodeId, admission: Admission) -> bool:
        """Was the node no member before?"""
        held = self.members.get(node)
        if held is None or (admission.admitted_ms, author) < (held.admitted_ms, held.admitted_by):
            self.members[node] = Member(
                node, admission.node_key, admission.cluster, admission.role, author, admission.admitted_ms
            )
        return held is None


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
