"""Every adversary with its trial, and the defence without which the trial ends badly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from arqonmesh.sim.adversaries import undefended
from arqonmesh.sim.adversaries.arena import faulty_max
from arqonmesh.sim.adversaries.fields import FIELDS, NO_QUOTAS, eclipse
from arqonmesh.sim.adversaries.outcome import Outcome
from arqonmesh.sim.adversaries.star import NODES, PRETENDERS, pretender
from arqonmesh.sim.adversaries.undefended import Without
from arqonmesh.sim.adversaries.whole import WHOLE
from arqonmesh.sim.broken import Broken

__all__ = ["TRIALS", "Outcome", "Trial", "face"]


@contextmanager
def _as_built() -> Iterator[None]:
    yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One adversary, `nodes` in all of which `faulty` are like it, and one defence against it."""

    adversary: str
    defence: str
    nodes: int
    play: Callable[[int], Outcome]
    """From a seed; raises Broken."""
    seed: int = 1
    """One in which it matters; with the defence, any."""
    without: Without = _as_built
    play_without: Callable[[int], Outcome] | None = None
    """Where the defence is a setting of a core: the same built without it."""
    few: int | None = None
    """So many are like it; None for f = ceil(n/3) - 1."""

    @property
    def faulty(self) -> int:
        return faulty_max(self.nodes) if self.few is None else self.few


def _trial(adversary: str, defence: str, without: Without, *, seed: int = 1) -> Trial:
    whole = adversary in WHOLE
    play = WHOLE[adversary] if whole else FIELDS[adversary]
    nodes = 7 if whole else 10 if adversary == "coordinate liar" else 100
    return Trial(adversary=adversary, defence=defence, nodes=nodes, play=play, without=without, seed=seed)


TRIALS: Final[tuple[Trial, ...]] = (
    _trial("equivocator", "fork check of a merge", undefended.FORK_CHECK),
    _trial("replayer", "windows of seen numbers", undefended.INBOX),
    _trial("slanderer", "signatures of statements", undefended.SIGNATURES),
    _trial("slanderer", "refutation by the accused", undefended.REFUTATION),
    _trial("framer", "payloads judged before they are passed on", undefended.JUDGEMENT),
    _trial("broken-promise relay", "promises watched", undefended.PROMISES),
    _trial("flooder", "rate per link", undefended.RATE),
    Trial(
        adversary="eclipse joiner",
        defence="outbound quota and shares of names",
        nodes=100,
        play=eclipse,
        play_without=partial(eclipse, settings=NO_QUOTAS),
    ),
    _trial("whitewasher", "probation of newcomers", undefended.PROBATION),
    _trial("on-off", "forgiveness by half-life", undefended.DECAY),
    _trial("coordinate liar", "nobody is surer than it proves to be", undefended.MISFITS, seed=8),
    _trial("coordinate liar", "no peer counts for more than its turn", undefended.FAIR_TURNS),
    _trial("link-state liar", "both ends of a link", undefended.TWO_WAY_CHECK),
    _trial("black hole", "convicts are no transit", undefended.TRUSTED_TRANSIT),
    Trial(
        adversary="pretender",
        defence="who stands still is believed by the share of the links",
        nodes=NODES,
        few=PRETENDERS,
        play=pretender,
        without=undefended.SHARE_OF_LINKS,
    ),
    _trial("ticket double-redeemer", "claims of a ticket counted", undefended.COUNTED_CLAIMS),
)


def face(trial: Trial, seed: int, *, defended: bool = True) -> Outcome:
    """Play it; never raises what a trial found, says it in `broken`."""
    play = trial.play if defended or trial.play_without is None else trial.play_without
    with _as_built() if defended else trial.without():
        try:
            return play(seed)
        except Broken as error:
            return Outcome(broken=str(error))
        except AssertionError as error:  # a core's own check, which its defence had made good
            if defended:
                raise
            return Outcome(broken=f"a core stops: {error}")
