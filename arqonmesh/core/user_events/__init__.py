"""Events of operators and applications for every node, as in Serf: signed by the author, at most once, best effort."""

from __future__ import annotations

from arqonmesh.core.user_events.core import UserEvents

__all__ = ["UserEvents"]
