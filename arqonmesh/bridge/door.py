"""Who asks: the seam between the servers of this room and whatever judges tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from arqonmesh.core.bus.identity import ANONYMOUS, Identity

Gate: TypeAlias = Callable[[Mapping[str, str], Mapping[str, list[str]]], "Identity | None"]
"""Headers (names in lower case) and query of a request in; who that is out, None when what it shows is not valid."""


def anyone(headers: Mapping[str, str], query: Mapping[str, list[str]]) -> Identity:
    """Where no authentication is configured."""
    return ANONYMOUS
