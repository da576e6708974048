"""`arqon policy`: what may cross this cluster's border, and what did."""

from __future__ import annotations

from arqonmesh_cli.answer import Answer, noun, verb
from arqonmesh_cli.connect import ask_at
from arqonmesh_cli.options import Context, DataDir, Json
from arqonmesh_cli.screen import Screen

app = noun("What may cross this cluster's border.")


@verb(app, "show", "arqon policy show", "arqon policy show --json | jq .data.decisions")
def show(data_dir: DataDir = None, context: Context = None, as_json: Json = False) -> Answer:
    """Show the export and import rules of arqon.yaml and what they have decided so far."""
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
