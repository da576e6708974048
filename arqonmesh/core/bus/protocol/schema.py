"""The JSON Schema of the canonical frames (2020-12), made of the types in frames.py."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from arqonmesh.core.bus.protocol import frames

SCHEMA: Final = "https://json-schema.org/draft/2020-12/schema"
_RECEIVED: Final = ("event", "telemetry", "private", "system", "response", "error")
_SENT: Final = ("publish_event", "publish_telemetry", "send_private", "command")


def json_schema() -> dict[str, Any]:
    """Definitions per kind of frame, beside them `received` (what the bus sends) and `sent` (what a client sends)."""
    types = list(frames.DEFINITIONS.values())
    _, components = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    names = {kind.__name__: name for name, kind in frames.DEFINITIONS.items()}
    definitions = {names.get(name, _snake(name)): _tidy(schema, names) for name, schema in components.items()}
    ordered = {name: definitions.pop(name) for name in frames.DEFINITIONS}
    return {
        "$schema": SCHEMA,
        "title": "ArqonMesh bus, canonical frames (sub-protocols arqon.v1 and arqon.v1.cbor)",
        "description": "What a client receives. Unknown fields are allowed everywhere; skip what you do not know.",
        "$ref": "#/$defs/received",
        "$defs": {
            **ordered,
            **definitions,
            "received": {"description": "Every frame that the bus sends.", "oneOf": [_ref(name) for name in _RECEIVED]},
            "sent": {"description": "Every frame that a client sends.", "oneOf": [_ref(name) for name in _SENT]},
        },
    }


def text() -> str:
    """As it stands in docs/spec/bus.schema.json."""
    return msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode() + "\n"


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


def _tidy(schema: Any, names: dict[str, str]) -> Any:
    """References by our names; `const` for a choice of one; no title, which would only repeat the name."""
    if isinstance(schema, list):
        return [_tidy(item, names) for item in schema]
    if not isinstance(schema, dict):
        return schema
    tidied = {}
    for key, value in schema.items():
        if key == "$ref":
            name = value.rpartition("/")[2]
            tidied[key] = f"#/$defs/{names.get(name, _snake(name))}"
        elif key == "enum" and len(value) == 1:
            tidied["const"] = value[0]
        elif not (key == "title" and isinstance(value, str)):
            tidied[key] = _tidy(value, names)
    return tidied


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).strip("_")
