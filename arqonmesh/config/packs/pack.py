"""What a compliance pack is made of: the rules that arqon.yaml knows, and what they are for."""

from __future__ import annotations

from msgspec import Struct

from arqonmesh.config.model import AggregateRule, PinRule


class Pack(Struct, frozen=True, kw_only=True):
    """Rules under a name. They only ever keep something back: a pack allows nothing."""

    name: str
    title: str
    summary: str
    deny: tuple[str, ...] = ()
    """Export denials."""
    pin: tuple[PinRule, ...] = ()
    aggregate: tuple[AggregateRule, ...] = ()


def everywhere(*patterns: str) -> tuple[str, ...]:
    """Patterns for channels of no tenant, and the same for those of every tenant."""
    return tuple(one for pattern in patterns for one in (pattern, f"*|{pattern}"))
