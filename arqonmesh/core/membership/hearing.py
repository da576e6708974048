"""Whether anything can reach us at all: while every link of ours owes an answer, silence says nothing about others.

A probe that went unanswered then is asked again later, by ourselves, and nobody else is asked: what they say comes
over the same links. Otherwise a hub that stands still for a moment is met, when it goes on, by a dozen relayed
messages of each of its spokes about everyone else, and is late for their heartbeats. It ends by itself: the link
answers again, or is down, and who has none judges in private.
"""

from __future__ import annotations

from collections.abc import Mapping

from arqonmesh.ids import NodeId


class Hearing:
    def __init__(self, links: Mapping[NodeId, None]) -> None:
        """`links`: the peers that we have links to, as they come and go."""
        self._links = links
        self._silent: dict[NodeId, None] = {}
        """Those whose answer is overdue."""

    def silent(self, peer: NodeId) -> None:
        self._silent[peer] = None

    def heard(self, peer: NodeId) -> None:
        """It answers again, or its link is gone."""
        self._silent.pop(peer, None)

    @property
    def deaf(self) -> bool:
        return bool(self._silent) and len(self._silent) == len(self._links)
