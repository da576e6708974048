"""Takes one defence away from every node of this process, for a while: how it is known that a trial can fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TypeAlias

from arqonmesh.core.admission.tickets import Tickets
from arqonmesh.core.broadcast.core import Plumtree
from arqonmesh.core.broadcast.promises import Promises
from arqonmesh.core.bus.streams import Streams
from arqonmesh.core.coordinates.core import Coordinates
from arqonmesh.core.coordinates.residuals import Residuals
from arqonmesh.core.events import BroadcastJudged
from arqonmesh.core.federation.inbox import Inbox, Seen
from arqonmesh.core.gossip import merge
from arqonmesh.core.link import stalls
from arqonmesh.core.membership.own_record import OwnRecord
from arqonmesh.core.peers import score
from arqonmesh.core.peers.core import Peers
from arqonmesh.core.peers.probation import Probation
from arqonmesh.core.routing.graph import HOP_US, Edges, Graph
from arqonmesh.core.routing.transit import Transit
from arqonmesh.ids import NodeId

Without: TypeAlias = Callable[[], AbstractContextManager[None]]


def _replaced(*defences: tuple[object, str, Callable[..., Any]]) -> Without:
    """(where it lives, its name, what is there instead)."""

    @contextmanager
    def taken() -> Iterator[None]:
        with ExitStack() as stack:
            for owner, name, instead in defences:
                stack.callback(setattr, owner, name, getattr(owner, name))
                setattr(owner, name, instead)
            yield

    return taken


def _accept_all(judged: Callable[..., Any]) -> Callable[..., Any]:
    return lambda core, now, event: judged(core, now, BroadcastJudged(event.id, "accept"))


def _one_claim_is_enough(agree: Callable[[Graph, NodeId], Edges]) -> Callable[[Graph, NodeId], Edges]:
    def either(graph: Graph, node: NodeId) -> Edges:
        found = dict(agree(graph, node))
        for author, said in graph._says.items():
            for peer, rtt_us in said.ups():
                if node in (author, peer):
                    found.setdefault(peer if author == node else author, rtt_us + HOP_US)
        return tuple(found.items())

    return either


FORK_CHECK = _replaced((merge, "fork_against", lambda *_: None), (merge, "fork_within", lambda *_: None))
INBOX = _replaced((Inbox, "look", lambda *_: Seen.NEW), (Streams, "arrived", lambda *_: True))
"""With it the bus's own count of what it has of each stream, which would take nothing twice either."""
SIGNATURES = _replaced((merge, "verify_statement", lambda *_: True))
REFUTATION = _replaced((OwnRecord, "accused", lambda *_: False))
JUDGEMENT = _replaced((Plumtree, "_on_judged", _accept_all(Plumtree._on_judged)))
PROMISES = _replaced((Promises, "made", lambda *_: None))
RATE = _replaced((Peers, "allow", lambda *_: True))
PROBATION = _replaced((Probation, "allow", lambda *_: True))
DECAY = _replaced((score, "decayed", lambda *_: 0))
MISFITS = _replaced((Residuals, "note", lambda *_: 0.0))
FAIR_TURNS = _replaced((Coordinates, "_spacing_us", lambda *_: 0))
TWO_WAY_CHECK = _replaced((Graph, "_agree", _one_claim_is_enough(Graph._agree)))
TRUSTED_TRANSIT = _replaced((Transit, "barred", lambda *_: False))
SHARE_OF_LINKS = _replaced((stalls, "sources_wanted", lambda _: stalls.SOURCES_MIN))
COUNTED_CLAIMS = _replaced((Tickets, "counts", lambda *_: True))
