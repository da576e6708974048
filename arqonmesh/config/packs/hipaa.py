"""Protected health information in the United States: 45 CFR parts 160 and 164.

Eleven is the least cell that the Centers for Medicare & Medicaid Services let anyone publish (CMS cell size
suppression policy).
"""

from __future__ import annotations

from typing import Final

from arqonmesh.config.model import AggregateRule, PinRule
from arqonmesh.config.packs.pack import Pack, everywhere

HIPAA: Final = Pack(
    name="hipaa",
    title="Health information stays in the United States, of vital signs only aggregates leave",
    summary="Rooms phi and patient are pinned to regions us and us-*; psychotherapy notes (45 CFR 164.508(a)(2)) do "
    "not leave their cluster; of the room vitals, pinned too, others get aggregates of at least 11 values every five "
    "minutes, on vitals-summary:all.",
    deny=everywhere("psychotherapy:*"),
    pin=(PinRule(channels=everywhere("phi:*", "patient:*", "vitals:*"), regions=("us", "us-*")),),
    aggregate=(AggregateRule(channels=everywhere("vitals:*"), every_s=300, to="vitals-summary:all", events_min=11),),
)
