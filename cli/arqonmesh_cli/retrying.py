"""Asking again for what a busy member did not get done: with growing pauses, for as long as the user wants to wait."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from arqonmesh.errors import ArqonError, TimedOut
from arqonmesh_cli.durations import show_duration
from arqonmesh_cli.screen import tell_terminal

T = TypeVar("T")

PASSING_JOIN: Final = frozenset({"join.broken", "join.busy", "join.not-stored", "join.timeout", "join.too-many"})
"""How a join ends at a member that is there and has no time."""
JOIN_TRY_S: Final = 60.0
"""The most for one try: a member that is there has let us in by then, or said why not."""
PAUSE_MIN_S: Final = 0.5
PAUSE_MAX_S: Final = 8.0


def patiently(
    question: Callable[[float], T],
    passing: frozenset[str],
    patience_s: float,
    *,
    rng: random.Random,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    tell: Callable[[str], None] = tell_terminal,
) -> T:
    """The answer to `question(seconds that are left for it)`. An error whose code is passing is told and the question
    asked again, after a pause that doubles and is drawn from its upper half; the last one is raised when no further try
    fits into `patience_s`."""
    deadline = clock() + patience_s
    pause_s = PAUSE_MIN_S
    while True:
        try:
            return question(max(0.0, deadline - clock()))
        except ArqonError as error:
            waits_s = pause_s * (1 + rng.random()) / 2
            if error.code not in passing or clock() + waits_s >= deadline:
                raise
            tell(f"{error.code}: {error.sentence}; again in {show_duration(waits_s)}")
        sleep(waits_s)
        pause_s = min(PAUSE_MAX_S, 2 * pause_s)


def within(seconds: float, join: Callable[[float], T], address: str = "") -> T:
    """`join(its deadline in seconds)`; a node that is still at it then has given up, and that is an end as others are.
    `address`: of the member that is asked, where it was given; else the ticket knows.

    Raises what `join` raises, and TimedOut `join.timeout` in the place of `api.deadline`.
    """
    patience_s = min(seconds, JOIN_TRY_S)
    try:
        return join(patience_s)
    except TimedOut as error:
        if error.code != "api.deadline":
            raise
        span = show_duration(round(patience_s) or patience_s)
        if address:
            said = f"{address} did not let this node in within {span}; it needs to be a member's QUIC address, with UDP"
        else:
            said = f"no address of the ticket let this node in within {span}; one needs to be reachable, with UDP"
        raise TimedOut("join.timeout", f"{said} open on the way", hint="arqon status    # on the member") from error
