"""How far what each linked peer says of its place is from what we measure to it.

A liar that gives each peer that peer's own coordinate back pushes it away for ever, and being certain of its own place
it weighs more than anyone honest. Nobody can know who lies while nothing fits yet, but nobody needs to be taken for
surer than the measurements prove: an honest peer's misfit shrinks with every update, a liar's never does.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.ids import NodeId

GAIN: Final = 0.25
MISFIT_MAX: Final = 1.0


class Residuals:
    """One moving average per linked peer."""

    def __init__(self) -> None:
        self._misfit: dict[NodeId, float] = {}

    def note(self, peer: NodeId, guess_s: float, rtt_s: float) -> float:
        """A guess and the measurement beside it. Returns the peer's misfit: 0 fits, 1 is off by the whole round trip
        or more."""
        off = min(MISFIT_MAX, abs(guess_s - rtt_s) / max(rtt_s, 1e-6))
        known = self._misfit.get(peer, off)
        self._misfit[peer] = misfit = known + GAIN * (off - known)
        return misfit

    def forget(self, peer: NodeId) -> None:
        self._misfit.pop(peer, None)
