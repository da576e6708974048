"""`arqon config`: the settings, for people and for editors."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from arqonmesh_cli.answer import Answer, noun, verb
from arqonmesh_cli.options import Context, DataDir, Json
from arqonmesh_cli.screen import Screen

app = noun("The settings in arqon.yaml.")


@verb(app, "schema", "arqon config schema > arqon.schema.json", "arqon config schema --json | jq .data.title")
def schema(as_json: Json = False) -> Answer:
    """Print the JSON Schema of arqon.yaml: every setting with its type, bounds, default and meaning."""
    import msgspec

    from arqonmesh.config.schema import json_schema

    found = json_schema()

    def text(screen: Screen) -> None:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")

    return Answer(found, text)


@verb(app, "check", "arqon config check", "ARQON_BUS__CLIENTS_MAX=100 arqon config check --json | jq .data.bus")
def check(data_dir: DataDir = None, context: Context = None, as_json: Json = False) -> Answer:
    """Check arqon.yaml with the environment over it, as the next start would; --json prints what holds."""
    from arqonmesh.config.load import load
    from arqonmesh_cli.where import place_of

    path = place_of(data_dir, context).files.config
    return Answer(load(path, os.environ), lambda screen: _holds(screen, path))


def _holds(screen: Screen, path: Path) -> None:
    screen.line(f"{path} holds together")
    screen.line(("a node reads it when it starts; one that runs goes on with what it has read", "dim"))
