"""Payments and books: PCI DSS 4.0 (3.3, sensitive authentication data), and data that stay where they were made."""

from __future__ import annotations

from typing import Final

from arqonmesh.config.model import AggregateRule, PinRule
from arqonmesh.config.packs.pack import Pack, everywhere

FINANCIAL: Final = Pack(
    name="financial",
    title="Books and payments stay in the region where they were made",
    summary="Rooms cardholder, payments, ledger and trades are pinned to the region of the node that publishes them; "
    "sensitive authentication data do not leave their cluster; of the room turnover others get "
    "aggregates, every minute.",
    deny=everywhere("card-auth:*"),
    pin=(PinRule(channels=everywhere("cardholder:*", "payments:*", "ledger:*", "trades:*"), regions=("@here",)),),
    aggregate=(AggregateRule(channels=everywhere("turnover:*"), every_s=60, events_min=5),),
)
