"""Why a score may move, by how much, and who is to be blamed.

The party that proved its own fault is blamed, nobody else (the attribution rules):

- what was wrong on the link (bytes, signatures, routes, rates) is the *link peer's* fault, whoever it claims to speak
  for; so nobody can be slandered by messages in its name;
- what was validly signed and still wrong is the *author's* fault;
- duplicates, stale and unknown things are nobody's fault.

A *proof* convicts by itself: score 0, for ever. An *observation* costs a bounded amount, never lowers a score below its
floor, and is forgiven with time. Absence is no misbehaviour: it never costs more than 0.4 (the failure detector's job).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Cause:
    """`cost_ppm` per occurrence; the score is not lowered below `floor_ppm`. A proof goes to 0 and stays."""

    cost_ppm: int
    floor_ppm: int
    convicts: bool = False


CAUSES: Final[dict[str, Cause]] = {
    # proofs, by the author
    "equivocation": Cause(1_000_000, 0, convicts=True),
    "double-redemption": Cause(1_000_000, 0, convicts=True),
    # an operator's word on this node; undone by another
    "banned": Cause(1_000_000, 0, convicts=True),
    # an inviter's share in what it let in, once per invitee; alone it makes nobody ignored, or a founder who let in
    # everybody, a third of them bad, would be
    "invitee-convicted": Cause(150_000, 500_000),
    # observations about an author
    "malformed-body": Cause(300_000, 100_000),
    "wrong-cluster": Cause(300_000, 100_000),
    "over-limit": Cause(50_000, 300_000),
    "clock-ahead": Cause(50_000, 300_000),
    # observations about a link peer
    "bad-signature": Cause(100_000, 100_000),
    "malformed": Cause(100_000, 100_000),
    "bad-route": Cause(100_000, 100_000),
    "tampered": Cause(200_000, 100_000),
    "wrong-mesh": Cause(100_000, 100_000),
    "rate": Cause(20_000, 300_000),
    "broken-promise": Cause(50_000, 300_000),
    # absence
    "timeout": Cause(50_000, 600_000),
}

PROOFS: Final = ("equivocation", "double-redemption")
"""What convicts in everybody's eyes; a ban is one node's own."""
PARDONED: Final = "pardoned"
"""An operator's word: the score is 1 again, whatever had happened."""
OTHER: Final = Cause(20_000, 600_000)
"""A cause that is not listed is taken lightly."""


def cause_of(name: str) -> Cause:
    return CAUSES.get(name, OTHER)
