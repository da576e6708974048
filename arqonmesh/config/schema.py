"""JSON Schema of arqon.yaml, for editors (`# yaml-language-server: $schema=...`) and other tools."""

from __future__ import annotations

from typing import Any

import msgspec

from arqonmesh.config.fields import settings
from arqonmesh.config.model import Config


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12, with every setting's documentation as its description."""
    (root,), components = msgspec.json.schema_components([Config], ref_template="#/$defs/{name}")
    for setting in settings().values():
        owner = components["Config"]
        for part in setting.path[:-1]:
            owner = components[_target(owner["properties"][part])]
        field = owner["properties"][setting.path[-1]]
        field.setdefault("description", setting.doc)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "arqon.yaml",
        **root,
        "$defs": components,
    }


def _target(field: dict[str, Any]) -> str:
    """The component that a section refers to, directly or beside its default (`anyOf`, `allOf`)."""
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    for key in ("allOf", "anyOf"):
        for option in field.get(key, ()):
            if "$ref" in option:
                return _target(option)
    raise AssertionError(f"a section without a reference: {field}")
