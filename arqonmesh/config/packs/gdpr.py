"""Personal data of people in the EU and the EEA: Regulation (EU) 2016/679, chapter V (transfers) and article 9."""

from __future__ import annotations

from typing import Final

from arqonmesh.config.model import AggregateRule, PinRule
from arqonmesh.config.packs.pack import Pack, everywhere

GDPR: Final = Pack(
    name="gdpr",
    title="Personal data stay in the EU and the EEA",
    summary="Rooms personal and pii are pinned to regions eu, eea, eu-* and eea-*; special categories of data (article "
    "9) do not leave their cluster at all; of the room usage others get aggregates of at least 20 values, every hour.",
    deny=everywhere("personal-special:*", "biometric:*"),
    pin=(PinRule(channels=everywhere("personal:*", "pii:*"), regions=("eu", "eu-*", "eea", "eea-*")),),
    aggregate=(AggregateRule(channels=everywhere("usage:*"), every_s=3_600, events_min=20),),
)
