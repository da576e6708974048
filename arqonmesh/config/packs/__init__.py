"""Compliance packs: rules under a name, for `federation.packs`. Each is one file of data.

They show how a policy for such data can be written, with channel names that a bus may or may not use; whether that is
enough for the law that holds somewhere is for people who know it to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from arqonmesh.config.packs.financial import FINANCIAL
from arqonmesh.config.packs.gdpr import GDPR
from arqonmesh.config.packs.hipaa import HIPAA
from arqonmesh.config.packs.pack import Pack

__all__ = ["PACKS", "Pack", "packs_of"]

PACKS: Final[dict[str, Pack]] = {pack.name: pack for pack in (GDPR, HIPAA, FINANCIAL)}


def packs_of(names: Iterable[str]) -> tuple[Pack, ...]:
    """The packs of these names, each once, in their order."""
    return tuple(PACKS[name] for name in dict.fromkeys(names))
