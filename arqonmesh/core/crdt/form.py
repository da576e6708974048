"""What the decoders of this room share: the order in which a canonical encoding lists its keys."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from arqonmesh.errors import DecodeError


def check_ascending(keys: Iterable[Any], what: str) -> None:
    """Raises DecodeError unless the keys are strictly ascending: one order, each once."""
    if any(left >= right for left, right in pairwise(keys)):
        raise DecodeError("wire.not-canonical", f"{what} are not in ascending order, each once")
