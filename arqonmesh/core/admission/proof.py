"""What a joiner is handed, verified by itself before it believes anyone: a roster from nothing but the founder's id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from arqonmesh.core.admission.roster import NOTHING, Change, Roster
from arqonmesh.core.admission.tickets import Verify
from arqonmesh.errors import DecodeError, TrustError
from arqonmesh.ids import MeshId, NodeId, node_id_of
from arqonmesh.wire.statement import (
    Admission,
    Genesis,
    Invite,
    JoinPolicy,
    Kind,
    Statement,
    decode_body,
    decode_statement,
)

ROSTER_KINDS: Final = (Kind.GENESIS, Kind.ADMISSION, Kind.JOIN_POLICY, Kind.INVITE)
"""What a joiner is given: who belongs, and how one gets in."""


def roster_from(statements: Sequence[bytes], founder: NodeId, mesh_id: MeshId, verify: Verify) -> Roster:
    """The roster that these statements prove, beginning from nothing but the founder's id.

    Statements of other kinds are checked and otherwise ignored; so are those of authors that the statements do not
    prove to be members. Raises TrustError: `admission.malformed-statement`, `admission.wrong-mesh`,
    `admission.no-genesis` or `admission.bad-signature`.
    """
    roster = Roster(founder, mesh_id, verify)
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
            for member in _take(roster, author, statement).entered:
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


def _take(roster: Roster, author: NodeId, statement: Statement) -> Change:
    match _body(statement):
        case Genesis() as genesis:
            return roster.found(author, genesis)
        case Admission() as admission:
            return roster.admit(author, statement.key, admission)
        case JoinPolicy() as policy:
            return roster.set_policy(author, policy)
        case Invite() as invite:
            return roster.invite(author, statement.key, invite)
    return NOTHING


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
