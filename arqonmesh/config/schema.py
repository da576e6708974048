"""JSON Schema of arqon.yaml, for editors (`# yaml-language-server: $schema=...`) and other tools.

python -m arqonmesh.config.schema > docs/reference/config.schema.json
"""

from __future__ import annotations

import sys
from typing import Any, Final

import msgspec

from arqonmesh.config.fields import Setting, settings
from arqonmesh.config.model import Config
from arqonmesh.config.older import BECAME

EDITOR_LINE: Final = "# yaml-language-server: $schema={}"
"""Tells editors with a YAML language server where the schema is, relative to the file that holds this line."""
FILE_NAME: Final = "arqon.schema.json"
"""Beside arqon.yaml, written by `arqon init`."""


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12, with every setting's documentation as its description."""
    (root,), components = msgspec.json.schema_components([Config], ref_template="#/$defs/{name}")
    for setting in settings().values():
        owner = components["Config"]
        for part in setting.path[:-1]:
            owner = components[_target(owner["properties"][part])]
        field = owner["properties"][setting.path[-1]]
        field.setdefault("description", setting.doc)
        if setting.hot:
            field["description"] += " Applies at once (arqon config reload)."
        if setting.section:
            owner["properties"][setting.path[-1]] = _section(setting, field, components)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "arqon.yaml",
        **root,
        "$defs": components,
    }


def _section(setting: Setting, field: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """A section may stand there empty; some may still be written as the one value that they once were."""
    notes: dict[str, Any] = {key: field.pop(key) for key in ("description", "default") if key in field}
    choices: list[dict[str, Any]] = [field, {"type": "null"}]
    if setting.path in BECAME:
        name = BECAME[setting.path]
        value = {**components[_target(field)]["properties"][name], "description": f"`{name}` alone, as once written."}
        choices.append(value)
    return {**notes, "anyOf": choices}


def render() -> str:
    """The schema as a file."""
    return msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode() + "\n"


def _target(field: dict[str, Any]) -> str:
    """The component that a section refers to, directly or beside its default (`anyOf`, `allOf`)."""
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    for key in ("allOf", "anyOf"):
        for option in field.get(key, ()):
            if "$ref" in option:
                return _target(option)
    raise AssertionError(f"a section without a reference: {field}")


if __name__ == "__main__":
    sys.stdout.write(render())
