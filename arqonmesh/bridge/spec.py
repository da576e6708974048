"""The generated parts of docs/spec: the JSON Schema, and the tables in the text.

python -m arqonmesh.bridge.spec docs/spec
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from arqonmesh.core.bus.commands import ALIASES, REGISTRY
from arqonmesh.core.bus.protocol import schema
from arqonmesh.errors import CATALOGUE

SCHEMA_FILE: Final = "bus.schema.json"
TEXT_FILE: Final = "bus.md"


def commands_table() -> str:
    """Every command of the registry: its short names, the role it needs, what it takes, what it does, an example."""
    rows = ["| command | short | role | takes | does | example |", "|---|---|---|---|---|---|"]
    for command in REGISTRY.values():
        short = ", ".join(f"`{alias}`" for alias, name in ALIASES.items() if name == command.name)
        takes = "; ".join(f"`{name}`: {what}" for name, what in command.args.items())
        role = f"{command.role}, or as `{command.action}` is permitted" if command.action else command.role
        example = json.dumps(command.told()["example"])
        rows.append(
            f"| `{command.name}` | {short} | {role} | {_cell(takes)} | {_cell(command.help)} | `{_cell(example)}` |"
        )
    return "\n".join(rows)


def errors_table() -> str:
    """Every code of the bus in the catalogue."""
    rows = ["| code | meaning | what helps |", "|---|---|---|"]
    for code, (meaning, remedy) in CATALOGUE.items():
        if code.startswith("bus."):
            rows.append(f"| `{code}` | {_cell(meaning)} | {_cell(remedy)} |")
    return "\n".join(rows)


TABLES: Final = {"commands": commands_table, "errors": errors_table}


def with_tables(text: str) -> str:
    """The text with each part between `<!-- begin NAME -->` and `<!-- end NAME -->` made anew."""
    for name, table in TABLES.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        head, _, rest = text.partition(begin)
        _, _, tail = rest.partition(end)
        text = f"{head}{begin}\n{table()}\n{end}{tail}"
    return text


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(folder: Path) -> None:
    (folder / SCHEMA_FILE).write_text(schema.text())
    page = folder / TEXT_FILE
    page.write_text(with_tables(page.read_text()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
