"""`arqon policy`: what may cross this cluster's border and stay in which regions, what did, and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from arqonmesh.errors import UsageError
from arqonmesh_cli.answer import Answer, noun, verb
from arqonmesh_cli.connect import ask_at
from arqonmesh_cli.options import Context, DataDir, Json
from arqonmesh_cli.screen import Screen

if TYPE_CHECKING:
    from arqonmesh.api.node_views import PolicyRuleView

app = noun("What may cross this cluster's border, and in which regions it stays.")
Channel = Annotated[
    str,
    typer.Argument(metavar="CHANNEL", help="ROOM:CHANNEL; a tenant's with the tenant: acme|ROOM:CHANNEL."),
]
Target = Annotated[
    str,
    typer.Option("--to", metavar="WHO", help="Beginning of a member's id, cluster or region.", show_default=False),
]
LEGAL = "Starting points, and no legal advice: whether they are enough is for those to say who know the law."


@verb(app, "show", "arqon policy show", "arqon policy show --json | jq .data.decisions")
def show(data_dir: DataDir = None, context: Context = None, as_json: Json = False) -> Answer:
    """Show the export and import rules of arqon.yaml, pins, aggregates and packs, and what they have decided so far."""
    policy = ask_at(data_dir, context, lambda node: node.policy())

    def text(screen: Screen) -> None:
        screen.table(
            ("DIRECTION", "ALLOW", "DENY"),
            (
                ("export", ", ".join(policy.export_allow) or "nothing", ", ".join(policy.export_deny) or "-"),
                ("import", ", ".join(policy.import_allow) or "nothing", ", ".join(policy.import_deny) or "-"),
            ),
        )
        screen.line(("deny wins over allow; what matches nothing stays", "dim"))
        screen.line()
        if policy.rules:
            screen.table(("RULE", "CHANNELS", "WHAT IT DOES"), _rules(policy.rules))
            screen.line()
        screen.table(
            ("DIRECTION", "CHANNEL", "CLUSTER", "VERDICT", "RULE", "MESSAGES"),
            [
                (
                    str(d.get("direction", "")),
                    str(d.get("channel", "")),
                    str(d.get("cluster", "")) or "-",
                    "let through" if d.get("allowed") else "kept",
                    str(d.get("rule", "")),
                    str(d.get("messages", 0)),
                )
                for d in policy.decisions
            ],
            empty="no message has been judged yet",
        )

    return Answer(policy, text)


@verb(
    app,
    "explain",
    "arqon policy explain telemetry:host",
    "arqon policy explain 'acme|plant:press' --to us-east",
)
def explain(
    channel: Channel, to: Target = "", data_dir: DataDir = None, context: Context = None, as_json: Json = False
) -> Answer:
    """Say to which members events on a channel may be sent, and why. Who imports them has rules of its own."""
    if not channel.strip():
        raise UsageError(
            "bus.channel-name",
            f"{channel!r} names no channel; it needs to be ROOM:CHANNEL",
            hint="arqon policy explain telemetry:host",
        )
    policy = ask_at(data_dir, context, lambda node: node.policy(channel, to))
    full = policy.channel or channel

    def text(screen: Screen) -> None:
        if full != channel:
            screen.line(f"{channel} is {full}: who names no room means that one")
        screen.table(
            ("NODE", "CLUSTER", "REGION", "LINK", "VERDICT", "RULE", "WHY"),
            [
                (
                    one.node[:10],
                    one.cluster,
                    one.region or "-",
                    "up" if one.linked else "-",
                    "may go" if one.allowed else "stays",
                    one.rule,
                    one.reason,
                )
                for one in policy.verdicts
            ],
            empty="no other member is known",
        )

    return Answer({"channel": full, "verdicts": policy.verdicts}, text)


@verb(app, "packs", "arqon policy packs", "arqon policy packs --json | jq '.data[] | select(.name == \"gdpr\")'")
def packs(as_json: Json = False) -> Answer:
    """List the compliance packs that `federation.packs` takes, with their rules. Needs no node."""
    from arqonmesh.api.node_views import PolicyRuleView
    from arqonmesh.config.model import FederationSettings
    from arqonmesh.config.packs import PACKS
    from arqonmesh.core.federation.policy import Policy

    def text(screen: Screen) -> None:
        for pack in PACKS.values():
            rules = Policy("@here", FederationSettings(packs=(pack.name,))).rules()  # type: ignore[arg-type]
            screen.line((pack.name, "bold"), f"  {pack.title}")
            screen.table(
                ("RULE", "CHANNELS", "WHAT IT DOES"), _rules(PolicyRuleView(**rule._asdict()) for rule in rules)
            )
            screen.line()
        screen.line((LEGAL, "dim"))

    found: list[dict[str, Any]] = [msgspec.to_builtins(pack) for pack in PACKS.values()]
    return Answer(found, text)


def _rules(rules: Iterable[PolicyRuleView]) -> list[tuple[str, str, str]]:
    return [(rule.name, ", ".join(rule.channels), _does(rule)) for rule in rules]


def _does(rule: PolicyRuleView) -> str:
    if rule.kind == "pin":
        return f"stays in {', '.join(rule.regions)}"
    if rule.kind == "aggregate":
        return f"an aggregate every {rule.every_s} s" + (f" on {rule.to}" if rule.to else "")
    return "does not leave the cluster"
