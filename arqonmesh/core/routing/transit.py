"""Who carries what is meant for others: members that this node thinks ill of are no transit, as the policy says.

    any              everybody carries
    prefer-trusted   who is ignored on observations carries where no other way leads; who is convicted never does
    trusted          neither carries

A member that carries nothing stays an end: messages for itself reach it. What is kept from transit on observations is
so for a hold-down of a minute after it is forgiven, so that a score that hovers about the threshold does not move
routes to and fro. The operator's pardon counts at once.

Only members count: who is expelled is forgotten here, and what is held against it stays with the registry of peers,
which tells it again when it is admitted again.

Standing is each node's own view, so two nodes may judge one member differently. No message goes in circles for that:
its origin alone chooses, and writes the whole path into it (relay.py).

Sources: the stub router advertisement (RFC 6987: a cost beyond all others, and still an end) for the last resort, the
overload bit of IS-IS (ISO 10589, 7.2.8.1) for never, hold-down and damping of routes (RFC 2439) for the minute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arqonmesh.config.model import RoutingSettings
from arqonmesh.core.events import ScoreChanged
from arqonmesh.core.kernel import SECOND, Instant
from arqonmesh.core.peers.causes import PARDONED
from arqonmesh.ids import NodeId

HOLD_DOWN: Final = 60 * SECOND
"""From being forgiven to carrying again."""
TOLL_US: Final = 1 << 80
"""What every hop out of a last resort costs: more than any path without one, for a round trip time is below 2 ** 63."""


class Transit:
    """Standing as the registry of peers tells it (`ScoreChanged`), and what follows from it for paths."""

    def __init__(self, settings: RoutingSettings, is_member: Callable[[NodeId], bool]) -> None:
        """`is_member`: the roster, which bounds what is kept here."""
        self._settings = settings
        self._is_member = is_member
        self._convicted: dict[NodeId, None] = {}
        self._doubted: dict[NodeId, Instant | None] = {}
        """Ignored on observations: None, or when the hold-down ends. The registry ignores at most a third at a time."""
        self._warned: dict[NodeId, None] = {}
        """Doubted members over which a message of ours has gone."""
        self.due_at: Instant | None = None
        """When the next hold-down ends."""

    def adopt(self, settings: RoutingSettings) -> bool:
        """Another policy from now on; whether it is one."""
        changed = settings != self._settings
        self._settings = settings
        self._warned.clear()
        return changed

    # --- what paths ask -----------------------------------------------------------------------------------

    @property
    def plain(self) -> bool:
        """Everybody carries: there is nothing to ask."""
        return self._settings.transit == "any" or not (self._convicted or self._doubted)

    def barred(self, node: NodeId) -> bool:
        """It carries nothing for others, whatever that costs."""
        policy = self._settings.transit
        if policy == "any":
            return False
        return node in self._convicted or (policy == "trusted" and node in self._doubted)

    def toll_us(self, node: NodeId) -> int:
        """What a hop out of it costs on top: TOLL_US for a last resort."""
        return TOLL_US if self.last_resort(node) else 0

    def last_resort(self, node: NodeId) -> bool:
        """It carries only where no other way leads."""
        return self._settings.transit == "prefer-trusted" and node in self._doubted and node not in self._convicted

    def reason(self, node: NodeId) -> str:
        """Why it carries nothing or little, as a word: convicted, ignored, hold-down; "" when it carries."""
        if self._settings.transit == "any":
            return ""
        if node in self._convicted:
            return "convicted"
        if node not in self._doubted:
            return ""
        return "ignored" if self._doubted[node] is None else "hold-down"

    def count(self) -> tuple[int, int]:
        """How many carry nothing, and how many are a last resort."""
        nodes = {**self._doubted, **self._convicted}
        barred = sum(self.barred(node) for node in nodes)
        return barred, sum(self.last_resort(node) for node in nodes)

    def warn(self, node: NodeId) -> bool:
        """A message of ours goes over this last resort: is it the first since it became one?"""
        if node in self._warned:
            return False
        self._warned[node] = None
        return True

    # --- what moves it --------------------------------------------------------------------------------------

    def scored(self, now: Instant, event: ScoreChanged) -> bool:
        """Whether paths may be other ones now."""
        node = event.node
        if not self._is_member(node):
            return False
        if not event.ignored:
            return self._forgiven(now, node, at_once=event.cause == PARDONED)
        if event.score_ppm == 0:  # no observation lowers a score to 0
            known = node in self._convicted
            self._convicted[node] = None
            return not known
        known = node in self._doubted
        self._doubted[node] = None
        self._plan()
        return not known

    def expelled(self, node: NodeId) -> bool:
        """It is no member any more; whether paths may be other ones now."""
        known = node in self._convicted or node in self._doubted
        for nodes in (self._convicted, self._doubted, self._warned):
            nodes.pop(node, None)
        self._plan()
        return known

    def review(self, now: Instant) -> bool:
        """Hold-downs that have ended; whether any has."""
        if self.due_at is None or self.due_at > now:
            return False
        for node in [node for node, until in self._doubted.items() if until is not None and until <= now]:
            self._trust(node)
        self._plan()
        return True

    def _forgiven(self, now: Instant, node: NodeId, *, at_once: bool) -> bool:
        pardoned = node in self._convicted
        self._convicted.pop(node, None)
        if node not in self._doubted:
            return pardoned
        if at_once:
            self._trust(node)
            self._plan()
            return True
        if self._doubted[node] is None:
            self._doubted[node] = now + HOLD_DOWN
            self._plan()
        return pardoned

    def _trust(self, node: NodeId) -> None:
        del self._doubted[node]
        self._warned.pop(node, None)

    def _plan(self) -> None:
        self.due_at = min((until for until in self._doubted.values() if until is not None), default=None)
