"""How much the store takes. What is beyond is refused and counted; nothing that is held is evicted for it.

Only members can be authors, so whoever fills the store has a name. The numbers are for a mesh of some thousand nodes
whose founder admitted most of them; they are guesses and not yet measured.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of one replica."""

    authors: int = 4_096
    records_per_author: int = 8_192
    bytes_per_author: int = 4 << 20
    bytes_total: int = 256 << 20
    absences: int = 8_192
    """Members of whom is noted since when they are gone."""
    waiting_authors: int = 256
    """Unknown authors whose statements wait for an admission."""
    waiting_bytes: int = 256 << 10
    answers_per_interval: int = 64
    """Digests of one peer that are answered within one repair interval: what a peer may make us send."""
    statements_per_delta: int = 4_000
    """Below the wire's 4,096, and room for the two statements of a fork's proof."""
