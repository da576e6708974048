"""Newcomers are slow until they have earned their standing."""

from __future__ import annotations

from arqonmesh.core.kernel import SECOND
from arqonmesh.core.peers.probation import REVIEW_US, Probation


def test_a_newcomer_is_looked_at_within_a_second_even_if_a_look_at_all_is_due_only_later() -> None:
    """Or whoever comes back under a fresh name has half a minute of everybody's attention."""
    probation = Probation(rate_per_s=100, burst=10)
    probation.someone_is_new(0)
    assert probation.due_at == SECOND
    probation.due_at = REVIEW_US
    probation.someone_is_new(2 * SECOND)
    assert probation.due_at == 3 * SECOND
    probation.someone_is_new(2 * SECOND + 1)
    assert probation.due_at == 3 * SECOND
